// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Transports (RFC 5354 §3.3–3.7, §3.16)")
struct TransportTests {
    private func decoded(_ transport: [UInt8]) throws -> UserTransport {
        let decoded = try ASAPMessage.decode(registration(elementTLV(transport, roundRobinTLV))[...])
        guard case .registration(let registration) = decoded.message else {
            throw WireError(.invalidValue, at: 0, "not a registration: \(decoded.message)")
        }
        return registration.member.transport
    }

    @Test(
        "Each kind has the octets of the RFC, both address families",
        arguments: [
            (.sctp(SCTPTransport(port: 7, addresses: [v4(1)])), "00040010 00070000 00010008 c0000201"),
            (
                .sctp(SCTPTransport(port: 7, use: .dataAndControl, addresses: [.ipv6(1, 2), v4(1)])),
                "00040024 00070001 00020014 0000000000000001 0000000000000002 00010008 c0000201"
            ),
            (.tcp(SocketAddress(ip: v4(1), port: 7)), "00050010 00070000 00010008 c0000201"),
            (
                .tcp(SocketAddress(ip: .ipv6(1, 2), port: 7)),
                "0005001c 00070000 00020014 0000000000000001 0000000000000002"
            ),
            (.udp(SocketAddress(ip: v4(1), port: 7)), "00060010 00070000 00010008 c0000201"),
            (.udpLite(SocketAddress(ip: v4(1), port: 7)), "00070010 00070000 00010008 c0000201"),
            (
                .dccp(SocketAddress(ip: v4(1), port: 7), serviceCode: 0x0102_0304),
                "00030014 00070000 01020304 00010008 c0000201"
            ),
            (
                .dccp(SocketAddress(ip: .ipv6(1, 2), port: 7), serviceCode: 0x0102_0304),
                "00030020 00070000 01020304 00020014 0000000000000001 0000000000000002"
            ),
            (.opaque([]), "00100004"),
            (.opaque([0xde, 0xad]), "00100006 dead"),
        ] as [(UserTransport, String)])
    func octets(_ transport: UserTransport, _ text: String) throws {
        #expect(hexadecimal(transport.encodedParameter()) == hexadecimal(hex(text)))
        #expect(try self.decoded(hex(text) + (text.hasSuffix("dead") ? [0, 0] : [])) == transport)
    }

    @Test("Everything but SCTP counts as data only, and sends no transport use [WIRE-025]")
    func dataOnly() throws {
        for kind in [tcpTLV, udpTLV, tlv(0x0007, Array(udpTLV[4...]))] {
            var claimingControl = kind
            claimingControl[7] = 1
            let transport = try self.decoded(claimingControl)
            #expect(transport.use == .dataOnly)
            #expect(transport.encodedParameter() == kind)
        }
        #expect(UserTransport.opaque([1]).use == .dataOnly)
        #expect(try self.decoded(hex("00040010 00070001 00010008 c0000201")).use == .dataAndControl)
    }

    @Test(
        "DCCP, TCP, UDP and UDP-Lite have exactly one address, else the transport goes back as invalid [WIRE-026]",
        arguments: [0x0003, 0x0005, 0x0006, 0x0007] as [UInt16])
    func oneAddress(_ type: UInt16) throws {
        let fixed = hex("00070000") + (type == 0x0003 ? [1, 2, 3, 4] : [])
        let address = hex("00010008 c0000201")
        #expect(try self.decoded(tlv(type, fixed + address)).addresses == [v4(1)])
        for addresses in [[], address + address] {
            let transport = tlv(type, fixed + addresses)
            let error = try #require(asapError(registration(elementTLV(transport, roundRobinTLV))))
            #expect(error.code == .invalidValue)
            #expect(error.causes == [.invalid(transport)])
            #expect(error.registrant == WireError.Registrant(pool: echoPool, id: element))
        }
    }

    @Test("SCTP has one address or more, else the transport goes back as invalid [WIRE-027, ENRP-021]")
    func someAddress() throws {
        let empty = tlv(0x0004, hex("00070000"))
        let error = try #require(asapError(registration(elementTLV(empty, roundRobinTLV))))
        #expect(error.causes == [.invalid(empty)])
        #expect(error.registrant?.id == element)
        let mixed = tlv(0x0004, hex("00070000 00010008 c0000201 00020014") + IPAddress.loopbackIPv6.octets)
        #expect(try self.decoded(mixed).addresses == [v4(1), .loopbackIPv6])
        let list = message(0x06, hex("11111111 22222222") + tlv(0x000b, hex("33333333") + empty))
        #expect(enrpError(list)?.causes == [.invalid(empty)])
    }

    @Test(
        "Transport use is 0 or 1, else the transport goes back as invalid [WIRE-028, ENRP-021]",
        arguments: [2, 0x100, 0xffff])
    func use(_ value: Int) throws {
        let transport = tlv(0x0004, [0, 7, UInt8(value >> 8), UInt8(value & 0xff)] + hex("00010008 c0000201"))
        let error = try #require(asapError(registration(elementTLV(transport, roundRobinTLV))))
        #expect(error.code == .invalidValue)
        #expect(error.causes == [.invalid(transport)])
    }

    @Test("Reserved fields are sent as 0 and ignored when received [WIRE-029]")
    func reserved() throws {
        let transport = hex("00030014 0007ffff 01020304 00010008 c0000201")
        let expected = UserTransport.dccp(SocketAddress(ip: v4(1), port: 7), serviceCode: 0x0102_0304)
        #expect(try self.decoded(transport) == expected)
        #expect(expected.encodedParameter()[6...7] == [0, 0])
        #expect(try self.decoded(hex("00050010 00070001 00010008 c0000201")) == .tcp(SocketAddress(ip: v4(1), port: 7)))
    }

    @Test("Opaque data comes back octet by octet, whatever its length [WIRE-030]", arguments: 0...9)
    func opaque(_ count: Int) throws {
        let data = (0..<count).map { UInt8(0xff - $0) }
        let member = echoMember(transport: .opaque(data))
        let octets = try ASAPMessage.registration(Registration(pool: echoPool, member: member)).encoded()
        #expect(octets[34...35] == [0, UInt8(4 + count)])
        #expect(try self.decoded(tlv(0x0010, data)) == .opaque(data))
        #expect(UserTransport.opaque(data).addresses == [])
        #expect(UserTransport.opaque(data).port == nil)
    }

    @Test(
        "Addresses of the wrong size are malformed [WIRE-052]",
        arguments: ["00010007 c00002 00", "00010010 c0000201 00000000 00000000", "00020008 20010db8"])
    func addressSize(_ address: String) throws {
        let transport = tlv(0x0004, hex("00070000") + hex(address))
        let error = try #require(asapError(registration(elementTLV(transport, roundRobinTLV))))
        #expect(error.code == .badLength)
        #expect(error.causes.map(\.code) == [.invalidValues])
    }

    @Test("A transport without its fixed fields is malformed [WIRE-052]", arguments: [0, 1, 2, 3])
    func fixedFields(_ count: Int) throws {
        for type in [3, 4, 5, 6, 7] as [UInt16] {
            let transport = tlv(type, [UInt8](repeating: 1, count: count))
            let error = try #require(asapError(registration(elementTLV(transport, roundRobinTLV))))
            #expect(error.code == .truncated)
            #expect(error.causes == [.invalid(Array(transport.prefix(4 + count)))])
        }
        let dccp = tlv(0x0003, [0, 7, 0, 0] + [UInt8](repeating: 1, count: count))
        #expect(asapError(registration(elementTLV(dccp, roundRobinTLV)))?.code == .truncated)
    }
}
