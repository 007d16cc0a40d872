// SPDX-License-Identifier: Apache-2.0

/// One thing for a node to do.
enum Work {
    /// A job of an actor on the node.
    case actor(UnownedJob)
    /// A job without an actor, which prefers the node.
    case task(UnownedJob)
    /// A timer whose moment has come; it may still be cancelled until it runs.
    case timer(TimerHeap.Name)
    /// Something from the network.
    case mail(() -> Void)
}

/// What a node has to do, in order of arrival.
struct WorkQueue {
    private var storage: [Work?] = []
    private var head = 0

    var isEmpty: Bool { self.head == self.storage.count }
    var count: Int { self.storage.count - self.head }

    mutating func append(_ work: Work) {
        self.storage.append(work)
    }

    mutating func popFirst() -> Work? {
        guard self.head < self.storage.count else { return nil }
        let work = self.storage[self.head]
        self.storage[self.head] = nil
        self.head += 1
        if self.head == self.storage.count {
            self.storage.removeAll(keepingCapacity: self.head <= 4096)
            self.head = 0
        } else if self.head > 4096, 2 * self.head > self.storage.count {
            self.storage.removeFirst(self.head)
            self.head = 0
        }
        return work
    }
}
