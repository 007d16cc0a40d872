// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("ENRP messages (RFC 5353 §2)")
struct ENRPMessageTests {
    private let ids = hex("11111111 22222222")
    private let sender = RegistrarID(rawValue: 0x1111_1111)
    private let receiver = RegistrarID(rawValue: 0x2222_2222)

    private func body(_ octets: [UInt8]) throws -> ENRPMessage.Body { try ENRPMessage.decode(octets[...]).message.body }

    @Test("Sender and receiver are at octets 4 and 8, 0 being everybody [ENRP-005, ENRP-007]")
    func identifiers() throws {
        for receiver in [self.receiver, .undetermined] {
            let message = ENRPMessage(sender: self.sender, receiver: receiver, body: .listRequest)
            let octets = try message.encoded()
            #expect(octets == hex("0500000c 11111111") + hex(receiver == .undetermined ? "00000000" : "22222222"))
            #expect(try ENRPMessage.decode(octets[...]).message == message)
        }
    }

    @Test("Padding between parameters and at the end [ENRP-002, ENRP-003]")
    func padding() throws {
        let update = ENRPMessage(
            sender: self.sender, receiver: .undetermined,
            body: .handleUpdate(
                .addPoolElement, "abc", echoMember(policy: .unknown(PolicyType(rawValue: 0x8000_0001), [1])),
                takeoverSuggested: false))
        let octets = try update.encoded()
        #expect(Array(octets[16..<24]) == hex("00090007 61626300"))
        #expect(Array(octets[24..<26]) == hex("000a"))
        #expect(Int(octets[2]) << 8 | Int(octets[3]) == octets.count - 3)
        #expect(octets.suffix(3) == [0, 0, 0])
    }

    @Test("A presence has the checksum first, then Server Information; both may be missing [ENRP-008]")
    func presence() throws {
        let information = ServerInformation(
            id: self.sender, transport: SCTPTransport(port: 9901, addresses: [v4(1), .ipv6(1, 2)]))
        for checksum in [nil, 0x29a5] as [UInt16?] {
            for known in [nil, information] {
                let presence = ENRPMessage(
                    sender: self.sender, receiver: self.receiver,
                    body: .presence(replyRequired: true, checksum: checksum, information: known))
                let octets = try presence.encoded()
                #expect(try ENRPMessage.decode(octets[...]).message == presence)
                if checksum != nil { #expect(Array(octets[12..<16]) == hex("000f0006")) }
                if known != nil {
                    #expect(octets[(checksum == nil ? 12 : 20)...].starts(with: hex("000b002c 11111111")))
                }
            }
        }
    }

    @Test("Server Information holds every address of the server once, and the encapsulation port behind it [ENRP-020]")
    func serverInformation() throws {
        let information = ServerInformation(
            id: self.sender, transport: SCTPTransport(port: 9901, addresses: [v4(1), v4(2), .ipv6(1, 2)]),
            encapsulationPort: 9899)
        let message = ENRPMessage(
            sender: self.sender, receiver: self.receiver, body: .listResponse(isRejected: false, [information]))
        let octets = try message.encoded()
        let transport = hex(
            "0004002c 26ad0000 00010008 c0000201 00010008 c0000202 00020014 0000000000000001 0000000000000002")
        #expect(Array(octets[12...]) == hex("000b003c 11111111") + transport + hex("a9510008 26ab0000"))
        #expect(try ENRPMessage.decode(octets[...]).message == message)
        #expect(Array(try message.encoded(for: .rsplibENRP)[12...]) == hex("000b0034 11111111") + transport)
        let twice = self.ids + tlv(0x000b, hex("33333333"))
        #expect(enrpError(RSerPoolWireTests.message(0x06, twice))?.causes == [.invalid(tlv(0x000b, hex("33333333")))])
    }

    @Test("Table requests are twelve octets, W in mask 0x01 [ENRP-010]")
    func tableRequest() throws {
        for own in [false, true] {
            let request = ENRPMessage(
                sender: self.sender, receiver: self.receiver, body: .handleTableRequest(ownChildrenOnly: own))
            let octets = try request.encoded()
            #expect(octets == [2, own ? 1 : 0, 0, 12] + self.ids)
            #expect(try ENRPMessage.decode(octets[...]).message == request)
        }
    }

    @Test("Table responses: R in mask 0x01, M in 0x02; R comes alone [ENRP-011]")
    func tableFlags() throws {
        let entry = ENRPMessage.PoolEntry(pool: echoPool, members: [echoMember()])
        let more = ENRPMessage(
            sender: self.sender, receiver: self.receiver,
            body: .handleTableResponse(isRejected: false, moreFollows: true, [entry]))
        #expect(try more.encoded()[1] == 2)
        let rejected = ENRPMessage(
            sender: self.sender, receiver: self.receiver,
            body: .handleTableResponse(isRejected: true, moreFollows: true, [entry]))
        #expect(try rejected.encoded() == hex("0301000c") + self.ids)
        let full = message(0x03, self.ids + handleTLV + elementTLV(sctpTLV, roundRobinTLV), flags: 3)
        #expect(try self.body(full) == .handleTableResponse(isRejected: true, moreFollows: false, []))
    }

    @Test("Pool entries: a handle and its elements, several of them in a row [ENRP-012]")
    func entries() throws {
        let other = echoMember(transport: .udp(SocketAddress(ip: v4(1), port: 7)))
        let first = elementTLV(sctpTLV, roundRobinTLV)
        let second = elementTLV(udpTLV, roundRobinTLV)
        let value = handleTLV + first + second + tlv(0x0009, Array("abc".utf8)) + second + first
        let expected = ENRPMessage.Body.handleTableResponse(
            isRejected: false, moreFollows: false,
            [
                .init(pool: echoPool, members: [echoMember(), other]),
                .init(pool: "abc", members: [other, echoMember()]),
            ])
        let octets = message(0x03, self.ids + value)
        #expect(try self.body(octets) == expected)
        #expect(try ENRPMessage(sender: self.sender, receiver: self.receiver, body: expected).encoded() == octets)
        let headless = message(0x03, self.ids + first + handleTLV)
        #expect(enrpError(headless)?.code == .unexpectedParameter)
        #expect(enrpError(headless)?.causes == [.invalid(first)])
    }

    @Test("A table is composed element by element: a handle before those of its pool, once in a row [ENRP-012]")
    func composed() throws {
        let other = echoMember(transport: .udp(SocketAddress(ip: v4(1), port: 7)))
        let first = elementTLV(sctpTLV, roundRobinTLV)
        let second = elementTLV(udpTLV, roundRobinTLV)
        let abcTLV = tlv(0x0009, Array("abc".utf8))
        var composer = HandleTableComposer(sender: self.sender, receiver: self.receiver, audience: .enrp)
        for (member, handle) in [
            (echoMember(), PoolHandle(octets: Array(handleTLV[4...]))),
            (other, PoolHandle(octets: Array(handleTLV[4...]))), (other, "abc"), (echoMember(), "abc"),
        ] {
            var writer = WireWriter()
            let lengths = member.encodeRecord(into: &writer)
            let fits = writer.withBytes { octets in
                composer.add(MemberRecord(octets: octets, parameterLength: lengths.parameterLength), of: handle)
            }
            #expect(fits)
        }
        let value = handleTLV + first + second + abcTLV + second + first
        #expect(try composer.finish(moreFollows: false) == message(0x03, self.ids + value))
    }

    @Test("A list of 3 000 servers is cut at the border of an entry, and fits one message [ENRP-049]")
    func longList() throws {
        func server(_ id: UInt32, _ addresses: Int) -> ServerInformation {
            ServerInformation(
                id: RegistrarID(rawValue: id),
                transport: SCTPTransport(
                    port: 9901, addresses: (0..<addresses).map { .ipv4(0x0b00_0000 + id * 4 + UInt32($0)) }))
        }
        for (addresses, length) in [(1, 24), (3, 40)] {
            let servers = (1...3_000).map { server($0, addresses) }
            let body = ENRPMessage.Body.listResponse(of: servers, for: .enrp)
            let octets = try ENRPMessage(sender: self.sender, receiver: self.receiver, body: body).encoded()
            let count = (65_535 - 12) / length
            #expect(octets.count == 12 + length * count)
            #expect(try self.body(octets) == .listResponse(isRejected: false, Array(servers.prefix(count))))
        }
        #expect(
            ENRPMessage.Body.listResponse(of: [server(1, 1)], for: .enrp)
                == .listResponse(isRejected: false, [server(1, 1)]))
    }

    @Test("An empty handlespace is twelve octets without a flag [ENRP-013]")
    func emptyTable() throws {
        let empty = ENRPMessage(
            sender: self.sender, receiver: self.receiver,
            body: .handleTableResponse(isRejected: false, moreFollows: false, []))
        #expect(try empty.encoded() == hex("0300000c") + self.ids)
        #expect(try ENRPMessage.decode((hex("0300000c") + self.ids)[...]).message == empty)
    }

    @Test("Update actions are 0 and 1; another one is refused [ENRP-014]")
    func updateActions() throws {
        let rest = handleTLV + elementTLV(sctpTLV, roundRobinTLV)
        for (code, action) in [(0, .addPoolElement), (1, .deletePoolElement)] as [(UInt8, ENRPMessage.UpdateAction)] {
            let octets = message(0x04, self.ids + [0, code, 0, 0] + rest)
            let expected = ENRPMessage.Body.handleUpdate(action, echoPool, echoMember(), takeoverSuggested: false)
            #expect(try self.body(octets) == expected)
            #expect(try ENRPMessage(sender: self.sender, receiver: self.receiver, body: expected).encoded() == octets)
        }
        for code in [hex("0002"), hex("0100"), hex("ffff")] {
            let error = try #require(enrpError(message(0x04, self.ids + code + [0, 0] + rest)))
            #expect(error.code == .invalidValue)
            #expect(error.offset == 12)
            #expect(error.causes.map(\.code) == [.invalidValues])
        }
    }

    @Test("The reserved field of an update is sent as 0 and ignored [ENRP-015]")
    func reserved() throws {
        let rest = handleTLV + elementTLV(sctpTLV, roundRobinTLV)
        let expected = ENRPMessage.Body.handleUpdate(.addPoolElement, echoPool, echoMember(), takeoverSuggested: false)
        #expect(try self.body(message(0x04, self.ids + hex("0000ffff") + rest)) == expected)
        #expect(
            try ENRPMessage(sender: self.sender, receiver: self.receiver, body: expected).encoded()[14..<16] == [0, 0])
        let suggested = ENRPMessage.Body.handleUpdate(.addPoolElement, echoPool, echoMember(), takeoverSuggested: true)
        #expect(try self.body(message(0x04, self.ids + hex("00000000") + rest, flags: 1)) == suggested)
    }

    @Test("An update needs its handle and its element [ENRP-022]")
    func incompleteUpdate() throws {
        for value in [[], handleTLV, elementTLV(sctpTLV, roundRobinTLV)] {
            let error = try #require(enrpError(message(0x04, self.ids + hex("00000000") + value)))
            #expect([.missingParameter, .unexpectedParameter].contains(error.code))
            #expect(error.causes.map(\.code) == [.invalidValues])
        }
    }

    @Test("A list request is twelve octets without a flag [ENRP-016]")
    func listRequest() throws {
        let request = ENRPMessage(sender: self.sender, receiver: self.receiver, body: .listRequest)
        #expect(try request.encoded() == hex("0500000c") + self.ids)
    }

    @Test("A rejected list response is twelve octets, R in mask 0x01 [ENRP-017]")
    func listResponse() throws {
        let information = ServerInformation(id: self.sender, transport: SCTPTransport(port: 9901, addresses: [v4(1)]))
        let rejected = ENRPMessage(
            sender: self.sender, receiver: self.receiver, body: .listResponse(isRejected: true, [information]))
        #expect(try rejected.encoded() == hex("0601000c") + self.ids)
        let strange = message(0x06, self.ids + tlv(0x000b, hex("33333333") + sctpTLV), flags: 1)
        #expect(try self.body(strange) == .listResponse(isRejected: true, []))
    }

    @Test("The takeover messages are sixteen octets, the target at octet 12 [ENRP-018]")
    func takeover() throws {
        let target = RegistrarID(rawValue: 0x3333_3333)
        for (type, body) in [
            (7, .initTakeover(target: target)), (8, .initTakeoverAck(target: target)),
            (9, .takeoverServer(target: target)),
        ] as [(UInt8, ENRPMessage.Body)] {
            let octets = [type, 0, 0, 16] + self.ids + hex("33333333")
            #expect(try ENRPMessage(sender: self.sender, receiver: self.receiver, body: body).encoded() == octets)
            #expect(try self.body(octets) == body)
        }
    }

    @Test("An error has an Operation Error with a cause [ENRP-019]")
    func error() throws {
        #expect(
            try self.body(message(0x0a, self.ids + hex("000c0008 00090004")))
                == .error([ErrorCause(.unknownPoolHandle)]))
        #expect(enrpError(message(0x0a, self.ids))?.code == .missingParameter)
        #expect(enrpError(message(0x0a, self.ids + hex("000c0004")))?.code == .missingParameter)
    }

    @Test(
        "Messages of fixed length may be longer; what follows obeys the rule for unknown parameters [ENRP-025]",
        arguments: [0x02, 0x05, 0x07, 0x08, 0x09] as [UInt8])
    func trailing(_ type: UInt8) throws {
        let fixed = self.ids + (type >= 7 ? hex("33333333") : [])
        let plain = try ENRPMessage.decode(message(type, fixed)[...])
        #expect(try ENRPMessage.decode(message(type, fixed + tlv(0x8123, [1]))[...]) == plain)
        #expect(try ENRPMessage.decode(message(type, fixed + idTLV)[...]) == plain)
        let reported = try ENRPMessage.decode(message(type, fixed + tlv(0xc123))[...])
        #expect(reported == Decoded(message: plain.message, unrecognized: [.unrecognized(tlv(0xc123))]))
        #expect(enrpError(message(type, fixed + tlv(0x0123)))?.causes == [])
        #expect(enrpError(message(type, fixed + tlv(0x4123)))?.causes == [.unrecognized(tlv(0x4123))])
        #expect(enrpError(message(type, fixed + [1]))?.code == .truncated)
    }
}
