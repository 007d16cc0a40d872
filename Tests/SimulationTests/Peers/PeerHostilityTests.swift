// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Peers that mean harm, or make no sense")
struct PeerHostilityTests {
    private let lab = PeerWorld()

    private func world(
        _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws -> (TestRegistrar, FakePeer, FakePeer, ScriptedPeer) {
        let registrar = try self.lab.start {
            $0.fastFailureDetection = true
            adjust(&$0)
        }
        let (first, second) = (try self.lab.fake(0x1111_1111), try self.lab.fake(0x2222_2222))
        try self.lab.meet(registrar, first, second)
        return (registrar, first, second, try self.lab.element(registrar, "element"))
    }

    private func updates(_ peer: FakePeer) -> [[UInt8]] { peer.heard(.handleUpdate).map(\.bytes) }

    // MARK: Elements

    @Test(
        "An update that takes an element of ours into a pool of another shape is refused: it stays ours, and is watched [ENRP-082, ENRP-164]"
    )
    func refusedMove() throws {
        let (registrar, first, second, element) = try self.world()
        let other = try self.lab.element(registrar, "other")
        try self.lab.register(element, 1)
        try self.lab.register(other, 2)
        try first.add("EchoPool", first.element(1, policy: randomTLV))
        try self.lab.pass()
        #expect(registrar.home(1) == PeerWorld.id)
        #expect(try self.lab.ids(other) == [1, 2])
        let before = self.updates(second).count
        try self.lab.world.crash(element.node, .machine)
        try self.lab.world.run(for: .seconds(8))
        #expect(try self.lab.ids(other) == [2])
        let removal = enrp(
            .handleUpdate, from: PeerWorld.id, octets(0x0001_0000 as UInt32), handleTLV("EchoPool"),
            ownedTLV(1, home: PeerWorld.id, at: element.address, asap: element.number))
        #expect(Array(self.updates(second).dropFirst(before)) == [removal])
    }

    @Test(
        "One that moves with its pool to a shape that goes first is the other's, and we do not announce its removal [ENRP-164]"
    )
    func movedShape() throws {
        let (registrar, first, second, element) = try self.world()
        let other = try self.lab.element(registrar, "other")
        try self.lab.register(element, 1, policy: randomTLV)
        try self.lab.register(other, 2, policy: randomTLV)
        let before = self.updates(second).count
        try first.add("EchoPool", first.element(1))
        try self.lab.pass()
        #expect(registrar.home(1) == first.id)
        #expect(try self.lab.ids(other) == [1])
        #expect(Array(self.updates(second).dropFirst(before)).count { number($0, at: 12) == 0x0001_0000 } == 1, "of 2")
        #expect(registrar.statistics(.membersExpelled) == 1)
    }

    @Test("An entry that does not say how to reach the element is refused, in updates and in tables [ENRP-084]")
    func unreachable() throws {
        let (registrar, first, second, element) = try self.world()
        let mute = elementTLV(1, home: first.id, sctpTLV(first.address), roundRobinTLV)
        try first.add("EchoPool", mute)
        try self.lab.pass()
        #expect(registrar.size == (0, 0))
        first.behave {
            $0.checksum = 0x1234
            $0.ownTables = [handleTLV("EchoPool") + mute + first.element(2)]
        }
        try first.sayPresence()
        try self.lab.pass()
        #expect(try self.lab.ids(element) == [2])
        try second.say(.handleTableRequest)
        try self.lab.pass()
        #expect(elements(second.heard(.handleTableResponse)).allSatisfy { $0.member.asapTransport != nil })
        #expect(elements(second.heard(.handleTableResponse)).count == 1)
        #expect(registrar.statistics(.updatesRefused) == 2)
    }

    @Test("An element with a transport of unheard-of length is refused, and nothing is lost of what was known")
    func enormous() throws {
        let (registrar, first, _, element) = try self.world()
        try first.add("EchoPool", first.element(1))
        let addresses = (0..<5_200).flatMap { addressTLV(.ipv4(0x0b00_0000 + $0)) }
        let transport = tlv(0x0004, octets(7 as UInt16) + octets(0 as UInt16) + addresses)
        try first.add(
            "EchoPool", elementTLV(1, home: first.id, sctpTLV(first.address), randomTLV, transport))
        try self.lab.pass()
        #expect(registrar.member(1)?.policy == .roundRobin)
        #expect(try self.lab.ids(element) == [1])
    }

    @Test("Elements of a stranger that goes do not stay for ever: they are asked who is their home [ENRP-083]")
    func orphans() throws {
        let (registrar, first, second, element) = try self.world()
        let stranger = try self.lab.fake(0x7777_7777)
        try self.lab.world.connect(stranger.peer, to: registrar.node, port: ENRPMessage.port)
        stranger.behave { $0.answersPresence = false }
        try stranger.add("EchoPool", stranger.element(1, life: .max))
        try stranger.add(
            "EchoPool", ownedTLV(2, home: stranger.id, life: .max, at: element.address, asap: element.number))
        try self.lab.pass()
        #expect(try self.lab.ids(element) == [1, 2])
        try self.lab.world.crash(stranger.peer.node)
        try self.lab.world.run(for: .seconds(60))
        #expect(try self.lab.ids(element) == [1, 2])
        let before = (first.heard(.listRequest).count, second.heard(.listRequest).count)
        // One of the peers knows it at first: then it is not ours to judge.
        first.behave { $0.servers = [serverTLV(stranger.id, stranger.address)] }
        try self.lab.world.run(for: .seconds(60))
        #expect((first.heard(.listRequest).count, second.heard(.listRequest).count) == (before.0 + 1, before.1 + 1))
        #expect(registrar.statistics(.takeoversInitiated) == 0)
        first.behave { $0.servers = [] }
        try self.lab.world.run(for: .seconds(100))
        #expect(registrar.statistics(.takeoversCompleted) == 1)
        #expect(try self.lab.ids(element) == [2], "the one that answers is ours")
        #expect(registrar.home(2) == PeerWorld.id)
        #expect(registrar.figures.absentOwners == 0)
    }

    // MARK: Associations

    @Test("One association is one registrar: a message of another ID over it is ignored, and leaves nothing behind")
    func manyNames() throws {
        let (registrar, first, _, element) = try self.world { $0.limits.maxPeers = 16 }
        for id in 1...300 as ClosedRange<UInt32> {
            try first.peer.send(enrp(.presence, from: id, checksumTLV(0xffff)))
            try first.peer.send(
                enrp(.handleUpdate, from: id, octets(0 as UInt32), handleTLV("P"), first.element(id)))
        }
        try self.lab.pass()
        #expect(registrar.peers.count == 2)
        #expect(registrar.statistics(.messagesIgnored) == 600)
        try self.lab.register(element, 1)
        #expect(self.updates(first).count == 1, "it is a peer still")
    }

    @Test("Who says nothing, or not where it can be reached, makes room in the end, and at once where room is needed")
    func strangers() throws {
        let (registrar, _, _, _) = try self.world { $0.limits.maxPeers = 4 }
        let mute = try self.lab.fake(0x5555_5555)
        try self.lab.world.connect(mute.peer, to: registrar.node, port: ENRPMessage.port)
        var provisional: [FakePeer] = []
        for number in 0..<3 as Range<UInt32> {
            let peer = try self.lab.fake(0x6666_0000 + number)
            peer.behave { $0.answersPresence = false }
            try self.lab.world.connect(peer.peer, to: registrar.node, port: ENRPMessage.port)
            try peer.say(.presence, checksumTLV(0xffff))
            try self.lab.pass()
            provisional.append(peer)
        }
        #expect(registrar.peers.count == 4)
        #expect(provisional.map(\.peer.openLinks.count) == [0, 1, 1])
        #expect(mute.peer.openLinks.count == 1)
        try self.lab.world.run(for: .seconds(100))
        #expect(mute.peer.openLinks.count == 0)
        #expect(provisional.map(\.peer.openLinks.count) == [0, 0, 0])
        #expect(registrar.peers.map(\.id.rawValue) == [0x1111_1111, 0x2222_2222])
    }

    @Test("A far end that comes only to go is not reached for at the speed of the network")
    func flapping() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, peer)
        let before = peer.peer.linkCount
        for _ in 0..<2_000 {
            try self.lab.world.run(for: .milliseconds(10))
            guard !peer.peer.openLinks.isEmpty else { continue }
            try peer.sayPresence()
            try self.lab.world.run(for: .milliseconds(5))
            peer.peer.abort()
        }
        #expect((10...40).contains(peer.peer.linkCount - before), "\(peer.peer.linkCount - before)")
    }

    // MARK: Procedures

    @Test("A list that nobody asked for is not believed")
    func unasked() throws {
        let (registrar, first, _, _) = try self.world()
        try self.lab.world.run(for: .seconds(1))
        let before = registrar.figures.bookEntries
        for block in 0..<20 as Range<UInt32> {
            let servers = (0..<1_000 as Range<UInt32>).map {
                serverTLV(0x4000_0000 + block * 1_000 + $0, .ipv4(0x0b00_0000 + block * 1_000 + $0))
            }
            try first.say(.listResponse, Array(servers.joined()))
        }
        try self.lab.pass()
        #expect(registrar.figures.bookEntries == before)
        #expect(registrar.statistics(.messagesIgnored) == 20)
    }

    @Test("Told again and again that it is taken over, it defends itself, and does no more than that")
    func takenOverAgainAndAgain() throws {
        let (registrar, first, _, element) = try self.world()
        try self.lab.register(element, 1)
        let begin = self.lab.world.now
        for _ in 1...1_000 { try first.say(.takeoverServer, octets(PeerWorld.id)) }
        try self.lab.world.run(for: .seconds(4))
        #expect(registrar.statistics(.takeoversSuffered) == 1_000)
        #expect(first.heard(.presence, since: begin).count <= 2)
        #expect(element.heard(.endpointKeepAlive).count == 1)
        #expect(registrar.home(1) == PeerWorld.id)
        #expect(self.lab.log.all.count { $0.contains("has taken over this registrar") } == 1)
    }

    @Test("A registrar that is starting takes nobody over, as it cannot be home of anything yet")
    func takeoverWhileStarting() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        let element = try self.lab.world.startPeer("element")
        let dying = try self.lab.fake(0x2222_2222)
        mentor.behave {
            $0.tables = [
                handleTLV("EchoPool") + ownedTLV(1, home: dying.id, at: element.address, asap: element.number), [],
            ]
            $0.partsLeft = 1
        }
        let registrar = try self.lab.start(peers: [mentor.endpoint]) {
            $0.enrpTimers.tableTimeout = .seconds(200)
            $0.enrpTimers.mentorSearchTime = .seconds(300)
        }
        try self.lab.meet(registrar, dying)
        dying.fallSilent()
        try self.lab.world.crash(dying.peer.node)
        try self.lab.world.run(for: .seconds(150))
        #expect(registrar.statistics(.takeoversInitiated) == 0)
        try mentor.say(.handleTableResponse)
        try self.lab.world.run(for: .seconds(100))
        #expect(registrar.statistics(.takeoversCompleted) == 1)
    }

    @Test("Who starts rejects requests even before it looks for a mentor, as its names are looked up [ENRP-046]")
    func notBeforeLearning() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave { $0.servers = nil }
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        let asker = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, asker)
        try asker.say(.listRequest)
        try asker.say(.handleTableRequest)
        try self.lab.pass()
        #expect(asker.heard(.listResponse).map(\.flags) == [1])
        #expect(asker.heard(.handleTableResponse).map(\.flags) == [1])
        #expect(!registrar.figures.isServing)
    }
}
