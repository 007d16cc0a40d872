// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

@Suite("The primitives between ASAP and its user (RFC 5352 §6)")
struct SessionPrimitiveTests {
    @Test("The options of a send have the RFC's numbers [ASAP-252]")
    func options() {
        #expect(SendOptions.useDefault.rawValue == 0x0000)
        #expect(SendOptions.failover.rawValue == 0x0001)
        #expect(SendOptions.noFailover.rawValue == 0x0002)
        #expect(SendOptions.toLast.rawValue == 0x0004)
        #expect(SendOptions.toAll.rawValue == 0x0008)
        #expect(SendOptions.toSelf.rawValue == 0x0010)
        #expect(SendOptions.unordered.rawValue == 0x1000)
    }

    @Test(
        """
        Three sends at once to a pool that is not known: one resolution, then a choice, an association and the data in \
        order; each says who got it [ASAP-241, ASAP-243, ASAP-244, ASAP-245]
        """)
    func firstSends() throws {
        var lab = try SessionLab()
        let seen = Gathered<[UInt8]>()
        for index in 1...2 {
            try lab.addServer(index) { session in for await request in session.requests { seen.append(request.bytes) } }
        }
        let user = lab.user.node.name
        var trace: [String] = []
        lab.lab.world.observer = { event in
            guard event.node == user else { return }
            switch event.kind {
            case .sent(let message, _, _) where message.payloadProtocol == 11: trace.append("asks \(message.bytes[0])")
            case .sent: trace.append("sends")
            case .connecting: trace.append("connects")
            default: break
            }
        }
        let deliveries = try lab.lab.value(
            lab.user.session { session in
                try await withThrowingTaskGroup(of: (UInt8, [PoolElementID]).self) { group in
                    for number in 1...3 as ClosedRange<UInt8> {
                        group.addTask { (number, try await session.send([number]).elements) }
                    }
                    var all: [[PoolElementID]] = []
                    for try await (_, elements) in group { all.append(elements) }
                    return all
                }
            })
        try lab.lab.world.run(for: .seconds(1))
        #expect(
            trace == ["asks 5", "connects", "sends", "sends", "sends"], "and nobody is reported when the session ends")
        #expect(seen.all == [[1], [2], [3]])
        #expect(Set(deliveries).count == 1)
        #expect(deliveries.allSatisfy { $0.count == 1 })
    }

    @Test("Unordered messages go out unordered [ASAP-259]")
    func unordered() throws {
        var lab = try SessionLab()
        try lab.addEchoes(1)
        var flags: [Bool] = []
        lab.lab.world.observer = { event in
            if case .sent(let message, _, _) = event.kind, message.payloadProtocol == 7 {
                flags.append(message.unordered)
            }
        }
        try lab.lab.value(
            lab.user.session { session in
                try await session.send([1], payloadProtocol: 7, options: .unordered)
                try await session.send([2], payloadProtocol: 7)
            })
        try lab.lab.world.run(for: .seconds(1))
        #expect(flags.prefix(2) == [true, false])
    }

    @Test("To all is no selection: the turn of round robin stays where it was [ASAP-257]")
    func noSelection() throws {
        var lab = try SessionLab()
        try lab.addEchoes(3)
        let first = try lab.lab.value(lab.user.choose()).id.rawValue
        _ = try lab.lab.value(lab.user.session { try await $0.send([1], options: .toAll) })
        let next = try (0..<2).map { _ in try lab.lab.value(lab.user.choose()).id.rawValue }
        #expect(Set([first] + next) == [1, 2, 3])
    }

    @Test("The last one there was none: a message to the last element needs one before it [ASAP-255]")
    func noLast() throws {
        var lab = try SessionLab()
        try lab.addEchoes(1)
        let error = try lab.lab.failure(lab.user.session { try await $0.send([1], options: .toLast) })
        #expect(error.code == .configurationInvalid)
        #expect(error.fate == .notExecuted)
        let elements = try lab.lab.value(
            lab.user.session { session in
                let first = try await session.send([1]).elements
                return first == (try await session.send([2], options: .toLast).elements)
            })
        #expect(elements)
    }

    @Test("A message that must not fail over comes back with its octets when it was not sent [ASAP-254, ASAP-261]")
    func errorReport() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        var lab = try SessionLab(options: options)
        try lab.addEchoes(1)
        let gate = Gate()
        let outcome = lab.user.session { session in
            _ = try await session.request([1])
            try await gate.pass()
            try await session.send([1, 2, 3], options: .noFailover)
            for await event in session.events {
                if case .undelivered(let bytes, let fate) = event { return (bytes, fate) }
            }
            throw Unexpected("no report")
        }
        try lab.lab.world.run(for: .seconds(1))
        let element = try lab.element(1)
        // The way is cut before the message: the transport holds it when the link is lost.
        lab.lab.world.partition(lab.user.node, element.node)
        gate.open()
        let (bytes, fate) = try lab.lab.value(outcome)
        #expect(bytes == [1, 2, 3])
        #expect(fate == .notExecuted)
    }

    @Test("Received messages name the element that sent them; a failed send is reported [ASAP-260, ASAP-262]")
    func received() throws {
        var lab = try SessionLab()
        try lab.addEchoes(2)
        let gate = Gate()
        let outcome = lab.user.session(element: 2) { session in
            try await session.send([1])
            for await event in session.events {
                if case .message(let message) = event { return message.element.rawValue }
            }
            return 0
        }
        #expect(try lab.lab.value(outcome) == 2)
        let second = lab.user.session(element: 2) { session in
            _ = try await session.request([1])
            try await gate.pass()
            _ = try await session.request([2])
        }
        try lab.lab.world.run(for: .seconds(1))
        try lab.crash(2)
        gate.open()
        try lab.lab.value(second)
        #expect(lab.registrar.statistics(.unreachableReports) == 1)
    }

    @Test("Data only: no card, no cookie, and the service is told so [ASAP-214, ASAP-223]")
    func dataOnly() throws {
        let lab = try SessionLab()
        let refused = Gathered<PoolError.Code>()
        var configuration = PoolElement.Configuration(registrars: .list(lab.registrar.endpoint))
        configuration.listen = .sctp("*", port: 4_712)
        let plain = lab.lab.world.startNode("data-only")
        configuration.transport = .sctp(
            SCTPTransport(port: 4_712, use: .dataOnly, addresses: [plain.addresses[0]]))
        let element = TestElement(node: plain, configuration: configuration, pool: "Plain") { session in
            for await request in session.requests {
                do { try await session.keep([1]) } catch let error as PoolError { refused.append(error.code) }
                try await session.send(request.bytes, answering: request)
            }
        }
        try lab.lab.world.run(for: .seconds(1))
        #expect(element.isRegistered)
        var control = 0
        lab.lab.world.observer = { event in
            guard case .sent(let message, _, let to) = event.kind, to == "user" else { return }
            if event.node == "data-only", message.payloadProtocol == 11 { control += 1 }
        }
        let answer = try lab.lab.value(lab.user.session(with: "Plain") { try await $0.request([5]).bytes })
        #expect(answer == [5])
        #expect(control == 0)
        #expect(refused.all == [.configurationInvalid])
    }

    @Test("A card that names a pool which is not known has it asked for [ASAP-225]")
    func cardOfAnotherPool() throws {
        let lab = try SessionLab()
        var asked: [String] = []
        lab.lab.world.observer = { event in
            guard case .received(let message, _) = event.kind, event.node == "registrar" else { return }
            if case .handleResolution(let request)? = decoded(message.bytes) { asked.append(request.pool.description) }
        }
        // A server whose card speaks of another pool: what RFC 5352 calls a combination of pool user and pool element.
        let server = try lab.lab.world.startPeer("combination")
        server.follow { heard, _ in
            heard.payloadProtocol == 11
                ? []
                : [
                    message(
                        0x0d, handleTLV("Elsewhere"),
                        elementTLV(7, home: 0xcafe_0001, sctpTLV(.ipv4(0xc000_0207)), roundRobinTLV))
                ]
        }
        let transport = UserTransport.sctp(
            SCTPTransport(port: server.number, use: .dataAndControl, addresses: [server.address]))
        _ = lab.user.node.call { [user = lab.user.user] in
            try await user.withSession(at: transport) { session in
                try await session.send([1])
                for await _ in session.events {}
            }
        }
        try lab.lab.world.run(for: .seconds(2))
        #expect(asked == ["Elsewhere"])
    }

    @Test("Populated by a resolution and purged, for a pool or for one of its elements [ASAP-239, ASAP-240, ASAP-263]")
    func populate() throws {
        var lab = try SessionLab()
        try lab.addEchoes(2)
        for _ in 0..<3 { _ = try lab.lab.value(lab.user.resolve()) }
        #expect(lab.registrar.statistics(.resolutions) == 1)
        lab.user.purge()
        _ = try lab.lab.value(lab.user.resolve())
        #expect(lab.registrar.statistics(.resolutions) == 2)
    }

    @Test("Many who want the same wait for one answer; who wants another number asks after it [ASAP-118]")
    func shared() throws {
        var lab = try SessionLab()
        try lab.addEchoes(3)
        let waiters = (0..<50).map { _ in lab.user.choose() }
        let all = lab.user.resolve(count: 2)
        var counts: [UInt32: Int] = [:]
        for waiter in waiters { counts[try lab.lab.value(waiter).id.rawValue, default: 0] += 1 }
        #expect(try lab.lab.value(all).members.count == 2)
        #expect(lab.registrar.statistics(.resolutions) == 2)
        #expect(counts.values.allSatisfy { (16...17).contains($0) }, "\(counts)")
    }

    @Test("Where the registrar counts choices, each choice asks, and for one element only [POL-082, ARC-057]")
    func degradation() throws {
        var lab = try SessionLab()
        try lab.addEchoes(2) { configuration, index in
            configuration.policy = .leastUsedDegradation(
                load: Load(rawValue: index == 1 ? 0 : 50), degradation: Load(rawValue: index == 1 ? 30 : 10))
        }
        // The first answer lists both, as nobody knows the pool's policy yet, and counts for both.
        _ = try lab.lab.value(lab.user.choose())
        let chosen = try (0..<6).map { _ in try lab.lab.value(lab.user.choose()).id.rawValue }
        #expect(chosen == [1, 2, 1, 2, 2, 1])
        #expect(lab.registrar.statistics(.resolutions) == 7)
    }

    @Test("A service that lets nobody in is not run at without a pause")
    func flood() throws {
        var lab = try SessionLab()
        try lab.addEchoes(1) { configuration, _ in configuration.maxAssociations = 0 }
        var attempts = 0
        let user = lab.user.node.name
        lab.lab.world.observer = { event in
            if event.node == user, case .connecting = event.kind { attempts += 1 }
        }
        let outcome = lab.user.session({ $0.patience = .seconds(20) }) { try await $0.request([1]) }
        let error = try lab.lab.failure(outcome, within: .seconds(60))
        #expect([.noPoolElement, .unknownPool].contains(error.code))
        #expect(error.fate == .notExecuted)
        #expect(attempts <= 30, "\(attempts)")
    }
}
