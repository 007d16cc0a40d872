// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Weighted Round Robin (RFC 5356 §4.2): the circular list in which each member stands as often as its weight says, evenly
/// spread, without making the list.
///
/// On a line on which each unit is one round, the c-th occurrence of a member with weight w lies at (2c + 1)/(2w). An answer
/// lists the members by their next occurrence, ties by the smaller identifier; then the first one goes on to its next (the
/// head moves on by one entry). Who joins, or changes its weight, enters where the others are. Compared exactly: the numbers
/// grow without bound, but 128 bits last for longer than any registrar. A member of weight 0 is never selected.
package struct WeightedRoundRobinOrder: MemberOrder {
    private struct Place: Comparable, Sendable {
        /// Its occurrences that have been passed.
        var passed: UInt128
        var weight: UInt32
        var id: PoolElementID

        static func < (left: Place, right: Place) -> Bool {
            let (first, second) = (left.numerator * UInt128(right.weight), right.numerator * UInt128(left.weight))
            return (first, left.id) < (second, right.id)
        }

        var numerator: UInt128 { self.passed * 2 + 1 }
    }

    private var members = RankedSlots<Place>()
    /// Indexed by slot.
    private var ids: [PoolElementID] = []

    package init() {}

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.ids.reach(slot.index, filledWith: id)
        self.ids[slot.index] = id
        self.enter(slot.index, policy)
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        guard (self.members.rank(of: slot.index)?.weight ?? 0) != Self.weight(of: policy) else { return }
        self.members.remove(slot.index)
        self.enter(slot.index, policy)
    }

    package mutating func remove(_ slot: Slot) {
        self.members.remove(slot.index)
    }

    package mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int {
        var taken = 0
        self.members.walk { slot in
            guard taken < count, visit(Slot(slot)) else { return false }
            taken += 1
            return true
        }
        if taken > 0, let first = self.members.first, var place = self.members.rank(of: first) {
            self.members.remove(first)
            place.passed += 1
            self.members.insert(first, place)
        }
        return taken
    }

    /// At its first occurrence that is not before the head.
    private mutating func enter(_ slot: Int, _ policy: PoolPolicy) {
        let weight = Self.weight(of: policy)
        guard weight > 0 else { return }
        var passed: UInt128 = 0
        if let head = self.members.first.flatMap({ self.members.rank(of: $0) }) {
            // The least c with (2c + 1)/(2w) ≥ the head's (2c' + 1)/(2w'): 2c + 1 is at least this, rounded up.
            let product = head.numerator * UInt128(weight)
            passed = (product + UInt128(head.weight) - 1) / UInt128(head.weight) / 2
        }
        self.members.insert(slot, Place(passed: passed, weight: weight, id: self.ids[slot]))
    }

    private static func weight(of policy: PoolPolicy) -> UInt32 {
        if case .weightedRoundRobin(let weight) = policy { weight } else { 0 }
    }
}
