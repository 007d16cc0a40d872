// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("A registrar and what comes over the wire (RFC 5354 §2 to §4)")
struct RegistrarWireTests {
    private let lab: RegistrarWorld
    private let peer: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.peer = try self.lab.peer()
    }

    /// Another element than those that the tests register, so that there is a pool to ask for.
    private func populate() throws { try self.lab.register(self.peer, 1) }

    private func element(_ id: UInt32, _ nested: [UInt8]...) -> [UInt8] {
        elementTLV(id, sctpTLV(self.peer.address), roundRobinTLV, Array(nested.joined()))
    }

    @Test("Undefined flag bits are ignored and sent as 0 [WIRE-006, ASAP-138]")
    func flags() throws {
        try self.populate()
        var request = Say.resolve("EchoPool")
        request[1] = 0xfe
        let answers = try self.lab.exchange(self.peer, request)
        #expect(answers.count == 1)
        #expect(answers.first?[0...1] == [0x06, 0x00])
        // S was 0: no update comes.
        try self.lab.register(self.peer, 2)
        #expect(try self.lab.resolve(self.peer)?.count == 2)
    }

    @Test(
        """
        Unknown types are dropped, reported where their top bits are 01 [WIRE-007, WIRE-008, WIRE-009, ASAP-034, \
        ASAP-035]
        """,
        arguments: [0x00, 0x0f, 0x20, 0x3f, 0x40, 0x41, 0x7f, 0x81, 0xbf, 0xc1, 0xff] as [UInt8])
    func unknownTypes(type: UInt8) throws {
        try self.populate()
        let answers = try self.lab.exchange(self.peer, [type, 0, 0, 4])
        #expect(answers == (type >> 6 == 1 ? [hex("0e000010 000c000c 00020008") + [type, 0, 0, 4]] : []))
        #expect(try self.lab.resolve(self.peer) == [1], "the association is as good as before")
    }

    @Test("Over TCP messages are framed by their length, however the stream is cut [WIRE-012, ASAP-002]")
    func tcpFraming() throws {
        try self.populate()
        let tcp = try self.lab.peer("tcp", .tcp)
        let request = Say.resolve("EchoPool1", []) + Say.resolve("EchoPool")
        let together = try self.lab.exchange(tcp, request)
        #expect(together.count == 2)
        _ = tcp.newlyHeard()
        for octet in request { try tcp.send([octet]) }
        try self.lab.world.run(for: .milliseconds(100))
        #expect(tcp.newlyHeard().map(\.bytes) == together)
        #expect(together.first == Say.unknown("EchoPool1"))
        #expect(
            together.last == (try self.lab.exchange(self.peer, Say.resolve("EchoPool"))).first,
            "the same octets as over SCTP")
    }

    @Test(
        "An unknown parameter of action 00 or 01 drops the message; 01 is reported [WIRE-018, WIRE-019]",
        arguments: [0x3000, 0x4123] as [UInt16])
    func droppingParameters(type: UInt16) throws {
        let extra = tlv(type, hex("616263"))
        let answers = try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(1) + extra))
        #expect(answers == (type == 0x4123 ? [Say.error((0x0001, hex("41230007 616263")))] : []))
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test(
        """
        An unknown parameter of action 10 is skipped silently, one of action 11 is reported besides [WIRE-020, \
        WIRE-021, ASAP-036]
        """
    )
    func skippedParameters() throws {
        try self.populate()
        let plain = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(try self.lab.exchange(self.peer, Say.resolve("EchoPool", tlv(0x8abc, [1, 2, 3]))) == plain)
        let answers = try self.lab.exchange(self.peer, Say.resolve("EchoPool", tlv(0xc123, hex("616263"))))
        #expect(answers.count == 2)
        #expect(answers.contains(plain[0]))
        #expect(answers.contains(hex("0e000013 000c000f 0001000b c1230007 61626300")), "\(answers.map(\.hex))")
    }

    @Test("Several of them are several causes of one report, in their order [WIRE-022]")
    func severalReports() throws {
        try self.populate()
        let answers = try self.lab.exchange(
            self.peer, Say.resolve("EchoPool", tlv(0xc123, hex("616263")) + tlv(0xc124)))
        #expect(answers.count == 2)
        #expect(answers.contains(hex("0e00001c 000c0018 0001000b c1230007 61626300 00010008 c1240004")))
    }

    @Test("Inside a Pool Element the same rules hold [WIRE-023]")
    func nestedParameters() throws {
        let accepted = try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(1, tlv(0x8abc, [1]))))
        #expect(accepted == [Say.registered("EchoPool", 1)])
        let reported = try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(2, tlv(0xc123))))
        #expect(Set(reported) == [Say.registered("EchoPool", 2), Say.error((0x0001, hex("c1230004")))])
        #expect(try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(3, tlv(0x3000)))).isEmpty)
        #expect(try self.lab.resolve(self.peer) == [1, 2])
    }

    @Test(
        "A parameter length below 4 or beyond its container harms nobody [WIRE-024, WIRE-052]",
        arguments: [0, 3, 0xffff] as [UInt16])
    func badLengths(length: UInt16) throws {
        var request = Say.register("EchoPool", self.element(1))
        request[6...7] = octets(length)[...]
        let answers = try self.lab.exchange(self.peer, request)
        #expect(answers.count == 1)
        #expect(answers.first?.first == 0x0e)
        #expect(answers.first.map { Array($0[8...9]) } == [0x00, 0x03])
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test("TCP and UDP transports have exactly one address: else cause 0003 with the transport [WIRE-026, WIRE-041]")
    func twoAddresses() throws {
        let transport = tcpTLV(self.peer.address, self.peer.address)
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(1, transport, roundRobinTLV)))
        #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0003, transport)))])
    }

    @Test("An SCTP transport has an address, and a use of 0 or 1: else cause 0003 [WIRE-027, WIRE-028]")
    func sctpTransports() throws {
        for transport in [sctpTLV(), sctpTLV(use: 2, self.peer.address)] {
            let answers = try self.lab.exchange(
                self.peer, Say.register("EchoPool", elementTLV(1, transport, roundRobinTLV)))
            #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0003, transport)))], "\(answers.map(\.hex))")
        }
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test("Reserved fields are ignored and passed on as 0; TCP is data only [WIRE-025, WIRE-029]")
    func reservedFields() throws {
        let answers = try self.lab.exchange(
            self.peer,
            Say.register("EchoPool", elementTLV(1, tcpTLV(reserved: 1, self.peer.address), roundRobinTLV)))
        #expect(answers == [Say.registered("EchoPool", 1)])
        let resolved = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool", [elementTLV(1, home: RegistrarWorld.id, tcpTLV(self.peer.address), roundRobinTLV)])
            ])
    }

    @Test("Opaque transports come back octet by octet [WIRE-030]", arguments: 1...4)
    func opaque(length: Int) throws {
        let transport = tlv(0x0010, (0..<length).map { UInt8(0xf0 + $0) })
        let element = elementTLV(1, transport, roundRobinTLV)
        #expect(try self.lab.exchange(self.peer, Say.register("EchoPool", element)) == [Say.registered("EchoPool", 1)])
        let resolved = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [Say.members("EchoPool", [elementTLV(1, home: RegistrarWorld.id, transport, roundRobinTLV)])])
    }

    @Test("Two user transports are refused with cause 0003 [WIRE-031]")
    func twoTransports() throws {
        let element = elementTLV(1, tcpTLV(self.peer.address), udpTLV(self.peer.address), roundRobinTLV)
        let answers = try self.lab.exchange(self.peer, Say.register("EchoPool", element))
        #expect(answers.count == 1)
        #expect(answers.first?.prefix(2) == [0x03, 0x01])
        #expect(answers.first.map { Array($0[28...29]) } == [0x00, 0x03])
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test("The ASAP transport may be left out; where it is given it is not believed, nor told [WIRE-033, ASAP-050]")
    func asapTransport() throws {
        #expect(
            try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(1))) == [
                Say.registered("EchoPool", 1)
            ])
        let foreign = sctpTLV(port: 99, .ipv4(0xc000_0263))
        #expect(
            try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(2, foreign)))
                == [Say.registered("EchoPool", 2)])
        let answers = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            answers == [
                Say.members(
                    "EchoPool",
                    [1, 2].map { elementTLV($0, home: RegistrarWorld.id, sctpTLV(self.peer.address), roundRobinTLV) })
            ])
        // Keep-alives go where the registration came from.
        #expect(try self.lab.exchange(self.peer, Say.unreachable("EchoPool", 2)).first?.first == 0x07)
    }

    @Test("A life counts seconds, −1 is for ever [WIRE-036, ASAP-082, ASAP-084]")
    func life() throws {
        try self.lab.register(self.peer, 1, life: 5)
        try self.lab.register(self.peer, 2, life: .max)
        try self.lab.world.run(for: .milliseconds(4_900))
        #expect(try self.lab.resolve(self.peer) == [1, 2])
        _ = self.peer.newlyHeard()
        try self.lab.world.run(for: .milliseconds(200))
        #expect(self.peer.newlyHeard().map(\.bytes) == [Say.left("EchoPool", 1)], "unasked, without an error")
        try self.lab.world.run(for: .seconds(20_000))
        #expect(try self.lab.resolve(self.peer) == [2])
    }

    @Test("An unknown pool: cause 0009, without content [WIRE-038, WIRE-047, ASAP-127, ASAP-129]")
    func unknownPool() throws {
        #expect(
            try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
                == [hex("06000018 0009000c 4563686f 506f6f6c 000c0008 00090004")])
    }

    @Test(
        """
        Another policy than the pool's: R = 1, cause 0005 with the pool's parameter [WIRE-039, WIRE-045, \
        ASAP-077, ASAP-078, POL-017]
        """
    )
    func inconsistentPolicy() throws {
        try self.populate()
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(0x1234_5678, sctpTLV(port: 8, self.peer.address), randomTLV))
        )
        #expect(
            answers == [
                hex("03010028 0009000c 4563686f 506f6f6c 000e0008 12345678 000c0010 0005000c 00080008 00000001")
            ])
    }

    @Test("Another transport than the pool's: cause 0007 with one of the pool's kind [WIRE-040, ASAP-067]")
    func inconsistentTransport() throws {
        let tcp = tcpTLV(self.peer.address)
        _ = try self.lab.exchange(self.peer, Say.register("EchoPool", elementTLV(1, tcp, roundRobinTLV)))
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(2, udpTLV(self.peer.address), roundRobinTLV)))
        #expect(answers == [Say.rejected("EchoPool", 2, errorTLV((0x0007, tcp)))])
    }

    @Test("A grant has no error behind it: the octets of E5 [WIRE-045, ASAP-026, ASAP-027]")
    func granted() throws {
        let answers = try self.lab.exchange(self.peer, Say.register("EchoPool", self.element(0x1234_5678)))
        #expect(answers == [hex("03000018 0009000c 4563686f 506f6f6c 000e0008 12345678")])
    }

    @Test("A deregistration is answered without flag and, done, without error [WIRE-046, ASAP-030]")
    func deregistered() throws {
        try self.lab.register(self.peer, 0x1234_5678)
        let done = hex("04000018 0009000c 4563686f 506f6f6c 000e0008 12345678")
        #expect(try self.lab.exchange(self.peer, Say.deregister("EchoPool", 0x1234_5678)) == [done])
        try self.lab.register(self.peer, 1)
        let stranger = try self.lab.peer()
        let refused = try self.lab.exchange(stranger, Say.deregister("EchoPool", 1))
        #expect(refused == [message(0x04, handleTLV("EchoPool"), idTLV(1), errorTLV((0x000a, [])))])
    }

    @Test(
        """
        A positive answer has elements and the policy, of round robin too [WIRE-047, WIRE-049, ASAP-123, \
        ASAP-126, ASAP-128]
        """
    )
    func positiveAnswer() throws {
        try self.lab.register(self.peer, 0x1234_5678)
        let answers = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        let expected =
            hex(
                """
                06000040 0009000c 4563686f 506f6f6c 00080008 00000001 000a0028 12345678 cafe0001 0000012c \
                00040010 00070000
                """
            )
            + addressTLV(self.peer.address) + hex("00080008 00000001")
        #expect(answers == [expected], "\(answers.map(\.hex))")
    }

    @Test("A weighted or adaptive pool names its policy [WIRE-049, ASAP-125]", arguments: [randomTLV, leastUsedTLV(7)])
    func policyIsNamed(policy: [UInt8]) throws {
        try self.lab.register(self.peer, 1, policy: policy)
        let answers = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(answers.first.map { Array($0[16..<(16 + policy.count)]) } == policy)
    }

    @Test(
        "Cut anywhere, a message changes nothing and leaves the association usable [WIRE-043, WIRE-044, WIRE-052]",
        arguments: 0..<4)
    func truncations(kind: Int) throws {
        try self.populate()
        let whole = [
            Say.register("EchoPool", self.element(2)), Say.deregister("EchoPool", 1),
            Say.resolve("EchoPool", Say.count(1)), Say.alive("EchoPool", 1),
        ][kind]
        var octetsSent = 0
        for length in stride(from: 0, to: whole.count, by: 1) {
            // Once with the length field as it was, once made to fit.
            for fits in [false, true] where !fits || length >= 4 {
                var cut = Array(whole.prefix(length))
                if fits { cut[2...3] = octets(UInt16(length))[...] }
                octetsSent += cut.count
                for answer in try self.lab.exchange(self.peer, cut) {
                    // Behind its last mandatory parameter it is whole.
                    let isError = answer.first == 0x0e
                    let isRejection = answer.prefix(2) == [0x03, 0x01]
                    #expect(isError || isRejection || kind == 2, "\(length): \(answer.hex)")
                }
            }
        }
        #expect(octetsSent > 0)
        #expect(try self.lab.resolve(self.peer) == [1])
        #expect(self.peer.openLinks.count == 1)
    }

    @Test("A length below 4 closes a TCP connection, and nothing else [WIRE-052]")
    func tcpBadLength() throws {
        try self.populate()
        let tcp = try self.lab.peer("tcp", .tcp)
        let other = try self.lab.peer("other", .tcp)
        try tcp.send([0x05, 0, 0, 3])
        try self.lab.world.run(for: .seconds(1))
        #expect(tcp.openLinks.isEmpty)
        #expect(try self.lab.resolve(other) == [1])
    }

    @Test("An ASAP_ERROR is never answered, whatever is in it [WIRE-053, ASAP-037]")
    func errors() throws {
        try self.populate()
        for bytes in [
            message(0x0e, errorTLV((0x0003, [])), tlv(0xc123, [1, 2, 3])), message(0x0e, tlv(0x4123)), [0x0e, 0, 0, 4],
            message(0x0e, hex("000cffff")), Say.error((0x0009, [])),
        ] {
            #expect(try self.lab.exchange(self.peer, bytes).isEmpty, "\(bytes.hex)")
        }
        #expect(try self.lab.resolve(self.peer) == [1])
    }

    @Test("A known parameter that the message does not list is ignored [WIRE-054]")
    func surplusParameters() throws {
        try self.populate()
        let plain = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(try self.lab.exchange(self.peer, Say.resolve("EchoPool", idTLV(1) + tlv(0x000d, [1]))) == plain)
    }

    @Test(
        """
        Policy types 00000000 and 40000000 are refused with cause 0003 and the parameter [WIRE-041, WIRE-056, \
        POL-004]
        """,
        arguments: [0, 0x4000_0000] as [UInt32])
    func invalidPolicy(type: UInt32) throws {
        let policy = policyTLV(type)
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(1, sctpTLV(self.peer.address), policy)))
        #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0003, policy)))])
    }

    @Test("A policy payload that is too short is refused [WIRE-057]")
    func shortPolicy() throws {
        let policy = policyTLV(0x4000_0001)
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(1, sctpTLV(self.peer.address), policy)))
        #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0003, policy)))])
    }

    @Test("A longer policy payload is accepted, its excess ignored [WIRE-057]")
    func longPolicy() throws {
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(1, sctpTLV(self.peer.address), policyTLV(0x4000_0001, 5, 6)))
        )
        #expect(answers == [Say.registered("EchoPool", 1)])
        let resolved = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool", policy: leastUsedTLV(5),
                    [elementTLV(1, home: RegistrarWorld.id, sctpTLV(self.peer.address), leastUsedTLV(5))])
            ])
    }

    @Test(
        "Types that are unknown here, private ones too, are refused with the parameter [POL-002, POL-005]",
        arguments: [6, 0x8000_0001, 0xb000_1001] as [UInt32])
    func unknownPolicy(type: UInt32) throws {
        let policy = policyTLV(type, 1)
        let answers = try self.lab.exchange(
            self.peer, Say.register("EchoPool", elementTLV(1, sctpTLV(self.peer.address), policy)))
        #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0003, policy)))])
        #expect(try self.lab.resolve(self.peer) == nil, "not taken for round robin either")
    }

    @Test("One message is one user message, on PPID 11 [WIRE-011, ASAP-005, ASAP-006, ASAP-271]")
    func userMessages() throws {
        try self.populate()
        _ = self.peer.newlyHeard()
        for _ in 0..<3 { try self.peer.send(Say.resolve("EchoPool")) }
        try self.lab.world.run(for: .milliseconds(20))
        let heard = self.peer.newlyHeard()
        #expect(heard.count == 3)
        for message in heard {
            #expect(message.payloadProtocol == 11)
            #expect(message.bytes.count == Int(message.bytes[2]) << 8 | Int(message.bytes[3]))
        }
    }

    @Test(
        "PPID 0 is taken, another protocol's is dropped and counted",
        arguments: [(0, true), (12, false), (99, false)] as [(UInt32, Bool)])
    func payloadProtocols(number: UInt32, isTaken: Bool) throws {
        try self.populate()
        let answers = try self.lab.exchange(self.peer, Say.resolve("EchoPool"), payloadProtocol: number)
        #expect(answers.count == (isTaken ? 1 : 0))
        #expect(self.lab.statistics(.messagesIgnored) == (isTaken ? 0 : 1))
    }
}
