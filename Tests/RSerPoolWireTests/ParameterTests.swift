// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Parameters (RFC 5354 §2, §3)")
struct ParameterTests {
    @Test(
        "A parameter is padded to four octets, its length does not count that [WIRE-014, WIRE-015, ENRP-002]",
        arguments: 5...8)
    func padding(_ count: Int) throws {
        let pool = PoolHandle(octets: Array("EchoPool".utf8.prefix(count)))
        let octets = try ASAPMessage.deregistration(Deregistration(pool: pool, id: element)).encoded()
        #expect(Array(octets[4..<8]) == [0x00, 0x09, 0x00, UInt8(4 + count)])
        #expect(Array(octets[8..<8 + count]) == pool.octets)
        #expect(octets[(8 + count)..<16].allSatisfy { $0 == 0 })
        #expect(Array(octets[16...]) == idTLV)
    }

    @Test("A container counts the padding between its parameters, not behind the last one [WIRE-017]")
    func containers() throws {
        let nested = echoMember(
            transport: .opaque([1, 2, 3]), policy: .unknown(PolicyType(rawValue: 0x8000_0001), [9]))
        let octets = try ASAPMessage.registration(Registration(pool: echoPool, member: nested)).encoded()
        let element = hex(
            "000a0021 12345678 00000000 0000012c 00100007 01020300 00080009 80000001 09000000")
        #expect(Array(octets[16...]) == element)
        #expect(Array(octets[..<4]) == hex("01000031"))
        #expect(golden["E12"]?[6...7] == [0, 24])
    }

    @Test(
        "Action 00: the message is dropped, nobody is told [WIRE-018]",
        arguments: [0x0000, 0x0011, 0x3000, 0x3fff] as [UInt16])
    func stop(_ type: UInt16) throws {
        let octets = registration(elementTLV(sctpTLV, roundRobinTLV), tlv(type, [1]))
        let error = try #require(asapError(octets))
        #expect(error.code == .unrecognizedParameter)
        #expect(error.offset == 56)
        #expect(error.causes == [])
        #expect(error.registrant == nil)
    }

    @Test(
        "Action 01: the message is dropped, its sender is told [WIRE-019]",
        arguments: [0x4000, 0x4123, 0x7fff] as [UInt16])
    func stopAndReport(_ type: UInt16) throws {
        let unknown = tlv(type, [1, 2, 3, 4, 5])
        let octets = registration(elementTLV(sctpTLV, roundRobinTLV), unknown)
        let error = try #require(asapError(octets))
        #expect(error.code == .unrecognizedParameter)
        #expect(error.causes == [.unrecognized(Array(unknown.prefix(9)))])
        #expect(error.registrant == nil)
    }

    @Test("Action 10: skipped in silence [WIRE-020]", arguments: [0x8000, 0x8abc, 0xbfff] as [UInt16])
    func skip(_ type: UInt16) throws {
        for octets in [message(0x05, handleTLV + tlv(type, [1])), message(0x05, tlv(type, [1]) + handleTLV)] {
            let decoded = try ASAPMessage.decode(octets[...])
            #expect(decoded == Decoded(message: .handleResolution(HandleResolution(pool: echoPool))))
        }
    }

    @Test("Action 11: skipped, and its sender is told [WIRE-021]", arguments: [0xc000, 0xc123, 0xffff] as [UInt16])
    func skipAndReport(_ type: UInt16) throws {
        let unknown = tlv(type, Array("abc".utf8))
        let decoded = try ASAPMessage.decode(message(0x05, handleTLV + unknown)[...])
        #expect(decoded.message == .handleResolution(HandleResolution(pool: echoPool)))
        #expect(decoded.unrecognized == [.unrecognized(Array(unknown.prefix(7)))])
    }

    @Test("Several unrecognized parameters are several causes of one error, in order [WIRE-021, WIRE-022]")
    func several() throws {
        let octets = message(0x05, handleTLV + tlv(0xc123, Array("abc".utf8)) + tlv(0x8001) + tlv(0xc124))
        let decoded = try ASAPMessage.decode(octets[...])
        #expect(try ASAPMessage.error(ASAPError(causes: decoded.unrecognized)).encoded() == golden["E12"])
        let single = try ASAPMessage.decode(message(0x05, handleTLV + tlv(0xc123, Array("abc".utf8)))[...])
        #expect(try ASAPMessage.error(ASAPError(causes: single.unrecognized)).encoded() == golden["E11"])
    }

    @Test("The rule holds inside of containers, at every depth [WIRE-023]")
    func nested() throws {
        let inTransport = tlv(0x0004, hex("00070000") + tlv(0xc001) + hex("00010008 c0000201"))
        let octets = registration(
            elementTLV(tlv(0xc002), inTransport, tlv(0x8abc, [1]), roundRobinTLV, tlv(0xc003, [7])), tlv(0xc004))
        let decoded = try ASAPMessage.decode(octets[...])
        #expect(decoded.message == .registration(Registration(pool: echoPool, member: echoMember())))
        let expected = [tlv(0xc002), tlv(0xc001), [0xc0, 0x03, 0x00, 0x05, 7], tlv(0xc004)]
        #expect(decoded.unrecognized == expected.map(ErrorCause.unrecognized))
        for (action, told) in [(0x0abc, false), (0x4abc, true)] as [(UInt16, Bool)] {
            let dropping = registration(elementTLV(sctpTLV, roundRobinTLV, tlv(action)))
            #expect(asapError(dropping)?.code == .unrecognizedParameter)
            #expect(asapError(dropping)?.causes == (told ? [.unrecognized(tlv(action))] : []))
        }
        let list = message(0x06, hex("11111111 22222222") + tlv(0x000b, hex("33333333") + tlv(0xc005) + sctpTLV))
        #expect(try ENRPMessage.decode(list[...]).unrecognized == [.unrecognized(tlv(0xc005))])
    }

    @Test("What was skipped with a report before an error is reported along with it [WIRE-022]")
    func reportedTogether() throws {
        let skipped = ErrorCause.unrecognized(tlv(0xc001))
        let inside = message(
            0x01, handleTLV + tlv(0xc001) + elementTLV(sctpTLV, tlv(0x4002), roundRobinTLV))
        #expect(asapError(inside)?.causes == [skipped, .unrecognized(tlv(0x4002))])
        #expect(asapError(message(0x02, tlv(0xc001) + handleTLV))?.causes == [skipped, ErrorCause(.invalidValues)])
        let silent = message(0x02, handleTLV + tlv(0xc001) + tlv(0x0020))
        #expect(asapError(silent)?.causes == [])
    }

    @Test(
        "A length below four or beyond what encloses the parameter is malformed [WIRE-024, WIRE-052, ENRP-024]",
        arguments: [0, 1, 2, 3, 13, 0x100, 0xffff])
    func badLength(_ length: Int) throws {
        var octets = message(0x05, handleTLV)
        octets[6] = UInt8(length >> 8)
        octets[7] = UInt8(length & 0xff)
        let error = try #require(asapError(octets))
        #expect(error.code == .badLength)
        #expect(error.offset == 6)
        #expect(error.causes == [.invalid(Array(octets[4...]))])
    }

    @Test("A nested parameter may not reach beyond its container, even where the message goes on [WIRE-024, ENRP-024]")
    func beyondContainer() throws {
        var element = elementTLV(sctpTLV, roundRobinTLV)
        element[element.count - 5] = 12  // the policy now ends four octets behind the Pool Element
        let octets = registration(element, tlv(0x8000))
        let error = try #require(asapError(octets))
        #expect(error.code == .badLength)
        #expect(error.registrant == WireError.Registrant(pool: echoPool, id: PoolElementID(rawValue: 0x1234_5678)))
    }

    @Test("One to three octets that are no padding are malformed, zeros are accepted [WIRE-052]")
    func leftOvers() throws {
        let octets = message(0x05, handleTLV + [0, 0])
        #expect(try ASAPMessage.decode(octets[...]).message == goldenASAP["E1"])
        let error = try #require(asapError(message(0x05, handleTLV + [0, 1])))
        #expect(error.code == .truncated)
        #expect(error.offset == 16)
        #expect(error.causes == [.invalid([0, 1])])
    }

    @Test(
        "A mandatory parameter that is missing, or another one in its place, is malformed [WIRE-043, WIRE-044, WIRE-052]",
        arguments: [
            (0x01, handleTLV, .missingParameter), (0x01, elementTLV(sctpTLV, roundRobinTLV), .unexpectedParameter),
            (0x01, handleTLV + idTLV, .unexpectedParameter), (0x02, handleTLV, .missingParameter),
            (0x02, idTLV, .unexpectedParameter), (0x02, [], .missingParameter), (0x03, handleTLV, .missingParameter),
            (0x04, handleTLV, .missingParameter), (0x05, [], .missingParameter), (0x06, [], .missingParameter),
            (0x06, handleTLV + roundRobinTLV, .missingParameter), (0x07, [0, 0, 0, 1], .missingParameter),
            (0x08, handleTLV, .missingParameter), (0x09, idTLV + handleTLV, .unexpectedParameter),
            (0x0b, [], .missingParameter), (0x0c, handleTLV, .unexpectedParameter),
            (0x0d, handleTLV, .missingParameter),
        ] as [(UInt8, [UInt8], WireError.Code)])
    func mandatory(_ type: UInt8, _ value: [UInt8], _ code: WireError.Code) throws {
        let error = try #require(asapError(message(type, value)))
        #expect(error.code == code)
        #expect(error.causes.map(\.code) == [.invalidValues])
        #expect((0...4 + value.count).contains(error.offset))
    }

    @Test("Errors about errors are never answered [WIRE-053]")
    func errorsAboutErrors() throws {
        let cause = tlv(0x000c, hex("00090004"))
        let strange = try ASAPMessage.decode(message(0x0e, cause + tlv(0xc123))[...])
        #expect(strange == Decoded(message: .error(ASAPError(causes: [ErrorCause(.unknownPoolHandle)]))))
        for value in [[], tlv(0x4123), cause + tlv(0x4123), tlv(0x000c), [0, 1], handleTLV] {
            let error = try #require(asapError(message(0x0e, value)))
            #expect(error.causes == [], "\(error)")
            let enrp = try #require(enrpError(message(0x0a, hex("11111111 22222222") + value)))
            #expect(enrp.causes == [], "\(enrp)")
        }
        #expect(asapError([0x0e, 0, 0, 3])?.causes == [])
        #expect(enrpError([0x0a, 0, 0, 4])?.causes == [])
    }

    @Test("A known parameter that the message does not list is ignored behind the mandatory ones [WIRE-054]")
    func known() throws {
        for extra in [idTLV, roundRobinTLV, tlv(0x000f, [1, 2]), tlv(0x000d, [1]), hex("00010008 c0000201")] {
            #expect(try ASAPMessage.decode(message(0x05, handleTLV + extra)[...]).message == goldenASAP["E1"])
            let acknowledgement = message(0x08, handleTLV + idTLV + extra)
            #expect(try ASAPMessage.decode(acknowledgement[...]).message == goldenASAP["E9b"])
        }
        let keepAlive = try ASAPMessage.decode(message(0x07, hex("cafe0001") + handleTLV + idTLV, flags: 1)[...])
        #expect(
            keepAlive.message
                == .endpointKeepAlive(
                    EndpointKeepAlive(registrar: registrar, pool: echoPool, wantsToBeHome: true, id: element)))
    }

    @Test("Extensions are skipped in front of mandatory parameters: who does not know them would do so too")
    func extensions() throws {
        let before = message(0x02, tlv(0xa951, [0, 1, 0, 0]) + handleTLV + tlv(0x803f, [0, 0, 0, 1]) + idTLV)
        #expect(
            try ASAPMessage.decode(before[...]) == Decoded(message: .deregistration(.init(pool: echoPool, id: element)))
        )
    }

    @Test("What one message of unknown parameters makes us remember is bounded")
    func bounded() throws {
        // 65 535 octets: the greatest message, all of it parameters of four octets.
        let room = (65_535 - 16) / 4
        for (action, causes) in [(0xc001, ParameterCursor.maximumCauses), (0x8001, 0)] as [(UInt16, Int)] {
            var octets = message(0x05, handleTLV + (0..<room).flatMap { _ in tlv(action) })
            #expect(octets.count == 65_532)
            #expect(try ASAPMessage.decode(octets[...]).unrecognized.count == causes)
            octets.replaceSubrange((octets.count - 4)..., with: tlv(0x4001))
            let error = try #require(asapError(octets))
            #expect(error.causes.count == max(causes, 1))
            #expect(error.causes.last == .unrecognized(tlv(0x4001)))
            octets.replaceSubrange((octets.count - 4)..., with: tlv(0x3001))
            #expect(asapError(octets)?.causes == [])
        }
        for action in [0x0011, 0x4001] as [UInt16] {
            let octets = message(0x05, handleTLV + (0..<room).flatMap { _ in tlv(action) })
            #expect(asapError(octets)?.causes.count == (action == 0x4001 ? 1 : 0))
        }
        // The bound holds over all containers of a message together.
        let unknown = (0..<50).flatMap { _ in tlv(0xc001) }
        let transport = tlv(0x0004, hex("00070000 00010008 c0000201") + unknown)
        let nested = registration(elementTLV(unknown, transport, unknown, roundRobinTLV, unknown), unknown)
        #expect(try ASAPMessage.decode(nested[...]).unrecognized.count == ParameterCursor.maximumCauses)
        let broken = registration(elementTLV(unknown, transport, unknown))
        #expect(asapError(broken)?.causes.count == ParameterCursor.maximumCauses)
        #expect(asapError(broken)?.causes.last?.code == .invalidValues)
    }
}
