// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Taking over a dead registrar: the contest (RFC 5353 §3.5.1)")
struct PeerTakeoverContestTests {
    let lab: PeerWorld
    let registrar: TestRegistrar
    /// Who dies.
    let target: FakePeer
    let second: FakePeer
    let third: FakePeer
    let element: ScriptedPeer

    init() throws {
        self.lab = PeerWorld()
        self.registrar = try self.lab.start()
        self.target = try self.lab.fake(0x1111_1111)
        self.second = try self.lab.fake(0x2222_2222)
        self.third = try self.lab.fake(0x3333_3333)
        self.element = try self.lab.element(self.registrar, "element")
    }

    /// All are met, the target last, which owns element 1; then it falls silent, and is dead to the registrar.
    private func begin(with peers: FakePeer...) throws {
        for peer in peers { try self.lab.meet(self.registrar, peer) }
        try self.lab.meet(self.registrar, self.target)
        self.target.behave { $0.checksum = checksum(("EchoPool", 1)) }
        try self.target.add(
            "EchoPool",
            ownedTLV(1, home: self.target.id, life: 3_600, at: self.element.address, asap: self.element.number))
        self.target.fallSilent()
        try self.lab.world.run(atMost: .seconds(70), until: { !self.target.heard(.initTakeover).isEmpty })
        #expect(!self.target.heard(.initTakeover).isEmpty, "\(self.lab.transcript)")
        try self.lab.pass()
    }

    private func acknowledge(_ peer: FakePeer, _ target: UInt32? = nil) throws {
        try peer.say(.initTakeoverAck, to: PeerWorld.id, octets(target ?? self.target.id))
        try self.lab.pass()
    }

    private func mute(_ peers: FakePeer...) { for peer in peers { peer.behave { $0.acknowledges = false } } }

    private func taken(by peer: FakePeer) -> Int { peer.heard(.takeoverServer).count }

    @Test(
        "It begins with the announcement to all, the target too [ENRP-006, ENRP-018, ENRP-101, ENRP-102, ENRP-094]")
    func announcement() throws {
        self.mute(self.second, self.third)
        try self.begin(with: self.second, self.third)
        for peer in [self.target, self.second, self.third] {
            #expect(peer.heard(.initTakeover).map(\.bytes) == [hex("07000010 cafe0001 00000000 11111111")])
        }
    }

    @Test(
        """
        It is won with the last acknowledgement, at once, and not before; second ones, those of strangers and for others \
        do not count [ENRP-103, ENRP-111, ENRP-116]
        """
    )
    func acknowledgements() throws {
        self.mute(self.second, self.third)
        let stranger = try self.lab.fake(0x7777_7777)
        try self.begin(with: self.second, self.third)
        try self.acknowledge(self.second)
        try self.acknowledge(self.second)
        try self.acknowledge(self.third, self.second.id)
        try self.lab.meet(self.registrar, stranger)
        try self.acknowledge(stranger)
        try self.lab.world.run(for: .seconds(9))
        #expect(self.taken(by: self.second) == 0)
        #expect(self.registrar.home(1) == self.target.id)
        let said = self.lab.world.now
        try self.acknowledge(self.third)
        let taken = self.third.heard(.takeoverServer)
        #expect(taken.map(\.bytes) == [hex("09000010 cafe0001 00000000 11111111")])
        #expect(taken.first.map { $0.time - said < .milliseconds(5) } == true)
        #expect(self.taken(by: self.second) == 1)
        #expect(self.registrar.home(1) == PeerWorld.id)
    }

    @Test("With nobody else there is nothing to wait for [ENRP-112]")
    func onlyTwo() throws {
        try self.begin()
        try self.lab.pass()
        #expect(self.registrar.home(1) == PeerWorld.id)
        #expect(self.taken(by: self.target) == 1)
    }

    enum Word: CaseIterable {
        case presence, update, list
    }

    @Test(
        "Any word of the target ends it, at any stage: it is active, and keeps its elements [ENRP-105, ENRP-113, ENRP-114]",
        arguments: Word.allCases, [0, 1])
    func targetSpeaks(word: Word, acknowledged: Int) throws {
        self.mute(self.second, self.third)
        try self.begin(with: self.second, self.third)
        if acknowledged > 0 { try self.acknowledge(self.second) }
        switch word {
        case .presence: try self.target.sayPresence()
        case .update: try self.target.add("Other", self.target.element(9))
        case .list: try self.target.say(.listRequest)
        }
        try self.lab.pass()
        #expect(self.registrar.peer(self.target.id)?.status == .active)
        try self.acknowledge(self.second)
        try self.acknowledge(self.third)
        try self.lab.world.run(for: .seconds(30))
        #expect(self.taken(by: self.second) == 0)
        #expect(self.registrar.home(1) == self.target.id)
        #expect(self.second.heard(.initTakeover).count == 1)
    }

    @Test("Against a larger ID it gives up, and acknowledges [ENRP-106]")
    func larger() throws {
        let larger = try self.lab.fake(0xf000_0002)
        self.mute(self.second, larger)
        try self.begin(with: self.second, larger)
        try larger.say(.initTakeover, octets(self.target.id))
        try self.lab.pass()
        #expect(larger.heard(.initTakeoverAck).map(\.bytes) == [hex("08000010 cafe0001 f0000002 11111111")])
        #expect(self.registrar.peer(self.target.id)?.status == .notActive)
        try self.acknowledge(self.second)
        try self.acknowledge(larger)
        try self.lab.world.run(for: .seconds(30))
        #expect(self.taken(by: self.second) == 0)
        try larger.say(.takeoverServer, octets(self.target.id))
        try self.lab.pass()
        #expect(self.registrar.home(1) == larger.id)
    }

    @Test("A smaller ID's announcement is ignored; it goes on [ENRP-107]")
    func smaller() throws {
        self.mute(self.second)
        try self.begin(with: self.second)
        try self.second.say(.initTakeover, octets(self.target.id))
        try self.lab.pass()
        #expect(self.second.heard(.initTakeoverAck).isEmpty)
        try self.acknowledge(self.second)
        #expect(self.taken(by: self.second) == 1)
    }

    @Test("One that says nothing in a whole round is not waited for any longer [ENRP-115]")
    func silentWitness() throws {
        self.mute(self.third)
        try self.begin(with: self.third, self.second)
        let begin = self.lab.world.now
        self.third.fallSilent()
        try self.lab.world.run(for: .milliseconds(9_900))
        #expect(self.registrar.home(1) == self.target.id)
        #expect(self.third.heard(.presence, since: begin).count { $0.flags == 1 } == 1, "it was asked")
        try self.lab.world.run(for: .milliseconds(200))
        #expect(self.registrar.home(1) == PeerWorld.id)
        #expect(self.taken(by: self.second) == 1)
        #expect(self.registrar.statistics(.takeoversForced) == 1)
        try self.lab.world.run(for: .seconds(80))
        #expect(self.registrar.activePeers == [self.second.id], "and taken over itself")
    }

    @Test("One that does not acknowledge and dies is not waited for: it is won at once [ENRP-115]")
    func deadWitness() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = PeerWorld(options: options)
        let registrar = try lab.start()
        let peers = try (1...3).map { try lab.fake(0x1111_1111 * UInt32($0)) }
        for peer in peers { try lab.meet(registrar, peer) }
        let element = try lab.element(registrar, "element")
        try peers[0].add(
            "EchoPool", ownedTLV(1, home: peers[0].id, life: 3_600, at: element.address, asap: element.number))
        peers[2].behave { $0.acknowledges = false }
        try lab.pass()
        try lab.world.crash(peers[0].peer.node)
        try lab.world.run(for: .seconds(2))
        #expect(peers[2].heard(.initTakeover).count == 1)
        #expect(registrar.home(1) == peers[0].id)
        try lab.world.crash(peers[2].peer.node)
        try lab.world.run(for: .milliseconds(100))
        #expect(registrar.home(1) == PeerWorld.id)
        #expect(peers[1].heard(.takeoverServer).map { number($0.bytes, at: 12) } == [peers[0].id, peers[2].id])
        #expect(registrar.statistics(.takeoversForced) == 0)
    }

    @Test("One that lives and does not acknowledge: it is asked again, then it goes on without, and says so [ENRP-115]")
    func muteWitness() throws {
        self.mute(self.third)
        try self.begin(with: self.second, self.third)
        let begin = self.lab.world.now
        try self.lab.world.run(for: .milliseconds(9_900))
        #expect(self.third.heard(.initTakeover).count == 1)
        try self.lab.world.run(for: .seconds(60))
        let rounds = self.third.heard(.initTakeover).map { $0.time - begin }
        #expect(rounds.count == 3, "\(rounds)")
        #expect(self.registrar.home(1) == PeerWorld.id)
        #expect(self.registrar.statistics(.takeoversForced) == 1)
        #expect(self.lab.log.all.contains { $0.hasPrefix("warning: takeover without the word of some peers") })
    }

    // MARK: As somebody else

    @Test(
        "Who is neither target nor initiator acknowledges, and stops asking the target [ENRP-018, ENRP-108, ENRP-109]")
    func witness() throws {
        try self.lab.meet(self.registrar, self.second, self.target)
        self.target.fallSilent()
        let begin = self.lab.world.now
        try self.second.say(.initTakeover, octets(self.target.id))
        try self.lab.pass()
        #expect(self.second.heard(.initTakeoverAck).map(\.bytes) == [hex("08000010 cafe0001 22222222 11111111")])
        #expect(self.registrar.peer(self.target.id)?.status == .notActive)
        try self.lab.world.run(for: .seconds(60))
        #expect(self.target.heard(.presence, since: begin).count { $0.flags == 1 } == 0)
    }

    @Test("A takeover that never comes: the target is watched again, and taken over here [ENRP-127]")
    func initiatorDies() throws {
        try self.lab.meet(self.registrar, self.second, self.target)
        self.target.fallSilent()
        try self.second.say(.initTakeover, octets(self.target.id))
        try self.lab.pass()
        self.second.fallSilent()
        let begin = self.lab.world.now
        try self.lab.world.run(for: .seconds(100))
        let asked = self.target.heard(.presence, since: begin).filter { $0.flags == 1 }.map { $0.time - begin }
        #expect(asked.first.map { (.seconds(60) ... .seconds(62)).contains($0) } == true, "\(asked)")
        #expect(self.registrar.statistics(.takeoversCompleted) == 2)
        #expect(self.registrar.peers.isEmpty)
    }

    @Test("An unknown target: acknowledged [ENRP-110]")
    func unknownTarget() throws {
        try self.lab.meet(self.registrar, self.second)
        try self.second.say(.initTakeover, octets(0x6666_6666 as UInt32))
        try self.lab.pass()
        #expect(self.second.heard(.initTakeoverAck).map(\.bytes) == [hex("08000010 cafe0001 22222222 66666666")])
    }

    @Test("A target that speaks again is active, and watched as before [ENRP-099]")
    func targetReturns() throws {
        try self.lab.meet(self.registrar, self.second, self.target)
        self.target.fallSilent()
        try self.second.say(.initTakeover, octets(self.target.id))
        try self.lab.world.run(for: .seconds(1))
        try self.target.sayPresence()
        let begin = self.lab.world.now
        try self.lab.pass()
        #expect(self.registrar.peer(self.target.id)?.status == .active)
        try self.lab.world.run(until: begin + .seconds(62))
        let asked = self.target.heard(.presence, since: begin).filter { $0.flags == 1 }.map { $0.time - begin }
        #expect(asked.map { Int($0 / .seconds(1)) } == [61])
    }

    @Test("Who is itself the target says PRESENCE to all at once, and does not acknowledge [ENRP-104]")
    func ourselves() throws {
        try self.lab.meet(self.registrar, self.second, self.third)
        let begin = self.lab.world.now
        try self.second.say(.initTakeover, octets(PeerWorld.id))
        try self.lab.pass()
        for peer in [self.second, self.third] { #expect(peer.heard(.presence, since: begin).count == 1) }
        #expect(self.second.heard(.initTakeoverAck).isEmpty)
    }
}

@Suite("Taking over a dead registrar: its elements (RFC 5353 §3.5.2)")
struct PeerTakeoverTests {
    let lab = PeerWorld()

    /// A registrar whose peer `target` owns `elements` of "EchoPool", all at one scripted element.
    private func world(
        _ elements: Int = 1, id: UInt32 = PeerWorld.id, _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws -> (registrar: TestRegistrar, target: FakePeer, witness: FakePeer, element: ScriptedPeer) {
        let registrar = try self.lab.start(id: id, adjust)
        let target = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, target)
        let element = try self.lab.world.startPeer("element")
        element.follow { heard, _ in
            heard.type == 0x07 ? [Say.alive("EchoPool", number(heard.bytes, at: heard.bytes.count - 4))] : []
        }
        for id in 1...UInt32(elements) {
            try target.add(
                "EchoPool", ownedTLV(id, home: target.id, life: 3_600, at: element.address, asap: element.number))
        }
        try self.lab.pass()
        #expect(registrar.size.elements == elements)
        return (registrar, target, witness, element)
    }

    /// The target is dead, and taken over.
    private func takeOver(_ registrar: TestRegistrar, _ target: FakePeer) throws {
        target.fallSilent()
        try self.lab.world.run(
            atMost: .seconds(80), until: { registrar.statistics(.takeoversCompleted) > 0 })
        #expect(registrar.statistics(.takeoversCompleted) == 1, "\(self.lab.transcript)")
    }

    @Test(
        """
        All are told first, then each element is asked with H = 1; it is ours, in tables and checksum, and the target is \
        no peer any more [ENRP-117, ENRP-118, ENRP-119, ENRP-120, ENRP-126]
        """
    )
    func takeover() throws {
        let (registrar, target, witness, element) = try self.world()
        var order: [UInt8] = []
        self.lab.world.observer = { event in
            guard event.node == "registrar", case .sent(let message, _, _) = event.kind else { return }
            if message.payloadProtocol == 12 ? message.bytes[0] == 0x09 : message.bytes[0] == 0x07 {
                order.append(message.bytes[0])
            }
        }
        try self.takeOver(registrar, target)
        #expect(registrar.peer(target.id) == nil)
        try self.lab.pass()
        #expect(order.first == 0x09)
        #expect(order.last == 0x07)
        #expect(
            element.heard(.endpointKeepAlive).map(\.bytes) == [
                Say.keepAlive(PeerWorld.id, "EchoPool", h: true, idTLV(1))
            ])
        #expect(registrar.statistics(.elementsRehomed) == 1)
        let begin = self.lab.world.now
        try witness.say(.handleTableRequest, flags: 1)
        try witness.sayPresence(replyRequired: true)
        try self.lab.pass()
        let told = elements(witness.heard(.handleTableResponse))
        #expect(told.map(\.member.id.rawValue) == [1])
        #expect(told.map(\.member.home.rawValue) == [PeerWorld.id])
        #expect(
            witness.heard(.presence, since: begin).first.flatMap { checksum(in: $0.bytes) } == checksum(("EchoPool", 1))
        )
        let later = self.lab.world.now
        try self.lab.world.run(for: .seconds(120))
        // It may be greeted, should it be there all the same.
        #expect(
            target.heard(.presence, since: later).count { number($0.bytes, at: 8) == 0 && $0.flags == 0 } == 0,
            "no heartbeats")
    }

    @Test("An element that does not answer is removed, and all are told [ENRP-121]", arguments: [true, false])
    func deadElement(isGone: Bool) throws {
        let (registrar, target, witness, element) = try self.world()
        element.follow(nil)
        if isGone { try self.lab.world.crash(element.node) }
        try self.takeOver(registrar, target)
        #expect(registrar.home(1) == PeerWorld.id)
        try self.lab.world.run(for: .seconds(6))
        #expect(registrar.size.elements == 0)
        let updates = witness.heard(.handleUpdate).map(\.bytes)
        #expect(updates.count == 1)
        #expect(updates.first?[13] == 1)
        #expect(updates.first.map { number($0, at: 12) } == 0x0001_0000)
    }

    @Test("A thousand elements are asked spread over time, as set, and all are there afterwards [ENRP-122]")
    func spread() throws {
        let (registrar, target, _, element) = try self.world(1_000)
        try self.takeOver(registrar, target)
        try self.lab.world.run(for: .seconds(15))
        let times = element.heard(.endpointKeepAlive).map(\.time)
        #expect(Set(element.heard(.endpointKeepAlive).map { number($0.bytes, at: $0.bytes.count - 4) }).count == 1_000)
        for (index, time) in times.enumerated() where index + 100 < times.count {
            #expect(times[index + 100] - time > .milliseconds(900), "more than 100 a second at \(time)")
        }
        #expect(registrar.statistics(.elementsRehomed) == 1_000)
    }

    @Test("A peer without elements is announced too, so that all drop it [ENRP-128]")
    func emptyPeer() throws {
        let registrar = try self.lab.start()
        let target = try self.lab.fake(0x1111_1111)
        let witness = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, witness, target)
        try self.takeOver(registrar, target)
        try self.lab.pass()
        #expect(witness.heard(.takeoverServer).map(\.bytes) == [hex("09000010 cafe0001 00000000 11111111")])
    }

    @Test(
        "When a peer has taken over: the target is gone, its elements are the winner's, all others stay [ENRP-123, ENRP-124]"
    )
    func othersTakeover() throws {
        let (registrar, target, winner, element) = try self.world(2)
        let third = try self.lab.fake(0x3333_3333)
        try self.lab.meet(registrar, third)
        try third.add("EchoPool", third.element(8))
        try self.lab.world.connect(element, to: registrar.node)
        try self.lab.register(element, 9)
        target.fallSilent()
        try winner.say(.takeoverServer, octets(target.id))
        try self.lab.pass()
        #expect(registrar.activePeers == [winner.id, third.id])
        #expect([1, 2, 8, 9].map { registrar.home($0) } == [winner.id, winner.id, third.id, PeerWorld.id])
        // The winner's checksum covers them, and nothing is asked.
        winner.behave { $0.checksum = checksum(("EchoPool", 1), ("EchoPool", 2)) }
        try winner.sayPresence()
        try self.lab.pass()
        #expect(winner.heard(.handleTableRequest).isEmpty)
        #expect(registrar.statistics(.elementsInherited) == 0)
    }

    @Test("Taken over although it lives: it says PRESENCE, and announces the elements that are linked to it [ENRP-125]")
    func takenOverAlive() throws {
        let (registrar, _, winner, _) = try self.world()
        let linked = try self.lab.element(registrar, "linked")
        try self.lab.register(linked, 5)
        let begin = self.lab.world.now
        try winner.say(.takeoverServer, octets(PeerWorld.id))
        try self.lab.world.run(for: .milliseconds(100))
        #expect(winner.heard(.presence, since: begin).count == 1)
        let updates = winner.heard(.handleUpdate, since: begin)
        #expect(updates.count == 1, "\(self.lab.transcript)")
        guard
            case .handleUpdate(.addPoolElement, _, let member, _)? = updates.first.flatMap({ decodedENRP($0.bytes) })?
                .body
        else {
            Issue.record("no addition")
            return
        }
        #expect(member.id.rawValue == 5)
        #expect(member.home.rawValue == PeerWorld.id)
        #expect(try self.lab.ids(linked) == [1, 5])
        #expect(registrar.statistics(.takeoversSuffered) == 1)
        #expect(
            self.lab.log.all.contains {
                $0.hasPrefix("warning: peer \(RegistrarID(rawValue: winner.id)) has taken over this registrar")
            })
    }

    @Test(
        "A target that returns with its old table gets nothing back that did not register with it [ENRP-129]",
        arguments: [PeerWorld.id, 0x0000_0001])
    func targetReturns(id: UInt32) throws {
        let (registrar, target, witness, element) = try self.world(id: id)
        try self.takeOver(registrar, target)
        try self.lab.world.run(for: .seconds(1))
        target.behave {
            $0.answersPresence = true
            $0.acknowledges = true
            $0.checksum = checksum(("EchoPool", 1))
            $0.ownTables = [
                handleTLV("EchoPool")
                    + ownedTLV(1, home: target.id, life: 3_600, at: element.address, asap: element.number)
            ]
        }
        for _ in 1...5 {
            try target.sayPresence()
            try self.lab.world.run(for: .seconds(20))
        }
        #expect(registrar.activePeers == [target.id, witness.id])
        #expect(!target.heard(.handleTableRequest).isEmpty)
        #expect(registrar.home(1) == id)
        // It registers with it: then it is the target's again.
        try target.add(
            "EchoPool", ownedTLV(1, home: target.id, life: 3_600, at: element.address, asap: element.number))
        try self.lab.pass()
        #expect(registrar.home(1) == target.id)
    }
}
