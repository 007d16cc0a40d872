// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Weighted Round Robin (RFC 5356 §4.2): the circular list in which each member stands as often as its weight says, evenly
/// spread, without making the list.
///
/// On a line on which each unit is one round, the c-th occurrence of a member with weight w lies at (2c + 1)/(2w). An answer
/// lists the members by their next occurrence, ties by the smaller identifier; then the first one goes on to its next (the
/// head moves on by one entry). Who joins, or changes its weight, enters where the others are. A member of weight 0 is never
/// selected.
///
/// Compared exactly: with weights of 32 bits two positions are equal or more than 2⁻⁶⁶ apart, so they are kept in such units,
/// rounded down. The rounds that all have behind them are taken off before the numbers get too large.
package struct WeightedRoundRobinOrder: MemberOrder {
    private struct Member: Sendable {
        var id: PoolElementID
        var weight: UInt32 = 0
        /// What was lost by rounding its position down: as many parts of a unit, each 1/weight.
        var rest: UInt32 = 0
    }

    private static var fractionBits: UInt128 { 66 }

    /// Ranked by position, and an identifier in the lower 32 bits.
    private var ranking = RankedRings<UInt128>()
    /// Indexed by slot.
    private var members: [Member] = []
    private let maxRounds: UInt32

    /// - Parameter maxRounds: how far the line goes before rounds are taken off; at most 2²⁹ fit the numbers.
    package init(maxRounds: UInt32 = 1 << 29) {
        self.maxRounds = min(maxRounds, 1 << 29)
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.members.reach(slot.index, filledWith: Member(id: id))
        self.members[slot.index] = Member(id: id)
        self.enter(slot.index, Self.weight(of: policy))
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let weight = Self.weight(of: policy)
        guard self.members[slot.index].weight != weight else { return }
        self.ranking.remove(slot.index)
        self.enter(slot.index, weight)
    }

    package mutating func remove(_ slot: Slot) {
        self.ranking.remove(slot.index)
    }

    package mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        self.ranking.list(&members)
    }

    package mutating func choose(_ members: Span<Slot>) {
        guard let first = self.ranking.first, let rank = self.ranking.rank(of: first) else { return }
        self.ranking.remove(first)
        self.ranking.insert(first, self.next(first, rank))
        if rank >> 32 >= UInt128(self.maxRounds) << Self.fractionBits { self.takeOffRounds() }
    }

    /// Where its next occurrence lies: 1/weight farther.
    private mutating func next(_ slot: Int, _ rank: UInt128) -> UInt128 {
        let member = self.members[slot]
        let weight = UInt64(member.weight)
        // 2⁶⁶/weight, in two steps that fit 64 bits.
        let (high, left) = (UInt64(1) << 63).quotientAndRemainder(dividingBy: weight)
        let (low, rest) = (left << 3).quotientAndRemainder(dividingBy: weight)
        var step = UInt128(high) << 3 + UInt128(low)
        var sum = UInt64(member.rest) + rest
        if sum >= weight {
            sum -= weight
            step += 1
        }
        self.members[slot].rest = UInt32(sum)
        return rank + step << 32
    }

    /// At its first occurrence that is not before the head.
    private mutating func enter(_ slot: Int, _ weight: UInt32) {
        self.members[slot].weight = weight
        guard weight > 0 else { return }
        let head = (self.ranking.first.flatMap { self.ranking.rank(of: $0) } ?? 0) >> 32
        // The least c with (2c + 1)·2⁶⁵/w ≥ head: 2c + 1 is at least this, rounded up.
        let half = Self.fractionBits - 1
        let least = (head * UInt128(weight) + (1 << half - 1)) >> half
        let occurrence = least / 2 * 2 + 1
        let (position, rest) = Self.divide(occurrence << half, by: UInt64(weight))
        self.members[slot].rest = UInt32(rest)
        self.ranking.insert(slot, position << 32 | UInt128(self.members[slot].id.rawValue))
    }

    private static func divide(_ number: UInt128, by divisor: UInt64) -> (UInt128, UInt64) {
        let (high, left) = UInt64(truncatingIfNeeded: number >> 64).quotientAndRemainder(dividingBy: divisor)
        let (low, rest) = divisor.dividingFullWidth((left, UInt64(truncatingIfNeeded: number)))
        return (UInt128(high) << 64 | UInt128(low), rest)
    }

    private mutating func takeOffRounds() {
        guard let first = self.ranking.first, let head = self.ranking.rank(of: first) else { return }
        let rounds = (head >> (Self.fractionBits + 32)) << (Self.fractionBits + 32)
        let ranks = self.members.indices.compactMap { slot in
            self.ranking.rank(of: slot).map { (slot: slot, rank: $0 - rounds) }
        }
        self.ranking = RankedRings()
        for (slot, rank) in ranks { self.ranking.insert(slot, rank) }
    }

    private static func weight(of policy: PoolPolicy) -> UInt32 {
        if case .weightedRoundRobin(let weight) = policy { weight } else { 0 }
    }
}
