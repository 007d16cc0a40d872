// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Message header (RFC 5354 §4)")
struct HeaderTests {
    @Test(
        "A message is padded with zeros to a multiple of four, its length does not count them [WIRE-001, WIRE-002, WIRE-003, ENRP-003]",
        arguments: 1...9)
    func padding(_ count: Int) throws {
        let pool = PoolHandle(octets: [UInt8](repeating: 0xff, count: count))
        let octets = try ASAPMessage.handleResolution(HandleResolution(pool: pool)).encoded()
        let length = Int(octets[2]) << 8 | Int(octets[3])
        #expect(length == 8 + count)
        #expect(octets.count.isMultiple(of: 4))
        #expect((0...3).contains(octets.count - length))
        #expect(octets[length...].allSatisfy { $0 == 0 })
    }

    @Test("A length that counts the padding is accepted too: rsplib's reading of RFC 5354 [WIRE-002]")
    func paddingCounted() throws {
        for name in ["E2", "E11", "E16"] {
            var octets = try #require(golden[name])
            octets[3] = UInt8(octets.count)
            #expect(try ASAPMessage.decode(octets[...]).message == goldenASAP[name], "\(name)")
        }
        var presence = try #require(golden["N1"])
        presence[3] = 20
        #expect(try ENRPMessage.decode(presence[...]).message == goldenENRP["N1"])
    }

    @Test("Padding counted in every container is accepted too: rsplib's Pool Element and Operation Error [WIRE-017]")
    func paddingCountedInside() throws {
        let octets = hex(
            """
            0100 0030 0009000c 4563686f 506f6f6c
            000a0020 12345678 00000000 0000012c 00100007 61626300 00080008 00000001
            """)
        let expected = echoMember(transport: .opaque(Array("abc".utf8)))
        #expect(try ASAPMessage.decode(octets[...]).message == .registration(.init(pool: echoPool, member: expected)))
        var error = try #require(golden["E11"])
        error[3] = 20
        error[7] = 16  // the Operation Error counts the padding of its only cause
        #expect(try ASAPMessage.decode(error[...]).message == goldenASAP["E11"])
        error[11] = 12  // and the cause the padding of the parameter in it: then that is its data
        let cause = ErrorCause(.unrecognizedParameter, data: hex("c1230007 61626300"))
        #expect(try ASAPMessage.decode(error[...]).message == .error(ASAPError(causes: [cause])))
    }

    @Test("The content of padding is ignored, at the end and inside [WIRE-004, WIRE-016, ENRP-004]")
    func paddingIgnored() throws {
        var octets = try #require(golden["E2"])
        octets.replaceSubrange(17..., with: [0xff, 0xff, 0xff])
        #expect(try ASAPMessage.decode(octets[...]).message == goldenASAP["E2"])
        octets[3] = 20
        #expect(try ASAPMessage.decode(octets[...]).message == goldenASAP["E2"])
        var presence = try #require(golden["N2"])
        presence[18] = 0xff
        presence[19] = 0xff
        #expect(try ENRPMessage.decode(presence[...]).message == goldenENRP["N2"])
        var last = try #require(golden["N1"])
        last[18] = 0xff
        #expect(try ENRPMessage.decode(last[...]).message == goldenENRP["N1"])
    }

    @Test("Missing padding and octets behind it do not matter")
    func end() throws {
        let octets = try #require(golden["E2"])
        #expect(try ASAPMessage.decode(octets[..<17]).message == goldenASAP["E2"])
        #expect(try ASAPMessage.decode((octets + [1, 2, 3, 4, 5])[...]).message == goldenASAP["E2"])
        #expect(throws: WireError.self) { try ASAPMessage.decode(octets[..<16]) }
    }

    @Test("Only the least significant flag is read [WIRE-006]")
    func flags() throws {
        var octets = try #require(golden["E1"])
        octets[1] = 0xfe
        #expect(try ASAPMessage.decode(octets[...]).message == goldenASAP["E1"])
        octets[1] = 0xff
        #expect(
            try ASAPMessage.decode(octets[...]).message
                == .handleResolution(HandleResolution(pool: echoPool, wantsUpdates: true)))
        var request = try #require(golden["N3"])
        request[1] = 0xfe
        #expect(try ENRPMessage.decode(request[...]).message.body == .handleTableRequest(ownChildrenOnly: false))
        var response = try #require(golden["W5"])
        response[1] = 0xfe
        #expect(try ENRPMessage.decode(response[...]).message == goldenENRP["W5"])
    }

    @Test("Each message sets its own flag and no other [WIRE-006]")
    func flagsSent() throws {
        let pool: PoolHandle = "p"
        let flagged: [ASAPMessage] = [
            .registrationResponse(RegistrationResponse(pool: pool, id: seven, isRejected: true)),
            .handleResolution(HandleResolution(pool: pool, wantsUpdates: true)),
            .handleResolutionResponse(
                HandleResolutionResponse(
                    pool: pool, updatesFollow: true, outcome: .members(policy: nil, [echoMember()]))),
            .endpointKeepAlive(EndpointKeepAlive(registrar: registrar, pool: pool, wantsToBeHome: true, id: nil)),
        ]
        for message in flagged {
            let octets = try message.encoded()
            #expect(octets[1] == 1)
            #expect(try ASAPMessage.decode(octets[...]).message == message)
        }
    }

    @Test(
        "An unknown type with the top bits 00, 10 or 11 is dropped without a word [WIRE-007, WIRE-009]",
        arguments: [0x00, 0x0f, 0x20, 0x3f, 0x80, 0x81, 0xbf, 0xc0, 0xff] as [UInt8])
    func silentTypes(_ type: UInt8) {
        let octets: [UInt8] = [type, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0]
        let asap = #expect(throws: WireError.self) { try ASAPMessage.decode(octets[...]) }
        #expect(asap?.code == .unrecognizedMessage)
        #expect(asap?.causes == [])
        let enrp = #expect(throws: WireError.self) { try ENRPMessage.decode(octets[...]) }
        #expect(enrp?.code == .unrecognizedMessage)
        #expect(enrp?.causes == [])
    }

    @Test(
        "An unknown type with the top bits 01 is reported with the message, a bare header included [WIRE-005, WIRE-008]",
        arguments: [0x40, 0x41, 0x4b, 0x7f] as [UInt8])
    func reportedTypes(_ type: UInt8) throws {
        let octets: [UInt8] = [type, 0, 0, 4]
        let error = #expect(throws: WireError.self) { try ASAPMessage.decode(octets[...]) }
        #expect(error?.code == .unrecognizedMessage)
        let causes = try #require(error?.causes)
        #expect(causes == [ErrorCause(.unrecognizedMessage, data: octets)])
        let answer = try ASAPMessage.error(ASAPError(causes: causes)).encoded()
        var expected = try #require(golden["E13"])
        expected[12] = type
        #expect(answer == expected)
        let enrp = #expect(throws: WireError.self) { try ENRPMessage.decode(octets[...]) }
        #expect(enrp?.causes == causes)
    }

    @Test(
        "The reported message is the one by its length, without padding and what follows; in an answer it is cut to fit"
    )
    func reportedData() throws {
        let short: [UInt8] = [0x41, 0, 0, 6, 1, 2, 0, 0, 9, 9]
        let error = #expect(throws: WireError.self) { try ASAPMessage.decode(short[...]) }
        #expect(error?.causes == [ErrorCause(.unrecognizedMessage, data: Array(short.prefix(6)))])
        let long: [UInt8] = [0x41, 0, 0xff, 0xff] + [UInt8](repeating: 7, count: 65_531)
        let tooLong = #expect(throws: WireError.self) { try ASAPMessage.decode(long[...]) }
        let causes = try #require(tooLong?.causes)
        #expect(causes.map(\.data.count) == [65_535])
        let answer = try ASAPMessage.error(ASAPError(causes: causes)).encoded()
        #expect(answer.count == 65_536)
        let decoded = try ASAPMessage.decode(answer[...]).message
        #expect(
            decoded == .error(ASAPError(causes: [ErrorCause(.unrecognizedMessage, data: Array(long.prefix(65_523)))])))
    }

    @Test(
        "A length below the header or beyond what is there is malformed [ENRP-024]", arguments: [0, 1, 3, 17, 0xffff])
    func badLength(_ length: Int) throws {
        var octets = try #require(golden["E1"])
        octets[2] = UInt8(length >> 8)
        octets[3] = UInt8(length & 0xff)
        let error = #expect(throws: WireError.self) { try ASAPMessage.decode(octets[...]) }
        #expect(error?.code == .badLength)
        #expect(error?.offset == 2)
        #expect(error?.causes.map(\.code) == [.invalidValues])
        var request = try #require(golden["W7"])
        request[2] = UInt8(length >> 8)
        request[3] = UInt8(length & 0xff)
        #expect(throws: WireError.self) { try ENRPMessage.decode(request[...]) }
    }

    @Test("Fixed fields that are cut off make the message malformed, and the sender is told [WIRE-052, ENRP-024]")
    func fixedFields() {
        for octets in [hex("07000004"), hex("07000006 cafe"), hex("0a000004"), hex("0a000007 cafe00")] {
            let error = #expect(throws: WireError.self) { try ASAPMessage.decode(octets[...]) }
            #expect(error?.code == .truncated)
            #expect(error?.causes == [ErrorCause(.invalidValues)])
        }
        for octets in [hex("05000004"), hex("0500000a 11111111 2222"), hex("0700000e 11111111 22222222 3333")] {
            let error = #expect(throws: WireError.self) { try ENRPMessage.decode(octets[...]) }
            #expect(error?.code == .truncated)
            #expect(error?.causes == [ErrorCause(.invalidValues)])
        }
    }
}
