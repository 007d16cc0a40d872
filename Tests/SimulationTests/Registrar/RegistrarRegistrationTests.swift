// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("Registration at the registrar (RFC 5352 §3.1)")
struct RegistrarRegistrationTests {
    private let lab: RegistrarWorld
    private let peer: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.peer = try self.lab.peer()
    }

    private func answer(_ element: [UInt8], in pool: String = "EchoPool") throws -> [UInt8]? {
        let answers = try self.lab.exchange(self.peer, Say.register(pool, element))
        #expect(answers.count == 1)
        return answers.first
    }

    private func sctp(_ id: UInt32, port: UInt16 = 7, use: UInt16 = 0, policy: [UInt8] = roundRobinTLV) -> [UInt8] {
        elementTLV(id, sctpTLV(port: port, use: use, self.peer.address), policy)
    }

    @Test(
        """
        A registration makes the pool, a further one joins it; answers name the owner [ASAP-015, ASAP-064, \
        ASAP-066, ASAP-072, ASAP-076, ASAP-077, POL-001]
        """
    )
    func joining() throws {
        #expect(try self.answer(self.sctp(1)) == Say.registered("EchoPool", 1))
        #expect(try self.answer(self.sctp(2)) == Say.registered("EchoPool", 2))
        let resolved = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool",
                    [1, 2].map { elementTLV($0, home: RegistrarWorld.id, sctpTLV(self.peer.address), roundRobinTLV) })
            ])
        #expect(self.lab.size == (1, 2))
    }

    @Test("When a crowd has left, its memory is given back, once; who is left stays")
    func crowd() throws {
        func register(_ ids: ClosedRange<UInt32>) throws {
            for id in ids {
                try self.peer.send(Say.register("EchoPool", self.sctp(id)))
                if id % 100 == 0 { try self.lab.world.run(for: .milliseconds(20)) }
            }
        }
        try register(1...5_000)
        let other = try self.lab.peer()
        try self.lab.register(other, 9_999, in: "Other")
        // Two heartbeats.
        try self.lab.world.run(for: .seconds(70))
        #expect(self.lab.size == (2, 5_001))
        #expect(self.lab.node.releasesOfMemory == 0)
        for id in UInt32(1)...5_000 {
            try self.peer.send(Say.deregister("EchoPool", id))
            if id % 100 == 0 { try self.lab.world.run(for: .milliseconds(20)) }
        }
        try self.lab.world.run(for: .seconds(200))
        #expect(self.lab.size == (1, 1))
        #expect(self.lab.node.releasesOfMemory == 1)
        #expect(try self.lab.resolve(other, "Other") == [9_999])
    }

    @Test("Handles are compared octet by octet [ASAP-018]")
    func handles() throws {
        #expect(try self.answer(self.sctp(1), in: "Echo") == Say.registered("Echo", 1))
        #expect(try self.lab.resolve(self.peer, "echo") == nil)
        #expect(try self.answer(self.sctp(2, policy: randomTLV), in: "echo") == Say.registered("echo", 2))
        #expect(try self.lab.resolve(self.peer, "Echo") == [1])
    }

    @Test(
        """
        The first element sets policy, transport and use of the pool; differences are causes in order [ASAP-065, \
        ASAP-067, ASAP-068, ASAP-078]
        """
    )
    func inconsistencies() throws {
        let first = sctpTLV(use: 1, self.peer.address)
        #expect(try self.answer(elementTLV(1, first, roundRobinTLV)) == Say.registered("EchoPool", 1))
        let cases: [([UInt8], [UInt8])] = [
            (self.sctp(2, use: 1, policy: randomTLV), errorTLV((0x0005, roundRobinTLV))),
            (self.sctp(2), errorTLV((0x0008, []))),
            (
                elementTLV(2, tcpTLV(self.peer.address), randomTLV),
                errorTLV((0x0005, roundRobinTLV), (0x0007, first), (0x0008, []))
            ),
        ]
        for (element, causes) in cases {
            #expect(try self.answer(element) == Say.rejected("EchoPool", 2, causes))
            #expect(try self.lab.resolve(self.peer) == [1])
        }
        #expect(self.lab.statistics(.registrationsRejected) == 3)
    }

    @Test("A re-registration is checked likewise, even of the only element, and changes nothing if rejected [ASAP-070]")
    func rejectedReregistration() throws {
        _ = try self.answer(self.sctp(1, policy: leastUsedTLV(10)))
        let before = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            try self.answer(self.sctp(1, port: 9)) == Say.rejected("EchoPool", 1, errorTLV((0x0005, leastUsedTLV(10)))))
        #expect(try self.lab.exchange(self.peer, Say.resolve("EchoPool")) == before)
    }

    @Test("An accepted re-registration replaces load and port, and is the same element [ASAP-069, ASAP-071, POL-011]")
    func reregistration() throws {
        _ = try self.answer(self.sctp(1, policy: leastUsedTLV(10)))
        #expect(try self.answer(self.sctp(1, port: 8, policy: leastUsedTLV(90))) == Say.registered("EchoPool", 1))
        let resolved = try self.lab.exchange(self.peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool", policy: Array(resolved[0][16..<28]),
                    [elementTLV(1, home: RegistrarWorld.id, sctpTLV(port: 8, self.peer.address), leastUsedTLV(90))])
            ])
    }

    @Test("Over TCP nobody registers, deregisters or acknowledges [ASAP-001, ASAP-012]")
    func overTCP() throws {
        try self.lab.register(self.peer, 1)
        let tcp = try self.lab.peer("tcp", .tcp)
        for request in [
            Say.register("EchoPool", elementTLV(2, sctpTLV(tcp.address), roundRobinTLV)), Say.deregister("EchoPool", 1),
            Say.alive("EchoPool", 1), Say.register("Fresh", elementTLV(2, sctpTLV(tcp.address), roundRobinTLV)),
        ] {
            let answers = try self.lab.exchange(tcp, request)
            #expect(answers == [Say.error((0x0003, []))], "\(answers.map(\.hex))")
        }
        #expect(try self.lab.resolve(tcp) == [1])
        #expect(try self.lab.resolve(tcp, "Fresh") == nil)
    }

    @Test("Addresses that are none of the association: refused if there is no other [ASAP-023]")
    func foreignAddress() throws {
        let transport = sctpTLV(.ipv4(0xc000_0201))
        #expect(
            try self.answer(elementTLV(1, transport, roundRobinTLV))
                == Say.rejected("EchoPool", 1, errorTLV((0x0003, transport))))
        #expect(try self.lab.resolve(self.peer) == nil)
        let tcp = tcpTLV(.ipv4(0xc000_0201))
        #expect(
            try self.answer(elementTLV(1, tcp, roundRobinTLV)) == Say.rejected("EchoPool", 1, errorTLV((0x0003, tcp))))
    }

    @Test(
        """
        Some foreign addresses are taken out, with a warning; all of a multi-homed element's own stay [ASAP-023, \
        ASAP-027]
        """
    )
    func partlyForeignAddresses() throws {
        let own = [IPAddress.ipv4(0x0a01_0001), .ipv4(0x0a01_0002)]
        let peer = try self.lab.peer("multi", addresses: own)
        let whole = sctpTLV(own[0], own[1])
        #expect(
            try self.lab.exchange(peer, Say.register("EchoPool", elementTLV(1, whole, roundRobinTLV)))
                == [Say.registered("EchoPool", 1)])
        let mixed = sctpTLV(own[0], .ipv4(0xc000_0201), own[1])
        #expect(
            try self.lab.exchange(peer, Say.register("EchoPool", elementTLV(2, mixed, roundRobinTLV)))
                == [message(0x03, handleTLV("EchoPool"), idTLV(2), errorTLV((0x0003, mixed)))])
        let resolved = try self.lab.exchange(peer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool", [1, 2].map { elementTLV($0, home: RegistrarWorld.id, whole, roundRobinTLV) })
            ])
    }

    @Test("With the check switched off foreign addresses are taken")
    func uncheckedAddresses() throws {
        let lab = try RegistrarWorld { $0.checksAddresses = false }
        let peer = try lab.peer()
        let answers = try lab.exchange(
            peer, Say.register("EchoPool", elementTLV(1, sctpTLV(.ipv4(0xc000_0201)), roundRobinTLV)))
        #expect(answers == [Say.registered("EchoPool", 1)])
    }

    @Test(
        "Lives that make no sense are refused with cause 0003 and the Pool Element [ASAP-075]",
        arguments: [0, 0xffff_fffe, 0x8000_0000] as [UInt32])
    func invalidLife(life: UInt32) throws {
        let element = elementTLV(1, life: life, sctpTLV(self.peer.address), roundRobinTLV)
        #expect(try self.answer(element) == Say.rejected("EchoPool", 1, errorTLV((0x0003, element))))
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test("Limits: cause 0006 for what is too much, 0003 for a handle too long; who is there stays [ASAP-075]")
    func limits() throws {
        let lab = try RegistrarWorld {
            $0.limits.maxPools = 2
            $0.limits.maxElements = 4
            $0.limits.maxElementsPerLink = 3
            $0.limits.maxHandleLength = 8
        }
        let peer = try lab.peer()
        let other = try lab.peer()
        func register(_ peer: ScriptedPeer, _ pool: String, _ id: UInt32) throws -> [[UInt8]] {
            try lab.exchange(peer, Say.register(pool, elementTLV(id, sctpTLV(peer.address), roundRobinTLV)))
        }
        try lab.register(peer, 1, in: "a")
        try lab.register(peer, 1, in: "b")
        for _ in 1...3 { #expect(try register(peer, "c", 1) == [Say.rejected("c", 1, errorTLV((0x0006, [])))]) }
        try lab.register(peer, 2, in: "a")
        #expect(try register(peer, "a", 3) == [Say.rejected("a", 3, errorTLV((0x0006, [])))], "of this link")
        try lab.register(other, 4, in: "a")
        #expect(try register(other, "a", 5) == [Say.rejected("a", 5, errorTLV((0x0006, [])))], "of all")
        #expect(try register(peer, "a", 1) == [Say.registered("a", 1)], "renewing is no newcomer")
        #expect(try lab.resolve(peer, "a") == [1, 2, 4])
        #expect(lab.size == (2, 4))
        _ = try lab.exchange(peer, Say.deregister("b", 1))
        #expect(try register(other, "ninechars", 1) == [Say.rejected("ninechars", 1, errorTLV((0x0003, [])))])
        #expect(try register(other, "eight888", 1) == [Say.registered("eight888", 1)])
        // Each limit once a minute, not with each attempt.
        #expect(
            lab.log.all.filter { $0.hasPrefix("warning: no room") }.map { String($0.prefix { $0 != "[" }) } == [
                "warning: no room for element 0x00000001 of pool c: max-pools is the limit ",
                "warning: no room for element 0x00000003 of pool a: max-elements-per-link is the limit ",
                "warning: no room for element 0x00000005 of pool a: max-elements is the limit ",
            ])
        try lab.world.run(for: .seconds(61))
        _ = try register(other, "c", 1)
        #expect(lab.log.all.count { $0.contains("max-elements is the limit") } == 2)
    }

    @Test("Each accepted registration begins a full life [ASAP-085]")
    func lifeBeginsAnew() throws {
        for _ in 0..<5 {
            try self.lab.register(self.peer, 1, life: 3)
            try self.lab.world.run(for: .seconds(2))
        }
        #expect(try self.lab.resolve(self.peer) == [1])
        try self.lab.world.run(for: .seconds(2))
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    @Test("A rejected registration does not begin the life anew [ASAP-085]")
    func rejectionRenewsNothing() throws {
        try self.lab.register(self.peer, 1, life: 3)
        try self.lab.world.run(for: .seconds(2))
        #expect(try self.answer(self.sctp(1, policy: randomTLV))?.prefix(2) == [0x03, 0x01])
        try self.lab.world.run(for: .seconds(2))
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    // MARK: Identifiers in use

    @Test("An identifier that is alive elsewhere: cause 0004 for the newcomer, the holder stays [ASAP-081]")
    func identifierInUse() throws {
        self.peer.follow { heard, _ in heard.type == 0x07 ? [Say.alive("EchoPool", 1)] : [] }
        try self.lab.register(self.peer, 1)
        let newcomer = try self.lab.peer()
        let answers = try self.lab.exchange(
            newcomer, Say.register("EchoPool", elementTLV(1, sctpTLV(newcomer.address), roundRobinTLV)))
        #expect(answers == [Say.rejected("EchoPool", 1, errorTLV((0x0004, [])))])
        let resolved = try self.lab.exchange(newcomer, Say.resolve("EchoPool"))
        #expect(
            resolved == [
                Say.members(
                    "EchoPool",
                    [elementTLV(1, home: RegistrarWorld.id, sctpTLV(self.peer.address), roundRobinTLV)])
            ])
    }

    @Test("If the holder of the identifier does not answer, the newcomer has it [ASAP-081]")
    func holderIsMute() throws {
        try self.lab.register(self.peer, 1)
        let newcomer = try self.lab.peer()
        let request = Say.register("EchoPool", elementTLV(1, sctpTLV(newcomer.address), roundRobinTLV))
        #expect(try self.lab.exchange(newcomer, request).isEmpty, "the holder is asked first")
        #expect(self.peer.newlyHeard().last?.type == 0x07)
        try self.lab.world.run(for: .seconds(6))
        #expect(newcomer.newlyHeard().map(\.bytes) == [Say.registered("EchoPool", 1)])
        #expect(try self.lab.resolve(newcomer) == [1])
    }

    @Test(
        "Where too many holders are asked, a further newcomer hears 0004 unasked, and the log names the limit [ASAP-081]"
    )
    func tooManyChallenges() throws {
        let lab = try RegistrarWorld { $0.limits.maxChallenges = 1 }
        let (holder, newcomer) = (try lab.peer(), try lab.peer())
        for id in 1...2 as ClosedRange<UInt32> { try lab.register(holder, id) }
        let answers = try lab.exchange(
            newcomer, Say.register("EchoPool", elementTLV(1, sctpTLV(newcomer.address), roundRobinTLV)),
            Say.register("EchoPool", elementTLV(2, sctpTLV(newcomer.address), roundRobinTLV)))
        #expect(answers == [Say.rejected("EchoPool", 2, errorTLV((0x0004, [])))])
        #expect(
            lab.log.all.count { $0.contains("element 0x00000002") && $0.contains("max-challenges is the limit") } == 1)
    }

    @Test("If the holder registers again meanwhile, it lives: the newcomer hears 0004 at once [ASAP-081]")
    func holderRegistersMeanwhile() throws {
        try self.lab.register(self.peer, 1)
        let newcomer = try self.lab.peer()
        let request = Say.register("EchoPool", elementTLV(1, sctpTLV(newcomer.address), roundRobinTLV))
        _ = try self.lab.exchange(newcomer, request)
        try self.lab.register(self.peer, 1)
        #expect(newcomer.newlyHeard().map(\.bytes) == [Say.rejected("EchoPool", 1, errorTLV((0x0004, [])))])
    }

    @Test("The same place over another association is the same element, without a check [ASAP-081]")
    func samePlace() throws {
        let addresses = [IPAddress.ipv4(0x0a01_0001)]
        let first = try self.lab.peer("first", addresses: addresses)
        let second = try self.lab.peer("second", addresses: addresses)
        try self.lab.register(first, 1)
        #expect(
            try self.lab.exchange(
                second, Say.register("EchoPool", elementTLV(1, sctpTLV(first.address), roundRobinTLV)))
                == [Say.registered("EchoPool", 1)])
        // It belongs to the new association now.
        first.abort()
        try self.lab.world.run(for: .milliseconds(20))
        #expect(try self.lab.resolve(second) == [1])
        second.abort()
        try self.lab.world.run(for: .milliseconds(20))
        #expect(try self.lab.resolve(self.peer) == nil)
    }

    // MARK: Associations that end

    @Test("Aborted, an association takes its elements with it at once [ASAP-086]")
    func aborted() throws {
        try self.lab.register(self.peer, 1)
        try self.lab.register(self.peer, 2)
        let other = try self.lab.peer()
        try self.lab.register(other, 3)
        self.peer.abort()
        try self.lab.world.run(for: .milliseconds(10))
        #expect(try self.lab.resolve(other) == [3])
        #expect(self.lab.statistics(.elementsRemoved) == 2)
    }

    @Test("Ended in order, it is asked over a new association, and stays if it answers [ASAP-086]")
    func endedInOrder() throws {
        self.peer.follow { heard, _ in heard.type == 0x07 ? [Say.alive("EchoPool", 1)] : [] }
        try self.lab.register(self.peer, 1)
        self.peer.shutdown()
        try self.lab.world.run(for: .seconds(30))
        #expect(self.peer.linkCount == 2)
        #expect(self.peer.openLinks.first?.isIncoming == true)
        let other = try self.lab.peer()
        #expect(try self.lab.resolve(other) == [1])
    }

    @Test("Ended in order, and nobody listens any more: gone as soon as that is known [ASAP-086]")
    func endedAndGone() throws {
        try self.lab.register(self.peer, 1)
        self.peer.close()
        try self.lab.world.run(for: .milliseconds(50))
        let other = try self.lab.peer()
        #expect(try self.lab.resolve(other) == nil)
    }

    @Test("Two elements on one association that ends in order: both are asked, both stay [ASAP-086]")
    func twoOnOneAssociation() throws {
        self.peer.follow { heard, _ in
            heard.type == 0x07 ? [Say.alive("EchoPool", UInt32(heard.bytes.last ?? 0))] : []
        }
        try self.lab.register(self.peer, 1)
        try self.lab.register(self.peer, 2)
        self.peer.shutdown()
        try self.lab.world.run(for: .seconds(30))
        let other = try self.lab.peer()
        #expect(try self.lab.resolve(other) == [1, 2])
    }

    @Test("A registrar that ends its associations itself asks nobody over new ones")
    func registrarEnds() throws {
        try self.lab.register(self.peer, 1)
        let other = try self.lab.peer()
        try self.lab.register(other, 2)
        self.lab.node.cancel()
        try self.lab.world.run(for: .seconds(3))
        #expect(self.lab.node.liveRoots == 0)
        for one in [self.peer, other] {
            #expect(one.openLinks.isEmpty)
            #expect(one.linkCount == 1)
        }
    }

    // MARK: Deregistration (§3.2)

    @Test(
        """
        Deregistered, it is gone; the last one takes the pool along, which may begin anew [ASAP-098, ASAP-099, \
        ASAP-102]
        """
    )
    func deregistration() throws {
        try self.lab.register(self.peer, 1)
        try self.lab.register(self.peer, 2)
        #expect(try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1)) == [Say.left("EchoPool", 1)])
        #expect(try self.lab.resolve(self.peer) == [2])
        #expect(try self.lab.exchange(self.peer, Say.deregister("EchoPool", 2)) == [Say.left("EchoPool", 2)])
        #expect(try self.lab.exchange(self.peer, Say.resolve("EchoPool")) == [Say.unknown("EchoPool")])
        try self.lab.register(self.peer, 3, policy: randomTLV)
        #expect(try self.lab.resolve(self.peer) == [3])
    }

    @Test("An unknown element or pool is deregistered with success, again and again [ASAP-100, ASAP-102]")
    func unknownElement() throws {
        for _ in 0..<2 {
            #expect(try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1)) == [Say.left("EchoPool", 1)])
        }
        try self.lab.register(self.peer, 2)
        #expect(try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1)) == [Say.left("EchoPool", 1)])
        #expect(try self.lab.resolve(self.peer) == [2])
    }

    @Test("Nobody deregisters another: cause 000a, and it stays [ASAP-025, ASAP-101, ASAP-102, ASAP-103]")
    func byProxy() throws {
        try self.lab.register(self.peer, 1)
        let stranger = try self.lab.peer()
        #expect(
            try self.lab.exchange(stranger, Say.deregister("EchoPool", 1))
                == [message(0x04, handleTLV("EchoPool"), idTLV(1), errorTLV((0x000a, [])))])
        #expect(try self.lab.resolve(stranger) == [1])
        #expect(self.lab.statistics(.deregistrationsRejected) == 1)
    }

    @Test("From another association of the same host it may [ASAP-025]")
    func sameHost() throws {
        let addresses = [IPAddress.ipv4(0x0a01_0001)]
        let first = try self.lab.peer("first", addresses: addresses)
        let second = try self.lab.peer("second", addresses: addresses)
        try self.lab.register(first, 1)
        #expect(try self.lab.exchange(second, Say.deregister("EchoPool", 1)) == [Say.left("EchoPool", 1)])
        #expect(try self.lab.resolve(second) == nil)
    }

    @Test(
        "Messages of other roles are ignored and counted [ASAP-234]",
        arguments: [0x03, 0x04, 0x06, 0x07, 0x0a, 0x0b, 0x0c, 0x0d] as [UInt8])
    func otherRoles(type: UInt8) throws {
        try self.lab.register(self.peer, 1)
        let bodies: [UInt8: [UInt8]] = [
            0x03: handleTLV("EchoPool") + idTLV(1), 0x04: handleTLV("EchoPool") + idTLV(1),
            0x06: handleTLV("EchoPool") + errorTLV((0x0009, [])), 0x07: octets(7 as UInt32) + handleTLV("EchoPool"),
            0x0a: octets(7 as UInt32), 0x0b: tlv(0x000d, [1, 2, 3, 4]), 0x0c: tlv(0x000d, [1, 2, 3, 4]),
            0x0d: handleTLV("EchoPool") + self.sctp(9),
        ]
        #expect(try self.lab.exchange(self.peer, message(type, bodies[type] ?? [])).isEmpty)
        #expect(try self.lab.resolve(self.peer) == [1])
        #expect(self.lab.statistics(.messagesIgnored) == 1)
    }
}
