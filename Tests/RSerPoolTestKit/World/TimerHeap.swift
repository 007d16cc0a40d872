// SPDX-License-Identifier: Apache-2.0

/// What shall happen at which virtual moment: a binary heap of plain numbers, with the closures in slots beside it.
///
/// Order: deadline, then the order of the calls. Cancelling empties a slot; the heap's entry is dropped when it comes
/// up.
struct TimerHeap {
    /// Names an entry for good: slots are used again, generations are not.
    struct Name: Hashable {
        var slot: UInt32
        var generation: UInt32

        init(slot: UInt32, generation: UInt32) {
            self.slot = slot
            self.generation = generation
        }

        init(rawValue: UInt64) {
            self.init(
                slot: UInt32(truncatingIfNeeded: rawValue), generation: UInt32(truncatingIfNeeded: rawValue >> 32))
        }

        var rawValue: UInt64 { UInt64(self.generation) << 32 | UInt64(self.slot) }
    }

    struct Entry {
        var deadline: Int64
        var sequence: UInt64
        var name: Name

        static func < (left: Entry, right: Entry) -> Bool {
            left.deadline == right.deadline ? left.sequence < right.sequence : left.deadline < right.deadline
        }
    }

    private struct Slot {
        var generation: UInt32 = 1
        /// Nil: the world itself, its network for example.
        var node: Node?
        /// Nil: free.
        var body: (() -> Void)?
    }

    private var heap: [Entry] = []
    private var slots: [Slot] = []
    private var free: [UInt32] = []
    private var lastSequence: UInt64 = 0

    /// How many have neither run nor been cancelled.
    var count: Int { self.slots.count - self.free.count }

    mutating func add(_ deadline: Int64, on node: Node?, _ body: @escaping () -> Void) -> Name {
        let index: UInt32
        if let reused = self.free.popLast() {
            index = reused
        } else {
            index = UInt32(self.slots.count)
            self.slots.append(Slot())
        }
        self.slots[Int(index)].node = node
        self.slots[Int(index)].body = body
        let name = Name(slot: index, generation: self.slots[Int(index)].generation)
        self.lastSequence += 1
        self.heap.append(Entry(deadline: deadline, sequence: self.lastSequence, name: name))
        self.siftUp(self.heap.count - 1)
        return name
    }

    /// Takes the closure out, to run it or to forget it; nil if that has happened already.
    mutating func take(_ name: Name) -> (() -> Void)? {
        guard self.isPending(name) else { return nil }
        let index = Int(name.slot)
        let body = self.slots[index].body
        self.slots[index].body = nil
        self.slots[index].node = nil
        self.slots[index].generation &+= 1
        self.free.append(name.slot)
        return body
    }

    mutating func cancel(_ name: Name) {
        guard self.take(name) != nil else { return }
        // Many cancelled entries with far deadlines would pile up; sweep once they are the majority.
        if self.heap.count > 1024, self.heap.count > 2 * self.count { self.sweep() }
    }

    /// Forgets everything that a node is to do.
    mutating func cancelAll(of node: Node) {
        for index in self.slots.indices where self.slots[index].node === node {
            _ = self.take(Name(slot: UInt32(index), generation: self.slots[index].generation))
        }
        self.sweep()
    }

    mutating func cancelAll() {
        self.heap = []
        self.slots = []
        self.free = []
    }

    /// The earliest deadline of those not cancelled.
    mutating func nextDeadline() -> Int64? {
        while let first = self.heap.first, !self.isPending(first.name) { self.removeFirst() }
        return self.heap.first?.deadline
    }

    /// Takes the first entry out of the heap and leaves its slot for ``take(_:)``. Call ``nextDeadline()`` before.
    mutating func popFirst() -> (name: Name, node: Node?) {
        let name = self.heap[0].name
        self.removeFirst()
        return (name, self.slots[Int(name.slot)].node)
    }

    private func isPending(_ name: Name) -> Bool {
        let index = Int(name.slot)
        return index < self.slots.count && self.slots[index].generation == name.generation
            && self.slots[index].body != nil
    }

    private mutating func sweep() {
        self.heap = self.heap.filter { self.isPending($0.name) }
        for index in stride(from: self.heap.count / 2 - 1, through: 0, by: -1) { self.siftDown(index) }
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
