// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Open resolutions (RFC 5352 §3.3, §3.7)")
struct ResolverTests {
    private static let request = HandleResolution(pool: echo)

    private static func atHome() -> Resolver {
        var resolver = Resolver(timers: .rfc)
        _ = resolver.homeFound(now: at(seconds: 0))
        return resolver
    }

    @Test("A request is sent and T1 runs; the answer stops it [ASAP-112, ASAP-115, ASAP-266]")
    func answer() {
        var resolver = Self.atHome()
        #expect(resolver.nextDeadline == nil)
        #expect(resolver.request(Self.request, now: at(seconds: 1)) == [.send(Self.request)])
        #expect(resolver.nextDeadline == at(seconds: 16))
        #expect(resolver.answered(echo) == true)
        #expect(resolver.nextDeadline == nil)
        #expect(resolver.answered(echo) == false)
        #expect(resolver.timersFired(now: at(seconds: 16)).isEmpty)
    }

    @Test(
        """
        T1 ends: again, and a hunt beside it; three copies in all, then the user is told [ASAP-209, ASAP-210, \
        ASAP-211]
        """
    )
    func retransmission() {
        var resolver = Self.atHome()
        _ = resolver.request(Self.request, now: at(seconds: 0))
        #expect(resolver.timersFired(now: at(seconds: 14)).isEmpty)
        #expect(resolver.timersFired(now: at(seconds: 15)) == [.send(Self.request), .hunt])
        #expect(resolver.timersFired(now: at(seconds: 30)) == [.send(Self.request), .hunt])
        #expect(resolver.timersFired(now: at(seconds: 45)) == [.fail(echo, .noAnswer)])
        #expect(resolver.nextDeadline == nil)
    }

    @Test("Without a registrar it hunts first, and sends when one is found [ASAP-108]")
    func withoutHome() {
        var resolver = Resolver(timers: .rfc)
        #expect(resolver.request(Self.request, now: at(seconds: 0)) == [.hunt])
        #expect(resolver.homeFound(now: at(seconds: 5)) == [.send(Self.request)])
        #expect(resolver.nextDeadline == at(seconds: 20))
    }

    @Test("With nobody found it gives up after the same 45 s as with a silent one")
    func nobodyFound() {
        var resolver = Resolver(timers: .rfc)
        _ = resolver.request(Self.request, now: at(seconds: 0))
        var failed: Int?
        for second in 1...100 where failed == nil {
            if resolver.timersFired(now: at(seconds: second)).contains(.fail(echo, .noAnswer)) { failed = second }
        }
        #expect(failed == 45)
    }

    @Test("The home is lost: hunt, and ask the next one again [ASAP-114, ASAP-205, ASAP-206, ASAP-208, ASAP-212]")
    func homeLost() {
        var resolver = Self.atHome()
        #expect(resolver.homeLost().isEmpty, "nobody waits")
        _ = resolver.homeFound(now: at(seconds: 0))
        _ = resolver.request(Self.request, now: at(seconds: 0))
        #expect(resolver.homeLost() == [.hunt])
        #expect(resolver.homeFound(now: at(seconds: 3)) == [.send(Self.request)])
        #expect(resolver.nextDeadline == at(seconds: 18))
    }

    @Test("Requests for one pool share its answer, others are their own")
    func sharing() {
        var resolver = Self.atHome()
        _ = resolver.request(Self.request, now: at(seconds: 0))
        #expect(resolver.request(Self.request, now: at(seconds: 1)).isEmpty)
        let other = HandleResolution(pool: "other")
        #expect(resolver.request(other, now: at(seconds: 1)) == [.send(other)])
        #expect(resolver.answered("other") == true)
        #expect(resolver.isPending(echo))
    }

    @Test("An ASAP_ERROR fails the oldest request that was sent [ASAP-037]")
    func errorMessage() {
        var resolver = Self.atHome()
        let error = ASAPError(causes: [ErrorCause(.invalidValues)])
        #expect(resolver.received(error).isEmpty)
        _ = resolver.request(Self.request, now: at(seconds: 0))
        #expect(resolver.received(error) == [.fail(echo, .refused(error.causes))])
        #expect(resolver.nextDeadline == nil)
    }

    @Test("Open requests are bounded")
    func bound() {
        var resolver = Self.atHome()
        for number in 0..<Resolver.maxRequests {
            #expect(resolver.request(HandleResolution(pool: PoolHandle("\(number)")), now: at(seconds: 0)).count == 1)
        }
        #expect(resolver.request(Self.request, now: at(seconds: 0)) == [.fail(echo, .tooMany)])
        resolver.abandon("0")
        #expect(resolver.request(Self.request, now: at(seconds: 0)) == [.send(Self.request)])
    }
}

@Suite("The cache (RFC 5352 §3.3, C1 to C4)")
struct ResolutionCacheTests {
    private static func chooser(_ numbers: Int...) -> MemberChooser {
        MemberChooser(members: numbers.map { member($0) }, policy: .roundRobin)
    }

    @Test("Fresh until stale_cache_value has passed [ASAP-118, ASAP-119, ASAP-121, POL-031]")
    func staleness() {
        var generator = SeededGenerator(seed: 1)
        var caching = Caching()
        caching.refresh = .whenStale
        var cache = ResolutionCache(staleCacheValue: .seconds(30), caching: caching)
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        #expect(cache.members(of: echo, now: at(seconds: 29))?.members == [member(1)])
        #expect(cache.choose(from: echo, now: at(seconds: 29), using: &generator)?.member == member(1))
        #expect(cache.members(of: echo, now: at(seconds: 30)) == nil)
        #expect(cache.choose(from: echo, now: at(seconds: 30), using: &generator)?.member == nil)
    }

    @Test("Refresh behind: a stale answer is given once more while a new one is asked for [ASAP-120]")
    func behind() {
        var generator = SeededGenerator(seed: 1)
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        var due: [Bool?] = []
        for second in [29, 30, 59, 60] {
            due.append(cache.choose(from: echo, now: at(seconds: second), using: &generator)?.isRefreshDue)
        }
        #expect(due == [false, true, true, nil])
        #expect(cache.members(of: echo, now: at(seconds: 30)) == nil, "who asks who is there waits for the new answer")
    }

    @Test("Refresh ahead: a new answer is asked for before the old one is stale [ARC-056]")
    func ahead() {
        var generator = SeededGenerator(seed: 1)
        var caching = Caching()
        caching.refresh = .ahead
        var cache = ResolutionCache(staleCacheValue: .seconds(40), caching: caching)
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        var due: [Bool?] = []
        for second in [29, 30, 39, 40] {
            due.append(cache.choose(from: echo, now: at(seconds: second), using: &generator)?.isRefreshDue)
        }
        #expect(due == [false, true, true, nil])
    }

    @Test(
        "What goes by load is stale after a second, what counts choices at once, and neither is used when stale [ARC-057]",
        arguments: [
            (PoolPolicy.leastUsed(load: .idle), 999), (.randomizedLeastUsed(load: .idle), 999),
            (.priorityLeastUsed(load: .idle, degradation: .idle), 999),
            (.leastUsedDegradation(load: .idle, degradation: .idle), -1), (.weightedRoundRobin(weight: 1), -1),
            (.roundRobin, 29_999), (.weightedRandom(weight: 1), 29_999), (.priority(1), 29_999),
        ])
    func perPolicy(policy: PoolPolicy, lastFresh: Int) {
        var generator = SeededGenerator(seed: 1)
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        cache.store(MemberChooser(members: [member(1)], policy: policy), for: echo, now: at(seconds: 0))
        for (moment, isThere) in [(lastFresh, lastFresh >= 0), (lastFresh + 1, false)] where moment >= 0 {
            #expect((cache.members(of: echo, now: at(.milliseconds(moment))) != nil) == isThere)
        }
        if policy.load != nil {
            let choice = cache.choose(from: echo, now: at(.milliseconds(lastFresh + 1)), using: &generator)
            #expect(choice == nil)
        }
        #expect(cache.policy(of: echo) == policy.type)
        var off = ResolutionCache(staleCacheValue: .seconds(30), caching: .off)
        off.store(MemberChooser(members: [member(1)], policy: policy), for: echo, now: at(seconds: 0))
        #expect(off.members(of: echo, now: at(seconds: 0)) == nil)
    }

    @Test("Zero caches nothing [ASAP-269]")
    func disabled() {
        var cache = ResolutionCache(staleCacheValue: .zero)
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        #expect(cache.members(of: echo, now: at(seconds: 0)) == nil)
    }

    @Test("Purged, nothing is left [ASAP-240]")
    func purge() {
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        cache.purge(echo)
        #expect(cache.members(of: echo, now: at(seconds: 1)) == nil)
    }

    @Test("An unreachable element is left out; with none left a resolution is due [POL-022]")
    func unreachable() {
        var generator = SeededGenerator(seed: 1)
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        cache.store(Self.chooser(1, 2), for: echo, now: at(seconds: 0))
        cache.markUnreachable(ElementKey(pool: echo, id: id(1)))
        for _ in 0..<3 { #expect(cache.choose(from: echo, now: at(seconds: 1), using: &generator)?.member.id == id(2)) }
        cache.markUnreachable(ElementKey(pool: echo, id: id(2)))
        #expect(cache.choose(from: echo, now: at(seconds: 1), using: &generator)?.member == nil)
        cache.store(Self.chooser(1, 2), for: echo, now: at(seconds: 2))
        #expect(
            cache.choose(from: echo, now: at(seconds: 2), using: &generator)?.member.id == id(1),
            "a new answer forgives")
    }

    @Test("At the bound the pool that was used longest ago makes room")
    func bound() {
        var generator = SeededGenerator(seed: 1)
        var cache = ResolutionCache(staleCacheValue: .seconds(30))
        for number in 0..<ResolutionCache.maxPools {
            cache.store(Self.chooser(1), for: PoolHandle("\(number)"), now: at(seconds: 0))
        }
        _ = cache.choose(from: "0", now: at(seconds: 0), using: &generator)
        cache.store(Self.chooser(1), for: echo, now: at(seconds: 0))
        #expect(cache.members(of: "0", now: at(seconds: 0)) != nil)
        #expect(cache.members(of: "1", now: at(seconds: 0)) == nil)
        #expect(cache.members(of: echo, now: at(seconds: 0)) != nil)
    }
}

@Suite("A pool user's choice (RFC 5356, Pool User Considerations)")
struct MemberChooserTests {
    private static func letters(_ chooser: inout MemberChooser, _ count: Int) -> String {
        var generator = SeededGenerator(seed: 3)
        return (0..<count).compactMap { _ in chooser.next(using: &generator) }
            .map { String(UnicodeScalar(UInt8(64 + $0.id.rawValue))) }.joined()
    }

    @Test("Round robin goes round the list, one step a message [POL-030, POL-032, POL-033]")
    func roundRobin() {
        var chooser = MemberChooser(members: [member(1), member(2), member(3)], policy: .roundRobin)
        #expect(Self.letters(&chooser, 7) == "ABCABCA")
        chooser = MemberChooser(members: [member(2), member(3), member(1)], policy: .roundRobin)
        #expect(Self.letters(&chooser, 1) == "B")
    }

    @Test("No policy in the answer is round robin [ASAP-130, POL-001]")
    func noPolicy() {
        var chooser = MemberChooser(members: [member(1, policy: .random), member(2, policy: .random)], policy: nil)
        #expect(Self.letters(&chooser, 4) == "ABAB")
    }

    @Test("The overall policy rules, not that of the elements [ASAP-131]")
    func overallPolicy() {
        let members = (1...3).map { member($0, policy: .leastUsed(load: Load(rawValue: UInt32(4 - $0)))) }
        var chooser = MemberChooser(members: members, policy: .roundRobin)
        #expect(Self.letters(&chooser, 4) == "ABCA")
    }

    @Test("Random is uniform and has no memory [POL-049, POL-050]")
    func random() {
        var chooser = MemberChooser(members: (1...4).map { member($0, policy: .random) }, policy: .random)
        let picks = Array(Self.letters(&chooser, 4_000))
        for letter in "ABCD" {
            #expect(abs(picks.count { $0 == letter } - 1_000) <= tolerance(4_000, 0.25))
        }
        #expect(abs(zip(picks, picks.dropFirst()).count { $0 == $1 } - 1_000) <= tolerance(4_000, 0.25))
    }

    @Test("Least used stays with the first, the others are its backups [POL-076]")
    func leastUsed() {
        let policy = PoolPolicy.leastUsed(load: .idle)
        var chooser = MemberChooser(members: (1...3).map { member($0, policy: policy) }, policy: policy)
        #expect(Self.letters(&chooser, 5) == "AAAAA")
        chooser.markUnreachable(id(1))
        #expect(Self.letters(&chooser, 2) == "BB")
    }

    @Test("Weighted round robin goes round the list, which the registrar has weighed [POL-043]")
    func weightedRoundRobin() {
        let members = [(1, 1), (2, 3)].map { member($0.0, policy: .weightedRoundRobin(weight: UInt32($0.1))) }
        var chooser = MemberChooser(members: members, policy: .weightedRoundRobin(weight: 1))
        #expect(Self.letters(&chooser, 4) == "ABAB")
    }

    @Test("Weighted random draws by the weights, randomized least used by what is free [POL-059, POL-108]")
    func weightedRandom() {
        let policies: [[PoolPolicy]] = [
            [.weightedRandom(weight: 1), .weightedRandom(weight: 3), .weightedRandom(weight: 0)],
            [
                .randomizedLeastUsed(load: Load(fraction: 2.0 / 3)), .randomizedLeastUsed(load: .idle),
                .randomizedLeastUsed(load: .full),
            ],
        ]
        for policies in policies {
            let members = policies.enumerated().map { member($0.offset + 1, policy: $0.element) }
            var chooser = MemberChooser(members: members, policy: policies[0])
            let picks = Self.letters(&chooser, 4_000)
            #expect(picks.count == 4_000)
            #expect(abs(picks.count { $0 == "A" } - 1_000) <= tolerance(4_000, 0.25))
            #expect(abs(picks.count { $0 == "B" } - 3_000) <= tolerance(4_000, 0.25))
            chooser.markUnreachable(id(1))
            chooser.markUnreachable(id(2))
            #expect(Self.letters(&chooser, 2) == "CC", "better than nobody")
        }
    }

    @Test("Priority takes the greatest that is reachable, however the list is ordered [POL-066, POL-067]")
    func priority() {
        let members = [1, 9, 5, 9].enumerated().map { member($0.offset + 1, policy: .priority(UInt32($0.element))) }
        var chooser = MemberChooser(members: members, policy: .priority(0))
        #expect(Self.letters(&chooser, 3) == "BBB", "the first of its equals")
        chooser.markUnreachable(id(2))
        #expect(Self.letters(&chooser, 2) == "DD")
        chooser.markUnreachable(id(4))
        #expect(Self.letters(&chooser, 2) == "CC")
    }

    @Test("The variants of least used are served in the order of the list [POL-089, POL-099]")
    func variantsOfLeastUsed() {
        for policy in [
            PoolPolicy.leastUsedDegradation(load: .idle, degradation: .full),
            .priorityLeastUsed(load: .idle, degradation: .full),
        ] {
            var chooser = MemberChooser(members: (1...3).map { member($0, policy: policy) }, policy: policy)
            #expect(Self.letters(&chooser, 5) == "AAAAA")
        }
    }

    @Test(
        "Who is unreachable is left out, whatever the policy [POL-022]",
        arguments: [
            .roundRobin, .random, .leastUsed(load: .idle), .weightedRandom(weight: 1), .priority(3),
            .weightedRoundRobin(weight: 2), .randomizedLeastUsed(load: .idle),
        ] as [PoolPolicy])
    func unreachable(policy: PoolPolicy) {
        var chooser = MemberChooser(members: (1...3).map { member($0, policy: policy) }, policy: policy)
        chooser.markUnreachable(id(2))
        #expect(!Self.letters(&chooser, 30).contains("B"))
        chooser.markUnreachable(id(1))
        #expect(Self.letters(&chooser, 3) == "CCC")
        #expect(!chooser.isExhausted)
        chooser.markUnreachable(id(3))
        #expect(Self.letters(&chooser, 3) == "")
        #expect(chooser.isExhausted)
    }
}
