// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Random (RFC 5356 §4.3): a uniform sample without repetition, in random order; no memory of earlier answers.
package struct RandomOrder: MemberOrder {
    private var slots: [UInt32] = []
    /// Where a slot stands in `slots`.
    private var positions: [UInt32] = []

    package init() {}

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.positions.reach(slot.index, filledWith: 0)
        self.positions[slot.index] = UInt32(self.slots.count)
        self.slots.append(UInt32(slot.index))
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {}
    package var heedsRenewals: Bool { false }

    package mutating func remove(_ slot: Slot) {
        let last = self.slots.removeLast()
        guard last != UInt32(slot.index) else { return }
        let position = self.positions[slot.index]
        self.slots[Int(position)] = last
        self.positions[Int(last)] = position
    }

    /// The first steps of a Fisher–Yates shuffle: whatever order the slots were left in, each sample is equally likely.
    package mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        let count = min(members.freeCapacity, self.slots.count)
        self.slots.withUnsafeMutableBufferPointer { slots in
            self.positions.withUnsafeMutableBufferPointer { positions in
                for place in 0..<count {
                    let drawn = Int.random(in: place..<slots.count, using: &generator)
                    let (left, right) = (slots[place], slots[drawn])
                    slots[place] = right
                    slots[drawn] = left
                    positions[Int(right)] = UInt32(place)
                    positions[Int(left)] = UInt32(drawn)
                    members.append(Slot(Int(right)))
                }
            }
        }
    }

    package mutating func choose(_ members: Span<Slot>) {}
}
