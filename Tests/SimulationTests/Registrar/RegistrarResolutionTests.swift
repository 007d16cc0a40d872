// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Handle resolution at the registrar (RFC 5352 §3.3, RFC 5356)")
struct RegistrarResolutionTests {
    private let lab: RegistrarWorld
    private let peer: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.peer = try self.lab.peer()
    }

    private func register(_ ids: ClosedRange<UInt32>, policy: [UInt8] = roundRobinTLV) throws {
        for id in ids { try self.lab.register(self.peer, id, policy: policy, life: .max) }
    }

    @Test(
        """
        All elements are listed, for elements and users, over SCTP and TCP alike [ASAP-002, ASAP-011, ASAP-031, \
        ASAP-122, ASAP-124]
        """
    )
    func everybody() throws {
        try self.register(1...5)
        let user = try self.lab.peer("user")
        let tcp = try self.lab.peer("tcp", .tcp)
        for asker in [self.peer, user, tcp] { #expect(try Set(self.lab.resolve(asker) ?? []) == [1, 2, 3, 4, 5]) }
    }

    @Test("A hundred requests at once get a hundred answers, each with its handle [ASAP-013]")
    func pipeline() throws {
        for number in 0..<100 { try self.lab.register(self.peer, 1, in: "pool-\(number)") }
        _ = self.peer.newlyHeard()
        for number in 0..<100 { try self.peer.send(Say.resolve("pool-\(number)")) }
        try self.lab.world.run(for: .milliseconds(50))
        let pools = self.peer.newlyHeard().compactMap { heard -> String? in
            guard case .handleResolutionResponse(let response)? = decoded(heard.bytes), case .members = response.outcome
            else { return nil }
            return response.pool.description
        }
        #expect(pools.sorted() == (0..<100).map { "pool-\($0)" }.sorted())
    }

    @Test("An answer holds as many as the registrar is set to, or as the request names [ASAP-133, POL-015]")
    func limits() throws {
        let lab = try RegistrarWorld { $0.limits.maxAnswerElements = 3 }
        let peer = try lab.peer()
        for id in 1...10 as ClosedRange<UInt32> { try lab.register(peer, id) }
        #expect(try lab.resolve(peer)?.count == 3)
        #expect(try lab.resolve(peer, count: 0)?.count == 3)
        #expect(try lab.resolve(peer, count: 1)?.count == 1)
        #expect(try lab.resolve(peer, count: 7)?.count == 7)
        #expect(try lab.resolve(peer, count: .max)?.count == 10)
    }

    @Test("An answer never passes 65 535 octets, what is left out follows the policy [ASAP-135]")
    func longAnswers() throws {
        let elements = 3_000
        for id in 1...UInt32(elements) {
            try self.peer.send(
                Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(self.peer.address), roundRobinTLV)))
        }
        try self.lab.world.run(for: .seconds(1))
        #expect(self.lab.size.elements == elements)
        let first = try self.lab.exchange(self.peer, Say.resolve("EchoPool", Say.count(.max)))
        #expect(first.count == 1)
        #expect(first[0].count <= 65_536)
        #expect(Int(first[0][2]) << 8 | Int(first[0][3]) > 65_400, "as many as fit")
        guard case .handleResolutionResponse(let response)? = decoded(first[0]),
            case .members(_, let members) = response.outcome
        else {
            Issue.record("no valid answer")
            return
        }
        #expect(members.map(\.id.rawValue) == Array(1...UInt32(members.count)))
        #expect(try self.lab.resolve(self.peer, count: .max)?.first == 2, "the head has moved by one")
    }

    // MARK: Policies

    @Test("Round robin on the wire: ABC, BCA, CAB, whoever asks [ASAP-134, POL-023, POL-024, POL-025, POL-027]")
    func roundRobin() throws {
        try self.register(1...3)
        let user = try self.lab.peer("user")
        #expect(try self.lab.resolve(self.peer) == [1, 2, 3])
        #expect(try self.lab.resolve(user) == [2, 3, 1])
        #expect(try self.lab.resolve(self.peer, count: 2) == [3, 1])
        #expect(try self.lab.resolve(user) == [1, 2, 3])
    }

    @Test("Over 300 one-item answers each of three leads a hundred times [POL-026]")
    func fairness() throws {
        try self.register(1...3)
        var firsts: [UInt32: Int] = [:]
        for _ in 0..<300 {
            if let first = try self.lab.resolve(self.peer, count: 1)?.first { firsts[first, default: 0] += 1 }
        }
        #expect(firsts == [1: 100, 2: 100, 3: 100])
    }

    @Test(
        """
        Joining and leaving keep the order; re-registering keeps the place; failures move nothing [POL-014, \
        POL-028, POL-029]
        """
    )
    func roundRobinChanges() throws {
        try self.register(1...3)
        #expect(try self.lab.resolve(self.peer) == [1, 2, 3])
        try self.register(4...4)
        #expect(try self.lab.resolve(self.peer, "nobody") == nil)
        try self.register(2...2)
        #expect(try self.lab.resolve(self.peer, count: 9) == [2, 3, 1, 4])
        #expect(try self.lab.resolve(self.peer) == [3, 1, 4, 2])
        _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1))
        #expect(try self.lab.resolve(self.peer) == [4, 2, 3])
    }

    @Test("Updates are no selections: no head moves [POL-021, ASAP-143]")
    func updatesMoveNothing() throws {
        try self.register(1...3)
        let subscriber = try self.lab.peer("subscriber")
        _ = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true, Say.increments))
        let plain = try self.lab.peer("plain")
        #expect(try self.lab.exchange(plain, Say.resolve("EchoPool", s: true)).count == 1)  // this one is a selection
        try self.register(4...4)
        _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 4))
        #expect(subscriber.newlyHeard().count == 2)
        #expect(try self.lab.resolve(self.peer) == [2, 3, 1])
    }

    @Test(
        """
        Random on the wire: no element twice, each first about equally often [POL-013, POL-015, POL-045, \
        POL-046, POL-047, POL-048]
        """
    )
    func random() throws {
        try self.register(1...4, policy: randomTLV)
        var firsts: [UInt32: Int] = [:]
        for _ in 0..<400 {
            let answer = try self.lab.resolve(self.peer, count: 2) ?? []
            #expect(Set(answer).count == 2)
            if let first = answer.first { firsts[first, default: 0] += 1 }
        }
        // 6 standard deviations of 400 trials with 1/4.
        for id in 1...4 as ClosedRange<UInt32> { #expect(abs(firsts[id, default: 0] - 100) <= 52) }
        #expect(try Set(self.lab.resolve(self.peer, count: 9) ?? []) == [1, 2, 3, 4])
    }

    @Test(
        """
        Least used on the wire: ascending, equals in turn, a new load at once [POL-069, POL-070, POL-071, \
        POL-072, POL-073, POL-074, POL-075]
        """
    )
    func leastUsed() throws {
        try self.register(1...1, policy: leastUsedTLV(10))
        try self.register(2...2, policy: leastUsedTLV(10))
        try self.register(3...3, policy: leastUsedTLV(0x8000_0000))
        #expect(try self.lab.resolve(self.peer) == [1, 2, 3])
        #expect(try self.lab.resolve(self.peer, count: 2) == [2, 1])
        #expect(try self.lab.resolve(self.peer) == [1, 2, 3])
        try self.register(1...1, policy: leastUsedTLV(90))
        #expect(try self.lab.resolve(self.peer) == [2, 1, 3])
        try self.register(3...3, policy: leastUsedTLV(0))
        #expect(try self.lab.resolve(self.peer) == [3, 2, 1])
    }

    @Test(
        "A pool that is not empty gives at least one element, whatever its values [POL-016]",
        arguments: [roundRobinTLV, randomTLV, leastUsedTLV(.max)])
    func extremes(policy: [UInt8]) throws {
        try self.register(1...1, policy: policy)
        for count in [nil, 0, 1, .max] as [UInt32?] { #expect(try self.lab.resolve(self.peer, count: count) == [1]) }
    }

    @Test("Policies of one registrar are its own: another begins its own circle [POL-020]")
    func twoRegistrars() throws {
        let other = Registrar(
            configuration: {
                var configuration = RegistrarConfiguration()
                configuration.timers.keepAliveInterval = .zero
                return configuration
            }(), host: self.lab.world.startNode("other").host, logger: .quiet)
        guard let node = self.lab.world.node("other") else { return }
        node.start { try await other.run() }
        try self.lab.world.settle()
        let peer = try self.lab.world.startPeer("both")
        try self.lab.world.connect(peer, to: node)
        for id in 1...3 as ClosedRange<UInt32> { try self.lab.register(peer, id) }
        try self.register(1...3)
        #expect(try self.lab.resolve(self.peer) == [1, 2, 3])
        #expect(try self.lab.resolve(self.peer) == [2, 3, 1])
        #expect(try self.lab.resolve(peer) == [1, 2, 3])
    }
}
