// SPDX-License-Identifier: Apache-2.0

/// Messages of one association that its stack has no room for yet, in order.
struct SendQueue {
    private var messages: [SCTPMessage] = []
    private var head = 0
    /// Octets that wait.
    private(set) var octets = 0

    var isEmpty: Bool { self.head == self.messages.count }
    var first: SCTPMessage? { self.isEmpty ? nil : self.messages[self.head] }

    mutating func append(_ message: SCTPMessage) {
        self.messages.append(message)
        self.octets += message.bytes.count
    }

    mutating func removeFirst() {
        self.octets -= self.messages[self.head].bytes.count
        self.messages[self.head].bytes = []
        self.head += 1
        if self.head == self.messages.count {
            self.messages.removeAll(keepingCapacity: self.messages.count <= 64)
            self.head = 0
        } else if self.head > 64, self.head > self.messages.count / 2 {
            self.messages.removeFirst(self.head)
            self.head = 0
        }
    }

    /// Everything that waits; leaves the queue empty.
    mutating func removeAll() -> [SCTPMessage] {
        defer { self = SendQueue() }
        return Array(self.messages[self.head...])
    }
}
