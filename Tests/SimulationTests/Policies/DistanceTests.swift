// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolWire
import Testing

@Suite("Distances at registrars (draft-dreibholz-rserpool-delay)")
struct DistanceTests {
    private let lab = PeerWorld()

    /// Registers an element whose way to the registrar takes so long.
    private func register(
        _ registrar: TestRegistrar, _ id: UInt32, latency: Int, _ policy: PoolPolicy
    ) throws -> ScriptedPeer {
        let peer = try self.lab.world.startPeer("element-\(id)")
        self.lab.world.setConditions(.exactly(latency), between: peer.node, and: registrar.node)
        peer.follow { heard, _ in
            heard.type == 0x07 ? [Say.alive("EchoPool", number(heard.bytes, at: heard.bytes.count - 4))] : []
        }
        try self.lab.world.connect(peer, to: registrar.node)
        try self.lab.world.run(for: .seconds(2))
        try peer.send(Say.register("EchoPool", elementTLV(id, life: 300, sctpTLV(peer.address), parameter(policy))))
        try self.lab.world.run(for: .seconds(2))
        #expect(peer.newlyHeard().map(\.bytes).contains(Say.registered("EchoPool", id)))
        return peer
    }

    private func parameter(_ policy: PoolPolicy) -> [UInt8] {
        tlv(0x0008, octets(policy.type.rawValue) + policy.words.flatMap { octets($0) })
    }

    private func firsts(_ user: ScriptedPeer, _ times: Int) throws -> [UInt32] {
        try (0..<times).map { _ in
            _ = user.newlyHeard()
            try user.send(Say.resolve("EchoPool"))
            try self.lab.world.run(for: .milliseconds(50))
            guard case .handleResolutionResponse(let response)? = user.newlyHeard().map({ decoded($0.bytes) }).last,
                case .members(_, let members) = response.outcome, let first = members.first
            else { throw Unexpected("no answer") }
            return first.id.rawValue
        }
    }

    private static func leastUsed(_ load: Double, claimed distance: UInt32 = 0) -> PoolPolicy {
        // A millisecond costs 0.1 % of the whole.
        .leastUsedDPF(load: Load(fraction: load), dpf: Load(fraction: 0.001), distance: distance)
    }

    @Test("The near one is preferred until it is busier than the way to the far one is long [ARC-053]")
    func nearAndFar() throws {
        let registrar = try self.lab.start()
        let near = try self.register(registrar, 1, latency: 5, Self.leastUsed(0.1, claimed: 900))
        _ = try self.register(registrar, 2, latency: 200, Self.leastUsed(0))
        #expect(registrar.member(1)?.policy.distance == 0, "what it claims does not count")
        #expect(registrar.member(2)?.policy.distance == 200)
        let user = try self.lab.element(registrar, "user")
        // 0.1 and 0 + 200 · 0.001
        #expect(try self.firsts(user, 2) == [1, 1])
        try near.send(
            Say.register("EchoPool", elementTLV(1, life: 300, sctpTLV(near.address), parameter(Self.leastUsed(0.3)))))
        try self.lab.pass()
        #expect(try self.firsts(user, 2) == [2, 2])
    }

    @Test("Where all are equally far, the load rules")
    func equallyFar() throws {
        let registrar = try self.lab.start()
        _ = try self.register(registrar, 1, latency: 100, Self.leastUsed(0.2))
        _ = try self.register(registrar, 2, latency: 100, Self.leastUsed(0.1))
        let user = try self.lab.element(registrar, "user")
        #expect(try self.firsts(user, 2) == [2, 2])
    }

    @Test("Weighted random prefers the near one as the formula says")
    func weightedRandom() throws {
        let registrar = try self.lab.start()
        for (id, latency) in [(1, 5), (2, 200)] as [(UInt32, Int)] {
            // 200 ms take off 80 %: 5 to 1.
            _ = try self.register(
                registrar, id, latency: latency,
                .weightedRandomDPF(weight: 1_000, dpf: Load(fraction: 0.004), distance: 0))
        }
        let user = try self.lab.element(registrar, "user")
        let count = try self.firsts(user, 600).count { $0 == 1 }
        let (trials, share) = (600.0, 5.0 / 6)
        let deviation = (trials * share * (1 - share)).squareRoot()
        #expect(abs(Double(count) - trials * share) <= 6 * deviation)
    }

    @Test("A keep-alive's answer tells a new distance, and peers hear of it; jitter is no news")
    func changes() throws {
        let registrar = try self.lab.start { $0.timers.keepAliveInterval = .seconds(10) }
        let fake = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, fake)
        let element = try self.register(registrar, 1, latency: 5, Self.leastUsed(0))
        _ = fake.peer.newlyHeard()
        self.lab.world.setConditions(.exactly(20), between: element.node, and: registrar.node)
        try self.lab.world.run(for: .seconds(20))
        #expect(fake.peer.newlyHeard().count { $0.bytes.first == 0x04 } == 0)
        self.lab.world.setConditions(.exactly(120), between: element.node, and: registrar.node)
        try self.lab.world.run(for: .seconds(20))
        #expect(registrar.member(1)?.policy.distance == 100)
        #expect(fake.peer.newlyHeard().count { $0.bytes.first == 0x04 } == 1)
    }

    @Test("Another registrar adds its own distance to the home registrar's, for its choices")
    func elsewhere() throws {
        let registrar = try self.lab.start()
        let fake = try self.lab.fake(0x2222_2222)
        self.lab.world.setConditions(.exactly(150), between: fake.peer.node, and: registrar.node)
        try self.lab.world.connect(fake.peer, to: registrar.node, port: ENRPMessage.port)
        try self.lab.world.run(for: .seconds(2))
        try fake.sayPresence()
        try self.lab.world.run(for: .seconds(2))
        _ = try self.register(registrar, 1, latency: 100, Self.leastUsed(0))
        try fake.add("EchoPool", fake.element(2, policy: self.parameter(Self.leastUsed(0))))
        try self.lab.world.run(for: .seconds(2))
        #expect(registrar.member(2)?.policy.distance == 0)
        let user = try self.lab.element(registrar, "user")
        #expect(try self.firsts(user, 2) == [1, 1])
    }
}

extension PathConditions {
    fileprivate static func exactly(_ milliseconds: Int) -> PathConditions {
        PathConditions(latency: .milliseconds(milliseconds), jitter: .zero)
    }
}
