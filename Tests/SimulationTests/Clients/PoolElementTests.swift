// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("A pool element of ours before fake registrars (RFC 5352 §3.1 to §3.4)")
struct PoolElementTests {
    private let lab = ClientWorld()

    /// The Pool Element that it is expected to register.
    private func expected(
        _ element: TestElement, _ port: UInt16, home: UInt32 = 0, life: UInt32 = 300, policy: [UInt8] = roundRobinTLV
    ) -> [UInt8] {
        Say.register(
            "EchoPool",
            elementTLV(element.id, home: home, life: life, sctpTLV(port: port, use: 1, element.address), policy))
    }

    @Test(
        """
        It registers over SCTP: handle, identifier, life, transport, policy, each in its place, PPID 11 \
        [ASAP-006, ASAP-021, ASAP-022, ASAP-038, ASAP-041, ASAP-043, ASAP-045, ASAP-047, ASAP-048, ASAP-053, \
        ASAP-235, ASAP-236, WIRE-034, WIRE-035]
        """
    )
    func registers() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(200))
        let heard = registrar.allHeard
        #expect(heard.count == 1, "no hunt, no repetition")
        #expect(heard.first?.payloadProtocol == 11)
        let link = try #require(registrar.openLinks.first)
        #expect(registrar.linkCount == 1)
        #expect(heard.first?.bytes == self.expected(element, link.remote.port))
        #expect(link.remote.addresses == element.node.addresses)
        #expect(
            element.events.all == [
                .registered(id: PoolElementID(rawValue: element.id), home: "\(registrar.endpoint)", warnings: [])
            ])
    }

    @Test(
        "It registers again with T4, as the same element [ASAP-044, ASAP-058, ASAP-059, ASAP-060, ASAP-267, ASAP-268]",
        arguments: [(300, [0, 280, 560]), (60, [0, 40, 80, 120, 160, 200, 240]), (10, [0, 5, 10, 15, 20])]
            as [(Int32, [Int])])
    func t4(life: Int32, expected: [Int]) throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint]) { $0.life = .seconds(life) }
        try self.lab.world.run(for: .seconds(expected.last ?? 0) + .seconds(1))
        #expect(registrar.seconds(.registration) == expected)
        let port = registrar.openLinks.first?.remote.port ?? 0
        for heard in registrar.heard(.registration) {
            #expect(heard.bytes == self.expected(element, port, life: UInt32(life)))
        }
        #expect(registrar.linkCount == 1)
    }

    @Test(
        """
        A silent registrar: after T2 it hunts, and registers with another [ASAP-014, ASAP-049, ASAP-051, \
        ASAP-052, ASAP-190, ASAP-204]
        """
    )
    func t2() throws {
        let silent = try self.lab.registrar("silent", script: FakeRegistrar.silent)
        let other = try self.lab.registrar("other")
        let element = try self.lab.element(registrars: [silent.endpoint, other.endpoint])
        try self.lab.world.run(for: .seconds(29))
        #expect(silent.seconds(.registration) == [0])
        #expect(other.linkCount == 0)
        try self.lab.world.run(for: .seconds(60))
        #expect(silent.seconds(.registration) == [0], "not sent again to that one")
        #expect(other.seconds(.registration) == [30])
        #expect(silent.openLinks.isEmpty, "one home at a time")
        #expect(element.isRegistered)
        #expect(other.heard(.registration).first?.bytes.count == silent.heard(.registration).first?.bytes.count)
    }

    @Test("All are silent: three attempts, a report, then on with back-off [ASAP-061, ASAP-062]")
    func allSilent() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.silent)
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(91))
        #expect(registrar.seconds(.registration) == [0, 30, 60])
        #expect(element.events.all == [.noAnswer(attempts: 3)])
        try self.lab.world.run(for: .seconds(200))
        #expect(registrar.seconds(.registration) == [0, 30, 60, 120, 210])
        registrar.follow(FakeRegistrar.granting)
        try self.lab.world.run(for: .seconds(90))
        #expect(element.isRegistered)
        // A success resets the count.
        registrar.follow(FakeRegistrar.silent)
        try self.lab.world.run(for: .seconds(300))
        #expect(element.events.all.last == .noAnswer(attempts: 3))
    }

    @Test("With the option it stops after three attempts, with an error [ASAP-062]")
    func givesUp() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.silent)
        let element = try self.lab.element(registrars: [registrar.endpoint]) { $0.stopsAfterMaxAttempts = true }
        #expect(try self.lab.failure(element.end).code == .noAnswer)
        try self.lab.world.run(for: .seconds(600))
        #expect(registrar.seconds(.registration) == [0, 30, 60])
    }

    @Test("Rejected: the user hears the cause, and there is no second attempt [ASAP-054, ASAP-055]")
    func rejected() throws {
        let registrar = try self.lab.registrar { heard, _ in
            guard case .registration(let message)? = decoded(heard.bytes) else { return [] }
            return [Say.rejected("EchoPool", message.member.id.rawValue, errorTLV((0x0005, randomTLV)))]
        }
        let element = try self.lab.element(registrars: [registrar.endpoint])
        let error = try self.lab.failure(element.end)
        #expect(error.code == .rejected)
        #expect(error.causes == [ErrorCause(.inconsistentPolicy, data: randomTLV)])
        try self.lab.world.run(for: .seconds(600))
        #expect(registrar.heard(.registration).count == 1)
    }

    @Test("An unknown cause with content is passed on whole [WIRE-042]")
    func unknownCause() throws {
        let registrar = try self.lab.registrar { heard, _ in
            guard case .registration(let message)? = decoded(heard.bytes) else { return [] }
            return [Say.rejected("EchoPool", message.member.id.rawValue, errorTLV((0x1009, hex("0102030405060708"))))]
        }
        let element = try self.lab.element(registrars: [registrar.endpoint])
        #expect(
            try self.lab.failure(element.end).causes
                == [ErrorCause(.init(rawValue: 0x1009), data: hex("0102030405060708"))])
    }

    @Test(
        "Cause 0004: it draws another identifier and tries again, if it may [ASAP-056]",
        arguments: [nil, 7] as [UInt32?])
    func identifierInUse(fixed: UInt32?) throws {
        let registrar = try self.lab.registrar { heard, count in
            guard case .registration(let message)? = decoded(heard.bytes) else { return [] }
            let id = message.member.id.rawValue
            return [count == 1 ? Say.rejected("EchoPool", id, errorTLV((0x0004, []))) : Say.registered("EchoPool", id)]
        }
        let element = try self.lab.element(registrars: [registrar.endpoint]) {
            $0.id = fixed.map(PoolElementID.init(rawValue:))
        }
        if fixed == nil {
            try self.lab.world.run(for: .seconds(1))
            let ids = registrar.heard(.registration).map { Array($0.bytes[20..<24]) }
            #expect(ids.count == 2)
            #expect(Set(ids).count == 2)
            #expect(ids.last == octets(element.id))
            #expect(element.isRegistered)
        } else {
            #expect(try self.lab.failure(element.end).causes.map(\.code) == [.nonUniquePoolElementID])
            try self.lab.world.run(for: .seconds(100))
            #expect(registrar.heard(.registration).count == 1)
        }
    }

    @Test("Granted with an error: registered, and the warning is told [ASAP-028]")
    func warning() throws {
        let registrar = try self.lab.registrar { heard, _ in
            guard case .registration(let message)? = decoded(heard.bytes) else { return [] }
            return [grantWithWarning(message.member.id.rawValue)]
        }
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        guard case .registered(_, _, let warnings)? = element.events.all.first else {
            Issue.record("\(element.events.all)")
            return
        }
        #expect(warnings == [ErrorCause(.invalidValues, data: roundRobinTLV)])
        try self.lab.world.run(for: .seconds(100))
        #expect(registrar.allHeard.count == 1)
    }

    @Test("A new load is told at once, as the same element [ASAP-057, ASAP-058, ASAP-247, POL-011]")
    func newLoad() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint]) {
            $0.policy = .leastUsed(load: Load(rawValue: 10))
        }
        try self.lab.world.run(for: .seconds(5))
        element.setLoad(90)
        try self.lab.world.run(for: .milliseconds(10))
        let heard = registrar.heard(.registration)
        #expect(heard.count == 2)
        let port = registrar.openLinks.first?.remote.port ?? 0
        #expect(heard.last?.bytes == self.expected(element, port, policy: leastUsedTLV(90)))
        element.setLoad(90)
        try self.lab.world.run(for: .seconds(5))
        #expect(registrar.heard(.registration).count == 2, "nothing new")
    }

    @Test("A hundred changes within a second: at most one registration a second, the newest value told [POL-012]")
    func manyLoads() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint]) { $0.policy = .leastUsed(load: .idle) }
        try self.lab.world.run(for: .seconds(5))
        for load in 1...100 as ClosedRange<UInt32> {
            element.setLoad(load)
            try self.lab.world.run(for: .milliseconds(10))
        }
        try self.lab.world.run(for: .seconds(5))
        let heard = registrar.heard(.registration)
        #expect(heard.count == 3, "the first, the first change, and the rest together")
        #expect(heard.last?.bytes.suffix(4) == octets(100 as UInt32)[...])
    }

    @Test(
        "The home is lost: another one is found without anybody's doing [ASAP-063, ASAP-014]",
        arguments: [Death.process, .machine])
    func homeLost(death: Death) throws {
        let first = try self.lab.registrar("first")
        let second = try self.lab.registrar("second")
        let element = try self.lab.element(registrars: [first.endpoint, second.endpoint]) {
            $0.fastFailureDetection = true
        }
        try self.lab.world.run(for: .seconds(1))
        #expect(second.linkCount == 0)
        try self.lab.world.crash(first.node, death)
        try self.lab.world.run(for: .seconds(1))
        #expect(second.heard(.registration).count == 1)
        #expect(element.isRegistered)
        #expect(element.events.all.contains(.homeLost))
    }

    @Test("Without any registrar it waits, hunting; one that comes is registered with [ASAP-039]")
    func noRegistrarYet() throws {
        let node = self.lab.world.startNode("registrar")
        try self.lab.world.crash(node)
        let element = try self.lab.element(registrars: [node.registrarEndpoint])
        try self.lab.world.run(for: .seconds(300))
        #expect(element.events.all.isEmpty)
        let registrar = try self.lab.registrar("registrar", addresses: node.addresses)
        try self.lab.world.run(for: .seconds(12))
        #expect(registrar.heard(.registration).count == 1)
        #expect(element.isRegistered)
    }

    @Test(
        """
        It leaves by a deregistration on the same association, and ends [ASAP-024, ASAP-087, ASAP-088, ASAP-089, \
        ASAP-090, ASAP-091, ASAP-095, ASAP-238]
        """
    )
    func deregisters() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        element.deregister()
        try self.lab.value(element.end, within: .seconds(2))
        #expect(registrar.allHeard.last?.bytes == Say.deregister("EchoPool", element.id))
        #expect(Set(registrar.allHeard.map(\.link)).count == 1)
        #expect(registrar.linkCount == 1)
        #expect(element.events.all.last == .deregistered)
        try self.lab.world.run(for: .seconds(100))
        #expect(registrar.allHeard.count == 2)
    }

    @Test("A deregistration without answer: after T3 it hunts and tells another [ASAP-092, ASAP-093, ASAP-094]")
    func t3() throws {
        let first = try self.lab.registrar("first")
        let second = try self.lab.registrar("second")
        let element = try self.lab.element(registrars: [first.endpoint, second.endpoint])
        try self.lab.world.run(for: .seconds(1))
        first.follow(FakeRegistrar.silent)
        element.deregister()
        try self.lab.value(element.end, within: .seconds(60))
        #expect(first.seconds(.deregistration) == [1])
        #expect(second.heard(.deregistration).map(\.bytes) == [Say.deregister("EchoPool", element.id)])
        #expect(second.seconds(.deregistration) == [31])
    }

    @Test("Removed unasked, it registers again [ASAP-029, ASAP-106]")
    func expelled() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        try registrar.send(Say.left("EchoPool", element.id &+ 1))
        try registrar.send(Say.left("other", element.id))
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.heard(.registration).count == 1, "that was about somebody else")
        try registrar.send(Say.left("EchoPool", element.id))
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.heard(.registration).count == 2)
        #expect(element.events.all.contains(.expelled([])))
        #expect(element.isRegistered)
    }

    @Test("An ASAP_ERROR for an answer makes no loop; T2 goes on [ASAP-037]")
    func errorForAnswer() throws {
        let registrar = try self.lab.registrar { heard, _ in heard.type == 0x01 ? [Say.error((0x0003, []))] : [] }
        _ = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(29))
        #expect(registrar.allHeard.count == 1)
        try self.lab.world.run(for: .seconds(2))
        #expect(registrar.seconds(.registration) == [0, 30])
    }

    // MARK: Keep-alives (§3.4)

    @Test(
        """
        Each keep-alive is acknowledged, whatever H, by the home's and by another's [ASAP-032, ASAP-149, \
        ASAP-150, ASAP-151, ASAP-153, ASAP-155]
        """
    )
    func keepAlives() throws {
        let home = try self.lab.registrar("home")
        let other = try self.lab.world.startPeer("other")
        let element = try self.lab.element(registrars: [home.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let port = home.openLinks.first?.remote.port ?? 0
        try self.lab.world.connect(other, to: element.node, port: port)
        let ack = Say.alive("EchoPool", element.id)
        for h in [false, true] {
            try home.send(Say.keepAlive(0xcafe_0001, "EchoPool", h: h))
            try self.lab.world.run(for: .milliseconds(20))
            #expect(home.newlyHeard().last?.bytes == ack)
        }
        #expect(home.linkCount == 1, "H = 1 from the home changes nothing")
        try other.send(Say.keepAlive(0xcafe_0002, "EchoPool"))
        try self.lab.world.run(for: .milliseconds(20))
        #expect(other.newlyHeard().map(\.bytes) == [ack])
        #expect(other.allHeard.last?.payloadProtocol == 11)
        // Still at home: the next registration goes there, now with the home's name in it.
        try self.lab.world.run(for: .seconds(281))
        #expect(other.heard(.registration).isEmpty)
        #expect(home.heard(.registration).last?.bytes == self.expected(element, port, home: 0xcafe_0001))
    }

    @Test(
        """
        H = 1 from another registrar: acknowledged first, then it is home, and is registered with [ASAP-017, \
        ASAP-152, ASAP-154, ASAP-156, ENRP-165]
        """
    )
    func adoption() throws {
        let home = try self.lab.registrar("home")
        let other = try self.lab.world.startPeer("other")
        other.follow(FakeRegistrar.granting)
        let element = try self.lab.element(registrars: [home.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let port = home.openLinks.first?.remote.port ?? 0
        try home.send(Say.keepAlive(0xcafe_0001, "EchoPool"))
        try self.lab.world.connect(other, to: element.node, port: port)
        try other.send(Say.keepAlive(0xcafe_0002, "EchoPool", h: true))
        try self.lab.world.run(for: .seconds(300))
        #expect(other.allHeard.prefix(2).map(\.type) == [0x08, 0x01])
        #expect(other.heard(.registration).last?.bytes == self.expected(element, port, home: 0xcafe_0002))
        #expect(home.heard(.registration).count == 1)
        #expect(home.openLinks.isEmpty, "one home at a time")
    }

    @Test(
        """
        A keep-alive for another pool is discarded, adoption and all; so is one that names another element \
        [ASAP-148, ASAP-157, ENRP-165, WIRE-054]
        """
    )
    func otherPool() throws {
        let home = try self.lab.registrar("home")
        let other = try self.lab.world.startPeer("other")
        let element = try self.lab.element(registrars: [home.endpoint])
        try self.lab.world.run(for: .seconds(1))
        try self.lab.world.connect(other, to: element.node, port: home.openLinks.first?.remote.port ?? 0)
        try other.send(Say.keepAlive(2, "echopool", h: true))
        try other.send(Say.keepAlive(2, "EchoPool", h: true, idTLV(element.id &+ 1)))
        try self.lab.world.run(for: .seconds(1))
        #expect(other.allHeard.isEmpty)
        try other.send(Say.keepAlive(2, "EchoPool", idTLV(element.id)))
        try self.lab.world.run(for: .seconds(1))
        #expect(other.allHeard.map(\.bytes) == [Say.alive("EchoPool", element.id)])
    }

    @Test(
        """
        What it cannot read it reports by the two-bit rules; errors it never answers [ASAP-034, ASAP-035, \
        WIRE-008, WIRE-053]
        """
    )
    func unreadable() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        _ = registrar.newlyHeard()
        try registrar.send(hex("41000004"))
        try registrar.send(hex("20000004"))
        try registrar.send(message(0x0e, tlv(0x4123)))
        try registrar.send(Say.keepAlive(1, "EchoPool", tlv(0xc123, [1, 2, 3])))
        try registrar.send([0x07, 0])
        try self.lab.world.run(for: .seconds(1))
        let answers = registrar.newlyHeard().map(\.bytes)
        #expect(answers.contains(hex("0e000010 000c000c 00020008 41000004")))
        #expect(answers.contains(Say.alive("EchoPool", element.id)))
        #expect(answers.contains(Say.error((0x0001, hex("c1230007 010203")))))
        #expect(answers.count == 4, "\(answers.map(\.hex))")
    }

    // MARK: Configuration

    @Test("An address that is none of its own is not registered: an error instead [ASAP-022, ASAP-237]")
    func foreignAddress() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint]) {
            $0.transport = .tcp(SocketAddress(ip: .ipv4(0xc000_0201), port: 80))
        }
        #expect(try self.lab.failure(element.end).code == .configurationInvalid)
        #expect(registrar.allHeard.isEmpty)
    }

    @Test("A service at a TCP port of its own address is registered as that [ASAP-045, WIRE-025]")
    func tcpService() throws {
        let registrar = try self.lab.registrar()
        let address = IPAddress.ipv4(0x0a01_0001)
        let element = try self.lab.element(registrars: [registrar.endpoint], addresses: [address]) {
            $0.transport = .tcp(SocketAddress(ip: address, port: 80))
        }
        try self.lab.world.run(for: .seconds(1))
        #expect(
            registrar.allHeard.map(\.bytes)
                == [
                    Say.register(
                        "EchoPool", elementTLV(element.id, life: 300, tcpTLV(port: 80, address), roundRobinTLV))
                ])
    }

    @Test("With kernel SCTP all addresses of a multi-homed element are registered [ASAP-022, ASAP-040]")
    func multiHomed() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let lab = ClientWorld(options: options)
        let registrar = try lab.registrar()
        let addresses = [IPAddress.ipv4(0x0a01_0001), .ipv4(0x0a01_0002)]
        let element = try lab.element(registrars: [registrar.endpoint], addresses: addresses)
        try lab.world.run(for: .seconds(1))
        let link = try #require(registrar.openLinks.first)
        #expect(Set(link.remote.addresses) == Set(addresses))
        #expect(
            registrar.allHeard.first?.bytes
                == Say.register(
                    "EchoPool",
                    elementTLV(
                        element.id, life: 300, sctpTLV(port: link.remote.port, use: 1, addresses[0], addresses[1]),
                        roundRobinTLV)))
    }

    @Test("A registrar that can only be reached by TCP is none for an element: a clear error [ASAP-001, ASAP-202]")
    func onlyTCP() throws {
        let registrar = try self.lab.registrar("registrar", .tcp)
        let element = try self.lab.element(registrars: [registrar.tcpEndpoint])
        let error = try self.lab.failure(element.end)
        #expect(error.code == .configurationInvalid)
        #expect(!error.message.contains("\n"))
        #expect(registrar.linkCount == 0)
    }

    @Test("A thousand elements draw a thousand identifiers, all bits alike [ASAP-042]")
    func identifiers() {
        let node = self.lab.world.startNode("many")
        let ids = (0..<1_000).map { _ in
            node.inspect {
                let element = PoolElement(in: "EchoPool", registrars: .list(), host: node.host, logger: .quiet) { _ in
                    nil
                }
                return element.assumeIsolated { $0.id.rawValue }
            }
        }
        #expect(Set(ids).count == 1_000)
        for bit in 0..<32 {
            // 6 standard deviations of 1 000 tosses.
            #expect(abs(ids.count { $0 >> bit & 1 == 1 } - 500) <= 95)
        }
    }

    @Test(
        "Data go to the service and back with stream and protocol; control messages never do [ASAP-007, ASAP-009, ASAP-221]"
    )
    func service() throws {
        let registrar = try self.lab.registrar()
        let seen = Gathered<[UInt8]>()
        let element = try self.lab.element(
            registrars: [registrar.endpoint],
            handler: { request in
                seen.append(request.bytes)
                return request.bytes.reversed()
            })
        try self.lab.world.run(for: .seconds(1))
        let user = try self.lab.world.startPeer("user")
        try self.lab.world.connect(user, to: element.node, port: registrar.openLinks.first?.remote.port ?? 0)
        try user.send([1, 2, 3], payloadProtocol: 0)
        try user.send(message(0x0b, tlv(0x000d, [9, 9, 9, 9])))
        try user.send([4, 5], payloadProtocol: 77)
        try self.lab.world.run(for: .seconds(1))
        #expect(seen.all == [[1, 2, 3], [4, 5]])
        // The first word of an element is its business card (ASAP-221), and it is the only one on the control channel.
        #expect(user.allHeard.map(\.payloadProtocol) == [11, 0, 77])
        #expect(user.allHeard.first?.type == 0x0d)
        #expect(user.allHeard.dropFirst().map(\.bytes) == [[3, 2, 1], [5, 4]])
    }

    @Test("Leaving does not end what is being served before [ASAP-096, ASAP-097]")
    func serviceWhileLeaving() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let user = try self.lab.world.startPeer("user")
        try self.lab.world.connect(user, to: element.node, port: registrar.openLinks.first?.remote.port ?? 0)
        registrar.follow(FakeRegistrar.silent)
        element.deregister()
        try self.lab.world.run(for: .seconds(1))
        try user.send([1], payloadProtocol: 0)
        try self.lab.world.run(for: .seconds(1))
        #expect(user.allHeard.filter { $0.payloadProtocol != 11 }.map(\.bytes) == [[1]])
    }
}

/// A grant with a warning: cause 0003 and the policy.
private func grantWithWarning(_ id: UInt32) -> [UInt8] {
    message(0x03, handleTLV("EchoPool"), idTLV(id), errorTLV((0x0003, roundRobinTLV)))
}
