// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Random (RFC 5356 §4.3): a uniform sample without repetition, in random order; no memory of earlier answers.
package struct RandomOrder: MemberOrder {
    private var slots: [Int] = []
    /// Where a slot stands in `slots`.
    private var positions: [Int] = []

    package init() {}

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.positions.reach(slot.index, filledWith: -1)
        self.positions[slot.index] = self.slots.count
        self.slots.append(slot.index)
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {}

    package mutating func remove(_ slot: Slot) {
        self.swap(self.positions[slot.index], self.slots.count - 1)
        self.slots.removeLast()
    }

    /// The first steps of a Fisher–Yates shuffle: whatever order the slots were left in, each sample is equally likely.
    package mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int {
        var taken = 0
        while taken < min(count, self.slots.count) {
            self.swap(taken, Int.random(in: taken..<self.slots.count, using: &generator))
            guard visit(Slot(self.slots[taken])) else { break }
            taken += 1
        }
        return taken
    }

    private mutating func swap(_ left: Int, _ right: Int) {
        self.slots.swapAt(left, right)
        self.positions[self.slots[left]] = left
        self.positions[self.slots[right]] = right
    }
}
