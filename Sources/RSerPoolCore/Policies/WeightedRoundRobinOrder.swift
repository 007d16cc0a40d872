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
/// So where a member stands follows from its weight, its identifier and the head. Members of one weight, a class, come one
/// after the other by their identifiers, all at one position, then again at the next one: a class only keeps who is next.
///
/// Compared exactly: with weights of 32 bits two positions are equal or more than 2⁻⁶⁶ apart, so they are kept in such units,
/// rounded down. The rounds that all have behind them are taken off before the numbers get too large.
package struct WeightedRoundRobinOrder: MemberOrder {
    private struct Class: Sendable {
        var weight: UInt32
        /// What was lost by rounding its position down: as many parts of a unit, each 1/weight.
        var rest: UInt32
        /// Where its next member is, if so many changes had been made when that was looked up.
        var place: RankedRings<UInt64>.Place
        var changes: Int
    }

    private static var fractionBits: UInt128 { 66 }

    /// Ranked by weight, and an identifier in the lower 32 bits.
    private var members = RankedRings<UInt64>()
    /// Changes of `members`: places do not outlast one.
    private var changes = 0
    private var classes: [Class] = []
    private var freeClasses: [UInt32] = []
    /// The class of each member, indexed by slot.
    private var classOf: [UInt32] = []
    /// Classes, ranked by the position of the next member, and its identifier in the lower 32 bits.
    private var ranking = RankedRings<UInt128>()
    private let maxRounds: UInt32

    /// - Parameter maxRounds: how far the line goes before rounds are taken off; at most 2²⁹ fit the numbers.
    package init(maxRounds: UInt32 = 1 << 29) {
        self.maxRounds = min(maxRounds, 1 << 29)
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        self.classOf.reach(slot.index, filledWith: 0)
        self.enter(slot.index, id.rawValue, Self.weight(of: policy))
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let weight = Self.weight(of: policy)
        guard let rank = self.members.rank(of: slot.index), Self.weight(of: rank) != weight else { return }
        self.remove(slot)
        self.enter(slot.index, Self.id(of: rank), weight)
    }

    package var heedsRenewals: Bool { false }

    package mutating func remove(_ slot: Slot) {
        guard let rank = self.members.rank(of: slot.index) else { return }
        let index = Int(self.classOf[slot.index])
        if Self.weight(of: rank) > 0, let head = self.ranking.rank(of: index), Self.id(of: head) == Self.id(of: rank) {
            let next = self.successor(in: index, after: head)
            if Self.id(of: next.rank) == Self.id(of: rank) {
                self.ranking.remove(index)
                self.freeClasses.append(UInt32(index))
                if self.freeClasses.count == self.classes.count { (self.classes, self.freeClasses) = ([], []) }
            } else {
                self.classes[index].rest = next.rest
                self.ranking.move(index, to: next.rank)
            }
        }
        self.members.remove(slot.index)
        self.changes += 1
    }

    package mutating func list(_ list: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        guard let first = self.ranking.firstPlace, !list.isFull else { return }
        let run = self.run(at: first)
        if list.freeCapacity == 1 { return list.append(Slot(self.members.slot(at: run.place))) }
        // Most often all are of one class.
        let upcoming = self.ranking.place(after: first)
        let limit = upcoming.map { self.ranking.rank(at: $0) }
        let rest = self.list(&list, run, before: limit)
        if !list.isFull { self.merge(rest, upcoming, into: &list) }
    }

    /// Lists what is left of a run and the classes from a place on, until the list is full.
    @inline(never)
    private func merge(_ rest: Run?, _ place: RankedRings<UInt128>.Place?, into list: inout OutputSpan<Slot>) {
        // At most one run is left over for each class that was begun, and each of those has listed a member.
        withUnsafeTemporaryAllocation(of: Run.self, capacity: min(list.freeCapacity, self.classes.count) + 1) { room in
            var begun = Runs(room)
            if let rest { begun.insert(rest) }
            var upcoming = place
            while !list.isFull {
                var limit = upcoming.map { self.ranking.rank(at: $0) }
                let run: Run
                if let first = begun.first, limit.map({ first.rank < $0 }) ?? true {
                    run = first
                    begun.removeFirst()
                } else if let place = upcoming {
                    run = self.run(at: place)
                    upcoming = self.ranking.place(after: place)
                    limit = upcoming.map { self.ranking.rank(at: $0) }
                } else {
                    return
                }
                if let next = begun.first { limit = min(next.rank, limit ?? .max) }
                if let rest = self.list(&list, run, before: limit) { begun.insert(rest) }
            }
        }
    }

    package mutating func choose(_ members: Span<Slot>) {
        guard let first = self.ranking.firstPlace else { return }
        let rank = self.ranking.rank(at: first)
        let index = self.ranking.slot(at: first)
        let next = self.successor(in: index, after: rank)
        self.classes[index].rest = next.rest
        self.classes[index].place = next.place
        self.classes[index].changes = self.changes
        self.ranking.moveFirst(to: next.rank)
        if rank >> 32 >= UInt128(self.maxRounds) << Self.fractionBits { self.takeOffRounds() }
    }

    // MARK: Classes

    /// Where the next member of a class is.
    @inline(__always)
    private func place(in index: Int, rank: UInt128) -> RankedRings<UInt64>.Place {
        let known = self.classes[index]
        if known.changes == self.changes { return known.place }
        guard let place = self.members.place(notBelow: Self.rank(known.weight, Self.id(of: rank))) else {
            preconditionFailure("a class without members is ranked")
        }
        return place
    }

    /// What comes in a class after its next member, which has that rank: by identifier at the same position, then the first
    /// one, 1/weight farther.
    @inline(__always)
    private func successor(
        in index: Int, after rank: UInt128
    ) -> (rank: UInt128, rest: UInt32, place: RankedRings<UInt64>.Place) {
        let (weight, rest) = (self.classes[index].weight, self.classes[index].rest)
        let place = self.place(in: index, rank: rank)
        if let next = self.members.place(after: place) {
            let member = self.members.rank(at: next)
            if Self.weight(of: member) == weight {
                return ((rank >> 32) << 32 | UInt128(Self.id(of: member)), rest, next)
            }
        }
        return self.nextRound(of: weight, after: rank, rest)
    }

    private func nextRound(
        of weight: UInt32, after rank: UInt128, _ rest: UInt32
    ) -> (rank: UInt128, rest: UInt32, place: RankedRings<UInt64>.Place) {
        guard let first = self.members.place(notBelow: Self.rank(weight, 0)) else {
            preconditionFailure("a class without members is ranked")
        }
        let (position, left) = Self.step(from: rank >> 32, rest, weight)
        return (position << 32 | UInt128(Self.id(of: self.members.rank(at: first))), left, first)
    }

    /// A member comes at its first occurrence that is not before the head.
    private mutating func enter(_ slot: Int, _ id: UInt32, _ weight: UInt32) {
        guard weight > 0 else {
            self.members.insert(slot, Self.rank(0, id))
            self.changes += 1
            return
        }
        let (rank, rest) = self.firstOccurrence(of: id, weight)
        let equal = self.members.place(notBelow: Self.rank(weight, 0)).flatMap { place in
            Self.weight(of: self.members.rank(at: place)) == weight ? self.members.slot(at: place) : nil
        }
        self.members.insert(slot, Self.rank(weight, id))
        self.changes += 1
        if let equal {
            let index = Int(self.classOf[equal])
            self.classOf[slot] = UInt32(index)
            if let next = self.ranking.rank(of: index), rank < next {
                self.classes[index].rest = rest
                self.ranking.move(index, to: rank)
            }
            return
        }
        // Places of before the change: it will be looked for.
        let new = Class(weight: weight, rest: rest, place: .first, changes: self.changes - 1)
        let index = self.freeClasses.popLast().map(Int.init) ?? self.classes.count
        if index == self.classes.count {
            self.classes.reach(index, filledWith: new)
        } else {
            self.classes[index] = new
        }
        self.classOf[slot] = UInt32(index)
        self.ranking.insert(index, rank)
    }

    private func firstOccurrence(of id: UInt32, _ weight: UInt32) -> (rank: UInt128, rest: UInt32) {
        let head = self.ranking.firstPlace.map(self.ranking.rank(at:)) ?? 0
        // The least c with (2c + 1)·2⁶⁵/w ≥ head: 2c + 1 is at least this, rounded up.
        let half = Self.fractionBits - 1
        let least = ((head >> 32) * UInt128(weight) + (1 << half - 1)) >> half
        let occurrence = least / 2 * 2 + 1
        let (position, rest) = Self.divide(occurrence << half, by: UInt64(weight))
        let rank = position << 32 | UInt128(id)
        guard rank < head else { return (rank, UInt32(rest)) }
        let (next, left) = Self.step(from: position, UInt32(rest), weight)
        return (next << 32 | UInt128(id), left)
    }

    private mutating func takeOffRounds() {
        guard let first = self.ranking.firstPlace else { return }
        let shift = Self.fractionBits + 32
        let rounds = (self.ranking.rank(at: first) >> shift) << shift
        let ranks = self.classes.indices.compactMap { index in
            self.ranking.rank(of: index).map { (index: index, rank: $0 - rounds) }
        }
        self.ranking = RankedRings()
        for (index, rank) in ranks { self.ranking.insert(index, rank) }
    }

    // MARK: Runs

    /// What is not listed yet of a class.
    private struct Run {
        /// Of its next one.
        var rank: UInt128
        var place: RankedRings<UInt64>.Place
        var index: Int
        /// Whether those at the class's position are through, and it goes on with those 1/weight farther.
        var isFarther = false
    }

    /// Some of them, the one with the least rank first: a heap.
    private struct Runs: ~Copyable {
        private let room: UnsafeMutableBufferPointer<Run>
        private var count = 0

        init(_ room: UnsafeMutableBufferPointer<Run>) {
            self.room = room
        }

        var first: Run? { self.count > 0 ? self.room[0] : nil }

        mutating func insert(_ run: Run) {
            var index = self.count
            self.count += 1
            while index > 0, run.rank < self.room[(index - 1) / 2].rank {
                self.room[index] = self.room[(index - 1) / 2]
                index = (index - 1) / 2
            }
            self.room[index] = run
        }

        /// If there is one.
        mutating func removeFirst() {
            guard self.count > 0 else { return }
            self.count -= 1
            let last = self.room[self.count]
            var index = 0
            while index * 2 + 1 < self.count {
                var child = index * 2 + 1
                if child + 1 < self.count, self.room[child + 1].rank < self.room[child].rank { child += 1 }
                guard self.room[child].rank < last.rank else { break }
                self.room[index] = self.room[child]
                index = child
            }
            self.room[index] = last
        }
    }

    private func run(at place: RankedRings<UInt128>.Place) -> Run {
        let index = self.ranking.slot(at: place)
        let rank = self.ranking.rank(at: place)
        return Run(rank: rank, place: self.place(in: index, rank: rank), index: index)
    }

    /// Lists members of a class, of which the first is next of all, until the list is full, or somebody else comes first.
    /// - Parameter limit: the rank of somebody else.
    /// - Returns: what is not listed yet; nil if that is nobody.
    private func list(_ list: inout OutputSpan<Slot>, _ run: Run, before limit: UInt128?) -> Run? {
        let own = self.classes[run.index]
        // Where it has to end: at the class's next member, which was listed first.
        let end = Self.id(of: self.ranking.rank(of: run.index) ?? 0)
        let last = Self.rank(own.weight, run.isFarther ? end - 1 : .max)
        var lastBeforeOthers = last
        if let limit, limit >> 32 == run.rank >> 32 {
            lastBeforeOthers = min(last, Self.rank(own.weight, Self.id(of: limit)))
        }
        if let place = self.members.list(&list, from: run.place, through: lastBeforeOthers) {
            let rank = self.members.rank(at: place)
            if rank <= last {
                let position = (run.rank >> 32) << 32
                return Run(
                    rank: position | UInt128(Self.id(of: rank)), place: place, index: run.index,
                    isFarther: run.isFarther)
            }
        }
        guard !run.isFarther, !list.isFull,
            let first = self.members.place(notBelow: Self.rank(own.weight, 0)),
            case let id = Self.id(of: self.members.rank(at: first)), id < end
        else { return nil }
        let (position, _) = Self.step(from: run.rank >> 32, own.rest, own.weight)
        return Run(rank: position << 32 | UInt128(id), place: first, index: run.index, isFarther: true)
    }

    // MARK: Numbers

    /// 1/weight farther.
    private static func step(from position: UInt128, _ rest: UInt32, _ weight: UInt32) -> (UInt128, rest: UInt32) {
        let weight = UInt64(weight)
        // 2⁶⁶/weight, in two steps that fit 64 bits.
        let (high, left) = (UInt64(1) << 63).quotientAndRemainder(dividingBy: weight)
        let (low, lost) = (left << 3).quotientAndRemainder(dividingBy: weight)
        let step = UInt128(high) << 3 + UInt128(low)
        let sum = UInt64(rest) + lost
        return sum < weight ? (position + step, UInt32(sum)) : (position + step + 1, UInt32(sum - weight))
    }

    private static func divide(_ number: UInt128, by divisor: UInt64) -> (UInt128, UInt64) {
        let (high, left) = UInt64(truncatingIfNeeded: number >> 64).quotientAndRemainder(dividingBy: divisor)
        let (low, rest) = divisor.dividingFullWidth((left, UInt64(truncatingIfNeeded: number)))
        return (UInt128(high) << 64 | UInt128(low), rest)
    }

    private static func rank(_ weight: UInt32, _ id: UInt32) -> UInt64 { UInt64(weight) << 32 | UInt64(id) }

    private static func weight(of rank: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: rank >> 32) }

    private static func id(of rank: some FixedWidthInteger) -> UInt32 { UInt32(truncatingIfNeeded: rank) }

    private static func weight(of policy: PoolPolicy) -> UInt32 {
        if case .weightedRoundRobin(let weight) = policy { weight } else { 0 }
    }
}
