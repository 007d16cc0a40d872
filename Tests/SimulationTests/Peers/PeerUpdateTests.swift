// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("What registrars tell each other of elements (RFC 5353 §3.3)")
struct PeerUpdateTests {
    private let lab: PeerWorld
    private let registrar: TestRegistrar
    private let first: FakePeer
    private let second: FakePeer
    private let element: ScriptedPeer

    init() throws {
        self.lab = PeerWorld()
        self.registrar = try self.lab.start { $0.fastFailureDetection = true }
        self.first = try self.lab.fake(0x1111_1111)
        self.second = try self.lab.fake(0x2222_2222)
        try self.lab.meet(self.registrar, self.first, self.second)
        self.element = try self.lab.element(self.registrar, "element")
    }

    /// HANDLE_UPDATEs at a peer.
    private func updates(_ peer: FakePeer) -> [[UInt8]] { peer.heard(.handleUpdate).map(\.bytes) }

    /// The update for an element that registered from `peer` with the registrar under test.
    private func update(
        _ peer: ScriptedPeer, _ id: UInt32, isRemoval: Bool = false, life: UInt32 = 300,
        policy: [UInt8] = roundRobinTLV
    ) -> [UInt8] {
        enrp(
            .handleUpdate, from: PeerWorld.id, octets(isRemoval ? 0x0001_0000 : 0 as UInt32), handleTLV("EchoPool"),
            ownedTLV(id, home: PeerWorld.id, life: life, at: peer.address, asap: peer.number, policy: policy))
    }

    // MARK: Own elements

    @Test(
        """
        A registration is announced once to each peer, receiver 0, with all of the element: home, attributes, and where \
        it registered from; a renewal too [ENRP-006, ENRP-014, ENRP-028, ENRP-066, ENRP-068, ENRP-084, ENRP-163]
        """
    )
    func addition() throws {
        let third = try self.lab.fake(0x3333_3333)
        try self.lab.meet(self.registrar, third)
        try self.lab.register(self.element, 1, policy: leastUsedTLV(5))
        let expected = self.update(self.element, 1, policy: leastUsedTLV(5))
        for peer in [self.first, self.second, third] { #expect(self.updates(peer) == [expected]) }
        try self.lab.register(self.element, 1, policy: leastUsedTLV(9))
        let renewed = self.update(self.element, 1, policy: leastUsedTLV(9))
        for peer in [self.first, self.second, third] { #expect(self.updates(peer) == [expected, renewed]) }
    }

    @Test("It was registered from wherever its association has addresses, not only where its users find it [ENRP-163]")
    func asapTransport() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = PeerWorld(options: options)
        let registrar = try lab.start()
        let peer = try lab.fake(0x1111_1111)
        try lab.meet(registrar, peer)
        let addresses = [IPAddress.ipv4(0x0a09_0001), .ipv4(0x0a09_0002)]
        let element = try lab.element(registrar, "wide", addresses: addresses)
        try lab.register(element, 1)
        func transport() throws -> SCTPTransport {
            let last = try #require(peer.heard(.handleUpdate).last)
            guard case .handleUpdate(_, _, let member, _)? = decodedENRP(last.bytes)?.body else {
                throw Unexpected(last.bytes.hex)
            }
            #expect(member.transport.addresses.count == 1)
            return try #require(member.asapTransport)
        }
        #expect(try Set(transport().addresses) == Set(addresses))
        #expect(try transport().port == element.number)
        let elsewhere = try lab.element(registrar, "elsewhere")
        _ = elsewhere.newlyHeard()
        element.abort()
        try elsewhere.send(Say.register("EchoPool", elementTLV(1, sctpTLV(elsewhere.address), roundRobinTLV)))
        try lab.pass()
        #expect(elsewhere.newlyHeard().map(\.bytes) == [Say.registered("EchoPool", 1)])
        #expect(try transport() == SCTPTransport(port: elsewhere.number, addresses: [elsewhere.address]))
    }

    @Test("A rejected registration, and a rejected deregistration, are announced to nobody [ENRP-072, ENRP-078]")
    func rejections() throws {
        try self.lab.register(self.element, 1)
        let stranger = try self.lab.element(self.registrar, "stranger")
        try self.element.send(Say.register("EchoPool", elementTLV(2, sctpTLV(self.element.address), randomTLV)))
        try stranger.send(Say.deregister("EchoPool", 1))
        try self.lab.pass()
        #expect(self.element.allHeard.last?.flags == 1)
        #expect(stranger.heard(.deregistrationResponse).count == 1)
        #expect(self.updates(self.first).count == 1)
        #expect(try self.lab.ids(stranger) == [1])
    }

    enum Leaving: CaseIterable {
        case deregistered, expired, killed, reported
    }

    @Test(
        "Whatever made it leave, it is announced once to each peer, receiver 0 [ENRP-006, ENRP-074, ENRP-075, ENRP-166]",
        arguments: Leaving.allCases)
    func removal(how: Leaving) throws {
        try self.lab.register(self.element, 1, life: 10)
        switch how {
        case .deregistered: try self.element.send(Say.deregister("EchoPool", 1))
        case .expired: try self.lab.world.run(for: .seconds(10))
        case .killed: try self.lab.world.crash(self.element.node, .machine)
        case .reported:
            self.element.follow(nil)
            let user = try self.lab.element(self.registrar, "user")
            try user.send(Say.unreachable("EchoPool", 1))
        }
        try self.lab.world.run(for: .seconds(8))
        for peer in [self.first, self.second] {
            #expect(
                self.updates(peer) == [
                    self.update(self.element, 1, life: 10), self.update(self.element, 1, isRemoval: true, life: 10),
                ])
        }
    }

    // MARK: Others' elements

    @Test(
        """
        An addition makes the pool, joins it, or replaces all that is known of the element, its home too \
        [ENRP-069, ENRP-070, ENRP-071]
        """
    )
    func foreignAddition() throws {
        try self.first.add("EchoPool", self.first.element(1, policy: leastUsedTLV(1)))
        try self.lab.pass()
        let single = try self.lab.resolve(self.element)
        #expect(single?.policy?.type.rawValue == 0x4000_0001)
        #expect(single?.members.map(\.id.rawValue) == [1])
        try self.first.add("EchoPool", self.first.element(2, policy: leastUsedTLV(2)))
        try self.lab.pass()
        #expect(try self.lab.ids(self.element) == [1, 2])
        try self.second.add(
            "EchoPool",
            ownedTLV(1, home: self.second.id, life: 77, at: self.second.address, port: 9, policy: leastUsedTLV(3)))
        try self.lab.pass()
        let member = try #require(try self.lab.resolve(self.element)?.members.first)
        #expect(member.home.rawValue == self.second.id)
        #expect(member.life == .seconds(77))
        #expect(member.policy == .leastUsed(load: Load(rawValue: 3)))
        #expect(member.transport == .sctp(SCTPTransport(port: 9, addresses: [self.second.address])))
        #expect(self.registrar.member(1)?.asapTransport?.addresses == [self.second.address])
    }

    @Test(
        "A removal takes the element, with the last one the pool; for an unknown one nothing happens [ENRP-076, ENRP-077]"
    )
    func foreignRemoval() throws {
        try self.first.add("EchoPool", self.first.element(1))
        try self.first.add("EchoPool", self.first.element(2))
        try self.first.delete("EchoPool", self.first.element(1))
        try self.lab.pass()
        #expect(try self.lab.ids(self.element) == [2])
        try self.first.delete("EchoPool", self.first.element(2))
        try self.lab.pass()
        try self.element.send(Say.resolve("EchoPool"))
        try self.lab.pass()
        #expect(self.element.allHeard.last?.bytes == Say.unknown("EchoPool"))
        try self.first.delete("EchoPool", self.first.element(2))
        try self.first.delete("Nowhere", self.first.element(2))
        try self.lab.pass()
        #expect(self.registrar.size == (0, 0))
        #expect(self.first.heard(.error).isEmpty)
    }

    @Test("What one peer tells is never told to another [ENRP-079]")
    func noForwarding() throws {
        try self.first.add("EchoPool", self.first.element(1))
        try self.first.delete("EchoPool", self.first.element(1))
        try self.lab.world.run(for: .seconds(5))
        #expect(self.updates(self.second).isEmpty)
    }

    @Test("A peer cannot tell of our own elements: it gets our view instead [ENRP-080]")
    func foreignClaim() throws {
        try self.lab.register(self.element, 1)
        try self.first.add("EchoPool", ownedTLV(1, home: PeerWorld.id, at: self.first.address, port: 99))
        try self.lab.pass()
        #expect(try self.lab.resolve(self.element)?.members.first?.transport.addresses == [self.element.address])
        #expect(self.updates(self.first).last == self.update(self.element, 1))
        #expect(self.updates(self.first).count == 2)
        try self.first.add("EchoPool", ownedTLV(2, home: PeerWorld.id, at: self.first.address))
        try self.first.add("EchoPool", ownedTLV(3, home: self.second.id, at: self.first.address))
        try self.first.delete("EchoPool", ownedTLV(1, home: PeerWorld.id, at: self.element.address))
        try self.lab.pass()
        #expect(try self.lab.ids(self.element) == [1])
        #expect(self.registrar.statistics(.updatesRefused) == 4)
    }

    @Test("Reports against a peer's element: nobody is told that it is gone [ENRP-081]")
    func foreignReports() throws {
        try self.first.add("EchoPool", self.first.element(1))
        for number in 1...5 {
            let user = try self.lab.element(self.registrar, "user-\(number)")
            try user.send(Say.unreachable("EchoPool", 1))
        }
        try self.lab.world.run(for: .seconds(10))
        #expect(self.updates(self.first).isEmpty)
        #expect(self.updates(self.second).isEmpty)
    }

    @Test("A peer's entry for which there is no room is refused, and the log names the limit")
    func noRoom() throws {
        let lab = PeerWorld()
        let registrar = try lab.start { $0.limits.maxElements = 1 }
        let peer = try lab.fake(0x1111_1111)
        try lab.meet(registrar, peer)
        for id in 1...3 as ClosedRange<UInt32> { try peer.add("EchoPool", peer.element(id)) }
        try lab.pass()
        #expect(registrar.size == (1, 1))
        #expect(registrar.statistics(.updatesRefused) == 2)
        #expect(
            lab.log.all.count {
                $0.hasPrefix("warning: no room for element 0x00000002 of pool EchoPool: max-elements is the limit")
            } == 1)
        #expect(lab.log.all.count { $0.contains("max-elements is the limit") } == 1)
    }

    @Test("A peer's entry with a policy above the pool's is refused [ENRP-082]")
    func conflictRefused() throws {
        try self.lab.register(self.element, 1)
        try self.first.add("EchoPool", self.first.element(2, policy: randomTLV))
        try self.lab.pass()
        let pool = try self.lab.resolve(self.element)
        #expect(pool?.policy?.type.rawValue == 1)
        #expect(pool?.members.map(\.id.rawValue) == [1])
        #expect(self.registrar.statistics(.updatesRefused) == 1)
    }

    @Test("One with a policy below it makes the members here leave; they and the peers are told [ENRP-082]")
    func conflictGivesWay() throws {
        try self.lab.register(self.element, 1, policy: randomTLV)
        try self.first.add("EchoPool", self.first.element(2))
        try self.lab.pass()
        #expect(self.element.allHeard.last?.bytes == message(0x04, handleTLV("EchoPool"), idTLV(1), errorTLV((5, []))))
        #expect(self.updates(self.second).last == self.update(self.element, 1, isRemoval: true, policy: randomTLV))
        let pool = try self.lab.resolve(self.element)
        #expect(pool?.policy?.type.rawValue == 1)
        #expect(pool?.members.map(\.id.rawValue) == [2])
        try self.lab.register(self.element, 1)
        #expect(try self.lab.ids(self.element) == [1, 2])
    }

    @Test("The only element of a pool may change its policy [ENRP-082]")
    func soleMember() throws {
        try self.first.add("EchoPool", self.first.element(1))
        try self.first.add("EchoPool", self.first.element(1, policy: randomTLV))
        try self.lab.pass()
        #expect(try self.lab.resolve(self.element)?.policy?.type.rawValue == 3)
    }

    @Test("Copies of a peer's elements go when their life has passed, and a grace time [ENRP-083]")
    func copiesExpire() throws {
        self.first.behave { $0.checksum = checksum(("EchoPool", 2)) }
        try self.first.add("EchoPool", self.first.element(1, life: 5))
        try self.first.add("EchoPool", self.first.element(2, life: .max))
        let begin = self.lab.world.now
        try self.lab.world.run(for: .seconds(6))
        #expect(try self.lab.ids(self.element) == [1, 2])
        try self.lab.world.run(until: begin + .milliseconds(34_900))
        #expect(try self.lab.ids(self.element) == [1, 2])
        try self.lab.world.run(until: begin + .seconds(36))
        #expect(try self.lab.ids(self.element) == [2])
        #expect(self.updates(self.second).isEmpty)
        try self.lab.world.run(until: .seconds(4_000))
        #expect(try self.lab.ids(self.element) == [2], "an infinite life [ENRP-023]")
    }

    // MARK: From one home to another

    @Test("An element of a peer's that registers here is ours, and everybody hears it [ENRP-073]")
    func movesHere() throws {
        try self.first.add(
            "EchoPool", ownedTLV(1, home: self.first.id, at: self.element.address, asap: self.element.number))
        try self.lab.pass()
        #expect(self.registrar.home(1) == self.first.id)
        try self.lab.register(self.element, 1)
        #expect(self.registrar.home(1) == PeerWorld.id)
        for peer in [self.first, self.second] { #expect(self.updates(peer) == [self.update(self.element, 1)]) }
        try self.first.sayPresence(replyRequired: true)
        try self.lab.pass()
        #expect(self.first.heard(.presence).last.flatMap { checksum(in: $0.bytes) } == checksum(("EchoPool", 1)))
    }

    @Test(
        """
        An element of ours that registers with a peer is given up: our checksum, keep-alives and removals do not know it \
        any more [ENRP-164]
        """
    )
    func movesAway() throws {
        let lab = PeerWorld()
        let registrar = try lab.start { $0.timers.keepAliveInterval = .seconds(10) }
        let other = try lab.fake(0x1111_1111)
        try lab.meet(registrar, other)
        let element = try lab.element(registrar, "element")
        try lab.register(element, 1, life: 60)
        try lab.world.run(for: .seconds(30))
        #expect(!element.heard(.endpointKeepAlive).isEmpty)
        other.behave { $0.checksum = checksum(("EchoPool", 1)) }
        try other.add("EchoPool", ownedTLV(1, home: other.id, life: 600, at: element.address, asap: element.number))
        try other.sayPresence(replyRequired: true)
        try lab.pass()
        #expect(other.heard(.presence).last.flatMap { checksum(in: $0.bytes) } == 0xffff)
        let asked = element.heard(.endpointKeepAlive).count
        try lab.world.run(for: .seconds(100))
        element.abort()
        try lab.world.run(for: .seconds(100))
        #expect(element.heard(.endpointKeepAlive).count == asked)
        #expect(other.heard(.handleUpdate).count == 1)
        #expect(registrar.home(1) == other.id)
    }
}

@Suite("Updates that cross a registration (RFC 5353 §3.3)")
struct CrossingUpdateTests {
    @Test(
        """
        A late ADD_PE and DEL_PE of its former home remove an element that is linked to us: it is told, and registers \
        again [ENRP-076, ENRP-164]
        """
    )
    func lateUpdates() throws {
        let lab = PeerWorld()
        let registrar = try lab.start()
        let peer = try lab.fake(0x1111_1111)
        try lab.meet(registrar, peer)
        let element = try lab.element(registrar, "element")
        try lab.register(element, 1)
        try peer.add("EchoPool", peer.element(1))
        try lab.pass()
        #expect(registrar.home(1) == peer.id)
        try peer.add("EchoPool", peer.element(1))
        try peer.delete("EchoPool", peer.element(1))
        try lab.pass()
        #expect(registrar.home(1) == nil)
        #expect(element.heard(.deregistrationResponse).count == 1)
        #expect(registrar.statistics(.elementsToldGone) == 1)
        try lab.register(element, 1)
        #expect(registrar.home(1) == PeerWorld.id)
        try lab.world.shutDown()
    }
}
