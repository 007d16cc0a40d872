// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Pool Element and Pool Handle (RFC 5354 §3.9, §3.10)")
struct PoolElementTests {
    @Test("Two user transports are refused, with the second one as the cause [WIRE-031, ENRP-022]")
    func oneUserTransport() throws {
        for nested in [elementTLV(tcpTLV, udpTLV, roundRobinTLV), elementTLV(tcpTLV, roundRobinTLV, udpTLV)] {
            let error = try #require(asapError(registration(nested)))
            #expect(error.code == .unexpectedParameter)
            #expect(error.causes == [.invalid(udpTLV)])
            #expect(error.registrant == WireError.Registrant(pool: echoPool, id: element))
            let update = message(0x04, hex("11111111 00000000 00000000") + handleTLV + nested)
            #expect(enrpError(update)?.causes == [.invalid(udpTLV)])
        }
    }

    @Test("A second ASAP transport is refused [WIRE-052]")
    func oneASAPTransport() throws {
        let other = hex("00040010 0f170000 00010008 c0000201")
        let error = try #require(asapError(registration(elementTLV(tcpTLV, roundRobinTLV, sctpTLV, other))))
        #expect(error.causes == [.invalid(other)])
    }

    @Test("What is missing makes the Pool Element the cause [WIRE-052, ENRP-022]")
    func missing() throws {
        for nested in [elementTLV(), elementTLV(sctpTLV), elementTLV(roundRobinTLV)] {
            let error = try #require(asapError(registration(nested)))
            #expect(error.causes.map(\.code) == [.invalidValues])
            #expect(error.registrant?.id == element)
        }
        for count in 0..<12 {
            let short = tlv(0x000a, [UInt8](repeating: 1, count: count))
            let error = try #require(asapError(registration(short)))
            #expect(error.code == .truncated)
            #expect((error.registrant == nil) == (count < 4))
        }
    }

    @Test("Between registrars the ASAP transport comes third, of type SCTP [WIRE-032, WIRE-034]")
    func asapTransport() throws {
        let member = echoMember(
            transport: .tcp(SocketAddress(ip: v4(1), port: 7)),
            asapTransport: SCTPTransport(port: 3863, addresses: [v4(1)]))
        let expected = elementTLV(tcpTLV, roundRobinTLV, hex("00040010 0f170000 00010008 c0000201"))
        #expect(member.encodedParameter(for: .enrp) == expected)
        #expect(member.encodedParameter(for: .asap) == elementTLV(tcpTLV, roundRobinTLV))
    }

    @Test("A registration may leave the ASAP transport out or bring one [WIRE-033]")
    func registrationWithASAPTransport() throws {
        let with = try ASAPMessage.decode(registration(elementTLV(tcpTLV, roundRobinTLV, sctpTLV))[...]).message
        let transport = UserTransport.tcp(SocketAddress(ip: v4(1), port: 7))
        #expect(
            with
                == .registration(
                    Registration(
                        pool: echoPool,
                        member: echoMember(
                            transport: transport, asapTransport: SCTPTransport(port: 7, addresses: [v4(1)])))))
        let without = try ASAPMessage.decode(registration(elementTLV(tcpTLV, roundRobinTLV))[...]).message
        #expect(without == .registration(Registration(pool: echoPool, member: echoMember(transport: transport))))
    }

    @Test("The order is user transport, policy, ASAP transport; another one is refused [WIRE-034]")
    func order() throws {
        #expect(asapError(registration(elementTLV(roundRobinTLV, tcpTLV)))?.causes == [.invalid(roundRobinTLV)])
        let octets = try ASAPMessage.registration(Registration(pool: echoPool, member: echoMember())).encoded()
        #expect(Array(octets[16...]) == elementTLV(sctpTLV, roundRobinTLV))
    }

    @Test("An unknown home is 0 [WIRE-035, ENRP-023]")
    func home() throws {
        let octets = echoMember().encodedParameter(for: .asap)
        #expect(octets[8..<12] == [0, 0, 0, 0])
        #expect(echoMember(home: registrar).encodedParameter(for: .asap)[8..<12] == [0xca, 0xfe, 0, 1])
        #expect(RegistrarID.undetermined.rawValue == 0)
    }

    @Test("Life counts seconds, −1 is for ever [WIRE-036, ENRP-023]")
    func life() throws {
        #expect(echoMember(life: .seconds(5)).encodedParameter(for: .asap)[12..<16] == [0, 0, 0, 5])
        #expect(echoMember(life: .infinite).encodedParameter(for: .asap)[12..<16] == [0xff, 0xff, 0xff, 0xff])
        #expect(RegistrationLife.seconds(5).duration == .seconds(5))
        #expect(RegistrationLife.infinite.duration == nil)
        #expect(RegistrationLife(rawValue: .max).duration == .seconds(2_147_483_647))
    }

    @Test(
        "A life of 0 or below −1 is refused with the Pool Element as the cause [WIRE-052]",
        arguments: [0, 0x8000_0000, 0xffff_fffe] as [UInt32])
    func lifeWithoutMeaning(_ life: UInt32) throws {
        let nested = elementTLV(sctpTLV, roundRobinTLV, life: life)
        let error = try #require(asapError(registration(nested)))
        #expect(error.code == .invalidValue)
        #expect(error.causes == [.invalid(nested)])
        #expect(error.registrant == WireError.Registrant(pool: echoPool, id: element))
        let update = message(0x04, hex("11111111 00000000 00000001") + handleTLV + nested)
        #expect(enrpError(update) == nil)
    }

    @Test("Where pool and PE identifier were read, an error behind them names the registrant; where not, it does not")
    func registrant() throws {
        #expect(asapError(registration(elementTLV(sctpTLV, roundRobinTLV), [0, 9, 0, 3]))?.registrant?.id == element)
        #expect(asapError(message(0x01, elementTLV(sctpTLV, roundRobinTLV)))?.registrant == nil)
        #expect(asapError(message(0x02, handleTLV))?.registrant == nil)
    }

    @Test("An empty pool handle is refused, a long one is not [WIRE-052]")
    func handles() throws {
        for type in [0x02, 0x05, 0x08] as [UInt8] {
            let error = try #require(asapError(message(type, tlv(0x0009) + idTLV)))
            #expect(error.code == .invalidValue)
            #expect(error.causes == [.invalid(tlv(0x0009))])
        }
        let long = PoolHandle(octets: [UInt8](repeating: 0x61, count: 65_527))
        let octets = try ASAPMessage.handleResolution(HandleResolution(pool: long)).encoded()
        #expect(octets.count == 65_536)
        #expect(try ASAPMessage.decode(octets[...]).message == .handleResolution(HandleResolution(pool: long)))
    }

    @Test("Our UDP encapsulation port comes behind the policy, and only to who reads it")
    func encapsulationPort() throws {
        var member = echoMember(asapTransport: SCTPTransport(port: 3863, addresses: [v4(1)]))
        member.encapsulationPort = 9899
        let asapTransport = hex("00040010 0f170000 00010008 c0000201")
        let port = hex("a9510008 26ab0000")
        #expect(member.encodedParameter(for: .enrp) == elementTLV(sctpTLV, roundRobinTLV, port, asapTransport))
        #expect(member.encodedParameter(for: .asap) == elementTLV(sctpTLV, roundRobinTLV, port))
        #expect(member.encodedParameter(for: .rsplibENRP) == elementTLV(sctpTLV, roundRobinTLV, asapTransport))
        #expect(member.encodedParameter(for: .rsplibASAP) == elementTLV(sctpTLV, roundRobinTLV))
        let short = registration(elementTLV(sctpTLV, roundRobinTLV, hex("a9510004")))
        #expect(asapError(short)?.causes == [.invalid(hex("a9510004"))])
    }

    @Test("Identifiers print as 0x and eight digits, handles as text where they are printable")
    func text() {
        #expect(PoolElementID(rawValue: 0xbeef).description == "0x0000beef")
        #expect(RegistrarID(rawValue: .max).description == "0xffffffff")
        #expect(PoolHandle("Büro 7").description == "Büro 7")
        #expect(PoolHandle("0x41").description == "0x30783431")
        #expect(PoolHandle(octets: [0x41, 0x00]).description == "0x4100")
        #expect(PoolHandle(octets: [0xff]).description == "0xff")
        #expect(PoolHandle(octets: [0xc2, 0x85]).description == "0xc285")
        #expect(PoolHandle(octets: []).description == "0x")
        #expect(PoolHandle("a") < PoolHandle("ab"))
        #expect(PoolHandle("ab") < PoolHandle("b"))
        #expect(!(PoolHandle("b") < PoolHandle("b")))
    }
}
