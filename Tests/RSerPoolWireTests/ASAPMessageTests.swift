// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("ASAP messages (RFC 5352 §2.2)")
struct ASAPMessageTests {
    @Test("R and the Operation Error of a registration response say different things [WIRE-045]")
    func registrationResponse() throws {
        let error = hex("000c0008 00060004")
        for (flags, value, rejected, causes) in [
            (0, [], false, []), (1, [], true, []), (0, error, false, [ErrorCause(.lackOfResources)]),
            (1, error, true, [ErrorCause(.lackOfResources)]),
        ] as [(UInt8, [UInt8], Bool, [ErrorCause])] {
            let octets = message(0x03, handleTLV + idTLV + value, flags: flags)
            let expected = RegistrationResponse(pool: echoPool, id: element, isRejected: rejected, causes: causes)
            #expect(try ASAPMessage.decode(octets[...]).message == .registrationResponse(expected))
            #expect(try expected.encoded() == octets)
        }
    }

    @Test("A deregistration response never sets a flag; it failed where there is an Operation Error [WIRE-046]")
    func deregistrationResponse() throws {
        for causes in [[], [ErrorCause(.unknownPoolHandle)]] {
            let response = DeregistrationResponse(pool: echoPool, id: element, causes: causes)
            var octets = try response.encoded()
            #expect(octets[1] == 0)
            octets[1] = 1
            #expect(try ASAPMessage.decode(octets[...]).message == .deregistrationResponse(response))
        }
    }

    @Test("A positive answer has elements, a negative one an Operation Error and nothing else [WIRE-047]")
    func answers() throws {
        let element = elementTLV(sctpTLV, roundRobinTLV)
        let positive = message(0x06, handleTLV + roundRobinTLV + element + element)
        #expect(
            try ASAPMessage.decode(positive[...]).message
                == .handleResolutionResponse(
                    HandleResolutionResponse(
                        pool: echoPool, outcome: .members(policy: .roundRobin, [echoMember(), echoMember()]))))
        for nothing in [handleTLV, handleTLV + roundRobinTLV] {
            #expect(asapError(message(0x06, nothing))?.code == .missingParameter)
        }
        let failed = HandleResolutionResponse(pool: echoPool, outcome: .failed([ErrorCause(.unknownPoolHandle)]))
        #expect(try failed.encoded() == golden["E7"])
    }

    @Test("An Operation Error makes the answer negative, whatever else is in it [WIRE-048]")
    func negative() throws {
        let element = elementTLV(sctpTLV, roundRobinTLV)
        let error = hex("000c0008 00090004")
        let increment = hex("a952000c 00000000 00000001")
        for value in [roundRobinTLV + element + error, error + roundRobinTLV + element, idTLV + increment + error] {
            #expect(
                try ASAPMessage.decode(message(0x06, handleTLV + value)[...]).message
                    == .handleResolutionResponse(
                        HandleResolutionResponse(pool: echoPool, outcome: .failed([ErrorCause(.unknownPoolHandle)]))))
        }
    }

    @Test("Without a policy the answer is still one: round robin [WIRE-049]")
    func withoutPolicy() throws {
        let octets = message(0x06, handleTLV + elementTLV(sctpTLV, roundRobinTLV), flags: 1)
        let expected = HandleResolutionResponse(
            pool: echoPool, updatesFollow: true, outcome: .members(policy: nil, [echoMember()]))
        #expect(try ASAPMessage.decode(octets[...]).message == .handleResolutionResponse(expected))
        #expect(try expected.encoded() == octets)
    }

    @Test("Only the first policy counts, and only in front of the elements [WIRE-054]")
    func misplacedPolicy() throws {
        let element = elementTLV(sctpTLV, roundRobinTLV)
        let random = hex("00080008 00000003")
        for (value, policy) in [
            (roundRobinTLV + random + element, .roundRobin), (element + random, nil),
            (roundRobinTLV + element + random, .roundRobin),
        ] as [([UInt8], PoolPolicy?)] {
            #expect(
                try ASAPMessage.decode(message(0x06, handleTLV + value)[...]).message
                    == .handleResolutionResponse(
                        HandleResolutionResponse(pool: echoPool, outcome: .members(policy: policy, [echoMember()]))))
        }
    }

    @Test("A policy other than round robin is always in the answer [WIRE-049]")
    func withPolicy() throws {
        let policy = PoolPolicy.weightedRoundRobin(weight: 3)
        let response = HandleResolutionResponse(
            pool: echoPool, outcome: .members(policy: policy, [echoMember(policy: policy)]))
        let octets = try response.encoded()
        #expect(Array(octets[16..<28]) == policy.encodedParameter())
    }

    @Test("An announcement keeps SCTP and TCP transports and skips others [WIRE-050]")
    func announcement() throws {
        let octets = message(0x0a, hex("cafe0001") + udpTLV + sctpTLV + tlv(0x0010, [1, 2]) + tcpTLV)
        #expect(
            try ASAPMessage.decode(octets[...]).message
                == .serverAnnounce(
                    ServerAnnounce(
                        registrar: registrar,
                        transports: [
                            .sctp(SCTPTransport(port: 7, addresses: [v4(1)])), .tcp(SocketAddress(ip: v4(1), port: 7)),
                        ])))
    }

    @Test("An announcement may list no transport at all [WIRE-051]")
    func emptyAnnouncement() throws {
        let announcement = ServerAnnounce(registrar: registrar, transports: [])
        #expect(try announcement.encoded() == hex("0a000008 cafe0001"))
        #expect(try ASAPMessage.decode(hex("0a000008 cafe0001")[...]).message == .serverAnnounce(announcement))
    }

    @Test("An announcement tells the UDP encapsulation port behind its transports, not to rsplib")
    func announcementPort() throws {
        let announcement = ServerAnnounce(
            registrar: registrar, transports: [.sctp(SCTPTransport(port: 7, addresses: [v4(1)]))],
            encapsulationPort: 9899)
        let octets = try announcement.encoded()
        #expect(octets == message(0x0a, hex("cafe0001") + sctpTLV + hex("a9510008 26ab0000")))
        #expect(try ASAPMessage.decode(octets[...]).message == .serverAnnounce(announcement))
        #expect(try announcement.encoded(for: .rsplibASAP) == message(0x0a, hex("cafe0001") + sctpTLV))
    }

    @Test("A business card by rsplib, with a policy behind the handle, is read")
    func businessCard() throws {
        let octets = message(0x0d, handleTLV + roundRobinTLV + elementTLV(sctpTLV, roundRobinTLV))
        let expected = BusinessCard(pool: echoPool, members: [echoMember()])
        #expect(try ASAPMessage.decode(octets[...]).message == .businessCard(expected))
        #expect(try expected.encoded() == message(0x0d, handleTLV + elementTLV(sctpTLV, roundRobinTLV)))
    }

    @Test("A business card says with our parameter 0xa953 that its sender leaves; rsplib is not told")
    func leaving() throws {
        let card = BusinessCard(pool: echoPool, members: [echoMember()], isLeaving: true)
        let plain = handleTLV + elementTLV(sctpTLV, roundRobinTLV)
        #expect(try card.encoded() == message(0x0d, plain + hex("a9530004")))
        #expect(try ASAPMessage.decode(try card.encoded()[...]).message == .businessCard(card))
        #expect(try card.encoded(for: .rsplibASAP) == message(0x0d, plain))
    }

    @Test("A cookie is any octets, none included", arguments: [0, 1, 4, 65_527])
    func cookie(_ count: Int) throws {
        let cookie = ASAPMessage.cookie(Cookie(octets: [UInt8](repeating: 0xa5, count: count)))
        #expect(try ASAPMessage.decode(try cookie.encoded()[...]).message == cookie)
        let echo = ASAPMessage.cookieEcho(CookieEcho(octets: [UInt8](repeating: 0xa5, count: count)))
        #expect(try ASAPMessage.decode(try echo.encoded()[...]).message == echo)
    }

    @Test("Of the options of a handle resolution rsplib gets its own only")
    func options() throws {
        let request = HandleResolution(pool: echoPool, count: .max, wantsIncrements: true)
        #expect(try request.encoded(for: .rsplibASAP) == message(0x05, handleTLV + hex("803f0008 ffffffff")))
        let short = message(0x05, handleTLV + hex("803f0006 0001 0000"))
        #expect(asapError(short)?.causes == [.invalid(hex("803f0006 0001"))])
        let cut = message(0x05, handleTLV + hex("a9520008 00000000"))
        #expect(asapError(cut)?.causes == [.invalid(hex("a9520008 00000000"))])
    }

    @Test("Increments say snapshot or change, and whether more follows")
    func increments() throws {
        for (flags, isSnapshot, moreFollows) in [
            (0, false, false), (1, false, true), (2, true, false), (3, true, true),
        ]
            as [(UInt8, Bool, Bool)]
        {
            let octets = message(
                0x06, handleTLV + roundRobinTLV + hex("a952000c 000000") + [flags] + hex("ffffffff"), flags: 1)
            let increment = IncrementalUpdate(isSnapshot: isSnapshot, moreFollows: moreFollows, sequence: .max)
            let expected = HandleResolutionResponse(
                pool: echoPool, updatesFollow: true, outcome: .members(policy: .roundRobin, []), increment: increment)
            #expect(try ASAPMessage.decode(octets[...]).message == .handleResolutionResponse(expected))
            #expect(try expected.encoded() == octets)
        }
    }
}

@Suite("Composing handle resolution responses (RFC 5352 §2.2.6)")
struct ComposerTests {
    private let handle = handleTLV

    @Test("A composed answer has the octets of an encoded one")
    func equal() throws {
        let members = (0..<5).map { index in
            echoMember(transport: .opaque([UInt8](repeating: 7, count: index)), policy: .weightedRandom(weight: 3))
        }
        let policy = PoolPolicy.weightedRandom(weight: 1)
        let padded = PoolHandle("abc")
        for increment in [nil, IncrementalUpdate(isSnapshot: true, moreFollows: true, sequence: 7)] {
            var pool = WireWriter()
            padded.encode(into: &pool)
            policy.encode(into: &pool)
            var composer = HandleResolutionResponseComposer(
                head: pool.bytes, updatesFollow: true, increment: increment)
            var added = members.map { member in
                member.encodedParameter(for: .asap).withUnsafeBytes { composer.add(member: $0) }
            }
            if increment != nil { added.append(composer.add(gone: seven)) }
            #expect(added.allSatisfy { $0 })
            let expected = HandleResolutionResponse(
                pool: padded, updatesFollow: true, outcome: .members(policy: policy, members), increment: increment,
                gone: increment == nil ? [] : [seven])
            #expect(hexadecimal(try composer.finish(moreFollows: true)) == hexadecimal(try expected.encoded()))
        }
    }

    @Test("It takes as many elements as fit 65 535 octets, and says no to the next one")
    func full() throws {
        let tlv = echoMember().encodedParameter(for: .asap)
        for increment in [nil, IncrementalUpdate(isSnapshot: true, moreFollows: false, sequence: 0)] {
            var composer = HandleResolutionResponseComposer(
                head: self.handle + roundRobinTLV, updatesFollow: false, increment: increment)
            var count = 0
            while tlv.withUnsafeBytes({ composer.add(member: $0) }) { count += 1 }
            let overhead = 4 + 12 + 8 + (increment == nil ? 0 : 12)
            #expect(count == (65_535 - overhead - 3) / 40)
            let octets = try composer.finish(moreFollows: true)
            guard case .handleResolutionResponse(let response) = try ASAPMessage.decode(octets[...]).message,
                case .members(_, let members) = response.outcome
            else {
                Issue.record("not a positive answer")
                return
            }
            #expect(members.count == count)
            #expect(response.increment?.moreFollows == (increment == nil ? nil : true))
        }
        var gone = HandleResolutionResponseComposer(
            head: self.handle + roundRobinTLV, updatesFollow: false,
            increment: IncrementalUpdate(isSnapshot: false, moreFollows: false, sequence: 0))
        var count = 0
        while gone.add(gone: seven) { count += 1 }
        #expect(count > 8_000)
        #expect(try gone.finish().count <= 65_536)
    }
}
