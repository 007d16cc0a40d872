// SPDX-License-Identifier: Apache-2.0

/// Octets that wait to be written, in one piece, so that a turn's messages leave with one call.
struct ByteQueue {
    private var storage: [UInt8] = []
    private var head = 0

    var count: Int { self.storage.count - self.head }
    var isEmpty: Bool { self.count == 0 }

    mutating func append(_ bytes: [UInt8]) {
        self.storage += bytes
    }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.storage.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.head...])) }
    }

    /// Forgets the first `count` octets.
    mutating func removeFirst(_ count: Int) {
        self.head += count
        if self.head == self.storage.count {
            // A burst must not keep its memory for as long as the connection lasts.
            self.storage.removeAll(keepingCapacity: self.storage.capacity <= 16_384)
            self.head = 0
        } else if self.head > self.storage.count / 2 {
            self.storage.removeFirst(self.head)
            self.head = 0
        }
    }
}
