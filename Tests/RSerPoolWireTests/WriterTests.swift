// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Bounds of what is sent (RFC 5354 §2, §4)")
struct WriterTests {
    @Test("A message of 65 535 octets is sent as 65 536, one more is too long")
    func message() throws {
        let fits = try ASAPMessage.cookie(Cookie(octets: [UInt8](repeating: 1, count: 65_527))).encoded()
        #expect(fits.count == 65_536)
        #expect(fits[2...3] == [0xff, 0xff])
        let error = #expect(throws: WireError.self) {
            try ASAPMessage.cookie(Cookie(octets: [UInt8](repeating: 1, count: 65_528))).encoded()
        }
        #expect(error?.code == .tooLong)
        #expect(error?.causes == [])
    }

    @Test("Every kind of message that can grow says so where it grows too long")
    func growing() throws {
        let handle = PoolHandle(octets: [UInt8](repeating: 0x61, count: 65_532))
        let messages: [ASAPMessage] = [
            .registration(Registration(pool: handle, member: echoMember())),
            .registration(Registration(pool: "p", member: echoMember(transport: .opaque(handle.octets)))),
            .deregistration(Deregistration(pool: handle, id: seven)),
            .registrationResponse(RegistrationResponse(pool: handle, id: seven, isRejected: false)),
            .deregistrationResponse(DeregistrationResponse(pool: handle, id: seven)),
            .handleResolution(HandleResolution(pool: handle)),
            .handleResolutionResponse(
                HandleResolutionResponse(
                    pool: "p", outcome: .members(policy: .random, Array(repeating: echoMember(), count: 1_638)))),
            .handleResolutionResponse(
                HandleResolutionResponse(pool: handle, outcome: .failed([ErrorCause(.unknownPoolHandle)]))),
            .endpointKeepAlive(EndpointKeepAlive(registrar: registrar, pool: handle, wantsToBeHome: false, id: nil)),
            .endpointKeepAliveAck(EndpointKeepAliveAck(pool: handle, id: seven)),
            .endpointUnreachable(EndpointUnreachable(pool: handle, id: seven)),
            .serverAnnounce(
                ServerAnnounce(
                    registrar: registrar,
                    transports: Array(repeating: .tcp(SocketAddress(ip: .loopbackIPv4, port: 1)), count: 4_096))),
            .cookieEcho(CookieEcho(octets: handle.octets)),
            .businessCard(BusinessCard(pool: handle, members: [echoMember()])),
        ]
        for message in messages {
            let error = #expect(throws: WireError.self, "\(message.type)") { try message.encoded() }
            #expect(error?.code == .tooLong)
        }
        let information = ServerInformation(
            id: registrar, transport: SCTPTransport(port: 9901, addresses: Array(repeating: v4(1), count: 8_190)))
        let bodies: [ENRPMessage.Body] = [
            .presence(replyRequired: false, checksum: 1, information: information),
            .listResponse(isRejected: false, [information]),
            .handleUpdate(.addPoolElement, handle, echoMember(), takeoverSuggested: false),
            .handleTableResponse(
                isRejected: false, moreFollows: false,
                [.init(pool: "p", members: Array(repeating: echoMember(), count: 1_638))]),
        ]
        for body in bodies {
            let message = ENRPMessage(sender: registrar, receiver: .undetermined, body: body)
            let error = #expect(throws: WireError.self, "\(body.type)") { try message.encoded() }
            #expect(error?.code == .tooLong)
        }
    }

    @Test("Error messages are cut instead: they always go out", arguments: [65_519, 65_520, 65_523, 65_524, 70_000])
    func errors(_ count: Int) throws {
        let cause = ErrorCause(.unrecognizedMessage, data: [UInt8](repeating: 3, count: count))
        let octets = try ASAPMessage.error(ASAPError(causes: [cause, cause])).encoded()
        #expect(octets.count <= 65_536)
        guard case .error(let error) = try ASAPMessage.decode(octets[...]).message else {
            Issue.record("not an error message")
            return
        }
        #expect(error.causes.first?.data.count == min(count, 65_523))
        let enrp = ENRPMessage(sender: registrar, receiver: .undetermined, body: .error([cause]))
        guard case .error(let causes) = try ENRPMessage.decode(try enrp.encoded()[...]).message.body else {
            Issue.record("not an error message")
            return
        }
        #expect(causes.map(\.data.count) == [min(count, 65_515)])
    }

    @Test("The writer pads before what comes next, not behind the last octet, until it is finished")
    func padding() throws {
        var writer = WireWriter()
        writer.parameter(.cookie) { $0.write([1] as [UInt8]) }
        #expect(writer.bytes == hex("000d0005 01"))
        #expect(writer.lengthSoFar == 8)
        writer.encodedParameter(hex("000d0006 0203"))
        #expect(writer.bytes == hex("000d0005 01000000 000d0006 0203"))
        #expect(writer.lengthSoFar == 16)
        #expect(try writer.finish() == hex("000d0005 01000000 000d0006 02030000"))
    }
}
