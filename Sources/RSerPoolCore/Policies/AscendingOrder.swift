// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// The policies that list members by a number, ascending, and let members with equal numbers take turns: Priority (RFC 5356
/// §4.5), Least Used (§5.1), Least Used with Degradation (§5.2) and Priority Least Used (§5.3).
///
/// Turns: whoever led an answer goes behind its equals, newcomers go there too (POL-064, POL-071, POL-075). With
/// degradation the number of each member in an answer grows until it registers again (POL-081, POL-082, POL-087).
package struct AscendingOrder: MemberOrder {
    /// How a member stands by its own values.
    package struct Standing: Equatable, Sendable {
        /// Less is better.
        package var number: UInt64
        /// What one answer adds to it, until the member registers again.
        package var degradation: UInt64 = 0

        package init(_ number: UInt64, degradation: UInt64 = 0) {
            self.number = number
            self.degradation = degradation
        }
    }

    /// What the number is. All are computed in 64 bits, where nothing wraps around (POL-086, POL-097).
    package struct Key: Sendable {
        /// Nil for values of another policy.
        package let standing: @Sendable (PoolPolicy) -> Standing?

        package init(_ standing: @escaping @Sendable (PoolPolicy) -> Standing?) {
            self.standing = standing
        }
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
        let standing = self.standing(of: policy)
        self.degradations[slot.index] = standing.degradation
        guard self.members.rank(of: slot.index)?.number != standing.number else { return }
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
        let standing = self.standing(of: policy)
        self.degradations[slot] = standing.degradation
        self.lastTurn += 1
        self.members.insert(slot, Rank(number: standing.number, turn: self.lastTurn))
    }

    /// A member whose values are of another policy comes last; the handlespace lets none in.
    private func standing(of policy: PoolPolicy) -> Standing { self.key.standing(policy) ?? Standing(.max) }
}

extension AscendingOrder.Key {
    /// The greatest priority first.
    package static let priority = Self {
        if case .priority(let priority) = $0 { .init(UInt64(UInt32.max - priority)) } else { nil }
    }

    package static let load = Self {
        if case .leastUsed(let load) = $0 { .init(UInt64(load.rawValue)) } else { nil }
    }

    /// The load, and as many degradations as there were answers with the member in it.
    package static let degradingLoad = Self {
        guard case .leastUsedDegradation(let load, let degradation) = $0 else { return nil }
        return .init(UInt64(load.rawValue), degradation: UInt64(degradation.rawValue))
    }

    /// The load that there would be with one request more.
    package static let loadAfterwards = Self {
        guard case .priorityLeastUsed(let load, let degradation) = $0 else { return nil }
        return .init(UInt64(load.rawValue) + UInt64(degradation.rawValue))
    }
}

extension UInt64 {
    func addingSaturating(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = self.addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}
