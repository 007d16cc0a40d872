// SPDX-License-Identifier: Apache-2.0

/// Deadlines in order, and what to do at each: a binary heap of plain integers with the closures beside it.
struct TimerQueue {
    private struct Entry {
        /// Nanoseconds since the loop's origin.
        var deadline: Int64
        /// Rises by one with each timer, so equal deadlines keep the order of the calls. It is also the timer's name.
        var sequence: UInt64

        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.sequence) < (right.deadline, right.sequence)
        }
    }

    private var heap: [Entry] = []
    private var bodies: [UInt64: @Sendable () -> Void] = [:]
    private var lastSequence: UInt64 = 0

    var count: Int { self.bodies.count }

    /// The earliest deadline of a timer that has not been cancelled.
    mutating func nextDeadline() -> Int64? {
        self.dropCancelled()
        return self.heap.first?.deadline
    }

    mutating func add(_ deadline: Int64, _ body: @escaping @Sendable () -> Void) -> UInt64 {
        self.lastSequence += 1
        self.bodies[self.lastSequence] = body
        self.heap.append(Entry(deadline: deadline, sequence: self.lastSequence))
        self.siftUp(self.heap.count - 1)
        return self.lastSequence
    }

    mutating func cancel(_ sequence: UInt64) -> (@Sendable () -> Void)? {
        let body = self.bodies.removeValue(forKey: sequence)
        // Cancelled entries leave when they come to the top; many far ones would pile up, so sweep once they are the
        // majority.
        if self.heap.count > 64, self.heap.count > 2 * self.bodies.count {
            self.heap.removeAll { self.bodies[$0.sequence] == nil }
            for index in stride(from: self.heap.count / 2 - 1, through: 0, by: -1) { self.siftDown(index) }
        }
        return body
    }

    /// Takes the earliest timer out if it is due.
    mutating func popDue(now: Int64) -> (@Sendable () -> Void)? {
        self.dropCancelled()
        guard let first = self.heap.first, first.deadline <= now else { return nil }
        self.removeFirst()
        return self.bodies.removeValue(forKey: first.sequence)
    }

    private mutating func dropCancelled() {
        while let first = self.heap.first, self.bodies[first.sequence] == nil { self.removeFirst() }
    }

    private mutating func removeFirst() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return }
        self.heap[0] = last
        self.siftDown(0)
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard self.heap[index] < self.heap[parent] else { return }
            self.heap.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            let left = 2 * index + 1
            if left < self.heap.count, self.heap[left] < self.heap[least] { least = left }
            if left + 1 < self.heap.count, self.heap[left + 1] < self.heap[least] { least = left + 1 }
            guard least != index else { return }
            self.heap.swapAt(index, least)
            index = least
        }
    }
}
