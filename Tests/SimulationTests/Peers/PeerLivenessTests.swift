// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Peers: met, heard, missed (RFC 5353 §3.4), with the RFC's times")
struct PeerLivenessTests {
    private let lab = PeerWorld()

    @Test("What is known of each peer can be seen [ENRP-085, ENRP-131]")
    func view() throws {
        let registrar = try self.lab.start()
        let first = try self.lab.fake(0x1111_1111)
        let second = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, first, second)
        try first.add("EchoPool", first.element(1))
        try self.lab.world.run(for: .seconds(10))
        let peers = registrar.peers
        #expect(peers.map(\.id.rawValue) == [first.id, second.id])
        #expect(peers.map(\.endpoint) == [first.endpoint, second.endpoint])
        #expect(peers.map(\.status) == [.active, .active])
        #expect(peers.map(\.isConnected) == [true, true])
        #expect(peers.map(\.elements) == [1, 0])
        #expect(peers.map(\.checksum) == [checksum(("EchoPool", 1)), 0xffff])
        for peer in peers { #expect((.seconds(9) ... .milliseconds(10_100)).contains(peer.silence)) }
    }

    @Test(
        """
        Whoever says anything is a new peer, asked for its endpoint over the same association, and listed once it has \
        told it; what it said counts [ENRP-086, ENRP-087]
        """
    )
    func newPeer() throws {
        let registrar = try self.lab.start()
        let other = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, other)
        let newcomer = try self.lab.fake(0x9999_9999)
        newcomer.behave { $0.answersPresence = false }
        let link = try self.lab.world.connect(newcomer.peer, to: registrar.node, port: 9901)
        try newcomer.add("EchoPool", newcomer.element(1))
        try self.lab.pass()
        let asked = try #require(newcomer.heard(.presence).first)
        #expect(asked.flags == 1)
        #expect(asked.link == link)
        #expect(registrar.peer(newcomer.id)?.status == .provisional)
        #expect(registrar.home(1) == newcomer.id)
        try other.say(.listRequest)
        try self.lab.pass()
        #expect(other.heard(.listResponse).last?.bytes.count == 12)
        try newcomer.sayPresence()
        try self.lab.pass()
        try other.say(.listRequest)
        try self.lab.pass()
        #expect(registrar.peer(newcomer.id)?.status == .active)
        #expect(other.heard(.listResponse).last?.bytes.count == 36)
    }

    @Test("A PRESENCE without checksum and without information is accepted [ENRP-008]")
    func barePresence() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        try self.lab.world.connect(peer.peer, to: registrar.node, port: 9901)
        try peer.say(.presence)
        try self.lab.pass()
        #expect(registrar.activePeers == [peer.id], "it was asked, and answered")
        #expect(peer.heard(.handleTableRequest).isEmpty)
    }

    @Test(
        "R = 1 is answered with our endpoint and R = 0, and that is the end of it [ENRP-088, ENRP-089, ENRP-132]")
    func reply() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, peer)
        let begin = self.lab.world.now
        try peer.sayPresence(replyRequired: true)
        try self.lab.world.run(for: .seconds(20))
        let presences = peer.heard(.presence, since: begin).map(\.bytes)
        #expect(presences.count == 1)
        guard let reply = presences.first, case .presence(false, 0xffff?, let information?)? = decodedENRP(reply)?.body
        else {
            Issue.record("\(presences.map(\.hex))")
            return
        }
        #expect(information.id.rawValue == PeerWorld.id)
        #expect(information.transport == SCTPTransport(port: 9901, addresses: registrar.node.addresses))
        // Octet by octet, without the product's help [ENRP-009]: checksum of nothing, and where it is.
        let receiver = number(reply, at: 8)
        #expect([0, peer.id].contains(receiver))
        #expect(
            reply
                == enrp(
                    .presence, from: PeerWorld.id, to: receiver, checksumTLV(0xffff),
                    serverTLV(PeerWorld.id, registrar.node.addresses[0])))
    }

    @Test(
        """
        A PRESENCE with R = 0 and the checksum to everybody each 30 s, up to an eighth earlier [ENRP-006, ENRP-090, \
        ENRP-097, ENRP-132]
        """
    )
    func heartbeats() throws {
        let registrar = try self.lab.start()
        let peers = [try self.lab.fake(0x1111_1111), try self.lab.fake(0x2222_2222)]
        try self.lab.meet(registrar, peers[0], peers[1])
        try self.lab.world.run(for: .seconds(60))
        let begin = self.lab.world.now
        try self.lab.world.run(for: .seconds(30 * 200))
        for peer in peers {
            let beats = peer.heard(.presence, since: begin).filter { $0.flags == 0 }
            #expect(beats.count { number($0.bytes, at: 8) == 0 } == beats.count)
            #expect(beats.count { checksum(in: $0.bytes) == 0xffff } == beats.count)
            let gaps = zip(beats, beats.dropFirst()).map { ($1.time - $0.time) / .seconds(1) }
            #expect(gaps.count > 190)
            // A millisecond or two is the way there.
            #expect(gaps.count { (26.24...30.01).contains($0) } == gaps.count, "\(gaps)")
            let mean = gaps.reduce(0, +) / Double(gaps.count)
            #expect((0.98 * 28.125...1.02 * 28.125).contains(mean), "mean \(mean) s")
        }
    }

    @Test("Any message is a sign of life: who sends only LIST_REQUESTs is neither asked nor dead [ENRP-091]")
    func anyMessageCounts() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, peer)
        peer.behave { $0.answersPresence = false }
        for _ in 1...10 {
            try self.lab.world.run(for: .milliseconds(30_500))
            try peer.say(.listRequest)
        }
        #expect(peer.heard(.presence, since: .seconds(1)).count { $0.flags == 1 } == 0)
        #expect(registrar.activePeers == [peer.id])
    }

    @Test(
        """
        Silent for 61 s: asked, not before; silent for 5 s more: dead, and its takeover begins [ENRP-092, ENRP-093, \
        ENRP-094, ENRP-096]
        """
    )
    func silence() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, peer)
        peer.fallSilent()
        let said = self.lab.world.now
        try peer.sayPresence()
        try self.lab.world.run(for: .seconds(70))
        let probes = peer.heard(.presence, since: said).filter { $0.flags == 1 }.map { $0.time - said }
        // The second is the greeting of one that was taken over while its association stands.
        #expect(probes.count == 2)
        #expect(probes.first.map { (.seconds(61) ... .milliseconds(61_010)).contains($0) } == true, "\(probes)")
        #expect(probes.last.map { (.seconds(66) ... .milliseconds(66_020)).contains($0) } == true, "\(probes)")
        let begun = witness.heard(.initTakeover).map { $0.time - said }
        #expect(begun.count == 1)
        #expect(begun.first.map { (.seconds(66) ... .milliseconds(66_010)).contains($0) } == true, "\(begun)")
        #expect(registrar.statistics(.peersDied) == 1)
    }

    @Test("An answer after 0.8 times MAX-TIME-NO-RESPONSE clears it [ENRP-095]")
    func lateAnswer() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, peer)
        peer.fallSilent()
        try self.lab.world.run(for: .seconds(65))
        #expect(peer.heard(.presence).last?.flags == 1)
        try peer.sayPresence()
        try self.lab.world.run(for: .seconds(60))
        #expect(witness.heard(.initTakeover).isEmpty)
        #expect(registrar.activePeers == [peer.id, witness.id])
    }

    @Test("The times are settings [ENRP-096, ENRP-158]")
    func configuredTimes() throws {
        let registrar = try self.lab.start {
            $0.enrpTimers.peerHeartbeatCycle = .seconds(2)
            $0.enrpTimers.maxTimeLastHeard = .seconds(5)
            $0.enrpTimers.maxTimeNoResponse = .seconds(1)
            #expect($0.enrpTimers.maxTimeLastHeard == .seconds(5))
        }
        let peer = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, peer)
        peer.fallSilent()
        let said = self.lab.world.now
        try peer.sayPresence()
        try self.lab.world.run(for: .seconds(7))
        #expect((3...4).contains(witness.heard(.presence, since: said).count { $0.flags == 0 }))
        let begun = witness.heard(.initTakeover).map { $0.time - said }
        #expect(begun.first.map { (.seconds(6) ... .milliseconds(6_010)).contains($0) } == true, "\(begun)")
    }

    @Test("Its process is killed and its port refuses: dead at once [ENRP-093]")
    func refused() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = PeerWorld(options: options)
        let registrar = try lab.start()
        let peer = try lab.fake(0x1111_1111)
        let witness = try lab.fake(0x2222_2222)
        try lab.meet(registrar, witness, peer)
        try lab.world.crash(peer.peer.node)
        try lab.world.run(for: .milliseconds(100))
        #expect(witness.heard(.initTakeover).count == 1, "\(lab.transcript)")
    }

    @Test("An association that ends is no death: it is asked over a new one [ENRP-093]")
    func associationEnds() throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, peer)
        let begin = self.lab.world.now
        peer.peer.abort()
        try self.lab.world.run(for: .seconds(30))
        #expect(peer.peer.linkCount == 2)
        #expect(peer.heard(.presence, since: begin).first?.flags == 1)
        #expect(witness.heard(.initTakeover).isEmpty)
        #expect(registrar.activePeers == [peer.id, witness.id])
    }

    @Test(
        "New server information counts from then on; that of another ID does not, and is logged [ENRP-098]",
        arguments: [true, false])
    func newAddresses(isForeign: Bool) throws {
        let registrar = try self.lab.start()
        let peer = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, peer)
        let elsewhere = try self.lab.fake(0x1111_1111, "elsewhere")
        try peer.say(
            .presence, checksumTLV(0xffff),
            isForeign ? serverTLV(0x7777_7777, elsewhere.address) : elsewhere.information)
        try self.lab.pass()
        #expect(registrar.peer(peer.id)?.endpoint == (isForeign ? peer : elsewhere).endpoint)
        try self.lab.world.crash(peer.peer.node, .machine)
        try self.lab.world.run(for: .seconds(30))
        #expect(elsewhere.peer.linkCount == (isForeign ? 0 : 1), "\(self.lab.transcript)")
        #expect(registrar.peer(0x7777_7777) == nil)
        #expect(
            self.lab.log.all.contains { $0.hasPrefix("info: server information of another registrar ignored") }
                == isForeign)
    }

    @Test(
        "A peer that was taken over and lives is greeted on the association that stands: new again [ENRP-087, ENRP-129]"
    )
    func returnsOnOldAssociation() throws {
        let peer = try self.lab.fake(0x1111_1111)
        let winner = try self.lab.fake(0x2222_2222)
        let registrar = try self.lab.start(peers: [peer.endpoint])
        try self.lab.world.run(for: .seconds(1))
        try self.lab.meet(registrar, winner)
        let begin = self.lab.world.now
        peer.fallSilent()
        try winner.say(.takeoverServer, octets(peer.id))
        try self.lab.pass()
        #expect(registrar.activePeers == [winner.id])
        #expect(peer.heard(.presence, since: begin).map(\.flags) == [1])
        try peer.sayPresence()
        try self.lab.pass()
        #expect(peer.heard(.presence, since: begin).map(\.flags) == [1], "it was asked already")
        #expect(registrar.activePeers == [peer.id, winner.id])
    }

    @Test("Who we greet is not asked twice [ENRP-087, ENRP-089]")
    func greetedOnce() throws {
        let peer = try self.lab.fake(0x1111_1111)
        let registrar = try self.lab.start(peers: [peer.endpoint])
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.activePeers == [peer.id])
        // One greeting; and one more when it begins to serve, for the checksums.
        #expect(peer.heard(.presence).map(\.flags) == [1, 1])
    }

    @Test("Too many peers: a further one is turned away")
    func tooManyPeers() throws {
        let registrar = try self.lab.start { $0.limits.maxPeers = 2 }
        let peers = try (1...3).map { try self.lab.fake(0x1111_1111 * UInt32($0)) }
        for peer in peers { try self.lab.meet(registrar, peer) }
        #expect(registrar.activePeers == [peers[0].id, peers[1].id])
        #expect(peers[2].peer.openLinks.isEmpty)
        #expect(registrar.statistics(.peersRefused) == 1)
    }
}
