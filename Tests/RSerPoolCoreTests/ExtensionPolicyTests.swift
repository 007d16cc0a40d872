// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

private func load(_ value: UInt32) -> Load { Load(rawValue: value) }

private func order(_ type: PolicyType) throws -> any MemberOrder {
    try #require(PolicyCatalogue.standard[type]).makeOrder()
}

/// An order with these values for A, B, C, …
private func lineup(_ policies: PoolPolicy..., seed: UInt64 = 1) throws -> Lineup {
    var lineup = Lineup(try order(policies[0].type), seed: seed)
    for (name, policy) in zip("ABCDEFGHIJ", policies) { lineup.join(name, policy) }
    return lineup
}

@Suite("Hybrids of the policies of RFC 5356")
struct HybridPolicyTests {
    @Test("Priority least used with degradation: the load with one request more, and what each answer adds")
    func ascending() throws {
        func policy(_ value: UInt32, _ degradation: UInt32) -> PoolPolicy {
            .priorityLeastUsedDegradation(load: load(value), degradation: load(degradation))
        }
        // 50 + 30 and 60 + 15; then 75 + 15 = 90, and so on.
        var order = try lineup(policy(50, 30), policy(60, 15))
        #expect(order.answers(4, 1) == ["B", "A", "B", "B"])
        order.renew("A", policy(50, 10))
        #expect(order.answer(1) == "A")

        var extreme = try lineup(policy(.max, .max), policy(.max, .max - 1))
        #expect(extreme.answers(3, 1) == ["B", "A", "B"], "nothing wraps around")
    }

    @Test("Randomized priority least used: by what one request more would leave")
    func capacityAfterwards() throws {
        // What is left: 3/8 and 1/8 of the whole.
        let (half, eighth) = (Load(fraction: 0.5), Load(fraction: 0.125))
        var order = try lineup(
            .randomizedPriorityLeastUsed(load: half, degradation: eighth),
            .randomizedPriorityLeastUsed(load: half, degradation: Load(fraction: 0.375)), seed: 3)
        let firsts = counted(order.answers(8_000, 1))
        #expect(isLikely(firsts["A", default: 0], of: 8_000, 0.75))
        #expect(isLikely(firsts["B", default: 0], of: 8_000, 0.25))
    }

    @Test("Nobody is unable only because it is full, and weights do not wrap around [POL-106]")
    func full() throws {
        var order = try lineup(
            .randomizedPriorityLeastUsed(load: .full, degradation: .full),
            .randomizedPriorityLeastUsed(load: .full, degradation: .idle), seed: 4)
        let firsts = counted(order.answers(2_000, 1))
        #expect(isLikely(firsts["A", default: 0], of: 2_000, 0.5))
        var one = try lineup(.randomizedLeastUsedDegradation(load: .full, degradation: .full))
        #expect(one.answers(3) == ["A", "A", "A"])
    }

    @Test("With degradation each answer with a member takes from its weight, until it registers again")
    func degrading() throws {
        // A has nothing left after one answer: from then on B, who has half of the whole, is 2³¹ times as likely.
        func policies(_ degradation: Load) -> [PoolPolicy] {
            [
                .randomizedLeastUsedDegradation(load: .idle, degradation: degradation),
                .randomizedPriorityLeastUsedDegradation(load: .idle, degradation: degradation),
            ]
        }
        for (full, none) in zip(policies(.full), policies(.idle)) {
            var order = try lineup(full, seed: 5)
            #expect(order.answer() == "A")
            order.join("B", none)
            #expect(order.answers(50, 1) == [String](repeating: "B", count: 50))
            order.renew("A", none)
            let firsts = counted(order.answers(4_000, 1))
            #expect(isLikely(firsts["A", default: 0], of: 4_000, 0.5))
        }
    }

    @Test("What one answer takes off is exact: 1 − load − n · degradation")
    func steps() throws {
        let quarter = Load(fraction: 0.25)
        var counts: [Character: Int] = [:]
        for seed in 0..<4_000 as Range<UInt64> {
            // Alone in one answer, A has 3/4 left; B has 1/4.
            var order = try lineup(.randomizedLeastUsedDegradation(load: .idle, degradation: quarter), seed: seed)
            _ = order.answer()
            order.join("B", .randomizedLeastUsedDegradation(load: Load(fraction: 0.75), degradation: .idle))
            if let first = order.answer(1).first { counts[first, default: 0] += 1 }
        }
        #expect(isLikely(counts["A", default: 0], of: 4_000, 0.75))
    }
}

@Suite("Distance-sensitive policies (draft-dreibholz-rserpool-delay)")
struct DistancePolicyTests {
    @Test("Least used: load + distance · DPF, ascending, in turn where equal")
    func leastUsed() throws {
        func policy(_ value: UInt32, _ dpf: UInt32, _ distance: UInt32) -> PoolPolicy {
            .leastUsedDPF(load: load(value), dpf: load(dpf), distance: distance)
        }
        // 500, 700, 150.
        var order = try lineup(policy(500, 4, 0), policy(100, 4, 150), policy(100, 1, 50))
        #expect(order.answer() == "CAB")
        // 500, 300, 300.
        order.renew("B", policy(100, 4, 50))
        order.renew("C", policy(100, 4, 50))
        #expect(order.answers(3) == ["BCA", "CBA", "BCA"])

        var extreme = try lineup(policy(.max, .max, .max), policy(.max - 1, .max, .max), policy(.max, .max, 0))
        #expect(extreme.answer() == "CBA", "nothing wraps around, nothing is cut at full load")
    }

    @Test("With degradation: each answer adds to it")
    func degradation() throws {
        func policy(_ distance: UInt32) -> PoolPolicy {
            .leastUsedDegradationDPF(load: load(100), degradation: load(60), dpf: load(1), distance: distance)
        }
        // 100 and 200; two answers make A 220.
        var order = try lineup(policy(0), policy(100))
        #expect(order.answers(3, 1) == ["A", "A", "B"])
    }

    @Test("Weighted random: weight · (1 − distance · DPF), at least 1, and nobody of weight 0")
    func weightedRandom() throws {
        // A millisecond takes off 0.2 %: 100 ms leave 80 % of 100, 450 ms 10 % of 200.
        let dpf = Load(fraction: 0.002)
        var order = try lineup(
            .weightedRandomDPF(weight: 100, dpf: dpf, distance: 100),
            .weightedRandomDPF(weight: 200, dpf: dpf, distance: 450),
            .weightedRandomDPF(weight: 0, dpf: dpf, distance: 0), seed: 6)
        let firsts = counted(order.answers(5_000, 1))
        #expect(isLikely(firsts["A", default: 0], of: 5_000, 0.8))
        #expect(isLikely(firsts["B", default: 0], of: 5_000, 0.2))
        #expect(firsts["C"] == nil)

        var far = try lineup(
            .weightedRandomDPF(weight: .max, dpf: .full, distance: .max),
            .weightedRandomDPF(weight: 3, dpf: .idle, distance: .max), seed: 7)
        let counts = counted(far.answers(4_000, 1))
        #expect(isLikely(counts["A", default: 0], of: 4_000, 0.25))
    }

    @Test("Users draw by the same weights, and take the first of those that are sorted [POL-059]")
    func users() {
        let dpf = Load(fraction: 0.002)
        let policies: [PoolPolicy] = [
            .weightedRandomDPF(weight: 100, dpf: dpf, distance: 100),
            .weightedRandomDPF(weight: 200, dpf: dpf, distance: 450),
        ]
        let members = policies.enumerated().map { member($0.offset + 1, policy: $0.element) }
        var chooser = MemberChooser(members: members, policy: policies[0])
        var generator = SeededGenerator(seed: 8)
        let picks = (0..<5_000).compactMap { _ in chooser.next(using: &generator)?.id.rawValue }
        #expect(isLikely(picks.count { $0 == 1 }, of: 5_000, 0.8))

        let least = PoolPolicy.leastUsedDPF(load: .full, dpf: dpf, distance: 500)
        var listed = MemberChooser(members: (1...3).map { member($0, policy: least) }, policy: least)
        #expect(listed.next(using: &generator)?.id.rawValue == 1)
    }

    @Test("A pool user that caches keeps the members' own values, and draws by them [POL-059]")
    func cached() {
        let dpf = Load(fraction: 0.002)
        let policies: [PoolPolicy] = [
            .weightedRandomDPF(weight: 100, dpf: dpf, distance: 100),
            .weightedRandomDPF(weight: 200, dpf: dpf, distance: 450),
        ]
        let members = policies.enumerated().map { member($0.offset + 1, policy: $0.element) }
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        let chooser = MemberChooser(members: members, policy: .weightedRandomDPF(weight: 0, dpf: .idle, distance: 0))
        cache.store(chooser, for: echo, now: at(seconds: 0))
        #expect(cache.members(of: echo, now: at(seconds: 1))?.members.map(\.policy) == policies)
        var generator = SeededGenerator(seed: 9)
        let picks = (0..<5_000).compactMap {
            cache.choose(from: echo, now: at(.milliseconds($0)), using: &generator)?.member.id.rawValue
        }
        #expect(isLikely(picks.count { $0 == 1 }, of: 5_000, 0.8))
    }

    @Test(
        "The distance is half of the round-trip time, to the nearest 50 ms",
        arguments: [(0, 0), (10, 0), (49, 0), (50, 50), (149, 50), (150, 100), (400, 200), (10_000_000_000, 1_000_000)])
    func rounding(milliseconds: Int, distance: UInt32) {
        #expect(PoolPolicy.distance(ofRoundTrip: .milliseconds(milliseconds)) == distance)
    }

    @Test("Another registrar adds its distance to the home, for its own choices only")
    func replicas() throws {
        func element(_ number: Int, _ home: UInt32, _ distance: UInt32) -> PoolMember {
            var element = member(number, policy: .leastUsedDPF(load: .idle, dpf: load(1), distance: distance))
            element.home = RegistrarID(rawValue: home)
            return element
        }
        func first(_ handlespace: inout Handlespace) -> [UInt8]? {
            var (first, generator) = ([UInt8]?.none, ChoiceGenerator(seed: 1))
            _ = handlespace.choose(from: "pool", upTo: 1, using: &generator) { first = Array($0.parameter) }
            return first
        }
        var handlespace = Handlespace()
        handlespace.setDistance(100, to: RegistrarID(rawValue: 2))
        #expect(handlespace.hasDistances == false)
        let (near, far) = (element(1, 1, 50), element(2, 2, 0))
        _ = handlespace.register(near, in: "pool")
        _ = handlespace.replicate(far, in: "pool")
        #expect(handlespace.hasDistances == true)
        let encoded = [near, far].map { $0.encodedParameter(for: .asap) }
        #expect(first(&handlespace) == encoded[0])
        handlespace.setDistance(0, to: RegistrarID(rawValue: 2))
        #expect(first(&handlespace) == encoded[1])
        handlespace.setDistance(100, to: RegistrarID(rawValue: 2))
        #expect(first(&handlespace) == encoded[0])
        // With its home the distance to that changes.
        handlespace.changeHome(of: ElementKey(pool: "pool", id: far.id), to: RegistrarID(rawValue: 1))
        #expect(handlespace.member(ElementKey(pool: "pool", id: far.id))?.policy.distance == 0)
        #expect(first(&handlespace) != encoded[0])
        handlespace.remove(ElementKey(pool: "pool", id: far.id))
        handlespace.remove(ElementKey(pool: "pool", id: near.id))
        #expect(handlespace.hasDistances == false)
    }
}
