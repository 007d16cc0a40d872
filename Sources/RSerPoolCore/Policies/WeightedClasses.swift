// SPDX-License-Identifier: Apache-2.0

/// Many members of ``WeightedRoundRobinOrder``. Those of one weight, a class, come one after the other by their identifiers, all
/// at one position, then again at the next one: a class only keeps who is next.
struct WeightedClasses: Sendable {
    private struct Class: Sendable {
        var stride: Occurrence.Stride
        /// Of its next member's occurrence.
        var rest: UInt32
        var isUsed: Bool
        /// Where its next member is, if so many changes had been made when that was looked up.
        var place: RankedRings<UInt64>.Place
        var changes: Int
    }

    private(set) var count = 0
    /// Ranked by weight, and an identifier in the lower 32 bits.
    private var members = RankedRings<UInt64>()
    /// Changes of `members`: places do not outlast one.
    private var changes = 0
    private var classes: [Class] = []
    private var freeClasses: [UInt32] = []
    /// The class of each member, indexed by slot.
    private var classOf: [UInt32] = []
    /// Classes, ranked by the next member's occurrence.
    private var ranking = RankedRings<UInt128>()

    /// Those of a row, which are many by now.
    init(_ row: WeightedRow) {
        // The first one of a weight is the next one of its class.
        row.visit { slot, id, weight, occurrence in
            let index = self.classIndex(of: weight)
            self.enter(slot, id, weight)
            guard let occurrence else { return }
            self.classOf[slot] = UInt32(index ?? self.makeClass(weight, occurrence))
        }
    }

    /// The next occurrence of all; 0 where there is none.
    var head: UInt128 { self.ranking.firstPlace.map { self.ranking.rank(at: $0) } ?? 0 }

    func member(_ slot: Int) -> (id: UInt32, weight: UInt32)? {
        self.members.rank(of: slot).map { (Self.id(of: $0), Self.weight(of: $0)) }
    }

    func visit(_ body: (_ slot: Int, _ id: UInt32, _ weight: UInt32) -> Void) {
        for slot in self.classOf.indices {
            if let (id, weight) = self.member(slot) { body(slot, id, weight) }
        }
    }

    mutating func insert(_ slot: Int, _ id: UInt32, _ weight: UInt32) {
        let index = weight == 0 ? nil : self.classIndex(of: weight)
        self.enter(slot, id, weight)
        if let index {
            self.classOf[slot] = UInt32(index)
            self.join(index, id)
        } else if weight > 0 {
            let first = Occurrence.first(of: id, weight, notBefore: self.head)
            self.classOf[slot] = UInt32(self.makeClass(weight, first))
        }
    }

    private mutating func enter(_ slot: Int, _ id: UInt32, _ weight: UInt32) {
        self.classOf.reach(slot, filledWith: 0)
        self.members.insert(slot, Self.rank(weight, id))
        self.changes += 1
        self.count += 1
    }

    mutating func remove(_ slot: Int) {
        guard let rank = self.members.rank(of: slot) else { return }
        let index = Int(self.classOf[slot])
        if Self.weight(of: rank) > 0, let head = self.ranking.rank(of: index), Self.id(of: head) == Self.id(of: rank) {
            let next = self.successor(in: index, after: head)
            if next.occurrence.id == Self.id(of: rank) {
                self.ranking.remove(index)
                self.classes[index].isUsed = false
                self.freeClasses.append(UInt32(index))
            } else {
                self.classes[index].rest = next.occurrence.rest
                self.ranking.move(index, to: next.occurrence.rank)
            }
        }
        self.members.remove(slot)
        self.changes += 1
        self.count -= 1
    }

    // What lists changes nothing: but when it is not `mutating`, and not inlined, it is called on a copy of all these fields.

    /// Lists members in their order until the list is full.
    mutating func list(_ list: inout OutputSpan<Slot>) {
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
    private mutating func merge(_ rest: Run?, _ place: RankedRings<UInt128>.Place?, into list: inout OutputSpan<Slot>) {
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

    /// The first one goes to its next place.
    mutating func moveOn(maxRounds: UInt32) {
        guard let first = self.ranking.firstPlace else { return }
        let rank = self.ranking.rank(at: first)
        let index = self.ranking.slot(at: first)
        let next = self.successor(in: index, after: rank)
        self.classes[index].rest = next.occurrence.rest
        self.classes[index].place = next.place
        self.classes[index].changes = self.changes
        self.ranking.moveFirst(to: next.occurrence.rank)
        if Occurrence.rounds(before: rank) >= maxRounds { self.takeOffRounds() }
    }

    // MARK: Classes

    /// Where the next member of a class is.
    @inline(__always)
    private func place(in index: Int, rank: UInt128) -> RankedRings<UInt64>.Place {
        let known = self.classes[index]
        if known.changes == self.changes { return known.place }
        guard let place = self.members.place(notBelow: Self.rank(known.stride.weight, Self.id(of: rank))) else {
            preconditionFailure("a class without members is ranked")
        }
        return place
    }

    /// What comes in a class after its next member, which has that rank: by identifier at the same position, then the first
    /// one, 1/weight farther.
    @inline(__always)
    private func successor(
        in index: Int, after rank: UInt128
    ) -> (occurrence: Occurrence, place: RankedRings<UInt64>.Place) {
        let (stride, rest) = (self.classes[index].stride, self.classes[index].rest)
        let occurrence = Occurrence(rank: rank, rest: rest)
        let place = self.place(in: index, rank: rank)
        if let next = self.members.place(after: place) {
            let member = self.members.rank(at: next)
            if Self.weight(of: member) == stride.weight { return (occurrence.beside(Self.id(of: member)), next) }
        }
        guard let first = self.members.place(notBelow: Self.rank(stride.weight, 0)) else {
            preconditionFailure("a class without members is ranked")
        }
        return (occurrence.next(of: Self.id(of: self.members.rank(at: first)), stride), first)
    }

    /// The class of a weight, if it has members.
    @inline(__always)
    private func classIndex(of weight: UInt32) -> Int? {
        // A way down the tree costs more than a look at a few classes.
        if self.classes.count <= 16 { return self.classes.firstIndex { $0.stride.weight == weight && $0.isUsed } }
        guard let place = self.members.place(notBelow: Self.rank(weight, 0)),
            Self.weight(of: self.members.rank(at: place)) == weight
        else { return nil }
        return Int(self.classOf[self.members.slot(at: place)])
    }

    private mutating func join(_ index: Int, _ id: UInt32) {
        guard let rank = self.ranking.rank(of: index) else { preconditionFailure("a class with members is ranked") }
        let next = Occurrence(rank: rank, rest: self.classes[index].rest)
        // At the position of the class, or at the one before, if all others there have passed the head.
        var own = next.beside(id)
        if let previous = next.previous(of: id, self.classes[index].stride), previous.rank >= self.head {
            own = previous
        }
        guard own.rank < rank, own.rank >= self.head else { return }
        self.classes[index].rest = own.rest
        self.ranking.move(index, to: own.rank)
    }

    private mutating func makeClass(_ weight: UInt32, _ occurrence: Occurrence) -> Int {
        // Places of before the change: it will be looked for.
        let new = Class(
            stride: Occurrence.Stride(weight), rest: occurrence.rest, isUsed: true, place: .first, changes: -1)
        let index = self.freeClasses.popLast().map(Int.init) ?? self.classes.count
        if index == self.classes.count {
            self.classes.reach(index, filledWith: new)
        } else {
            self.classes[index] = new
        }
        self.ranking.insert(index, occurrence.rank)
        return index
    }

    private mutating func takeOffRounds() {
        let rounds = Occurrence.wholeRounds(in: self.head)
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

    @inline(__always)
    private func run(at place: RankedRings<UInt128>.Place) -> Run {
        let index = self.ranking.slot(at: place)
        let rank = self.ranking.rank(at: place)
        return Run(rank: rank, place: self.place(in: index, rank: rank), index: index)
    }

    /// Lists members of a class, of which the first is next of all, until the list is full, or somebody else comes first.
    /// - Parameter limit: the rank of somebody else.
    /// - Returns: what is not listed yet; nil if that is nobody.
    private mutating func list(_ list: inout OutputSpan<Slot>, _ run: Run, before limit: UInt128?) -> Run? {
        let own = self.classes[run.index]
        // Where it has to end: at the class's next member, which was listed first.
        let end = Self.id(of: self.ranking.rank(of: run.index) ?? 0)
        let last = Self.rank(own.stride.weight, run.isFarther ? end - 1 : .max)
        var lastBeforeOthers = last
        if let limit, limit >> 32 == run.rank >> 32 {
            lastBeforeOthers = min(last, Self.rank(own.stride.weight, Self.id(of: limit)))
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
            let first = self.members.place(notBelow: Self.rank(own.stride.weight, 0)),
            case let id = Self.id(of: self.members.rank(at: first)), id < end
        else { return nil }
        let farther = Occurrence(rank: run.rank, rest: own.rest).next(of: id, own.stride)
        return Run(rank: farther.rank, place: first, index: run.index, isFarther: true)
    }

    private static func rank(_ weight: UInt32, _ id: UInt32) -> UInt64 { UInt64(weight) << 32 | UInt64(id) }

    private static func weight(of rank: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: rank >> 32) }

    private static func id(of rank: some FixedWidthInteger) -> UInt32 { UInt32(truncatingIfNeeded: rank) }
}
