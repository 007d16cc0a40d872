// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// The policies that list members by a number, ascending, and let members with equal numbers take turns: Priority (RFC 5356
/// §4.5), Least Used (§5.1), Least Used with Degradation (§5.2) and Priority Least Used (§5.3).
///
/// Turns: whoever led an answer goes behind its equals, newcomers go there too (POL-064, POL-071, POL-075). With
/// degradation the number of each member in an answer grows until it registers again (POL-081, POL-082, POL-087).
package struct AscendingOrder: MemberOrder {
    /// What the number is. All are computed in 64 bits, where nothing wraps around (POL-086, POL-097).
    package enum Key: Sendable {
        /// The greatest priority first.
        case priority
        case load
        /// The load, and as many degradations as there were answers with the member in it.
        case degradingLoad
        /// The load that there would be with one request more.
        case loadAfterwards
    }

    private struct Rank: Comparable, Sendable {
        var number: UInt64
        /// Rises with each joining, each change of the number and each answer led: lower means longer ago.
        var turn: UInt64

        static func < (left: Rank, right: Rank) -> Bool { (left.number, left.turn) < (right.number, right.turn) }
    }

    private let key: Key
    private var members = RankedSlots<Rank>()
    /// Indexed by slot: what one answer adds to a member's number.
    private var degradations: [UInt64] = []
    private var lastTurn: UInt64 = 0

    package init(_ key: Key) {
        self.key = key
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.degradations.reach(slot.index, filledWith: 0)
        self.place(slot.index, policy)
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let (number, degradation) = self.values(of: policy)
        self.degradations[slot.index] = degradation
        guard self.members.rank(of: slot.index)?.number != number else { return }
        self.members.remove(slot.index)
        self.place(slot.index, policy)
    }

    package mutating func remove(_ slot: Slot) {
        self.members.remove(slot.index)
    }

    package mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int {
        var taken: [Int] = []
        self.members.walk { slot in
            guard taken.count < count, visit(Slot(slot)) else { return false }
            taken.append(slot)
            return true
        }
        for (position, slot) in taken.enumerated() where position == 0 || self.degradations[slot] > 0 {
            guard var rank = self.members.rank(of: slot) else { continue }
            self.members.remove(slot)
            rank.number = rank.number.addingSaturating(self.degradations[slot])
            if position == 0 {
                self.lastTurn += 1
                rank.turn = self.lastTurn
            }
            self.members.insert(slot, rank)
        }
        return taken.count
    }

    private mutating func place(_ slot: Int, _ policy: PoolPolicy) {
        let (number, degradation) = self.values(of: policy)
        self.degradations[slot] = degradation
        self.lastTurn += 1
        self.members.insert(slot, Rank(number: number, turn: self.lastTurn))
    }

    /// A member whose values are of another policy comes last; the handlespace lets none in.
    private func values(of policy: PoolPolicy) -> (number: UInt64, degradation: UInt64) {
        switch (self.key, policy) {
        case (.priority, .priority(let priority)): (UInt64(UInt32.max - priority), 0)
        case (.load, .leastUsed(let load)): (UInt64(load.rawValue), 0)
        case (.degradingLoad, .leastUsedDegradation(let load, let degradation)):
            (UInt64(load.rawValue), UInt64(degradation.rawValue))
        case (.loadAfterwards, .priorityLeastUsed(let load, let degradation)):
            (UInt64(load.rawValue) + UInt64(degradation.rawValue), 0)
        default: (.max, 0)
        }
    }
}

extension UInt64 {
    fileprivate func addingSaturating(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = self.addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}
