// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("What one link sends harms no other")
struct HostilityTests {
    private let lab: RegistrarWorld
    private let good: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.good = try self.lab.peer("good")
        try self.lab.register(self.good, 1, life: .max)
    }

    /// Good people are served as ever.
    private func expectService() throws {
        #expect(try self.lab.resolve(self.good) == [1], "\(self.lab.transcript)")
        #expect(self.good.openLinks.count == 1)
    }

    @Test(
        "Random octets, over SCTP and TCP [WIRE-024, WIRE-052]", arguments: [LinkScheme.sctp, .tcp],
        0..<5 as Range<UInt64>)
    func randomOctets(scheme: LinkScheme, seed: UInt64) throws {
        var generator = World(seed: seed).generator
        let evil = try self.lab.peer("evil", scheme)
        for _ in 0..<300 {
            var bytes = (0..<Int(generator.below(120))).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            // Half of them look like messages at first sight.
            if generator.chance(0.5), bytes.count >= 8 {
                bytes[0] = UInt8(generator.below(16))
                bytes[2...3] = octets(UInt16(bytes.count))[...]
                bytes[4...7] = [0, UInt8(generator.below(17)), 0, UInt8(generator.below(40))]
            }
            if evil.openLinks.isEmpty { try self.lab.world.connect(evil, to: self.lab.node) }
            try evil.send(bytes)
            try self.lab.world.run(for: .milliseconds(3))
        }
        try self.expectService()
        if scheme == .sctp { #expect(self.lab.statistics(.messagesMalformed) > 100) }
        #expect(self.lab.size == (1, 1))
    }

    @Test("Messages with single octets changed never trap, and never touch another's element", arguments: 0..<4)
    func flippedOctets(kind: Int) throws {
        let evil = try self.lab.peer("evil")
        let whole = [
            Say.register("EchoPool", elementTLV(2, sctpTLV(evil.address), roundRobinTLV)),
            Say.deregister("EchoPool", 1),
            Say.resolve("EchoPool", s: true, Say.count(1) + Say.increments), Say.alive("EchoPool", 1),
        ][kind]
        for index in whole.indices {
            for flip in [0x01, 0x80, 0xff] as [UInt8] {
                var bytes = whole
                bytes[index] ^= flip
                try evil.send(bytes)
            }
        }
        try self.lab.world.run(for: .milliseconds(50))
        #expect(self.lab.node.inspect { self.lab.registrar.assumeIsolated { $0.size.elements } } >= 1)
        #expect(try self.lab.resolve(self.good)?.contains(1) == true)
        #expect(evil.openLinks.count == 1)
    }

    @Test("A flood of requests whose answers nobody reads: answers are dropped and counted, others are served")
    func unreadAnswers() throws {
        let lab = try RegistrarWorld { $0.limits.sendBuffer = 10_000 }
        let good = try lab.peer("good")
        try lab.register(good, 1)
        let evil = try lab.peer("evil")
        lab.world.clog(lab.node, evil.node, .forth)
        for _ in 0..<5_000 { try evil.send(Say.resolve("EchoPool")) }
        try lab.world.run(for: .milliseconds(50))
        #expect(lab.statistics(.answersDropped) > 4_000)
        #expect(lab.log.all.count { $0.contains("send-buffer is the limit") } == 1)
        #expect(try lab.resolve(good) == [1])
        lab.world.healAll()
        try lab.world.run(for: .seconds(1))
        #expect(try lab.resolve(evil) == [1], "and so is this one, once it reads")
    }

    @Test("A TCP connection that never completes a message holds nothing up, and is cut off beyond a message's length")
    func halfMessages() throws {
        let evil = try self.lab.peer("evil", .tcp)
        try evil.send(hex("0500ffff 0009000c"))
        try self.lab.world.run(for: .seconds(100))
        try self.expectService()
        for _ in 0..<300 { try? evil.send([UInt8](repeating: 0, count: 1_000)) }
        try self.lab.world.run(for: .seconds(1))
        try self.expectService()
    }

    @Test("More links than allowed are refused; who is there stays")
    func manyLinks() throws {
        let lab = try RegistrarWorld { $0.limits.maxLinks = 10 }
        let good = try lab.peer("good")
        try lab.register(good, 1)
        var refused = 0
        for number in 0..<15 {
            let peer = try lab.world.startPeer("crowd-\(number)")
            do { try lab.world.connect(peer, to: lab.node) } catch { refused += 1 }
        }
        #expect(refused == 6)
        #expect(try lab.resolve(good) == [1])
    }

    @Test("Ten thousand registrations and deregistrations on one link leave nothing behind")
    func churn() throws {
        let evil = try self.lab.peer("evil")
        for round in 0..<10_000 as Range<UInt32> {
            let pool = "pool-\(round % 100)"
            try evil.send(Say.register(pool, elementTLV(round, sctpTLV(evil.address), roundRobinTLV)))
            try evil.send(Say.deregister(pool, round))
        }
        try self.lab.world.run(for: .milliseconds(100))
        #expect(self.lab.size == (1, 1))
        try self.expectService()
        #expect(self.lab.statistics(.registrationsAccepted) == 10_001)
    }

    @Test("A user of ours survives any answer", arguments: 0..<5 as Range<UInt64>)
    func hostileRegistrar(seed: UInt64) throws {
        let lab = ClientWorld(seed: seed)
        let registrar = try lab.registrar(script: nil)
        let user = try lab.user(registrars: [registrar.endpoint])
        let changes = user.watch()
        let element = try lab.element(registrars: [registrar.endpoint])
        try lab.world.run(for: .seconds(1))
        for _ in 0..<500 {
            var bytes = FakeRegistrar.list([1, 2, 3], a: true)
            for _ in 0..<1 + lab.world.generator.below(6) {
                bytes[Int(lab.world.generator.below(UInt64(bytes.count)))] = UInt8(
                    truncatingIfNeeded: lab.world.generator.next())
            }
            if lab.world.generator.chance(0.2) { bytes[0] = UInt8(lab.world.generator.below(16)) }
            for link in registrar.openLinks { try registrar.send(bytes, on: link.id) }
            try lab.world.run(for: .milliseconds(5))
        }
        registrar.follow { heard, _ in
            switch decoded(heard.bytes) {
            case .registration(let message): [Say.registered("EchoPool", message.member.id.rawValue)]
            case .handleResolution: [FakeRegistrar.list([7], a: true)]
            default: []
            }
        }
        #expect(try lab.value(user.resolve(count: 1)).members.map(\.id.rawValue) == [7])
        try lab.world.run(for: .seconds(100))
        #expect(element.isRegistered)
        #expect(!changes.all.isEmpty)
    }
}
