// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

/// Registrars of ours that know each other's addresses, and elements of ours.
private final class Mesh {
    let lab: PeerWorld
    private(set) var registrars: [TestRegistrar] = []
    private let ids: [UInt32]
    private let adjust: (inout RegistrarConfiguration) -> Void

    var world: World { self.lab.world }

    private static func address(_ number: Int) -> IPAddress { .ipv4(0x0a01_0001 + UInt32(number)) }

    /// - Parameters:
    ///   - ids: one registrar each, all of which start now.
    ///   - configured: whether they know each other's addresses.
    init(
        seed: UInt64 = 1, options: WorldOptions = WorldOptions(),
        ids: [UInt32] = [0x1111_1111, 0x2222_2222, 0x3333_3333],
        starting: Int? = nil, _ adjust: @escaping (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws {
        self.lab = PeerWorld(seed: seed, options: options)
        self.ids = ids
        self.adjust = adjust
        for _ in 0..<(starting ?? ids.count) { try self.startNext() }
    }

    private func start(_ number: Int) throws -> TestRegistrar {
        let others = self.ids.indices.filter { $0 != number }
        return try self.lab.start(
            "registrar-\(number + 1)", id: self.ids[number],
            peers: others.map { .sctp("\(Self.address($0))", port: ENRPMessage.port) },
            addresses: [Self.address(number)]
        ) {
            $0.timers.keepAliveInterval = .seconds(10)
            self.adjust(&$0)
        }
    }

    func startNext() throws { self.registrars.append(try self.start(self.registrars.count)) }

    func restart(_ number: Int) throws { self.registrars[number] = try self.start(number) }

    /// An element of ours that prefers the registrar with that number.
    func element(_ name: String, preferring number: Int, life: RegistrationLife = .seconds(300)) throws -> TestElement {
        let order = self.ids.indices.map { (number + $0) % self.ids.count }
        var configuration = PoolElement.Configuration(
            registrars: RegistrarDiscovery(registrars: order.map { .sctp("\(Self.address($0))") }))
        configuration.life = life
        let element = TestElement(
            node: self.world.startNode(name), configuration: configuration, handler: { $0.bytes })
        try self.world.settle()
        return element
    }

    var living: [TestRegistrar] { self.registrars.filter { $0.node.isAlive } }

    /// Whether all that live know each other, and the same elements with the same homes.
    var agrees: Bool {
        let living = self.living
        return living.allSatisfy { registrar in
            let others = living.map(\.registrar.id).filter { $0 != registrar.registrar.id }.sorted().map(\.rawValue)
            return registrar.activePeers == others && registrar.homes == living[0].homes
        }
    }

    /// What differs, for a failure's text.
    var state: String {
        self.living.map { registrar in
            "\n\(registrar.registrar.id): peers \(registrar.activePeers.map { String($0, radix: 16) }), homes "
                + registrar.homes.sorted { $0.key.id < $1.key.id }.map {
                    "\($0.key.pool)/\($0.key.id)@\(String($0.value, radix: 16))"
                }.joined(separator: " ")
        }.joined()
    }

    /// Whether an element takes that registrar for its home which the registrars do.
    func knowsItsHome(_ element: TestElement) -> Bool {
        guard let home = self.living.first?.home(element.id),
            let registrar = self.living.first(where: { $0.registrar.id.rawValue == home }),
            case .registered(_, let told, _)? = element.events.all.last
        else { return false }
        return told == "\(registrar.registrar.id)" || told == "\(registrar.endpoint)"
    }
}

@Suite("Registrars of ours together")
struct RegistrarsTogetherTests {
    @Test(
        "All start at once: they meet and serve within seconds, without multicast [ENRP-034]",
        arguments: 0..<12 as Range<UInt64>)
    func coldStart(seed: UInt64) throws {
        let ids = [0x1111_1111, 0x2222_2222, 0x3333_3333] as [UInt32]
        let shift = Int(seed % 3)
        let mesh = try Mesh(seed: seed, ids: Array(ids[shift...] + ids[..<shift]))
        try mesh.world.run(for: .seconds(6))
        let elements = try (0..<3).map { try mesh.element("element-\($0)", preferring: $0) }
        try mesh.world.run(for: .seconds(1))
        #expect(elements.count { $0.isRegistered } == 3)
        #expect(Set(mesh.registrars[0].homes.values).count == 3)
        #expect(mesh.agrees, "\(mesh.state)")
        try mesh.world.run(for: .seconds(200))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars.count { $0.statistics(.peersDied) > 0 } == 0)
        #expect(mesh.world.counters.datagramsSent == 0)
    }

    @Test(
        """
        A latecomer learns 5 000 elements in parts while the others answer users; then it has the same, and nothing has \
        to be asked again [ENRP-051, ENRP-052, ENRP-054]
        """
    )
    func latecomer() throws {
        let mesh = try Mesh(starting: 2) { $0.timers.keepAliveInterval = .zero }
        try mesh.world.run(for: .seconds(12))
        let crowd = try (0..<2).map { try mesh.lab.element(mesh.registrars[$0], "crowd-\($0)") }
        for id in 1...5_000 as ClosedRange<UInt32> {
            let peer = crowd[Int(id % 2)]
            try peer.send(
                Say.register(
                    id % 5 == 0 ? "Other" : "EchoPool", elementTLV(id, life: .max, sctpTLV(peer.address), roundRobinTLV)
                ))
        }
        try mesh.world.run(for: .seconds(2))
        #expect(mesh.registrars[0].size == (2, 5_000))
        #expect(mesh.agrees)
        let user = try mesh.lab.element(mesh.registrars[0], "user")
        var parts: [Duration] = []
        mesh.world.observer = { event in
            if case .sent(let message, _, let receiver) = event.kind, receiver == "registrar-3",
                message.payloadProtocol == 12, message.bytes[0] == 0x03
            {
                parts.append(event.time)
            }
        }
        try mesh.startNext()
        var asked = 0
        try mesh.world.run(
            atMost: .seconds(10),
            until: {
                if asked == user.heard(.handleResolutionResponse).count {
                    try user.send(Say.resolve("EchoPool"))
                    asked += 1
                }
                return mesh.registrars[2].size.elements == 5_000
            })
        try mesh.world.run(for: .seconds(1))
        #expect(parts.count > 10)
        let answers = user.heard(.handleResolutionResponse).map(\.time)
        if let first = parts.first, let last = parts.last {
            #expect(answers.count { (first...last).contains($0) } > 10, "answers between the parts")
        }
        #expect(mesh.agrees)
        #expect(mesh.registrars[2].members == mesh.registrars[0].members)
        try mesh.world.run(for: .seconds(100))
        #expect(mesh.registrars.map { $0.statistics(.resynchronizations) }.max() == 0)
        #expect(mesh.registrars.map { $0.size.elements } == [5_000, 5_000, 5_000])
    }

    @Test("A peer that does not keep up misses updates, which is counted and said once; an audit makes it good")
    func peerDoesNotKeepUp() throws {
        let mesh = try Mesh(ids: [0x1111_1111, 0x2222_2222]) {
            $0.timers.keepAliveInterval = .zero
            $0.limits.peerSendBuffer = 4_096
        }
        try mesh.world.run(for: .seconds(6))
        let (here, there) = (mesh.registrars[0], mesh.registrars[1])
        let crowd = try mesh.lab.element(here, "crowd")
        mesh.world.clog(here.node, there.node, .forth)
        for id in 1...500 as ClosedRange<UInt32> {
            try crowd.send(
                Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(crowd.address), roundRobinTLV)))
        }
        try mesh.world.run(for: .seconds(2))
        #expect(here.size.elements == 500 && there.size.elements == 0)
        #expect((400..<500).contains(here.statistics(.peerUpdatesDropped)))
        #expect(
            mesh.lab.log.all.count {
                $0.hasPrefix("warning: 0x22222222 does not keep up") && $0.contains("peer-send-buffer is the limit")
            } == 1)
        mesh.world.heal(here.node, there.node, .forth)
        try mesh.world.run(for: .seconds(62))
        #expect(mesh.agrees, "\(mesh.state.prefix(1_000))")
        #expect(there.size.elements == 500)
    }

    @Test(
        "One is killed and comes back at once under its ID: nobody is lost, all agree [ENRP-161]",
        arguments: 0..<10 as Range<UInt64>)
    func quickRestart(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options)
        try mesh.world.run(for: .seconds(6))
        let elements = try (0..<6).map { try mesh.element("element-\($0)", preferring: $0 % 3) }
        try mesh.world.run(for: .seconds(2))
        #expect(mesh.agrees, "\(mesh.state)")
        try mesh.world.crash(mesh.registrars[1].node, seed % 3 == 0 ? .machine : .process)
        try mesh.world.run(for: .milliseconds(Int(100 + mesh.world.generator.below(3_000))))
        try mesh.restart(1)
        try mesh.world.run(for: .seconds(90))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars[0].size.elements == 6, "\(mesh.state)")
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
    }

    @Test(
        """
        One is stopped until the others have its elements, and goes on: it does not take them back, and everybody has one \
        home [ENRP-129, ENRP-161]
        """,
        arguments: 0..<10 as Range<UInt64>)
    func frozen(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options)
        try mesh.world.run(for: .seconds(6))
        let elements = try (0..<6).map { try mesh.element("element-\($0)", preferring: $0 % 3) }
        try mesh.world.run(for: .seconds(2))
        #expect(mesh.agrees, "\(mesh.state)")
        let victim = mesh.registrars[Int(seed % 3)]
        mesh.world.freeze(victim.node)
        try mesh.world.run(for: .seconds(120))
        let others = mesh.registrars.filter { $0.registrar.id != victim.registrar.id }
        for other in others {
            #expect(Set(other.homes.values) == Set(others.map(\.registrar.id.rawValue)), "\(mesh.state)")
        }
        mesh.world.thaw(victim.node)
        try mesh.world.run(for: .seconds(90))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars[0].size.elements == 6)
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
        try mesh.world.run(for: .seconds(600))
        #expect(mesh.agrees, "\(mesh.state)")
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
    }

    @Test(
        """
        Cut apart for two minutes, with elements that both sides reach, and put together: one owner for each, the same \
        for all, and what left meanwhile is gone [ENRP-160, ENRP-161]
        """,
        arguments: 0..<16 as Range<UInt64>)
    func partition(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options)
        try mesh.world.run(for: .seconds(6))
        let elements = try (0..<9).map { try mesh.element("element-\($0)", preferring: $0 % 3) }
        try mesh.world.run(for: .seconds(2))
        #expect(mesh.agrees, "\(mesh.state)")
        let alone = mesh.registrars[Int(seed % 3)]
        let others = mesh.registrars.filter { $0.registrar.id != alone.registrar.id }
        for other in others { mesh.world.partition(alone.node, other.node) }
        try mesh.world.run(for: .milliseconds(Int(100_000 + mesh.world.generator.below(40_000))))
        #expect(alone.activePeers.isEmpty)
        #expect(others.count { $0.activePeers.count == 1 } == 2)
        elements[4].deregister()
        try mesh.world.run(for: .seconds(1))
        mesh.world.healAll()
        try mesh.world.run(for: .seconds(125))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars[0].size.elements == 8, "\(mesh.state)")
        for element in elements where element.node.name != "element-4" {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
        try mesh.world.run(for: .seconds(600))
        #expect(mesh.agrees, "\(mesh.state)")
    }

    @Test(
        """
        Apart for less than it takes to be dead: additions and removals are equal within two heartbeats, attributes with \
        the next registration [ENRP-160]
        """,
        arguments: 0..<6 as Range<UInt64>)
    func shortPartition(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options) { $0.timers.keepAliveInterval = .zero }
        try mesh.world.run(for: .seconds(6))
        let peers = try (0..<3).map { try mesh.lab.element(mesh.registrars[$0], "scripted-\($0)") }
        func load(_ load: UInt32) -> [UInt8] { leastUsedTLV(load) }
        for number in 0..<3 {
            try mesh.lab.register(peers[number], UInt32(number) * 10 + 1, policy: load(1), life: .max)
            try mesh.lab.register(peers[number], UInt32(number) * 10 + 2, policy: load(1), life: .max)
        }
        #expect(mesh.agrees, "\(mesh.state)")
        for number in 0..<3 {
            mesh.world.partition(mesh.registrars[number].node, mesh.registrars[(number + 1) % 3].node)
        }
        for number in 0..<3 {
            try peers[number].send(Say.deregister("EchoPool", UInt32(number) * 10 + 1))
            try mesh.lab.register(peers[number], UInt32(number) * 10 + 2, policy: load(50), life: .max)
            try mesh.lab.register(peers[number], UInt32(number) * 10 + 3, policy: load(1), life: .max)
        }
        try mesh.world.run(for: .milliseconds(6_500))
        mesh.world.healAll()
        try mesh.world.run(for: .seconds(60))
        #expect(mesh.agrees, "\(mesh.state)")
        // Only an attribute, unheard by one: no checksum tells of that, so that only the next registration brings it.
        let audits = mesh.registrars.map { $0.statistics(.resynchronizations) }
        mesh.world.partition(mesh.registrars[0].node, mesh.registrars[1].node)
        try mesh.lab.register(peers[0], 2, policy: load(77), life: .max)
        try mesh.world.run(for: .milliseconds(6_500))
        mesh.world.healAll()
        try mesh.world.run(for: .seconds(60))
        #expect(
            mesh.registrars.map { $0.member(2)?.policy } == [77, 50, 77].map { .leastUsed(load: Load(rawValue: $0)) })
        #expect(mesh.registrars.map { $0.statistics(.resynchronizations) } == audits)
        #expect(mesh.registrars[0].homes.keys.map(\.id.rawValue).sorted() == [2, 3, 12, 13, 22, 23])
        #expect(mesh.registrars.map { $0.statistics(.takeoversCompleted) } == [0, 0, 0])
        for number in 0..<3 {
            try mesh.lab.register(peers[number], UInt32(number) * 10 + 2, policy: load(51), life: .max)
        }
        #expect(mesh.registrars[1].members == mesh.registrars[0].members)
        #expect(mesh.registrars[2].members == mesh.registrars[0].members)
    }

    @Test(
        "Halves that gave one pool two policies: the same one stays everywhere, the others are told and return [ENRP-082]",
        arguments: 0..<6 as Range<UInt64>)
    func policyConflict(seed: UInt64) throws {
        let mesh = try Mesh(seed: seed)
        try mesh.world.run(for: .seconds(6))
        let alone = Int(seed % 3)
        for number in 0..<3 where number != alone {
            mesh.world.partition(mesh.registrars[alone].node, mesh.registrars[number].node)
        }
        try mesh.world.run(for: .seconds(20))
        let peers = try (0..<3).map { try mesh.lab.element(mesh.registrars[$0], "scripted-\($0)") }
        let hasRandomAlone = seed % 6 >= 3
        for number in 0..<3 {
            let isRandom = (number == alone) == hasRandomAlone
            for id in 1...2 as ClosedRange<UInt32> {
                try mesh.lab.register(
                    peers[number], UInt32(number) * 10 + id, policy: isRandom ? randomTLV : roundRobinTLV, life: .max)
            }
        }
        mesh.world.healAll()
        try mesh.world.run(for: .seconds(125))
        #expect(mesh.agrees, "\(mesh.state)")
        for number in 0..<3 {
            let isRandom = (number == alone) == hasRandomAlone
            let expelled = peers[number].heard(.deregistrationResponse).map(\.bytes)
            #expect(
                Set(expelled)
                    == (isRandom
                        ? Set(
                            (1...2).map { id in
                                message(
                                    0x04, handleTLV("EchoPool"), idTLV(UInt32(number) * 10 + id), errorTLV((5, [])))
                            }) : []),
                "\(mesh.state)")
            #expect(try mesh.lab.resolve(peers[number])?.policy?.type.rawValue == 1)
            if isRandom {
                for id in 1...2 as ClosedRange<UInt32> {
                    try mesh.lab.register(peers[number], UInt32(number) * 10 + id, life: .max)
                }
            }
        }
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars[0].size.elements == 6)
    }

    @Test(
        "Found by multicast alone, also when they start later; a PRESENCE there changes nothing else [ENRP-026, ENRP-034]"
    )
    func discovery() throws {
        let lab = PeerWorld()
        let group = SocketAddress(ip: .ipv4(0xef00_0033), port: 9901)
        func start(_ number: UInt32) throws -> TestRegistrar {
            try lab.start("registrar-\(number)", id: number) { $0.discoverGroup = group }
        }
        let first = try [start(1), start(2)]
        try lab.world.run(for: .seconds(15))
        #expect(first[0].activePeers == [2])
        #expect(first[1].activePeers == [1])
        let element = try lab.element(first[0], "element")
        try lab.register(element, 1, life: .max)
        let late = try start(3)
        try lab.world.run(for: .seconds(15))
        #expect(late.activePeers == [1, 2])
        #expect(first[0].activePeers == [2, 3])
        #expect(late.home(1) == 1)
        // A liar's PRESENCE is tried, and nothing comes of it.
        let liar = try lab.world.startAnnouncer("liar", group)
        liar.send(enrp(.presence, from: 7, checksumTLV(0x1234), serverTLV(7, .ipv4(0x0a63_0001))))
        liar.send(enrp(.presence, from: 2, checksumTLV(0x1234), serverTLV(2, .ipv4(0x0a63_0002))))
        liar.send(enrp(.takeoverServer, from: 7, octets(1 as UInt32)))
        try lab.world.run(for: .seconds(100))
        #expect(first[0].peers.map(\.id.rawValue) == [2, 3])
        #expect(late.peers.map(\.id.rawValue) == [1, 2])
        #expect(late.home(1) == 1)
        #expect([first[0], first[1], late].map { $0.statistics(.resynchronizations) } == [0, 0, 0])
    }

    @Test(
        "A registrar dies: within the RFC's times its elements have a new home, which all agree on [ENRP-119, ENRP-120]",
        arguments: 0..<10 as Range<UInt64>)
    func death(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options)
        try mesh.world.run(for: .seconds(6))
        let elements = try (0..<6).map { try mesh.element("element-\($0)", preferring: $0 % 3) }
        try mesh.world.run(for: .seconds(2))
        try mesh.world.crash(mesh.registrars[Int(seed % 3)].node, seed % 5 == 0 ? .machine : .process)
        try mesh.world.run(for: .seconds(90))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.living[0].size.elements == 6, "\(mesh.state)")
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
    }

    @Test("A user asks one registrar until that fails, then another one [ENRP-162]")
    func userKeepsItsHome() throws {
        let mesh = try Mesh()
        try mesh.world.run(for: .seconds(6))
        let element = try mesh.element("element", preferring: 2)
        try mesh.world.run(for: .seconds(2))
        let user = TestUser(
            node: mesh.world.startNode("user"),
            configuration: PoolUser.Configuration(
                registrars: RegistrarDiscovery(registrars: mesh.registrars.map(\.endpoint))))
        var asked: [String] = []
        mesh.world.observer = { event in
            if event.node == "user", case .sent(_, _, let receiver) = event.kind { asked.append(receiver) }
        }
        for round in 1...20 {
            if round == 11, let first = mesh.registrars.first(where: { $0.node.name == asked.last }) {
                #expect(asked.count == 10)
                #expect(Set(asked).count == 1)
                asked = []
                try mesh.world.crash(first.node)
            }
            user.purge()
            let pending = user.resolve()
            try mesh.world.run(for: .seconds(31))
            let resolution = try #require(try pending.result?.get())
            #expect(resolution.members.map(\.id.rawValue) == [element.id])
        }
        #expect(Set(asked.suffix(9)).count == 1, "\(asked)")
    }

    @Test(
        "With the preset for local networks a death is over within a second, elements asked and all [ENRP-120, ENRP-122]",
        arguments: 0..<6 as Range<UInt64>)
    func lanDeath(seed: UInt64) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(seed: seed, options: options, Self.lan)
        try mesh.world.run(for: .seconds(3))
        let peer = try mesh.world.startPeer("crowd")
        peer.follow { heard, _ in
            heard.type == 0x07 ? [Say.alive("EchoPool", number(heard.bytes, at: heard.bytes.count - 4))] : []
        }
        let victim = mesh.registrars[Int(seed % 3)]
        try mesh.world.connect(peer, to: victim.node)
        for id in 1...1_000 as ClosedRange<UInt32> {
            try peer.send(Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(peer.address), roundRobinTLV)))
        }
        try mesh.world.run(for: .seconds(1))
        #expect(mesh.agrees)
        #expect(victim.size.elements == 1_000)
        try mesh.world.crash(victim.node, seed % 5 == 0 ? .machine : .process)
        let died = mesh.world.now
        try mesh.world.run(
            atMost: .seconds(10),
            until: { mesh.living.reduce(0) { $0 + $1.statistics(.elementsRehomed) } == 1_000 })
        #expect(mesh.world.now - died < .seconds(1), "\(mesh.world.now - died)")
        try mesh.world.run(for: .seconds(1))
        #expect(mesh.agrees)
        #expect(mesh.living[0].size.elements == 1_000)
        #expect(mesh.living.reduce(0) { $0 + $1.statistics(.takeoversCompleted) } == 1)
    }

    @Test(
        "One is told to end: its associations end in good order, and its elements have a new home within a second",
        arguments: [WorldOptions.SCTPStack.userland, .kernel])
    func orderlyEnd(stack: WorldOptions.SCTPStack) throws {
        var options = WorldOptions()
        options.sctpStack = stack
        let mesh = try Mesh(options: options, Self.lan)
        try mesh.world.run(for: .seconds(3))
        let elements = try (0..<6).map { try mesh.element("element-\($0)", preferring: $0 % 3) }
        try mesh.world.run(for: .seconds(2))
        #expect(mesh.agrees, "\(mesh.state)")
        let leaving = mesh.registrars[1].node
        var ends: [LinkDownReason] = []
        mesh.world.observer = { event in
            if case .down(_, let reason) = event.kind, event.node == "registrar-1" { ends.append(reason) }
        }
        leaving.cancel()
        try mesh.world.run(for: .seconds(1))
        #expect(ends.first == .shutdown, "\(ends)")
        #expect(leaving.liveRoots == 0)
        #expect(!mesh.registrars[0].homes.values.contains(0x2222_2222), "\(mesh.state)")
        #expect(mesh.registrars[0].homes == mesh.registrars[2].homes)
        #expect(mesh.registrars[0].size.elements == 6)
        try mesh.world.crash(leaving)
        try mesh.world.run(for: .seconds(10))
        #expect(mesh.agrees, "\(mesh.state)")
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
    }

    private static func lan(_ configuration: inout RegistrarConfiguration) {
        configuration.timers = .lan
        configuration.enrpTimers = .lan
        configuration.fastFailureDetection = true
    }

    @Test(
        "Whatever happens to four registrars, when it is over they agree, and nobody is lost [ENRP-160, ENRP-161]",
        arguments: 0..<4 as Range<UInt64>, [false, true])
    func storm(seed: UInt64, isFast: Bool) throws {
        var options = WorldOptions()
        options.sctpStack = seed % 2 == 0 ? .userland : .kernel
        let mesh = try Mesh(
            seed: seed, options: options, ids: [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444]
        ) { if isFast { Self.lan(&$0) } }
        try mesh.world.run(for: .seconds(6))
        var elements = try (0..<8).map { try mesh.element("element-\($0)", preferring: $0 % 4) }
        try mesh.world.run(for: .seconds(2))
        func draw(_ limit: UInt64) -> Int { Int(mesh.world.generator.below(limit)) }
        for round in 1...12 {
            // Elements leave and come meanwhile, in order or by death.
            let leaving = elements.remove(at: draw(8))
            if draw(2) == 0 { leaving.deregister() } else { try mesh.world.crash(leaving.node) }
            elements.append(try mesh.element("element-\(7 + round)", preferring: draw(4)))
            let number = draw(4)
            let node = mesh.registrars[number].node
            let other = mesh.registrars[(number + 1 + draw(3)) % 4].node
            switch draw(6) {
            case 0 where node.isAlive: try mesh.world.crash(node, draw(2) == 0 ? .process : .machine)
            case 1 where !node.isAlive: try mesh.restart(number)
            case 2 where node.isAlive && !node.isFrozen: mesh.world.freeze(node)
            case 3 where node.isFrozen: mesh.world.thaw(node)
            case 4: mesh.world.partition(node, other)
            default: mesh.world.heal(node, other)
            }
            try mesh.world.run(for: .milliseconds(draw(isFast ? 2_000 : 90_000)))
        }
        mesh.world.healAll()
        for number in 0..<4 {
            if mesh.registrars[number].node.isFrozen { mesh.world.thaw(mesh.registrars[number].node) }
            if !mesh.registrars[number].node.isAlive { try mesh.restart(number) }
        }
        try mesh.world.run(for: .seconds(700))
        #expect(mesh.agrees, "\(mesh.state)")
        #expect(mesh.registrars[0].size.elements == 8, "\(mesh.state)")
        for element in elements {
            #expect(mesh.knowsItsHome(element), "\(element.id)\(mesh.state)\(element.events.all)")
        }
    }
}
