// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

/// An order with letters for slots.
private struct Lineup {
    private var order: any MemberOrder
    private var slots: [Character: Slot] = [:]
    private var generator: SeededGenerator

    init(_ order: any MemberOrder, seed: UInt64 = 1) {
        self.order = order
        self.generator = SeededGenerator(seed: seed)
    }

    init(_ order: any MemberOrder, _ names: String, _ policy: PoolPolicy, seed: UInt64 = 1) {
        self.init(order, seed: seed)
        for name in names { self.join(name, policy) }
    }

    mutating func join(_ name: Character, _ policy: PoolPolicy) {
        // The lowest free number, as a pool reuses its slots.
        let taken = Set(self.slots.values.map(\.index))
        let slot = Slot((0...).first { !taken.contains($0) } ?? 0)
        self.slots[name] = slot
        self.order.insert(slot, policy)
    }

    mutating func renew(_ name: Character, _ policy: PoolPolicy) {
        if let slot = self.slots[name] { self.order.update(slot, policy) }
    }

    mutating func leave(_ name: Character) {
        if let slot = self.slots.removeValue(forKey: name) { self.order.remove(slot) }
    }

    /// One answer; `room` is how many fit the message.
    mutating func answer(_ count: Int = .max, room: Int = .max) -> String {
        var answer = ""
        let names = Dictionary(uniqueKeysWithValues: self.slots.map { ($0.value, $0.key) })
        let taken = self.order.select(upTo: count, using: &self.generator) { slot in
            guard answer.count < room, let name = names[slot] else { return false }
            answer.append(name)
            return true
        }
        return taken == answer.count ? answer : "\(answer)?"
    }

    mutating func answers(_ times: Int, _ count: Int = .max) -> [String] {
        (0..<times).map { _ in self.answer(count) }
    }
}

@Suite("Round robin at the registrar (RFC 5356 §4.1.2)")
struct RoundRobinOrderTests {
    @Test("A circle in the order of joining; the head moves on by one with each answer [POL-023, POL-024, POL-025]")
    func circle() {
        var order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        #expect(order.answers(4) == ["ABC", "BCA", "CAB", "ABC"])
    }

    @Test("By one however short the answer is, cut by the request or by the message [POL-015, POL-025]")
    func shortAnswers() {
        var order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        #expect(order.answers(3, 2) == ["AB", "BC", "CA"])
        #expect(order.answer(room: 1) == "A")
        #expect(order.answer() == "BCA")
    }

    @Test("Over n·m answers everybody leads m times [POL-026]")
    func fairness() {
        var order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        var firsts: [String: Int] = [:]
        for answer in order.answers(300, 1) { firsts[answer, default: 0] += 1 }
        #expect(firsts == ["A": 100, "B": 100, "C": 100])
    }

    @Test("Joining and leaving keep the relative order; the head's successor inherits [POL-028]")
    func joiningAndLeaving() {
        var order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        #expect(order.answer() == "ABC")
        order.join("D", .roundRobin)
        #expect(order.answers(2) == ["BCAD", "CADB"])

        order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        #expect(order.answer() == "ABC")
        order.leave("B")
        #expect(order.answers(2) == ["CA", "AC"])
    }

    @Test("Renewing keeps the place, and nobody is listed twice [POL-014]")
    func renewal() {
        var order = Lineup(RoundRobinOrder(), "ABC", .roundRobin)
        #expect(order.answer() == "ABC")
        order.renew("A", .roundRobin)
        order.renew("B", .roundRobin)
        #expect(order.answer(7) == "BCA")
    }

    @Test("An answer with room for nobody, and an empty circle, move nothing [POL-029]")
    func nothingTaken() {
        var order = Lineup(RoundRobinOrder(), "AB", .roundRobin)
        #expect(order.answer(0) == "")
        #expect(order.answer(room: 0) == "")
        #expect(order.answer() == "AB")
        order.leave("A")
        order.leave("B")
        #expect(order.answer() == "")
        order.join("C", .roundRobin)
        #expect(order.answer() == "C")
    }

    @Test("It does what a plain list does, whatever comes", arguments: 0..<30 as Range<UInt64>)
    func twin(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var order = Lineup(RoundRobinOrder())
        var list: [Character] = []  // the head first
        for _ in 0..<500 {
            let name = Character(Unicode.Scalar(UInt8.random(in: 65...74, using: &generator)))
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where !list.contains(name):
                order.join(name, .roundRobin)
                list.append(name)
            case 1:
                order.leave(name)
                list.removeAll { $0 == name }
            default:
                let count = Int.random(in: 0...5, using: &generator)
                #expect(order.answer(count) == String(list.prefix(count)))
                if count > 0, !list.isEmpty { list.append(list.removeFirst()) }
            }
        }
    }
}

@Suite("Random at the registrar (RFC 5356 §4.3.2)")
struct RandomOrderTests {
    @Test(
        """
        A uniform sample: each first with 1/n, included with k/n, the order of joining without meaning [POL-045, \
        POL-048]
        """
    )
    func uniform() {
        var order = Lineup(RandomOrder(), "ABCD", .random, seed: 7)
        var firsts: [Character: Int] = [:]
        var included: [Character: Int] = [:]
        for answer in order.answers(4_000, 2) {
            #expect(Set(answer).count == 2)
            if let first = answer.first { firsts[first, default: 0] += 1 }
            for name in answer { included[name, default: 0] += 1 }
        }
        for name in "ABCD" {
            #expect(abs(firsts[name, default: 0] - 1_000) <= tolerance(4_000, 0.25))
            #expect(abs(included[name, default: 0] - 2_000) <= tolerance(4_000, 0.5))
        }
    }

    @Test("All orders of a full answer are equally likely, after joining and leaving too [POL-048]")
    func permutations() {
        var order = Lineup(RandomOrder(), "AXBYC", .random, seed: 8)
        order.leave("X")
        order.leave("Y")
        var counts: [String: Int] = [:]
        for answer in order.answers(6_000) { counts[answer, default: 0] += 1 }
        #expect(counts.count == 6)
        for (answer, count) in counts { #expect(abs(count - 1_000) <= tolerance(6_000, 1.0 / 6), "\(answer)") }
    }

    @Test("At most as many as were asked for, nobody twice [POL-013, POL-015, POL-046, POL-047]", arguments: 0...7)
    func counts(count: Int) {
        var order = Lineup(RandomOrder(), "ABCDE", .random)
        for answer in order.answers(50, count) {
            #expect(answer.count == min(count, 5))
            #expect(Set(answer).count == answer.count)
        }
    }

    @Test("The next answer does not depend on the last one [POL-045, POL-050]")
    func independence() {
        var order = Lineup(RandomOrder(), "ABCD", .random, seed: 9)
        let firsts = order.answers(4_000, 1)
        let repeated = zip(firsts, firsts.dropFirst()).count { $0 == $1 }
        #expect(abs(repeated - 1_000) <= tolerance(4_000, 0.25))
    }
}

@Suite("Least used at the registrar (RFC 5356 §5.1.2)")
struct LeastUsedOrderTests {
    private static func load(_ value: UInt32) -> PoolPolicy { .leastUsed(load: Load(rawValue: value)) }

    private static func lineup(_ loads: [(Character, UInt32)]) -> Lineup {
        var order = Lineup(LeastUsedOrder())
        for (name, value) in loads { order.join(name, self.load(value)) }
        return order
    }

    @Test("Ascending by load, at most as many as were asked for [POL-013, POL-069, POL-070, POL-072]")
    func ascending() {
        var order = Self.lineup([("A", 30), ("B", 10), ("C", 20)])
        #expect(order.answers(3, 2) == ["BC", "BC", "BC"])
        #expect(order.answer(9) == "BCA")
    }

    @Test("Equal loads take turns: whoever led goes behind its equals [POL-071, POL-075]")
    func turns() {
        var order = Self.lineup([("A", 10), ("B", 10), ("C", 30)])
        #expect(order.answers(4) == ["ABC", "BAC", "ABC", "BAC"])
        order = Self.lineup([("A", 5), ("B", 5), ("C", 5)])
        #expect(order.answers(4) == ["ABC", "BCA", "CAB", "ABC"])
        order.join("D", Self.load(5))
        #expect(order.answer() == "BCAD")
    }

    @Test("Loads are unsigned [POL-073]")
    func unsigned() {
        var order = Self.lineup([("A", 0x8000_0000), ("B", 0x7fff_ffff), ("C", .max)])
        #expect(order.answer() == "BAC")
    }

    @Test("A new load counts from the next answer on [POL-074]")
    func newLoad() {
        var order = Self.lineup([("A", 10), ("B", 20), ("C", 30)])
        #expect(order.answer() == "ABC")
        order.renew("A", Self.load(90))
        #expect(order.answer() == "BCA")
        order.renew("C", Self.load(1))
        #expect(order.answer() == "CBA")
    }

    @Test("Renewing with the same load keeps the turn")
    func sameLoad() {
        var order = Self.lineup([("A", 10), ("B", 10)])
        order.renew("A", Self.load(10))
        #expect(order.answers(2, 1) == ["A", "B"])
    }

    @Test("It does what sorting a plain list does, whatever comes", arguments: 0..<30 as Range<UInt64>)
    func twin(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var order = Lineup(LeastUsedOrder())
        var list: [(name: Character, load: UInt32)] = []  // equals in the order of their turns
        for _ in 0..<500 {
            let name = Character(Unicode.Scalar(UInt8.random(in: 65...74, using: &generator)))
            let load = UInt32.random(in: 0...3, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0 where !list.contains(where: { $0.name == name }):
                order.join(name, Self.load(load))
                list.append((name, load))
            case 1:
                order.leave(name)
                list.removeAll { $0.name == name }
            case 2:
                guard let index = list.firstIndex(where: { $0.name == name }), list[index].load != load else {
                    continue
                }
                order.renew(name, Self.load(load))
                list.remove(at: index)
                list.append((name, load))
            default:
                let sorted: [(name: Character, load: UInt32)] = (0...3).flatMap { (load: UInt32) in
                    list.filter { $0.load == load }
                }
                let count = Int.random(in: 0...5, using: &generator)
                #expect(order.answer(count) == String(sorted.prefix(count).map(\.name)))
                if count > 0, let first = sorted.first {
                    list.removeAll { $0.name == first.name }
                    list.append(first)
                }
            }
        }
    }
}
