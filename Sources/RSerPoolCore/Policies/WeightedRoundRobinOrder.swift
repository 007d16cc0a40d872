// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Weighted Round Robin (RFC 5356 §4.2): the circular list in which each member stands as often as its weight says, evenly
/// spread, without making the list.
///
/// On a line on which each unit is one round, the c-th occurrence of a member with weight w lies at (2c + 1)/(2w); what lies
/// at one position is ordered by identifier. An answer lists the members by their next occurrence; then the head moves on by
/// one entry. Who joins, or changes its weight, comes at its first occurrence that is not before the head. A member of weight
/// 0 is never selected.
///
/// So where a member stands follows from its weight, its identifier and the head (``Occurrence``). While there are few, they
/// stand in a row (``WeightedRow``); many are kept by classes of one weight (``WeightedClasses``), and that is what a full row
/// turns into. Classes turn back later, so that nobody who comes and goes has them change each time.
package struct WeightedRoundRobinOrder: MemberOrder {
    private static let longestRow = 16
    private static let fewAgain = 8

    /// All members, while they are few.
    private var row = WeightedRow()
    /// One with all members while they are many, else none: small pools do not take its room.
    private var classes: [WeightedClasses] = []
    private let maxRounds: UInt32

    /// - Parameter maxRounds: how far the line goes before rounds are taken off; at most 2²⁹ fit the numbers.
    package init(maxRounds: UInt32 = 1 << 29) {
        self.maxRounds = min(maxRounds, 1 << 29)
    }

    /// How many rounds the head has behind it, but for those that were taken off.
    package var rounds: UInt32 {
        Occurrence.rounds(before: self.classes.isEmpty ? self.row.head : self.classes[0].head)
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.insert(slot.index, id.rawValue, Self.weight(of: policy))
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let weight = Self.weight(of: policy)
        let member = self.classes.isEmpty ? self.row.member(slot.index) : self.classes[0].member(slot.index)
        guard let member, member.weight != weight else { return }
        self.remove(slot)
        self.insert(slot.index, member.id, weight)
    }

    package var heedsRenewals: Bool { false }

    package mutating func remove(_ slot: Slot) {
        guard !self.classes.isEmpty else { return self.row.remove(slot.index) }
        self.classes[0].remove(slot.index)
        guard self.classes[0].count <= Self.fewAgain else { return }
        self.row = WeightedRow(self.classes[0])
        self.classes = []
    }

    package mutating func list(_ list: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        if self.classes.isEmpty {
            self.row.list(&list)
        } else {
            self.classes[0].list(&list)
        }
    }

    package mutating func choose(_ members: Span<Slot>) {
        if self.classes.isEmpty {
            self.row.moveOn(maxRounds: self.maxRounds)
        } else {
            self.classes[0].moveOn(maxRounds: self.maxRounds)
        }
    }

    private mutating func insert(_ slot: Int, _ id: UInt32, _ weight: UInt32) {
        if self.classes.isEmpty {
            if self.row.count < Self.longestRow { return self.row.insert(slot, id, weight) }
            self.classes = [WeightedClasses(self.row)]
            self.row = WeightedRow()
        }
        self.classes[0].insert(slot, id, weight)
    }

    private static func weight(of policy: PoolPolicy) -> UInt32 {
        if case .weightedRoundRobin(let weight) = policy { weight } else { 0 }
    }
}
