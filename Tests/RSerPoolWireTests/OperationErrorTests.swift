// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Operation Error (RFC 5354 §3.12)")
struct OperationErrorTests {
    @Test("Causes are padded one by one, the last one's padding is outside the length [WIRE-037]")
    func layout() throws {
        let causes = [
            ErrorCause(.unspecified, data: [1]), ErrorCause(.lackOfResources),
            ErrorCause(.invalidValues, data: [2, 3, 4, 5, 6]),
        ]
        let octets = try ASAPMessage.error(ASAPError(causes: causes)).encoded()
        let expected = hex(
            """
            0e00001d 000c0019 00000005 01000000 00060004 00030009 0203040506 000000
            """)
        #expect(hexadecimal(octets) == hexadecimal(expected))
        #expect(try ASAPMessage.decode(octets[...]).message == .error(ASAPError(causes: causes)))
    }

    @Test("A cause without data has length 4 [WIRE-038]")
    func withoutData() throws {
        let octets = try ASAPMessage.error(ASAPError(causes: [ErrorCause(.nonUniquePoolElementID)])).encoded()
        #expect(octets == hex("0e00000c 000c0008 00040004"))
    }

    @Test("Cause 5 carries a policy, cause 7 a transport parameter [WIRE-039, WIRE-040]")
    func parametersInside() throws {
        let causes = [
            ErrorCause(.inconsistentPolicy, data: PoolPolicy.weightedRandom(weight: 9).encodedParameter()),
            ErrorCause(
                .inconsistentTransport, data: UserTransport.tcp(SocketAddress(ip: v4(1), port: 7)).encodedParameter()),
        ]
        let octets = try ASAPMessage.registrationResponse(
            RegistrationResponse(pool: echoPool, id: element, isRejected: true, causes: causes)
        ).encoded()
        #expect(
            Array(octets[24...]) == hex("000c0028 00050010 0008000c 00000004 00000009 00070014") + tcpTLV)
    }

    @Test(
        "Cause 3 carries the parameter with the bad value [WIRE-041, WIRE-056]",
        arguments: [0, 0x4000_0000] as [UInt32])
    func badValue(_ type: UInt32) throws {
        let policy = tlv(0x0008, [UInt8(type >> 24), 0, 0, 0])
        let error = try #require(asapError(registration(elementTLV(sctpTLV, policy))))
        #expect(error.code == .invalidValue)
        #expect(error.causes == [.invalid(policy)])
        #expect(error.registrant == WireError.Registrant(pool: echoPool, id: element))
    }

    @Test("Unknown cause codes and their data survive [WIRE-042]")
    func unknownCause() throws {
        let octets = hex("03010028 0009000c 4563686f 506f6f6c 000e0008 12345678 000c0010 1009000c 0102030405060708")
        let expected = RegistrationResponse(
            pool: echoPool, id: element, isRejected: true,
            causes: [ErrorCause(.init(rawValue: 0x1009), data: [1, 2, 3, 4, 5, 6, 7, 8])])
        #expect(try ASAPMessage.decode(octets[...]).message == .registrationResponse(expected))
        #expect(try expected.encoded() == octets)
        #expect(ErrorCause.Code(rawValue: 0x1009).description == "cause 0x1009")
    }

    @Test("Data where the RFC has none is tolerated [WIRE-042]")
    func unexpectedData() throws {
        let octets = hex("0e000011 000c000d 00090009 0102030405 000000")
        #expect(
            try ASAPMessage.decode(octets[...]).message
                == .error(ASAPError(causes: [ErrorCause(.unknownPoolHandle, data: [1, 2, 3, 4, 5])])))
    }

    @Test("No cause, or one that is cut off, is malformed [WIRE-052]")
    func malformed() throws {
        let negative = { (error: [UInt8]) in message(0x03, handleTLV + idTLV + error, flags: 1) }
        for error in [hex("000c0004"), hex("000c0008 00090003"), hex("000c0008 00090005"), hex("000c0006 00090000")] {
            let thrown = try #require(asapError(negative(error)))
            let length = Int(error[3])
            #expect(thrown.causes == [.invalid(Array(error.prefix(length)))])
        }
    }

    @Test("Several Operation Errors in one answer count as one")
    func several() throws {
        let octets = message(0x04, handleTLV + idTLV + hex("000c0008 00090004 000c0008 00060004"))
        let expected = [ErrorCause(.unknownPoolHandle), ErrorCause(.lackOfResources)]
        #expect(
            try ASAPMessage.decode(octets[...]).message
                == .deregistrationResponse(DeregistrationResponse(pool: echoPool, id: element, causes: expected)))
    }

    @Test("As many causes as fit are sent, the last one cut", arguments: [0, 8, 100, 65_527, 65_531, 65_535])
    func fitting(_ overhead: Int) {
        let causes = (0..<3).map { ErrorCause(.unrecognizedMessage, data: [UInt8](repeating: $0, count: 30_001)) }
        let fitting = causes.fitting(overhead: overhead)
        let room = 65_535 - overhead
        var used = 0
        for (index, cause) in fitting.enumerated() {
            used = (used + 3) & ~3
            #expect(cause.data == Array(causes[index].data.prefix(cause.data.count)))
            used += 4 + cause.data.count
        }
        #expect(used <= room)
        #expect(fitting.count == 3 || room - ((used + 3) & ~3) < 4, "\(room - used) octets are left")
        #expect(fitting.dropLast().allSatisfy { $0.data.count == 30_001 })
    }

    @Test("An answer too long for its causes goes without them; an error message always has one [ENRP-019]")
    func noRoom() throws {
        // Header, handle and identifier take 4 + 4 + 8 octets besides the handle's own, the Operation Error's header 4.
        for (count, kept) in [(65_508, [3]), (65_512, [])] as [(Int, [Int])] {
            let long = PoolHandle(octets: [UInt8](repeating: 0x61, count: count))
            let response = RegistrationResponse(
                pool: long, id: element, isRejected: true, causes: [ErrorCause(.invalidValues, data: [1, 2, 3, 4])])
            guard case .registrationResponse(let decoded) = try ASAPMessage.decode(try response.encoded()[...]).message
            else {
                Issue.record("not a registration response")
                return
            }
            #expect(decoded.isRejected)
            #expect(decoded.causes.map(\.data.count) == kept)
        }
        let negative = HandleResolutionResponse(
            pool: PoolHandle(octets: [UInt8](repeating: 0x61, count: 65_524)),
            outcome: .failed([ErrorCause(.unknownPoolHandle)]))
        let error = #expect(throws: WireError.self) { try negative.encoded() }
        #expect(error?.code == .tooLong)
        let nothing = try ASAPMessage.error(ASAPError(causes: [])).encoded()
        #expect(nothing == hex("0e00000c 000c0008 00000004"))
        let enrp = try ENRPMessage(sender: registrar, receiver: .undetermined, body: .error([])).encoded()
        #expect(enrp == hex("0a000014 cafe0001 00000000 000c0008 00000004"))
    }
}
