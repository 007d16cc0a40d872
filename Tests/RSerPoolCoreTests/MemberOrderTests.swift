// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

/// An order with letters for slots.
struct Lineup {
    private var order: any MemberOrder
    private var slots: [Character: Slot] = [:]
    private var generator: ChoiceGenerator

    init(_ order: any MemberOrder, seed: UInt64 = 1) {
        self.order = order
        self.generator = ChoiceGenerator(seed: seed)
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
        self.order.insert(slot, PoolElementID(rawValue: name.asciiValue.map(UInt32.init) ?? 0), policy)
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
        for slot in self.order.answer(upTo: count, room: room, using: &self.generator) {
            answer.append(names[slot] ?? "?")
        }
        return answer
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
        var generator = ChoiceGenerator(seed: seed)
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
        var order = Lineup(AscendingOrder(.load))
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
        var generator = ChoiceGenerator(seed: seed)
        var order = Lineup(AscendingOrder(.load))
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

/// As often as probability says, within six standard deviations.
func isLikely(_ count: Int, of trials: Int, _ probability: Double) -> Bool {
    let expected = Double(trials) * probability
    return abs(Double(count) - expected) <= 6 * (expected * (1 - probability)).squareRoot()
}

func counted(_ answers: [String], at position: Int = 0) -> [Character: Int] {
    answers.reduce(into: [:]) { counts, answer in
        if answer.count > position { counts[Array(answer)[position], default: 0] += 1 }
    }
}

@Suite("Weighted round robin at the registrar (RFC 5356 §4.2.2)")
struct WeightedRoundRobinOrderTests {
    private static func weight(_ weight: UInt32) -> PoolPolicy { .weightedRoundRobin(weight: weight) }

    private static func lineup(_ weights: [(Character, UInt32)]) -> Lineup {
        var order = Lineup(WeightedRoundRobinOrder())
        for (name, weight) in weights { order.join(name, self.weight(weight)) }
        return order
    }

    @Test("Equal weights are round robin [POL-035, POL-036]")
    func equal() {
        var order = Self.lineup([("A", 1), ("B", 1), ("C", 1)])
        #expect(order.answers(4) == ["ABC", "BCA", "CAB", "ABC"])
        #expect(order.answers(3, 2) == ["BC", "CA", "AB"])
    }

    @Test(
        "In each round everybody leads as often as its weight says, evenly spread [POL-008, POL-037, POL-038, POL-040]",
        arguments: [
            [("A", 1), ("B", 2), ("C", 3)], [("A", 2), ("B", 2)], [("A", 1), ("B", 3)], [("A", 5), ("B", 1), ("C", 1)],
            [("A", 20), ("B", 7), ("C", 13), ("D", 1), ("E", 19)],
        ] as [[(Character, UInt32)]])
    func rounds(weights: [(Character, UInt32)]) {
        var order = Self.lineup(weights)
        let total = Int(weights.reduce(0) { $0 + $1.1 })
        let firsts = order.answers(total * 10, 1)
        for start in 0..<total * 9 {
            let counts = counted(Array(firsts[start..<start + total]))
            for (name, weight) in weights { #expect(counts[name] == Int(weight), "\(firsts[start..<start + total])") }
        }
        for (name, weight) in weights {
            let places = firsts.indices.filter { firsts[$0] == String(name) }
            for (one, next) in zip(places, places.dropFirst()) {
                let gap = Double(next - one)
                #expect(abs(gap - Double(total) / Double(weight)) <= Double(weights.count - 1))
            }
        }
        var alternating = Self.lineup([("A", 2), ("B", 2)])
        #expect(alternating.answers(4, 1) == ["A", "B", "A", "B"])
    }

    @Test("Nobody stands twice in an answer; a renewal with the same weight changes nothing [POL-014, POL-039]")
    func distinct() {
        var order = Self.lineup([("A", 1), ("B", 3)])
        #expect(order.answers(4, 4).allSatisfy { Set($0).count == 2 })
        var (first, second) = (Self.lineup([("A", 2), ("B", 5)]), Self.lineup([("A", 2), ("B", 5)]))
        for _ in 0..<21 {
            second.renew("A", Self.weight(2))
            second.renew("B", Self.weight(5))
            #expect(first.answer() == second.answer())
        }
    }

    @Test("Enormous weights cost nothing, and rule [POL-041]")
    func enormous() {
        var order = Self.lineup([("A", .max), ("B", 1)])
        #expect((counted(order.answers(10_000, 1))["B"] ?? 0) <= 1)
        order.join("C", Self.weight(.max))
        let counts = counted(order.answers(10_000, 1))
        #expect((4_999...5_001).contains(counts["A"] ?? 0) && (4_999...5_001).contains(counts["C"] ?? 0), "\(counts)")
    }

    @Test("Weight 0 is never selected; with a weight it is, and without again not [POL-009, POL-010, POL-042]")
    func nothing() {
        var order = Self.lineup([("A", 0)])
        #expect(order.answer() == "")
        order.join("B", Self.weight(1))
        #expect(order.answers(3) == ["B", "B", "B"])
        order.renew("A", Self.weight(2))
        #expect(counted(order.answers(30, 1)) == ["A": 20, "B": 10])
        order.renew("A", Self.weight(0))
        #expect(order.answers(2) == ["B", "B"])
        order.leave("A")
        order.leave("B")
        #expect(order.answer() == "")
    }

    @Test("Who joins late, or gets another weight, does not catch up on what was before")
    func late() {
        var order = Self.lineup([("A", 1), ("B", 1)])
        _ = order.answers(1_000, 1)
        order.join("C", Self.weight(2))
        #expect(counted(order.answers(40, 1)) == ["A": 10, "B": 10, "C": 20])
        order.renew("A", Self.weight(5))
        #expect(counted(order.answers(80, 1)) == ["A": 50, "B": 10, "C": 20])
    }
}

@Suite("Weighted random and randomized least used at the registrar (RFC 5356 §4.4.2, §5.4.2)")
struct WeightedRandomOrderTests {
    private static func lineup(_ weights: [(Character, UInt32)]) -> Lineup {
        var order = Lineup(WeightedRandomOrder(.weight))
        for (name, weight) in weights { order.join(name, .weightedRandom(weight: weight)) }
        return order
    }

    private static func loads(_ loads: [(Character, Double)]) -> Lineup {
        var order = Lineup(WeightedRandomOrder(.freeCapacity))
        for (name, load) in loads { order.join(name, .randomizedLeastUsed(load: Load(fraction: load))) }
        return order
    }

    @Test(
        "The first is drawn by weight, the others among the rest, nobody twice [POL-052, POL-053, POL-054, POL-055, POL-056]"
    )
    func probabilities() {
        var order = Self.lineup([("A", 1), ("B", 2), ("C", 5)])
        let counts = counted(order.answers(8_000, 1))
        for (name, share) in [("A", 1.0 / 8), ("B", 2.0 / 8), ("C", 5.0 / 8)] as [(Character, Double)] {
            #expect(isLikely(counts[name] ?? 0, of: 8_000, share), "\(counts)")
        }
        order = Self.lineup([("A", 1), ("B", 1), ("C", 2)])
        let answers = order.answers(9_000, 2)
        #expect(answers.allSatisfy { $0.count == 2 && Set($0).count == 2 })
        let seconds = counted(answers, at: 1)
        for name in "ABC" { #expect(isLikely(seconds[name] ?? 0, of: 9_000, 1.0 / 3), "\(seconds)") }
        order = Self.lineup([("A", 7), ("B", 7), ("C", 7), ("D", 7)])
        let equal = counted(order.answers(4_000, 1))
        for name in "ABCD" { #expect(isLikely(equal[name] ?? 0, of: 4_000, 0.25), "\(equal)") }
        #expect(order.answers(10, 9).allSatisfy { Set($0) == Set("ABCD") && $0.count == 4 })
    }

    @Test("Weights may add up to more than 32 bits; weight 0 is never selected [POL-009, POL-010, POL-057, POL-058]")
    func extremes() {
        var order = Self.lineup([("A", .max), ("B", .max), ("C", 0)])
        let counts = counted(order.answers(4_000, 1))
        #expect(isLikely(counts["A"] ?? 0, of: 4_000, 0.5) && counts["C"] == nil, "\(counts)")
        order.leave("A")
        order.leave("B")
        #expect(order.answer() == "")
        order.renew("C", .weightedRandom(weight: 1))
        #expect(order.answer() == "C")
    }

    @Test("Whatever joins, leaves and changes: the shares are those of the weights that are there")
    func churn() {
        var order = Self.lineup([("A", 3), ("B", 1), ("C", 9), ("D", 2), ("E", 1)])
        order.leave("C")
        order.join("F", .weightedRandom(weight: 4))
        order.renew("B", .weightedRandom(weight: 6))
        order.leave("E")
        let counts = counted(order.answers(15_000, 1))
        for (name, share) in [("A", 3.0), ("B", 6), ("D", 2), ("F", 4)] as [(Character, Double)] {
            #expect(isLikely(counts[name] ?? 0, of: 15_000, share / 15), "\(counts)")
        }
        #expect(counts.count == 4)
    }

    @Test("The more capacity is free, the more often, in proportion [POL-102, POL-103, POL-104]")
    func capacity() {
        var order = Self.loads([("A", 0), ("B", 0.5), ("C", 0.75)])
        let counts = counted(order.answers(7_000, 1))
        for (name, share) in [("A", 4.0), ("B", 2), ("C", 1)] as [(Character, Double)] {
            #expect(isLikely(counts[name] ?? 0, of: 7_000, share / 7), "\(counts)")
        }
        #expect(order.answers(20, 3).allSatisfy { Set($0).count == 3 })
    }

    @Test("Fully loaded ones only when all are, and then equally often [POL-105, POL-106]")
    func full() {
        var order = Self.loads([("A", 1), ("B", 0)])
        #expect(order.answers(50, 1).allSatisfy { $0 == "B" })
        order.renew("B", .randomizedLeastUsed(load: .full))
        let counts = counted(order.answers(4_000, 1))
        #expect(isLikely(counts["A"] ?? 0, of: 4_000, 0.5) && isLikely(counts["B"] ?? 0, of: 4_000, 0.5), "\(counts)")
        order.leave("B")
        #expect(order.answers(3) == ["A", "A", "A"])
    }
}

@Suite("Priority at the registrar (RFC 5356 §4.5.2)")
struct PriorityOrderTests {
    @Test(
        "The greatest priorities, descending, unsigned; equal ones take turns [POL-061, POL-062, POL-063, POL-064, POL-065]"
    )
    func descending() {
        var order = Lineup(AscendingOrder(.priority))
        for (name, priority) in [("A", 1), ("B", 9), ("C", 5)] as [(Character, UInt32)] {
            order.join(name, .priority(priority))
        }
        #expect(order.answers(2) == ["BCA", "BCA"])
        #expect(order.answer(2) == "BC")
        order.join("D", .priority(9))
        #expect(order.answers(3) == ["BDCA", "DBCA", "BDCA"])
        order.renew("A", .priority(0x8000_0000))
        order.renew("C", .priority(0x7fff_ffff))
        #expect(order.answer(2) == "AC")
    }
}

@Suite("Least used with degradation at the registrar (RFC 5356 §5.2.2)")
struct DegradingOrderTests {
    private static func load(_ load: UInt32, _ degradation: UInt32) -> PoolPolicy {
        .leastUsedDegradation(load: Load(rawValue: load), degradation: Load(rawValue: degradation))
    }

    @Test("Each answer adds the degradation, until it registers again [POL-080, POL-081, POL-082, POL-083, POL-088]")
    func worked() {
        var order = Lineup(AscendingOrder(.degradingLoad))
        order.join("A", Self.load(0, 30))
        order.join("B", Self.load(50, 10))
        #expect(order.answers(10, 1).joined() == "AABABBBABB")
        order.renew("A", Self.load(0, 30))
        #expect(order.answer(1) == "A")
    }

    @Test("Otherwise as least used: ascending, in turns, nobody twice; without degradation just so [POL-084, POL-085]")
    func turns() {
        var order = Lineup(AscendingOrder(.degradingLoad), "AB", Self.load(10, 10))
        #expect(order.answers(4, 1) == ["A", "B", "A", "B"])
        order = Lineup(AscendingOrder(.degradingLoad), "ABC", Self.load(7, 0))
        #expect(order.answers(4) == ["ABC", "BCA", "CAB", "ABC"])
    }

    @Test("Everybody in the answer degrades [POL-087]")
    func everybody() {
        var order = Lineup(AscendingOrder(.degradingLoad))
        order.join("A", Self.load(0, 1))
        order.join("B", Self.load(5, 100))
        order.join("C", Self.load(50, 1))
        #expect(order.answers(2) == ["ABC", "ACB"])
    }

    @Test("Nothing wraps around [POL-086]")
    func saturation() {
        var order = Lineup(AscendingOrder(.degradingLoad))
        order.join("A", Self.load(.max, .max))
        order.join("B", Self.load(0, 0))
        for _ in 0..<5 { #expect(order.answer() == "BA") }
    }
}

@Suite("Priority least used at the registrar (RFC 5356 §5.3.2)")
struct PriorityLeastUsedOrderTests {
    private static func load(_ load: UInt32, _ degradation: UInt32) -> PoolPolicy {
        .priorityLeastUsed(load: Load(rawValue: load), degradation: Load(rawValue: degradation))
    }

    @Test(
        "By the load with one request more, in more than 32 bits, without memory [POL-092, POL-093, POL-094, POL-096, POL-097, POL-098]"
    )
    func sums() {
        var order = Lineup(AscendingOrder(.loadAfterwards))
        order.join("A", Self.load(50, 50))
        order.join("B", Self.load(50, 10))
        order.join("C", Self.load(80, 1))
        #expect(order.answers(10) == Array(repeating: "BCA", count: 10))
        #expect(order.answer(1) == "B")
        order = Lineup(AscendingOrder(.loadAfterwards))
        order.join("A", Self.load(0x8000_0000, 0x8000_0000))
        order.join("B", Self.load(0x7fff_ffff, 1))
        #expect(order.answers(2) == ["BA", "BA"])
    }

    @Test("Equal sums take turns [POL-095]")
    func turns() {
        var order = Lineup(AscendingOrder(.loadAfterwards))
        order.join("A", Self.load(20, 30))
        order.join("B", Self.load(40, 10))
        #expect(order.answers(4, 1) == ["A", "B", "A", "B"])
    }
}

@Suite("Orders against a list that is sorted each time")
struct OrderModelTests {
    @Test(
        "Joining, leaving, changing and answering at random: least used is as a plain sort says",
        arguments: 1...5 as ClosedRange<UInt64>)
    func leastUsed(seed: UInt64) {
        var generator = ChoiceGenerator(seed: seed)
        var order = AscendingOrder(.load)
        var model: [(slot: Int, load: UInt32, turn: Int)] = []
        var (turn, free) = (0, Array(0..<200))
        for _ in 0..<3_000 {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1:
                guard let slot = free.popLast() else { continue }
                let load = UInt32.random(in: 0..<20, using: &generator)
                turn += 1
                model.append((slot, load, turn))
                order.insert(Slot(slot), PoolElementID(rawValue: UInt32(slot)), .leastUsed(load: Load(rawValue: load)))
            case 2:
                guard let index = model.indices.randomElement(using: &generator) else { continue }
                order.remove(Slot(model[index].slot))
                free.append(model.remove(at: index).slot)
            case 3:
                guard let index = model.indices.randomElement(using: &generator) else { continue }
                let load = UInt32.random(in: 0..<20, using: &generator)
                if model[index].load != load {
                    turn += 1
                    (model[index].load, model[index].turn) = (load, turn)
                }
                order.update(Slot(model[index].slot), .leastUsed(load: Load(rawValue: load)))
            default:
                let count = Int.random(in: 1...10, using: &generator)
                let answer = order.answer(upTo: count, using: &generator).map(\.index)
                model.sort { ($0.load, $0.turn) < ($1.load, $1.turn) }
                #expect(answer == model.prefix(count).map(\.slot))
                turn += 1
                if !model.isEmpty { model[0].turn = turn }
            }
        }
    }
}
