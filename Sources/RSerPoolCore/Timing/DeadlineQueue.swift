// SPDX-License-Identifier: Apache-2.0

internal import HeapModule
package import RSerPoolWire

/// What a registrar does when a deadline has come.
package enum Due: Hashable, Sendable {
    /// Looks after an element of its own.
    case element(ElementKey)
    /// Tells a pool's changes.
    case pool(PoolHandle)
    case announcement
    case peer(RegistrarID)
    case takeover(RegistrarID)
    case absentOwner(RegistrarID)
    /// Looks after a copy of somebody else's element.
    case replica(ElementKey)
    case search
    /// Tries an endpoint of the book.
    case book
}

/// The deadlines of many things in one queue: one alarm serves a whole registrar.
///
/// It knows its keys' type: a generic one was a sixth of what a registration cost, as nothing is specialized across modules.
/// A key's deadline may move at any time. Moving it later costs nothing here: the old entry stays, and when it comes up it
/// is put back for the later moment. So each key has at most a few entries, whatever happens.
package struct DeadlineQueue: Sendable {
    private struct Entry: Comparable, Sendable {
        var deadline: ContinuousClock.Instant
        var number: UInt64
        var key: Due

        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.number) < (right.deadline, right.number)
        }
        static func == (left: Entry, right: Entry) -> Bool { left.number == right.number }
    }

    private struct Wanted: Sendable {
        /// When the key is due.
        var deadline: ContinuousClock.Instant
        /// Its entry in the heap, by number and moment; other entries of the key are stale.
        var number: UInt64
        var queued: ContinuousClock.Instant
    }

    private var heap = Heap<Entry>()
    private var wanted: [Due: Wanted] = [:]
    private var lastNumber: UInt64 = 0

    package init() {}

    package var count: Int { self.wanted.count }

    /// When to ask again; early rather than late.
    package var nextDeadline: ContinuousClock.Instant? { self.heap.min?.deadline }

    /// Sets, moves or, with nil, forgets the deadline of `key`.
    package mutating func set(_ key: Due, to deadline: ContinuousClock.Instant?) {
        guard let deadline else {
            self.wanted[key] = nil
            self.dropStaleTop()
            return
        }
        if let index = self.wanted.index(forKey: key), self.wanted.values[index].queued <= deadline {
            self.wanted.values[index].deadline = deadline
        } else {
            self.push(key, deadline)
        }
        if self.heap.count > 64, self.heap.count > 4 * self.wanted.count { self.compact() }
    }

    /// The next key whose deadline has come, forgotten by that; nil when none has.
    package mutating func popDue(now: ContinuousClock.Instant) -> Due? {
        while let top = self.heap.min, top.deadline <= now {
            self.heap.removeMin()
            guard let wanted = self.wanted[top.key], wanted.number == top.number else { continue }
            if wanted.deadline <= now {
                self.wanted[top.key] = nil
                return top.key
            }
            self.push(top.key, wanted.deadline)
        }
        return nil
    }

    /// Gives up room for many more keys than there are.
    package mutating func shrink() {
        self.wanted = self.wanted.filter { _ in true }
        self.compact()
    }

    private mutating func push(_ key: Due, _ deadline: ContinuousClock.Instant) {
        self.lastNumber += 1
        self.wanted[key] = Wanted(deadline: deadline, number: self.lastNumber, queued: deadline)
        self.heap.insert(Entry(deadline: deadline, number: self.lastNumber, key: key))
    }

    private mutating func dropStaleTop() {
        while let top = self.heap.min, self.wanted[top.key]?.number != top.number { self.heap.removeMin() }
    }

    /// Rebuilds the heap without entries that nobody wants any more, in the order they were made.
    private mutating func compact() {
        let live = self.heap.unordered.filter { self.wanted[$0.key]?.number == $0.number }
        self.heap = Heap(live)
    }
}
