// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("A pool user of ours before fake registrars (RFC 5352 §3.3, §3.5 to §3.7)")
struct PoolUserTests {
    private let lab = ClientWorld()

    private func ids(_ pending: Pending<Resolution>) throws -> [UInt32] {
        try self.lab.value(pending).members.map(\.id.rawValue)
    }

    private func choices(_ user: TestUser, _ count: Int) throws -> [UInt32] {
        try (0..<count).map { _ in try self.lab.value(user.choose()).id.rawValue }
    }

    @Test(
        """
        It asks over SCTP or TCP with the octets of E1, and gives what the registrar says [ASAP-002, ASAP-107, \
        ASAP-111, ASAP-115, ASAP-116]
        """,
        arguments: [LinkScheme.sctp, .tcp])
    func resolves(scheme: LinkScheme) throws {
        let registrar = try self.lab.registrar("registrar", scheme, script: FakeRegistrar.listing([3, 1, 2]))
        let user = try self.lab.user(registrars: [scheme == .sctp ? registrar.endpoint : registrar.tcpEndpoint])
        let resolution = try self.lab.value(user.resolve())
        #expect(resolution.members.map(\.id.rawValue) == [3, 1, 2])
        #expect(resolution.policy == .roundRobin)
        #expect(!resolution.isFromCache)
        try self.lab.world.run(for: .seconds(20))
        #expect(registrar.allHeard.map(\.bytes) == [hex("05000010 0009000c 4563686f 506f6f6c")], "nothing sent again")
        #expect(registrar.allHeard.first?.payloadProtocol == (scheme == .sctp ? 11 : 0))
    }

    @Test("An idle user sends nothing and wakes for nothing [ASAP-266]")
    func idle() throws {
        let registrar = try self.lab.registrar()
        _ = try self.lab.user(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let jobs = self.lab.world.counters.jobs
        try self.lab.world.run(for: .seconds(1_000))
        #expect(registrar.allHeard.isEmpty)
        #expect(self.lab.world.counters.jobs == jobs)
    }

    @Test("A number that is wanted goes along")
    func count() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        _ = try self.lab.value(user.resolve(count: 1))
        #expect(registrar.allHeard.first?.bytes == Say.resolve("EchoPool", Say.count(1)))
    }

    // MARK: The cache

    @Test(
        """
        Fresh answers are not asked for again, stale ones are [ASAP-117, ASAP-118, ASAP-119, ASAP-120, ASAP-121, \
        ASAP-263, POL-031]
        """
    )
    func cache() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        #expect(try self.ids(user.resolve()) == [1])
        try self.lab.world.run(for: .seconds(29))
        registrar.follow(FakeRegistrar.listing([2]))
        #expect(try self.lab.value(user.resolve()).isFromCache)
        #expect(registrar.allHeard.count == 1)
        try self.lab.world.run(for: .seconds(1))
        #expect(try self.ids(user.resolve()) == [2])
        #expect(registrar.allHeard.count == 2)
    }

    @Test("stale_cache_value is a setting, 0 caches nothing [ASAP-269]")
    func noCache() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint]) { $0.timers.staleCacheValue = .zero }
        for _ in 0..<3 { #expect(try self.ids(user.resolve()) == [1]) }
        #expect(try self.choices(user, 2) == [1, 1])
        #expect(registrar.allHeard.count == 5)
    }

    @Test("Purged, a pool is asked for again [ASAP-240]")
    func purge() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        _ = try self.lab.value(user.resolve())
        user.purge()
        #expect(try !self.lab.value(user.resolve()).isFromCache)
        #expect(registrar.allHeard.count == 2)
    }

    @Test("An update that nobody waits for refreshes the cache, and ends no other request's waiting [ASAP-147]")
    func unaskedUpdate() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        _ = try self.lab.value(user.resolve())
        registrar.follow(FakeRegistrar.silent)
        let other = user.resolve("OtherOne")
        try self.lab.world.run(for: .seconds(1))
        try registrar.send(FakeRegistrar.list([2, 3]))
        try self.lab.world.run(for: .seconds(1))
        #expect(other.result == nil)
        let resolution = try self.lab.value(user.resolve())
        #expect(resolution.isFromCache)
        #expect(resolution.members.map(\.id.rawValue) == [2, 3])
        try self.lab.world.run(for: .seconds(14))
        #expect(registrar.allHeard.filter { $0.bytes == Say.resolve("OtherOne") }.count == 2, "T1 of the other goes on")
    }

    // MARK: Policies

    @Test(
        """
        No policy in the answer: round robin; a policy inside the elements does not count [ASAP-130, ASAP-131, \
        WIRE-049, POL-001, POL-030, POL-032]
        """
    )
    func roundRobinByDefault() throws {
        let elements = [1, 2, 3].map { FakeRegistrar.element($0, leastUsedTLV(9 - $0)) }
        let registrar = try self.lab.registrar(
            script: FakeRegistrar.answering(Say.members("EchoPool", policy: [], elements)))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        #expect(try self.choices(user, 7) == [1, 2, 3, 1, 2, 3, 1])
        registrar.follow(FakeRegistrar.answering(Say.members("EchoPool", policy: roundRobinTLV, elements)))
        user.purge()
        #expect(try self.choices(user, 4) == [1, 2, 3, 1])
        #expect(registrar.allHeard.count == 2)
    }

    @Test("A refreshed answer begins with its first element [POL-033]")
    func refresh() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1, 2, 3]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        #expect(try self.choices(user, 1) == [1])
        registrar.follow(FakeRegistrar.listing([2, 3, 1]))
        try self.lab.world.run(for: .seconds(31))
        #expect(try self.choices(user, 2) == [2, 3])
    }

    @Test(
        "Least used, by priority too: the first of the list, its backup when it fails [POL-022, POL-076, POL-077, POL-100]",
        arguments: [leastUsedTLV(0), tlv(0x0008, hex("40000003 00000000 00000001"))])
    func leastUsed(policy: [UInt8]) throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([2, 1, 3], policy: policy))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        #expect(try self.choices(user, 3) == [2, 2, 2])
        user.report(2)
        #expect(try self.choices(user, 2) == [1, 1])
        #expect(registrar.heard(.handleResolution).map(\.bytes) == [Say.resolve("EchoPool")], "not limited to one")
    }

    @Test("Random: each about equally often [POL-049]")
    func random() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1, 2, 3, 4], policy: randomTLV))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let choices = try self.choices(user, 800)
        // 6 standard deviations of 800 trials with 1/4.
        for id in 1...4 as ClosedRange<UInt32> { #expect(abs(choices.count { $0 == id } - 200) <= 74) }
    }

    // MARK: Failures

    @Test("A negative answer is an error with its cause, whatever else it holds [WIRE-042, WIRE-048]")
    func negative() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.answering(Say.unknown("EchoPool")))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let unknown = try self.lab.failure(user.resolve())
        #expect(unknown.code == .unknownPool)
        #expect(unknown.causes.map(\.code) == [.unknownPoolHandle])
        registrar.follow(
            FakeRegistrar.answering(
                message(
                    0x06, handleTLV("EchoPool"), roundRobinTLV, FakeRegistrar.element(1),
                    errorTLV((0x1009, hex("01020304"))))))
        let refused = try self.lab.failure(user.resolve())
        #expect(refused.code == .refused)
        #expect(refused.causes == [ErrorCause(.init(rawValue: 0x1009), data: hex("01020304"))])
    }

    @Test("An ASAP_ERROR for an answer fails the request at once [ASAP-037]")
    func errorForAnswer() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.answering(Say.error((0x0003, []))))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        #expect(try self.lab.failure(user.resolve(), within: .seconds(1)).code == .refused)
        try self.lab.world.run(for: .seconds(60))
        #expect(registrar.allHeard.count == 1)
    }

    @Test(
        "A silent registrar: three copies, 15 s apart, then an error [ASAP-112, ASAP-113, ASAP-209, ASAP-210, ASAP-211]"
    )
    func silent() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.silent)
        let user = try self.lab.user(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let resolution = user.resolve()
        #expect(try self.lab.failure(resolution).code == .noAnswer)
        #expect((Duration.seconds(45)...(.milliseconds(46_100))).contains(self.lab.world.now))
        try self.lab.world.run(for: .seconds(60))
        #expect(registrar.seconds(.handleResolution) == [1, 16, 31])
        #expect(Set(registrar.allHeard.map(\.bytes)).count == 1)
    }

    @Test(
        """
        Beside a silent home another registrar is hunted for, asked, and kept [ASAP-016, ASAP-190, ASAP-200, \
        ASAP-209, ASAP-212]
        """
    )
    func silentHome() throws {
        let silent = try self.lab.registrar("silent", script: FakeRegistrar.silent)
        let other = try self.lab.registrar("other", script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [silent.endpoint, other.endpoint])
        try self.lab.world.run(for: .seconds(1))
        #expect(try self.ids(user.resolve()) == [1])
        #expect(silent.seconds(.handleResolution) == [1, 16], "once more, as the hunt begins")
        #expect(other.seconds(.handleResolution) == [16])
        _ = try self.lab.value(user.resolve(count: 1))
        #expect(other.heard(.handleResolution).count == 2)
        #expect(silent.openLinks.isEmpty)
    }

    @Test(
        """
        The home dies while a request is open: hunt, and the same request to the next [ASAP-114, ASAP-204, \
        ASAP-205, ASAP-206, ASAP-208]
        """
    )
    func homeDies() throws {
        let first = try self.lab.registrar("first", script: FakeRegistrar.silent)
        let second = try self.lab.registrar("second", script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [first.endpoint, second.endpoint]) { $0.fastFailureDetection = true }
        try self.lab.world.run(for: .seconds(1))
        let resolution = user.resolve()
        try self.lab.world.run(for: .milliseconds(10))
        try self.lab.world.crash(first.node)
        #expect(try self.lab.value(resolution, within: .seconds(1)).members.count == 1)
        #expect(first.allHeard.map(\.bytes) == second.allHeard.map(\.bytes))
    }

    @Test("A late answer of the former home is as good as any [ASAP-213]")
    func lateAnswer() throws {
        let silent = try self.lab.registrar("silent", script: FakeRegistrar.silent)
        let user = try self.lab.user(registrars: [silent.endpoint])
        let resolution = user.resolve()
        try self.lab.world.run(for: .seconds(20))
        #expect(silent.allHeard.count == 2)
        try silent.send(FakeRegistrar.list([7]))
        #expect(try self.lab.value(resolution, within: .seconds(1)).members.map(\.id.rawValue) == [7])
        try silent.send(FakeRegistrar.list([7]))
        try self.lab.world.run(for: .seconds(60))
        #expect(silent.allHeard.count == 2)
    }

    @Test("Nobody there: an error after the request's own time, at once if that is wanted", arguments: [true, false])
    func nobodyThere(failsFast: Bool) throws {
        let node = self.lab.world.startNode("registrar")
        try self.lab.world.crash(node)
        let user = try self.lab.user(registrars: [node.registrarEndpoint]) { $0.failsWithoutRegistrar = failsFast }
        let error = try self.lab.failure(user.resolve())
        #expect(error.code == .noRegistrar)
        #expect(error.message.contains("\(node.addresses[0])"))
        #expect(
            failsFast ? self.lab.world.now < .seconds(3) : (.seconds(45) ... .seconds(46)).contains(self.lab.world.now))
    }

    @Test("Neither a list nor announcements: a clear error [ASAP-189]")
    func nothingConfigured() throws {
        let user = try self.lab.user(registrars: [])
        let error = try self.lab.failure(user.end)
        #expect(error.code == .configurationInvalid)
        #expect(try self.lab.failure(user.resolve()).code == .stopped)
    }

    // MARK: The hunt

    @Test(
        """
        Never more than three attempts at once; a round lasts T5, doubling; refused ones make room [ASAP-191, \
        ASAP-192, ASAP-193, ASAP-197, ASAP-198, ASAP-199]
        """
    )
    func attempts() throws {
        var options = WorldOptions()
        options.connectTimeout = .seconds(1_000)
        let lab = ClientWorld(options: options)
        let nodes = (1...7).map { lab.world.startNode("dark-\($0)") }
        for node in nodes { try lab.world.crash(node, .machine) }
        var open: Set<LinkID> = []
        var most = 0
        var connects: [(second: Int, address: IPAddress)] = []
        lab.world.observer = { event in
            switch event.kind {
            case .connecting(let link, let remote):
                open.insert(link)
                connects.append((Int(event.time / .seconds(1)), remote.addresses[0]))
            case .down(let link, _): open.remove(link)
            default: break
            }
        }
        _ = try lab.user(registrars: nodes.map(\.registrarEndpoint))
        try lab.world.run(
            atMost: .seconds(75),
            until: {
                most = max(most, open.count)
                return false
            })
        #expect(most == 3)
        let rounds = [0, 10, 30, 70].map { begin in
            connects.filter { $0.second >= begin && $0.second < begin + 2 }.map(\.address)
        }
        #expect(rounds[0] == nodes[0..<3].map { $0.addresses[0] })
        #expect(rounds[1] == nodes[3..<6].map { $0.addresses[0] }, "others than before")
        #expect(rounds[2].first == nodes[6].addresses[0])
        #expect(!rounds[3].isEmpty)
        #expect(connects.count == rounds.map(\.count).reduce(0, +), "only then")
    }

    @Test(
        """
        A refusal brings the next one at once; who answers is home, surplus links are closed [ASAP-194, \
        ASAP-196, ASAP-200, ASAP-201]
        """
    )
    func firstComesFirst() throws {
        let refusing = self.lab.world.startNode("refusing")
        let slow = try self.lab.registrar("slow", script: FakeRegistrar.listing([1]))
        let quick = try self.lab.registrar("quick", script: FakeRegistrar.listing([2]))
        let conditions = PathConditions(latency: .milliseconds(200))
        let user = TestUser(
            node: self.lab.world.startNode("user"),
            configuration: .init(
                registrars: RegistrarDiscovery(registrars: [refusing.registrarEndpoint, slow.endpoint, quick.endpoint]))
        )
        self.lab.world.setConditions(conditions, between: user.node, and: slow.node)
        #expect(try self.ids(user.resolve()) == [2])
        #expect(self.lab.world.now < .milliseconds(300), "250 ms of preference for the slow one, no more")
        try self.lab.world.run(for: .seconds(2))
        #expect(quick.openLinks.count == 1)
        #expect(slow.openLinks.isEmpty)
    }

    // MARK: Reports (§3.5)

    @Test(
        """
        An element that could not be reached is reported once, to the home, with the octets of E9c [ASAP-165, \
        ASAP-166, ASAP-168, ASAP-264]
        """
    )
    func report() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([0x1234_5678]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        _ = try self.choices(user, 1)
        for _ in 0..<5 { user.report(0x1234_5678) }
        try self.lab.world.run(for: .seconds(1))
        #expect(
            registrar.heard(.endpointUnreachable).map(\.bytes)
                == [hex("09000018 0009000c 4563686f 506f6f6c 000e0008 12345678")])
    }

    @Test("Nothing is reported of an element that was never used [ASAP-169, ASAP-170]")
    func reportOfUnused() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1, 2]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        user.report(1)
        #expect(try self.ids(user.resolve()) == [1, 2])
        user.report(2)
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.heard(.endpointUnreachable).isEmpty)
    }

    @Test("A thousand failures are ten reports a second at most [ASAP-178, ASAP-300]")
    func manyReports() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing((1...100).map { $0 }))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        for _ in 0..<10 {
            for id in try self.choices(user, 100) { user.report(id) }
            user.purge()
        }
        try self.lab.world.run(for: .milliseconds(100))
        #expect(self.lab.world.now < .seconds(1))
        #expect(registrar.heard(.endpointUnreachable).count == 10)
    }

    // MARK: Subscriptions

    @Test("Watching asks with S on an association of its own; lists become changes")
    func watch() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1, 2], a: true))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let changes = user.watch()
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.linkCount == 2)
        #expect(registrar.allHeard.map(\.bytes) == [Say.resolve("EchoPool", s: true, Say.count(.max) + Say.increments)])
        try registrar.send(FakeRegistrar.list([2, 3], a: true))
        try registrar.send(FakeRegistrar.list([2, 3], a: true))
        try self.lab.world.run(for: .seconds(60))
        #expect(changes.all.map(short) == ["snapshot 1 2", "left 1", "joined 3"])
        #expect(registrar.allHeard.count == 1, "no polling")
    }

    @Test("A registrar that refuses S is polled each second")
    func polling() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        try self.lab.world.run(for: .milliseconds(2_500))
        registrar.follow(FakeRegistrar.listing([1, 2]))
        try self.lab.world.run(for: .seconds(1))
        #expect(changes.all.map(short) == ["snapshot 1", "joined 2"])
        #expect(registrar.seconds(.handleResolution) == [0, 1, 2, 3])
    }

    @Test("A gap in increments: it asks again, and misses nothing")
    func gap() throws {
        @Sendable func increment(_ sequence: UInt32, flags: UInt32 = 0) -> [UInt8] {
            tlv(0xa952, octets(flags) + octets(sequence))
        }
        @Sendable func members(_ ids: [UInt32], _ sequence: UInt32, flags: UInt32 = 0) -> [UInt8] {
            Say.members("EchoPool", a: true, ids.map { FakeRegistrar.element($0) }, increment(sequence, flags: flags))
        }
        let registrar = try self.lab.registrar { heard, count in
            guard heard.type == 0x05 else { return [] }
            return count == 1
                ? [members([1], 5, flags: 3), members([2], 5, flags: 2)]
                : [members([2, 3, 4], 9, flags: 2)]
        }
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        try self.lab.world.run(for: .seconds(1))
        try registrar.send(members([3], 6))
        try registrar.send(members([4], 8))
        try self.lab.world.run(for: .seconds(1))
        try registrar.send(members([5], 10))
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.allHeard.count == 2)
        #expect(changes.all.map(short) == ["snapshot 1 2", "joined 3", "left 1", "joined 4", "joined 5"])
    }

    @Test("The subscription follows to the next registrar: interrupted, resumed, a snapshot [ASAP-141]")
    func changeOfHome() throws {
        let first = try self.lab.registrar("first", script: FakeRegistrar.listing([1, 2], a: true))
        let second = try self.lab.registrar("second", script: FakeRegistrar.listing([2, 3], a: true))
        let user = try self.lab.user(registrars: [first.endpoint, second.endpoint]) { $0.fastFailureDetection = true }
        let changes = user.watch()
        try self.lab.world.run(for: .seconds(1))
        #expect(second.linkCount == 0)
        try self.lab.world.crash(first.node)
        try self.lab.world.run(for: .seconds(1))
        #expect(second.heard(.handleResolution).map(\.flags) == [1])
        #expect(changes.all.map(short) == ["snapshot 1 2", "interrupted", "resumed", "snapshot 2 3"])
    }

    @Test("A pool that does not exist is an empty snapshot, and is watched for")
    func unknownPool() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.answering(Say.unknown("EchoPool")))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        try self.lab.world.run(for: .seconds(3))
        registrar.follow(FakeRegistrar.listing([1], a: true))
        try self.lab.world.run(for: .seconds(2))
        #expect(changes.all.map(short) == ["snapshot", "joined 1"])
    }

    @Test("Who has stopped watching is told no more, and the link is left with the last")
    func stopWatching() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1], a: true))
        let user = try self.lab.user(registrars: [registrar.endpoint])
        let first = user.node.call { [user = user.user] () -> PoolChange? in
            for await change in user.pool("EchoPool").changes { return change }
            return nil
        }
        #expect(try self.lab.value(first).map(short) == "snapshot 1")
        try self.lab.world.run(for: .seconds(2))
        #expect(registrar.openLinks.count == 1)
        let changes = user.watch()
        try self.lab.world.run(for: .seconds(1))
        #expect(changes.all.map(short) == ["snapshot 1"])
        #expect(registrar.openLinks.count == 2)
    }

    @Test("A reader that is too slow gets one snapshot for all that it missed; others get each change")
    func slowReader() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1], a: true))
        let user = try self.lab.user(registrars: [registrar.endpoint]) { $0.maxPendingChanges = 8 }
        let quick = user.watch()
        let goOn = Pending<Void>()
        let slow = Gathered<PoolChange>()
        user.node.start { [user = user.user, host = user.node.host] in
            for await change in user.pool("EchoPool").changes {
                slow.append(change)
                while goOn.result == nil { try await host.clock.sleep(for: .milliseconds(100)) }
            }
        }
        try self.lab.world.run(for: .seconds(1))
        for id in 2...100 as ClosedRange<UInt32> {
            try registrar.send(FakeRegistrar.list(Array(1...id), a: true))
            try self.lab.world.run(for: .milliseconds(10))
        }
        goOn.resolve(.success(()))
        try self.lab.world.run(for: .seconds(1))
        #expect(quick.all.count == 100)
        #expect(slow.all.count < 15)
        var known: Set<UInt32> = []
        for change in slow.all {
            switch change {
            case .snapshot(let members): known = Set(members.map(\.id.rawValue))
            case .joined(let member): known.insert(member.id.rawValue)
            default: Issue.record("\(change)")
            }
        }
        #expect(known == Set(1...100))
    }
}

/// A change in a few letters.
func short(_ change: PoolChange) -> String {
    switch change {
    case .snapshot(let members): (["snapshot"] + members.map { "\($0.id.rawValue)" }).joined(separator: " ")
    case .joined(let member): "joined \(member.id.rawValue)"
    case .updated(let member): "updated \(member.id.rawValue)"
    case .left(let member): "left \(member.id.rawValue)"
    case .interrupted: "interrupted"
    case .resumed: "resumed"
    }
}
