// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

@Suite("How registrars talk: associations, identifiers, errors (RFC 5353 §2.1, §3.1, §3.7)")
struct PeerCommunicationTests {
    private let lab: PeerWorld
    private let registrar: TestRegistrar
    private let first: FakePeer
    private let second: FakePeer
    private let user: ScriptedPeer

    init() throws {
        self.lab = PeerWorld()
        self.registrar = try self.lab.start()
        self.first = try self.lab.fake(0x1111_1111)
        self.second = try self.lab.fake(0x2222_2222)
        try self.lab.meet(self.registrar, self.first, self.second)
        self.user = try self.lab.element(self.registrar, "user")
    }

    private func exchange(_ peer: FakePeer, _ messages: [UInt8]...) throws -> [[UInt8]] {
        _ = peer.peer.newlyHeard()
        for message in messages { try peer.peer.send(message) }
        try self.lab.pass()
        return peer.peer.newlyHeard().map(\.bytes)
    }

    /// An addition of element 1 to "EchoPool", followed by `more`.
    private func addition(_ more: [UInt8]...) -> [UInt8] {
        enrp(
            .handleUpdate, from: self.first.id, octets(0 as UInt32), handleTLV("EchoPool"), self.first.element(1),
            Array(more.joined()))
    }

    private func isServed(_ peer: FakePeer) throws -> Bool {
        try self.exchange(peer, enrp(.listRequest, from: peer.id)).map { $0[0] } == [0x06]
    }

    // MARK: Associations

    @Test(
        "Registrars talk over SCTP at port 9901, with PPID 12 and no multicast [ENRP-026, ENRP-027, ENRP-030, ENRP-034]"
    )
    func associations() throws {
        var octets: [UInt32] = []
        var multicast = 0
        let names = Set([self.registrar.node, self.first.peer.node, self.second.peer.node].map(\.name))
        self.lab.world.observer = { event in
            switch event.kind {
            case .sent(let message, _, let receiver) where event.node == "registrar" && names.contains(receiver):
                octets.append(message.payloadProtocol)
            case .multicast: multicast += 1
            default: break
            }
        }
        try self.lab.register(self.user, 1)
        try self.lab.world.run(for: .seconds(200))
        #expect(octets.count > 10)
        #expect(Set(octets) == [12])
        #expect(multicast == 0)
        #expect(self.registrar.peers.count { $0.isConnected } == 2)
        #expect(self.first.peer.openLinks.map(\.remote.port) == [9901])
    }

    @Test("ASAP at the ENRP port and ENRP at the ASAP port are not processed [ENRP-029]")
    func separateChannels() throws {
        let registration = Say.register("EchoPool", elementTLV(1, sctpTLV(self.first.address), roundRobinTLV))
        try self.first.peer.send(registration, payloadProtocol: 11)
        try self.user.send(self.addition(), payloadProtocol: 12)
        try self.lab.pass()
        #expect(self.registrar.size.elements == 0)
        #expect(self.registrar.peers.count == 2)
    }

    @Test("Other payload protocols at the ENRP port are ignored [ENRP-031]", arguments: [11, 13, 77] as [UInt32])
    func wrongProtocol(number: UInt32) throws {
        _ = self.first.peer.newlyHeard()
        try self.first.peer.send(self.addition(), payloadProtocol: number)
        try self.first.peer.send(enrp(.presence, from: 0x9999_9999), payloadProtocol: number)
        try self.lab.pass()
        #expect(self.registrar.size.elements == 0)
        #expect(self.registrar.peers.count == 2)
        #expect(self.first.peer.newlyHeard().isEmpty)
        #expect(try self.isServed(self.first))
    }

    // MARK: Identifiers

    @Test("For somebody else: not obeyed, but counted; for us or for all: the same [ENRP-007, ENRP-032]")
    func receivers() throws {
        func add(_ id: UInt32, to receiver: UInt32) throws {
            try self.first.say(
                .handleUpdate, to: receiver, octets(0 as UInt32), handleTLV("EchoPool"), self.first.element(id))
        }
        try add(1, to: self.second.id)
        try self.lab.pass()
        #expect(self.registrar.size.elements == 0)
        #expect(self.registrar.statistics(.messagesIgnored) == 1)
        try add(2, to: PeerWorld.id)
        try add(3, to: 0)
        try self.lab.pass()
        #expect(try self.lab.ids(self.user) == [2, 3])
        #expect(try self.exchange(self.first, enrp(.presence, flags: 1, from: self.first.id)).count == 1)
        #expect(
            try self.exchange(self.first, enrp(.presence, flags: 1, from: self.first.id, to: PeerWorld.id)).count == 1)
    }

    @Test("From ID 0, and from our own ID: not obeyed; our own is logged [ENRP-033, ENRP-100]")
    func strangeSenders() throws {
        let peers = self.registrar.peers.map(\.id)
        for sender in [0, PeerWorld.id] as [UInt32] {
            try self.first.peer.send(
                enrp(
                    .handleUpdate, from: sender, octets(0 as UInt32), handleTLV("EchoPool"),
                    ownedTLV(1, home: sender, at: self.first.address)))
            try self.first.peer.send(
                enrp(.presence, flags: 1, from: sender, checksumTLV(1), serverTLV(sender, self.first.address)))
            try self.first.peer.send(enrp(.takeoverServer, from: sender, octets(self.second.id)))
        }
        try self.lab.pass()
        #expect(self.registrar.peers.map(\.id) == peers)
        #expect(self.registrar.size.elements == 0)
        #expect(self.registrar.statistics(.identifierClashes) == 3)
        #expect(self.registrar.statistics(.messagesMalformed) == 3)
        #expect(self.lab.log.all.contains { $0.hasPrefix("warning: a message with our own ID came") })
        #expect(try self.isServed(self.second))
    }

    @Test("Two peers with one ID are noticed [ENRP-100]")
    func twins() throws {
        let twin = try self.lab.fake(self.first.id, "twin")
        try self.lab.meet(self.registrar, twin)
        #expect(self.registrar.statistics(.identifierClashes) > 0)
        #expect(self.lab.log.all.contains { $0.hasPrefix("warning: two registrars seem to have ID") })
        #expect(try self.isServed(twin))
        #expect(try self.isServed(self.second))
    }

    // MARK: Server information

    @Test("Every address of ours is in our server information, once, with the port [ENRP-020]")
    func ownInformation() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = PeerWorld(options: options)
        let addresses = [IPAddress.ipv4(0x0a09_0001), .ipv4(0x0a09_0002)]
        let registrar = try lab.start("wide", addresses: addresses)
        let peer = try lab.fake(0x1111_1111)
        try lab.meet(registrar, peer)
        let heard = try #require(peer.heard(.presence).last)
        guard case .presence(_, _, let information?)? = decodedENRP(heard.bytes)?.body else {
            Issue.record("no information")
            return
        }
        #expect(information.transport.addresses.sorted { "\($0)" < "\($1)" } == addresses)
        #expect(information.transport.port == 9901)
    }

    // MARK: Errors

    @Test("An update action that is not assigned: nothing happens, and it is told [ENRP-067]", arguments: [2, 0xffff])
    func unknownAction(action: UInt16) throws {
        try self.first.add("EchoPool", self.first.element(1))
        let answers = try self.exchange(
            self.first,
            enrp(
                .handleUpdate, from: self.first.id, octets(action) + octets(0 as UInt16), handleTLV("EchoPool"),
                self.first.element(2)))
        #expect(answers == [enrp(.error, from: PeerWorld.id, to: self.first.id, errorTLV((3, [])))])
        #expect(try self.lab.ids(self.user) == [1])
    }

    @Test("An unknown message that wants to be reported is, with all of it [ENRP-019, ENRP-147]")
    func reportedMessage() throws {
        let strange = hex("4b00000c 11111111 cafe0001")
        let answers = try self.exchange(self.first, strange)
        #expect(answers == [enrp(.error, from: PeerWorld.id, to: self.first.id, errorTLV((2, strange)))])
        #expect(try self.isServed(self.first))
    }

    @Test(
        "Other unknown messages are dropped silently [ENRP-148, ENRP-149]", arguments: [0x2b, 0x00, 0x8b, 0xcb, 0xff])
    func droppedMessage(type: UInt8) throws {
        let strange = [type] + hex("00000c 11111111 cafe0001")
        #expect(try self.exchange(self.first, strange).isEmpty)
        #expect(try self.isServed(self.first))
    }

    @Test(
        """
        Unknown parameters by their two first bits: the message is dropped, or they are; silently, or with a report \
        [ENRP-150, ENRP-151, ENRP-152, ENRP-153]
        """,
        arguments: [(0x0123, false, false), (0x4123, false, true), (0x8123, true, false), (0xc123, true, true)]
            as [(UInt16, Bool, Bool)], [true, false])
    func unknownParameter(rule: (type: UInt16, isDone: Bool, isReported: Bool), isNested: Bool) throws {
        let strange = tlv(rule.type, [1, 2, 3, 4])
        let element = isNested ? self.first.element(1) + [] : self.first.element(1)
        // Nested: inside the Pool Element, behind its last parameter.
        let nested = tlv(0x000a, Array(element.dropFirst(4)) + strange)
        let update = enrp(
            .handleUpdate, from: self.first.id, octets(0 as UInt32), handleTLV("EchoPool"),
            isNested ? nested : element + strange)
        let answers = try self.exchange(self.first, update)
        #expect(
            answers
                == (rule.isReported
                    ? [enrp(.error, from: PeerWorld.id, to: self.first.id, errorTLV((1, strange)))] : []))
        #expect(self.registrar.size.elements == (rule.isDone ? 1 : 0))
    }

    @Test("Several unknown parameters: one error with several causes [ENRP-154]")
    func severalCauses() throws {
        let strange = [tlv(0xc121, [1]), tlv(0xc122, [2, 2, 2, 2])]
        let answers = try self.exchange(self.first, self.addition(strange[0], strange[1]))
        #expect(answers.count == 1)
        guard case .error(let causes)? = answers.first.flatMap({ decodedENRP($0)?.body }) else {
            Issue.record("\(answers.map(\.hex))")
            return
        }
        #expect(causes.map(\.code) == [.unrecognizedParameter, .unrecognizedParameter])
        #expect(causes.map { Array($0.data.prefix(2)) } == [hex("c121"), hex("c122")])
    }

    @Test("An error is never answered, whatever it is [ENRP-155]")
    func malformedError() throws {
        for malformed in [
            enrp(.error, from: self.first.id), enrp(.error, from: self.first.id, tlv(0x000c)),
            enrp(.error, from: self.first.id, tlv(0x000c, hex("00010003"))),
            enrp(.error, from: self.first.id, tlv(0x4123)), enrp(.error, from: self.first.id, tlv(0xc123)),
            enrp(.error, from: self.first.id, errorTLV((1, tlv(0xc123))) + tlv(0x4123)),
        ] { #expect(try self.exchange(self.first, malformed).isEmpty, "\(malformed.hex)") }
        #expect(try self.isServed(self.first))
    }

    @Test("An error that comes is logged and counted, and changes nothing [ENRP-156]")
    func receivedError() throws {
        try self.first.add("EchoPool", self.first.element(1))
        try self.lab.pass()
        let before = self.registrar.homes
        try self.lab.world.run(for: .seconds(20))
        #expect(self.registrar.peer(self.first.id).map { $0.silence >= .seconds(19) } == true)
        #expect(try self.exchange(self.first, enrp(.error, from: self.first.id, errorTLV((6, [])))).isEmpty)
        #expect(self.registrar.homes == before)
        #expect(self.registrar.statistics(.peerErrorsReceived) == 1)
        #expect(self.registrar.peer(self.first.id).map { $0.silence < .seconds(1) } == true, "it lives")
        let cause = ErrorCause(.lackOfResources).code.description
        #expect(
            self.lab.log.all.contains { $0.hasPrefix("info: ENRP_ERROR received from peer") && $0.contains(cause) })
    }

    // MARK: Octets

    @Test("What it says has the length in its header, rounded up to four, with zeros behind it [ENRP-001, ENRP-003]")
    func lengths() throws {
        try self.lab.register(self.user, 1, in: "A")
        try self.lab.register(self.user, 2, in: "Seven..")
        for message in [
            enrp(.listRequest, from: self.first.id), enrp(.handleTableRequest, from: self.first.id),
            enrp(.presence, flags: 1, from: self.first.id, checksumTLV(0x1234), self.first.information),
            enrp(.initTakeover, from: self.first.id, octets(0x7777_7777 as UInt32)),
            hex("4b00000d 11111111 cafe0001 ff"),
        ] {
            #expect(
                try self.exchange(self.first, message + [UInt8](repeating: 0, count: -message.count & 3)).isEmpty
                    == false)
        }
        var seen: Set<UInt8> = []
        for heard in self.first.peer.allHeard {
            let length = Int(heard.bytes[2]) << 8 | Int(heard.bytes[3])
            #expect(heard.bytes.count == (length + 3) / 4 * 4, "\(heard.bytes.hex)")
            #expect(heard.bytes.dropFirst(length).allSatisfy { $0 == 0 })
            #expect(number(heard.bytes, at: 4) == PeerWorld.id)
            seen.insert(heard.type)
        }
        #expect(seen == [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x0a], "\(seen)")
    }

    @Test("Reserved bits of an update and flags that no message has are not looked at [ENRP-004]")
    func reserved() throws {
        let update = enrp(
            .handleUpdate, flags: 0xff, from: self.first.id, octets(0x0000_ffff as UInt32), handleTLV("EchoPool"),
            self.first.element(1))
        #expect(try self.exchange(self.first, update).isEmpty)
        #expect(try self.lab.ids(self.user) == [1])
        #expect(
            try self.exchange(self.first, enrp(.listRequest, flags: 0xff, from: self.first.id)).map { $0[0] } == [0x06])
    }

    @Test(
        """
        Who asks whom we know may have lost us: we ask in return, once within the time for an answer, whom it has met \
        [ENRP-044]
        """
    )
    func askedForList() throws {
        try self.lab.world.run(for: .seconds(60))
        let before = self.first.heard(.listRequest).count
        for _ in 0..<3 { #expect(try self.isServed(self.first)) }
        let presence = enrp(.presence, from: self.first.id, checksumTLV(0xffff), self.first.information)
        for _ in 0..<3 { _ = try self.exchange(self.first, presence) }
        #expect(self.first.heard(.listRequest).count == before + 1)
        #expect(try self.isServed(self.first))
        _ = try self.exchange(self.first, presence)
        #expect(self.first.heard(.listRequest).count == before + 1)
    }

    @Test("A new peer whose server information has no address is told so, and is none [ENRP-015, ENRP-021]")
    func noAddress() throws {
        let stranger = try self.lab.fake(0x7777_7777)
        stranger.behave { $0.answersPresence = false }
        try self.lab.world.connect(stranger.peer, to: self.registrar.node, port: 9901)
        let empty = tlv(0x000b, octets(stranger.id) + tlv(0x0004, octets(9901 as UInt16) + octets(0 as UInt16)))
        let answers = try self.exchange(
            stranger, enrp(.presence, from: stranger.id, checksumTLV(0xffff), empty))
        #expect(answers.contains { $0[0] == 0x0a })
        #expect(!self.registrar.activePeers.contains(stranger.id))
        #expect(try self.isServed(self.first))
    }

    @Test("An element with two user transports is not stored [ENRP-022]")
    func twoTransports() throws {
        let both = elementTLV(
            1, home: self.first.id, sctpTLV(self.first.address), udpTLV(self.first.address), roundRobinTLV, sctpTLV(self.first.address))
        _ = try self.exchange(
            self.first, enrp(.handleUpdate, from: self.first.id, octets(0 as UInt32), handleTLV("EchoPool"), both))
        #expect(self.registrar.size == (0, 0))
        #expect(try self.isServed(self.first))
    }

    @Test("However an update is cut, or its lengths lie, what follows is answered [ENRP-024]")
    func mutilated() throws {
        let whole = self.addition()
        let table = enrp(.handleTableResponse, from: self.first.id, handleTLV("EchoPool"), self.first.element(1))
        for message in [whole, table, enrp(.presence, from: self.first.id, checksumTLV(1), self.first.information)] {
            for index in 0..<message.count {
                var broken = message
                broken[index] ^= index % 4 == 3 ? 0x04 : 0xff
                // Its sender would be somebody else, over this association.
                if !(4..<8).contains(index) { try self.first.peer.send(broken) }
                try self.first.peer.send(Array(message.prefix(index)))
            }
            try self.lab.pass()
            let answers = try self.exchange(self.first, enrp(.listRequest, from: self.first.id))
            #expect(answers.contains { $0[0] == 0x06 })
        }
        #expect(self.registrar.statistics(.messagesMalformed) > 100)
    }

    // MARK: Dialects

    @Test("A peer of dialect rsplib is spoken to in its ways: padded lengths, milliseconds, its checksum")
    func rsplib() throws {
        let lab = PeerWorld()
        let peer = try lab.fake(0x1111_1111)
        let registrar = try lab.start { $0.dialects[peer.endpoint] = .rsplib }
        try lab.meet(registrar, peer)
        let element = try lab.element(registrar, "element")
        try lab.register(element, 1, life: 300)
        peer.behave { $0.checksum = checksum(("EchoPool", 2)) }
        try peer.add("EchoPool", ownedTLV(2, home: peer.id, life: 60_000, at: peer.address))
        try peer.sayPresence(replyRequired: true)
        try lab.pass()
        for heard in peer.peer.allHeard {
            #expect(Int(heard.bytes[2]) << 8 | Int(heard.bytes[3]) == heard.bytes.count, "\(heard.bytes.hex)")
        }
        #expect(
            peer.heard(.handleUpdate).map(\.bytes) == [
                enrp(
                    .handleUpdate, from: PeerWorld.id, octets(0 as UInt32), handleTLV("EchoPool"),
                    ownedTLV(1, home: PeerWorld.id, life: 300_000, at: element.address, asap: element.number))
            ])
        #expect(registrar.member(2)?.life == .seconds(60))
        #expect(peer.heard(.presence).last.flatMap { checksum(in: $0.bytes) } == checksum(("EchoPool", 1)))
    }
}
