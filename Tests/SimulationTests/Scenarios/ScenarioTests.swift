// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("A pool end to end, and what goes wrong")
struct ScenarioTests {
    @Test(
        """
        A hundred elements in processes of their own: keep-alives are spread, nobody is lost [ASAP-160, \
        ASAP-032, ASAP-162]
        """
    )
    func hundredElements() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar()
        let elements = try (0..<100).map { try lab.element("element-\($0)", registrars: [registrar.endpoint]) }
        var moments: [Duration] = []
        lab.world.observer = { event in
            if case .sent(let message, _, _) = event.kind, message.bytes.first == 0x07 { moments.append(event.time) }
        }
        try lab.world.run(until: .seconds(300))
        #expect(registrar.size == (1, 100))
        #expect(elements.count(where: \.isRegistered) == elements.count)
        #expect((2_000...4_500).contains(moments.count))
        for (index, moment) in moments.enumerated() where index + 6 < moments.count {
            #expect(moments[index + 6] - moment > .milliseconds(10), "seven within 10 ms at \(moment)")
        }
        #expect(registrar.statistics(.elementsRemoved) == 0)
        try lab.world.shutDown()
    }

    @Test(
        """
        The home registrar dies and returns: elements come back, the watcher never sees an empty pool [ASAP-063, \
        ASAP-141]
        """,
        arguments: 0..<12 as Range<UInt64>)
    func registrarReturns(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let lab = ClientWorld(seed: seed, options: options)
        let first = try lab.startRegistrar { $0.fastFailureDetection = true }
        let elements = try (1...3).map {
            try lab.element("element-\($0)", registrars: [first.endpoint]) { $0.fastFailureDetection = true }
        }
        let user = try lab.user(registrars: [first.endpoint]) { $0.fastFailureDetection = true }
        try lab.world.run(for: .seconds(2))
        let changes = user.watch()
        try lab.world.run(for: .seconds(10))
        let everybody = elements.map(\.id).sorted()
        try lab.world.crash(first.node, seed % 3 == 0 ? .machine : .process)
        try lab.world.run(for: .milliseconds(Int(10 + lab.world.generator.below(8_000))))
        let second = try lab.startRegistrar("registrar", addresses: first.node.addresses) {
            $0.fastFailureDetection = true
        }
        try lab.world.run(for: .seconds(60))
        #expect(second.size == (1, 3))
        #expect(elements.count(where: \.isRegistered) == elements.count)

        let texts = changes.all.map(short)
        #expect(texts.first == "snapshot " + everybody.map(String.init).joined(separator: " "))
        let interrupted = try #require(texts.firstIndex(of: "interrupted"))
        let resumed = try #require(texts.firstIndex(of: "resumed"))
        #expect(interrupted < resumed)
        #expect(texts[resumed + 1].hasPrefix("snapshot"))
        #expect(!texts.contains("snapshot"), "an empty pool: \(texts)")
        // What the watcher knows, change by change, is never nobody, and everybody at the end.
        var known: Set<UInt32> = []
        for change in changes.all {
            switch change {
            case .snapshot(let members): known = Set(members.map(\.id.rawValue))
            case .joined(let member), .updated(let member): known.insert(member.id.rawValue)
            case .left(let member): known.remove(member.id.rawValue)
            case .interrupted, .resumed: break
            }
            #expect(!known.isEmpty, "\(texts)")
        }
        #expect(known == Set(everybody))
        try lab.world.shutDown()
    }

    @Test("A slow subscriber gets merged updates, and does not hold up others")
    func slowSubscriber() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar { $0.limits.sendBuffer = 8_000 }
        let peer = try lab.world.startPeer("elements")
        try lab.world.connect(peer, to: registrar.node)
        func register(_ id: UInt32, load: UInt32) throws {
            try peer.send(
                Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(peer.address), leastUsedTLV(load))))
            try lab.world.run(for: .milliseconds(15))
        }
        for id in 1...10 as ClosedRange<UInt32> { try register(id, load: 0) }
        peer.follow { heard, _ in heard.type == 0x07 ? [Say.alive("EchoPool", UInt32(heard.bytes.last ?? 0))] : [] }
        let slow = try lab.user("slow", registrars: [registrar.endpoint])
        let quick = try lab.user("quick", registrars: [registrar.endpoint])
        let slowChanges = slow.watch()
        let quickChanges = quick.watch()
        try lab.world.run(for: .seconds(1))
        lab.world.clog(registrar.node, slow.node, .forth)
        for round in 1...300 as ClosedRange<UInt32> { try register(1 + round % 10, load: round) }
        #expect(quickChanges.all.count == 301)
        #expect(slowChanges.all.count == 1)
        #expect(registrar.statistics(.updatesDeferred) > 0)
        lab.world.healAll()
        try lab.world.run(for: .seconds(2))
        #expect(slowChanges.all.count < 200)
        func loads(_ changes: [PoolChange]) -> [UInt32: PoolPolicy] {
            var loads: [UInt32: PoolPolicy] = [:]
            for change in changes {
                switch change {
                case .snapshot(let members): for member in members { loads[member.id.rawValue] = member.policy }
                case .updated(let member), .joined(let member): loads[member.id.rawValue] = member.policy
                case .left(let member): loads[member.id.rawValue] = nil
                case .interrupted, .resumed: break
                }
            }
            return loads
        }
        #expect(loads(slowChanges.all) == loads(quickChanges.all))
        #expect(loads(slowChanges.all)[1] == .leastUsed(load: Load(rawValue: 300)))
        #expect(!slowChanges.all.contains(.interrupted))
    }

    @Test(
        "Ten thousand elements die together: another pool's news comes at once, the work is bounded",
        arguments: [true, false])
    func massDeath(isOrderly: Bool) throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar { $0.fastFailureDetection = true }
        let crowd = try (0..<100).map { number in
            let peer = try lab.world.startPeer("crowd-\(number)")
            try lab.world.connect(peer, to: registrar.node)
            for id in 0..<100 as Range<UInt32> {
                try peer.send(
                    Say.register(
                        "Crowd",
                        elementTLV(UInt32(number) * 100 + id + 1, life: .max, sctpTLV(peer.address), roundRobinTLV)))
            }
            return peer
        }
        try lab.world.run(for: .seconds(1))
        #expect(registrar.size == (1, 10_000))
        let user = try lab.user(registrars: [registrar.endpoint]) { $0.maxPendingChanges = 20_000 }
        let crowdChanges = user.watch("Crowd")
        let peer = try lab.world.startPeer("lone")
        try lab.world.connect(peer, to: registrar.node)
        func register(_ load: UInt32) throws {
            try peer.send(
                Say.register("EchoPool", elementTLV(1, life: .max, sctpTLV(peer.address), leastUsedTLV(load))))
        }
        try register(1)
        try lab.world.run(for: .milliseconds(100))
        let changes = user.watch()
        try lab.world.run(for: .seconds(1))
        #expect(changes.all.count == 1)
        if case .snapshot(let members)? = crowdChanges.all.first { #expect(members.count == 10_000) }

        let before = lab.world.counters
        let updates = registrar.statistics(.updatesSent)
        for peer in crowd { if isOrderly { peer.close() } else { try lab.world.crash(peer.node, .machine) } }
        // News of the other pool all the while: each within milliseconds.
        var slowest = Duration.zero
        var load: UInt32 = 1
        let end = lab.world.now + .seconds(2)
        while lab.world.now < end {
            load += 1
            let count = changes.all.count
            let moment = lab.world.now
            try register(load)
            try lab.world.run(atMost: .seconds(5), until: { changes.all.count > count })
            slowest = max(slowest, lab.world.now - moment)
            try lab.world.run(for: .milliseconds(20))
        }
        #expect(slowest < .milliseconds(20), "\(slowest)")
        #expect(registrar.size == (1, 1))
        #expect(crowdChanges.all.count(where: { if case .left = $0 { true } else { false } }) == 10_000)
        let after = lab.world.counters
        #expect(after.jobs - before.jobs < 10_000, "\(after.jobs - before.jobs) jobs")
        #expect(after.linksRefused - before.linksRefused <= 100, "one attempt for each process, not for each element")
        #expect(registrar.statistics(.updatesSent) - updates < 500)
    }

    @Test(
        "A frozen registrar removes nobody after it goes on", arguments: [WorldOptions.SCTPStack.kernel, .userland],
        [2, 60])
    func frozenRegistrar(stack: WorldOptions.SCTPStack, seconds: Int) throws {
        var options = WorldOptions()
        options.sctpStack = stack
        let lab = ClientWorld(seed: UInt64(seconds), options: options)
        let registrar = try lab.startRegistrar()
        let elements = try (0..<20).map {
            try lab.element("element-\($0)", registrars: [registrar.endpoint]) { $0.life = .seconds(50) }
        }
        let user = try lab.user(registrars: [registrar.endpoint])
        try lab.world.run(for: .seconds(2))
        let changes = user.watch()
        try lab.world.run(for: .seconds(30))
        lab.world.freeze(registrar.node)
        try lab.world.run(for: .seconds(seconds))
        lab.world.thaw(registrar.node)
        var fewest = registrar.size.elements
        try lab.world.run(
            atMost: .seconds(60),
            until: {
                fewest = min(fewest, registrar.size.elements)
                return false
            })
        #expect(fewest == 20)
        #expect(registrar.statistics(.stalls) >= 1)
        #expect(registrar.statistics(.elementsRemoved) == 0)
        #expect(elements.count(where: \.isRegistered) == elements.count)
        #expect(!changes.all.contains { if case .left = $0 { true } else { false } })
        // Its judgement has come back: who dies now is removed.
        try lab.world.crash(elements[0].node, .machine)
        try lab.world.run(for: .seconds(30))
        #expect(registrar.size.elements == 19)
    }

    @Test(
        "An identifier that is in use: the second of that name hears so, and has it when the first is dead [ASAP-081]")
    func identifierClash() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar { $0.fastFailureDetection = true }
        let id = PoolElementID(rawValue: 7)
        let first = try lab.element("first", registrars: [registrar.endpoint]) { $0.id = id }
        try lab.world.run(for: .seconds(1))
        let second = try lab.element("second", registrars: [registrar.endpoint]) { $0.id = id }
        let error = try lab.failure(second.end, within: .seconds(2))
        #expect(error.causes.map(\.code) == [.nonUniquePoolElementID])
        #expect(first.isRegistered)
        try lab.world.crash(first.node)
        let third = try lab.element("third", registrars: [registrar.endpoint]) { $0.id = id }
        try lab.world.run(for: .seconds(7))
        #expect(third.isRegistered)
        #expect(registrar.size == (1, 1))
    }

    @Test("Three thousand elements are watched whole, over several messages, and each change of them")
    func largePool() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar { $0.timers.keepAliveInterval = .zero }
        let peer = try lab.world.startPeer("elements")
        try lab.world.connect(peer, to: registrar.node)
        for id in 1...3_000 as ClosedRange<UInt32> {
            try peer.send(Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(peer.address), roundRobinTLV)))
        }
        try lab.world.run(for: .seconds(1))
        let user = try lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        try lab.world.run(for: .seconds(1))
        guard case .snapshot(let members)? = changes.all.first else {
            Issue.record("\(changes.all.count) changes")
            return
        }
        #expect(members.map(\.id.rawValue) == Array(1...3_000))
        for id in 1...2_999 as ClosedRange<UInt32> { try peer.send(Say.deregister("EchoPool", id)) }
        try lab.world.run(for: .seconds(1))
        try peer.send(Say.register("EchoPool", elementTLV(5_000, life: .max, sctpTLV(peer.address), roundRobinTLV)))
        try lab.world.run(for: .seconds(1))
        // More changes than a reader's queue holds may have become one snapshot; the last word counts.
        #expect(changes.all.last.map(short) == "joined 5000")
        #expect(
            changes.all.count(where: { if case .left = $0 { true } else { false } }) == 2_999
                || changes.all.contains { short($0) == "snapshot 3000" })
        #expect(registrar.statistics(.updatesSent) < 100)
    }

    @Test("Over TCP a user resolves, watches and reports as over SCTP [ASAP-002, ASAP-146]")
    func overTCP() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar { $0.fastFailureDetection = true }
        let elements = try (1...2).map { try lab.element("element-\($0)", registrars: [registrar.endpoint]) }
        let user = try lab.user(registrars: [registrar.tcpEndpoint])
        try lab.world.run(for: .seconds(1))
        let changes = user.watch()
        #expect(try Set(lab.value(user.resolve()).members.map(\.id.rawValue)) == Set(elements.map(\.id)))
        try lab.world.run(for: .seconds(1))
        let chosen = try lab.value(user.choose()).id.rawValue
        let asked = registrar.statistics(.keepAlivesSent)
        user.report(chosen)
        try lab.world.run(for: .milliseconds(100))
        #expect(registrar.statistics(.unreachableReports) == 1)
        #expect(registrar.statistics(.keepAlivesSent) > asked)
        try lab.world.crash(elements[0].node)
        try lab.world.run(for: .seconds(1))
        #expect(changes.all.map(short).last == "left \(elements[0].id)")
        try lab.world.shutDown()
    }

    @Test(
        """
        Resolved where nobody is: a user hears at once that the pool is unknown, and later who has come \
        [ASAP-127, ARC-031]
        """)
    func emptyThenFull() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar()
        let user = try lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        #expect(try lab.failure(user.resolve(), within: .seconds(1)).code == .unknownPool)
        let element = try lab.element(registrars: [registrar.endpoint])
        try lab.world.run(for: .seconds(2))
        #expect(changes.all.map(short) == ["snapshot", "joined \(element.id)"])
        element.deregister()
        try lab.value(element.end)
        try lab.world.run(for: .seconds(1))
        #expect(changes.all.map(short).last == "left \(element.id)")
        #expect(registrar.size == (0, 0))
    }

    @Test(
        """
        A session: echo, data never on PPID 11, and after a death the next element answers and the dead one is \
        reported [ASAP-008, ASAP-165]
        """,
        arguments: [Death.process, .machine])
    func session(death: Death) throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar()
        let elements = try (1...2).map { try lab.element("element-\($0)", registrars: [registrar.endpoint]) }
        let user = try lab.user(registrars: [registrar.endpoint]) { $0.fastFailureDetection = true }
        try lab.world.run(for: .seconds(1))
        var protocols: Set<UInt32> = []
        lab.world.observer = { event in
            if case .sent(let message, _, _) = event.kind, message.bytes == [1, 2, 3] {
                protocols.insert(message.payloadProtocol)
            }
        }
        let goOn = Pending<Void>()
        let answers = Gathered<Session.Message>()
        let outcome = user.node.call { [user = user.user, host = user.node.host] in
            try await user.withSession(with: "EchoPool") { session in
                do {
                    _ = try await session.request([9], payloadProtocol: 11)
                    throw Unexpected("PPID 11 was taken")
                } catch let error as PoolError { #expect(error.code == .configurationInvalid) }
                answers.append(try await session.request([1, 2, 3], payloadProtocol: 5, stream: 1))
                answers.append(try await session.request([1, 2, 3]))
                while goOn.result == nil { try await host.clock.sleep(for: .milliseconds(10)) }
                answers.append(try await session.request([1, 2, 3]))
            }
        }
        try lab.world.run(for: .seconds(1))
        #expect(answers.all.map(\.bytes) == [[1, 2, 3], [1, 2, 3]])
        #expect(answers.all.first.map { $0.payloadProtocol == 5 && $0.stream == 1 } == true)
        let served = try #require(answers.all.first?.element.rawValue)
        #expect(answers.all.last?.element.rawValue == served, "it stays with one that works")
        let victim = try #require(elements.first { $0.id == served })
        // The request is on its way when the element dies.
        goOn.resolve(.success(()))
        try lab.world.crash(victim.node, death)
        try lab.value(outcome, within: .seconds(20))
        #expect(answers.all.last?.element.rawValue != served)
        #expect(answers.all.count == 3)
        #expect(registrar.statistics(.unreachableReports) == 1)
        #expect(protocols == [0, 5])
        try lab.world.shutDown()
    }

    @Test("Everything ends when it is told to, and nothing of it is left")
    func ends() throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar()
        let element = try lab.element(registrars: [registrar.endpoint])
        let user = try lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        try lab.world.run(for: .seconds(2))
        for node in [user.node, element.node, registrar.node] {
            node.cancel()
            try lab.world.run(for: .seconds(3))
            #expect(node.liveRoots == 0, "\(node.name)")
            #expect(node.failures.isEmpty)
        }
        #expect(changes.all.count == 1)
    }
}

@Suite("A home registrar that hangs while its associations stand")
struct HangingHomeTests {
    @Test("A watcher that hears nothing asks, goes to another registrar and resumes there, within two seconds with lan")
    func watcherMoves() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = ClientWorld(options: options)
        let first = try lab.startRegistrar("first", id: 1) {
            $0.timers = .lan
            $0.enrpTimers = .lan
        }
        let second = try lab.startRegistrar("second", id: 2) {
            $0.timers = .lan
            $0.enrpTimers = .lan
            $0.peers = [.sctp("\(first.node.addresses[0])", port: 9901)]
        }
        let registrars = [first.endpoint, second.endpoint]
        let element = try lab.element(registrars: registrars) { $0.timers = .lan }
        let user = try lab.user(registrars: registrars) { $0.timers = .lan }
        let changes = user.watch()
        try lab.world.run(for: .seconds(3))
        #expect(changes.all.map(short) == ["snapshot \(element.id)"])
        lab.world.freeze(first.node)
        try lab.world.run(for: .seconds(2))
        #expect(changes.all.map(short).contains("resumed"), "\(changes.all.map(short))\(lab.transcript)")
        #expect(!changes.all.contains { if case .left = $0 { true } else { false } })
        try lab.world.shutDown()
    }
}
