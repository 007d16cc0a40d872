// SPDX-License-Identifier: Apache-2.0

/// A few members of ``WeightedRoundRobinOrder`` in a row, by their next occurrence: the row is the answer. To move on the
/// first one goes to its next place, past those that come before.
struct WeightedRow: Sendable {
    private struct Entry: Sendable {
        /// The greatest where the weight is 0: those are in the end.
        var rank: UInt128
        var rest: UInt32
        var weight: UInt32
        var id: UInt32
        var slot: UInt32
    }

    private var entries: [Entry] = []

    init() {}

    var count: Int { self.entries.count }

    /// The next occurrence of all; 0 where there is none.
    var head: UInt128 { self.entries.first.map { $0.weight > 0 ? $0.rank : 0 } ?? 0 }

    func member(_ slot: Int) -> (id: UInt32, weight: UInt32)? {
        self.entries.first { $0.slot == slot }.map { ($0.id, $0.weight) }
    }

    mutating func insert(_ slot: Int, _ id: UInt32, _ weight: UInt32) {
        var entry = Entry(rank: .max, rest: 0, weight: weight, id: id, slot: UInt32(slot))
        if weight > 0 {
            let occurrence = Occurrence.first(of: id, weight, notBefore: self.head)
            (entry.rank, entry.rest) = (occurrence.rank, occurrence.rest)
        }
        self.entries.reserve(self.entries.count + 1)
        self.entries.append(entry)
        self.entries.withUnsafeMutableBufferPointer { entries in
            var index = entries.count - 1
            while index > 0, entry.rank < entries[index - 1].rank {
                entries[index] = entries[index - 1]
                index -= 1
            }
            entries[index] = entry
        }
    }

    mutating func remove(_ slot: Int) {
        guard let index = self.entries.firstIndex(where: { $0.slot == slot }) else { return }
        self.entries.remove(at: index)
    }

    func list(_ list: inout OutputSpan<Slot>) {
        let count = min(list.freeCapacity, self.entries.count)
        self.entries.withUnsafeBufferPointer { entries in
            for entry in entries[..<count] {
                if entry.weight == 0 { return }
                list.append(Slot(Int(entry.slot)))
            }
        }
    }

    mutating func moveOn(maxRounds: UInt32) {
        guard var entry = self.entries.first, entry.weight > 0 else { return }
        let isFar = Occurrence.rounds(before: entry.rank) >= maxRounds
        let next = Occurrence(rank: entry.rank, rest: entry.rest).next(
            of: entry.id, Occurrence.Stride(entry.weight))
        (entry.rank, entry.rest) = (next.rank, next.rest)
        self.entries.withUnsafeMutableBufferPointer { entries in
            var index = 0
            while index + 1 < entries.count, entries[index + 1].rank < entry.rank {
                entries[index] = entries[index + 1]
                index += 1
            }
            entries[index] = entry
        }
        if isFar { self.takeOffRounds() }
    }

    private mutating func takeOffRounds() {
        guard let first = self.entries.first else { return }
        let rounds = Occurrence.wholeRounds(in: first.rank)
        for index in self.entries.indices where self.entries[index].weight > 0 { self.entries[index].rank -= rounds }
    }
}

// MARK: Few and many

extension WeightedRow {
    /// Those of classes, which are few by now.
    init(_ classes: WeightedClasses) {
        let head = classes.head
        classes.visit { slot, id, weight in
            let occurrence = weight > 0 ? Occurrence.first(of: id, weight, notBefore: head) : nil
            self.entries.append(
                Entry(
                    rank: occurrence?.rank ?? .max, rest: occurrence?.rest ?? 0, weight: weight, id: id,
                    slot: UInt32(slot)))
        }
        self.entries.sort { $0.rank < $1.rank }
    }

    /// In their order; those of weight 0 have no occurrence.
    func visit(_ body: (_ slot: Int, _ id: UInt32, _ weight: UInt32, Occurrence?) -> Void) {
        for entry in self.entries {
            body(
                Int(entry.slot), entry.id, entry.weight,
                entry.weight > 0 ? Occurrence(rank: entry.rank, rest: entry.rest) : nil)
        }
    }
}
