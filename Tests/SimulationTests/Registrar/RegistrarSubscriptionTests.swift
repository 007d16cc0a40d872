// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Dynamic updates at the registrar (RFC 5352 §2.2.5, §2.2.6)")
struct RegistrarSubscriptionTests {
    private let lab: RegistrarWorld
    private let peer: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.peer = try self.lab.peer()
    }

    private func element(_ id: UInt32, life: UInt32 = 300, load: UInt32? = nil) -> [UInt8] {
        elementTLV(
            id, home: RegistrarWorld.id, life: life, sctpTLV(self.peer.address), load.map(leastUsedTLV) ?? roundRobinTLV
        )
    }

    /// The update that a change of the pool brings.
    private func updates(_ subscriber: ScriptedPeer, _ change: () throws -> Void) throws -> [[UInt8]] {
        _ = subscriber.newlyHeard()
        try change()
        try self.lab.world.run(for: .milliseconds(30))
        return subscriber.newlyHeard().map(\.bytes)
    }

    private func increment(_ sequence: UInt32, flags: UInt32 = 0) -> [UInt8] {
        tlv(0xa952, octets(flags) + octets(sequence))
    }

    @Test(
        """
        S = 1: A = 1 in the answer, then the whole list with each change, by identifier [ASAP-136, ASAP-137, \
        ASAP-142, ASAP-143]
        """,
        arguments: [LinkScheme.sctp, .tcp])
    func wholeLists(scheme: LinkScheme) throws {
        try self.lab.register(self.peer, 5)
        let subscriber = try self.lab.peer("subscriber", scheme)
        #expect(
            try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true))
                == [Say.members("EchoPool", a: true, [self.element(5)])])
        #expect(
            try self.updates(subscriber) { try self.lab.register(self.peer, 3) }
                == [Say.members("EchoPool", a: true, [self.element(3), self.element(5)])])
        #expect(
            try self.updates(subscriber) { _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 5)) }
                == [Say.members("EchoPool", a: true, [self.element(3)])])
        #expect(
            try self.updates(subscriber) { try self.lab.register(self.peer, 3, life: 200) }
                == [Say.members("EchoPool", a: true, [self.element(3, life: 200)])])
        #expect(
            try self.updates(subscriber) { try self.lab.register(self.peer, 3, life: 200) }.isEmpty, "nothing changed")
    }

    @Test("Who subscribes after a change hears the next one; nothing is sent to whom the link has ended [ASAP-142]")
    func comingAndGoing() throws {
        try self.lab.register(self.peer, 1)
        let (first, second) = (try self.lab.peer("first"), try self.lab.peer("second"))
        _ = try self.lab.exchange(first, Say.resolve("EchoPool", s: true))
        let register = { (id: UInt32) in try self.lab.register(self.peer, id) }
        #expect(try self.updates(first) { try register(2) }.count == 1)
        _ = try self.lab.exchange(second, Say.resolve("EchoPool", s: true))
        _ = first.newlyHeard()
        #expect(try self.updates(second) { try register(3) }.count == 1)
        #expect(first.newlyHeard().count == 1)
        first.abort()
        try self.lab.world.run(for: .milliseconds(20))
        let (sent, deferred) = (self.lab.statistics(.updatesSent), self.lab.statistics(.updatesDeferred))
        #expect(try self.updates(second) { try register(4) }.count == 1)
        #expect(self.lab.statistics(.updatesSent) == sent + 1)
        #expect(self.lab.statistics(.updatesDeferred) == deferred)
    }

    @Test("A change of load is a change [ASAP-142]")
    func load() throws {
        try self.lab.register(self.peer, 1, policy: leastUsedTLV(1))
        let subscriber = try self.lab.peer("subscriber")
        _ = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true))
        let updates = try self.updates(subscriber) { try self.lab.register(self.peer, 1, policy: leastUsedTLV(9)) }
        #expect(updates.count == 1)
        #expect(updates[0].suffix(4) == octets(9 as UInt32)[...])
    }

    @Test("S = 0: A = 0 and never an update [ASAP-137, ASAP-138]")
    func unsubscribed() throws {
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user")
        #expect(try self.lab.exchange(user, Say.resolve("EchoPool")).first?[1] == 0)
        #expect(try self.updates(user) { try self.lab.register(self.peer, 2) }.isEmpty)
    }

    @Test("An unknown pool: nothing is set up, its creation is no news [ASAP-139]")
    func unknownPool() throws {
        let subscriber = try self.lab.peer("subscriber")
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true)) == [Say.unknown("EchoPool")])
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 1) }.isEmpty)
    }

    @Test("Nor does a negative answer where nobody can give service [ASAP-139, POL-010]")
    func noService() throws {
        func weight(_ weight: UInt32) -> [UInt8] { tlv(0x0008, octets(4 as UInt32) + octets(weight)) }
        try self.lab.register(self.peer, 1, policy: weight(0))
        let subscriber = try self.lab.peer("subscriber")
        let refusal = message(0x06, handleTLV("EchoPool"), errorTLV((6, [])))
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true)) == [refusal])
        #expect(self.lab.statistics(.subscriptions) == 0)
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 1, policy: weight(1)) }.isEmpty)
        // Asked again it is told, and stays so while nobody can give service.
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true)).count == 1)
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 1, policy: weight(0)) }.count == 1)
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true)) == [refusal])
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 1, policy: weight(1)) }.count == 1)
    }

    @Test("The last element leaves: cause 0009, A = 0, and the subscription has ended [ASAP-144]")
    func lastElement() throws {
        try self.lab.register(self.peer, 1)
        let subscriber = try self.lab.peer("subscriber")
        _ = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true))
        #expect(
            try self.updates(subscriber) { _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1)) }
                == [Say.unknown("EchoPool")])
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 1) }.isEmpty)
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true)).first?[1] == 1, "it may begin anew")
    }

    @Test("A later S = 0 does not end it [ASAP-145]", arguments: [LinkScheme.sctp, .tcp])
    func laterRequest(scheme: LinkScheme) throws {
        try self.lab.register(self.peer, 1)
        let subscriber = try self.lab.peer("subscriber", scheme)
        _ = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true))
        #expect(try self.lab.exchange(subscriber, Say.resolve("EchoPool")).first?[1] == 0)
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 2) }.count == 1)
    }

    @Test(
        "It ends with its association or connection, and only that one's [ASAP-136, ASAP-146]",
        arguments: [LinkScheme.sctp, .tcp])
    func associationEnds(scheme: LinkScheme) throws {
        try self.lab.register(self.peer, 1)
        let subscriber = try self.lab.peer("subscriber", scheme)
        let other = try self.lab.peer("other", scheme)
        for one in [subscriber, other] { _ = try self.lab.exchange(one, Say.resolve("EchoPool", s: true)) }
        subscriber.abort()
        try self.lab.world.run(for: .milliseconds(20))
        let sent = self.lab.statistics(.updatesSent)
        #expect(try self.updates(other) { try self.lab.register(self.peer, 2) }.count == 1)
        #expect(self.lab.statistics(.updatesSent) == sent + 1)
        try self.lab.world.connect(subscriber, to: self.lab.node)
        #expect(try self.updates(subscriber) { try self.lab.register(self.peer, 3) }.isEmpty)
    }

    @Test("A burst of changes is told in few messages, the last of which is the truth [ASAP-142]")
    func burst() throws {
        try self.lab.register(self.peer, 1)
        let subscriber = try self.lab.peer("subscriber")
        _ = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true))
        let updates = try self.updates(subscriber) {
            for id in 2...100 as ClosedRange<UInt32> {
                try self.peer.send(Say.register("EchoPool", elementTLV(id, sctpTLV(self.peer.address), roundRobinTLV)))
            }
        }
        #expect((1...5).contains(updates.count))
        #expect(updates.last == Say.members("EchoPool", a: true, (1...100).map { self.element($0) }))
    }

    @Test("Limits: S is answered with A = 0, and no update comes [ASAP-137]")
    func limits() throws {
        let lab = try RegistrarWorld {
            $0.limits.maxSubscriptions = 3
            $0.limits.maxSubscriptionsPerLink = 2
        }
        let peer = try lab.peer()
        for pool in ["a", "b", "c"] { try lab.register(peer, 1, in: pool) }
        let first = try lab.peer()
        let second = try lab.peer()
        func subscribe(_ peer: ScriptedPeer, _ pool: String) throws -> UInt8? {
            try lab.exchange(peer, Say.resolve(pool, s: true)).first?[1]
        }
        #expect(try subscribe(first, "a") == 1)
        #expect(try subscribe(first, "b") == 1)
        #expect(try subscribe(first, "c") == 0, "of this link")
        #expect(try subscribe(first, "a") == 1, "it has that one already")
        #expect(try subscribe(second, "a") == 1)
        #expect(try subscribe(second, "b") == 0, "of all")
        #expect(lab.statistics(.subscriptionsRefused) == 2)
        #expect(
            ["c is refused; max-subscriptions-per-link is", "b is refused; max-subscriptions is"].allSatisfy { words in
                lab.log.all.count { $0.hasPrefix("warning:") && $0.contains(words) } == 1
            })
        first.abort()
        try lab.world.run(for: .milliseconds(20))
        #expect(try subscribe(second, "b") == 1, "room again")
    }

    // MARK: Increments (0xa952)

    @Test("Increments: a snapshot first, then what changed, each one number further")
    func increments() throws {
        try self.lab.register(self.peer, 1)
        try self.lab.register(self.peer, 2)
        let subscriber = try self.lab.peer("subscriber")
        let answer = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true, Say.increments))
        #expect(
            answer == [
                Say.members("EchoPool", a: true, [self.element(1), self.element(2)], self.increment(0, flags: 2))
            ])
        #expect(
            try self.updates(subscriber) { try self.lab.register(self.peer, 3) }
                == [Say.members("EchoPool", a: true, [self.element(3)], self.increment(1))])
        #expect(
            try self.updates(subscriber) { _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 1)) }
                == [Say.members("EchoPool", a: true, [], idTLV(1) + self.increment(2))])
        #expect(
            try self.updates(subscriber) { try self.lab.register(self.peer, 2, life: 9) }
                == [Say.members("EchoPool", a: true, [self.element(2, life: 9)], self.increment(3))])
        let again = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true, Say.increments))
        #expect(
            again == [
                Say.members(
                    "EchoPool", a: true, [self.element(2, life: 9), self.element(3)], self.increment(3, flags: 2))
            ], "asked again, all of it at the same number")
    }

    @Test("A snapshot of 3 000 elements comes in parts, whole, each marked but the last; increments go on from there")
    func snapshotInParts() throws {
        for id in 1...3_000 as ClosedRange<UInt32> {
            try self.peer.send(
                Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(self.peer.address), roundRobinTLV)))
        }
        try self.lab.world.run(for: .seconds(1))
        let subscriber = try self.lab.peer("subscriber")
        let parts = try self.lab.exchange(subscriber, Say.resolve("EchoPool", s: true, Say.increments))
        #expect(parts.count == 2)
        var ids: [UInt32] = []
        for (index, part) in parts.enumerated() {
            #expect(part.count <= 65_536)
            guard case .handleResolutionResponse(let response)? = decoded(part),
                case .members(_, let members) = response.outcome
            else {
                Issue.record("part \(index) is no answer")
                continue
            }
            ids += members.map(\.id.rawValue)
            #expect(
                response.increment
                    == IncrementalUpdate(isSnapshot: true, moreFollows: index + 1 < parts.count, sequence: 0))
        }
        #expect(ids == Array(1...3_000))
        let update = try self.updates(subscriber) {
            _ = try self.lab.exchange(self.peer, Say.deregister("EchoPool", 7))
        }
        #expect(update == [Say.members("EchoPool", a: true, [], idTLV(7) + self.increment(1))])
    }

    @Test("Who asked without increments gets none, next to one who did")
    func sideBySide() throws {
        try self.lab.register(self.peer, 1)
        let plain = try self.lab.peer("plain")
        let modern = try self.lab.peer("modern")
        _ = try self.lab.exchange(plain, Say.resolve("EchoPool", s: true))
        _ = try self.lab.exchange(modern, Say.resolve("EchoPool", s: true, Say.increments))
        try self.lab.register(self.peer, 2)
        try self.lab.world.run(for: .milliseconds(20))
        #expect(plain.newlyHeard().last?.bytes == Say.members("EchoPool", a: true, [self.element(1), self.element(2)]))
        #expect(
            modern.newlyHeard().last?.bytes == Say.members("EchoPool", a: true, [self.element(2)], self.increment(1)))
    }

    // MARK: Slow subscribers

    @Test("A slow subscriber gets merged updates when it reads again, and holds up nobody", arguments: [true, false])
    func slowSubscriber(wantsIncrements: Bool) throws {
        let lab = try RegistrarWorld { $0.limits.sendBuffer = 4_000 }
        let peer = try lab.peer()
        try lab.register(peer, 1)
        let slow = try lab.peer("slow")
        let quick = try lab.peer("quick")
        for one in [slow, quick] {
            _ = try lab.exchange(one, Say.resolve("EchoPool", s: true, wantsIncrements ? Say.increments : []))
        }
        lab.world.clog(lab.node, slow.node, .forth)
        for round in 0..<200 as Range<UInt32> {
            try lab.register(peer, 2 + round % 40, life: 100 + round)
            if round % 3 == 0 { _ = try lab.exchange(peer, Say.deregister("EchoPool", 2 + (round * 7) % 40)) }
        }
        #expect(quick.allHeard.count > 200, "every change in time")
        let before = slow.allHeard.count
        #expect(before <= 2)
        #expect(lab.statistics(.updatesDeferred) > 0)
        lab.world.healAll()
        try lab.world.run(for: .seconds(1))
        #expect(slow.allHeard.count - before < 150, "merged: \(slow.allHeard.count - before)")
        #expect(try self.view(of: slow) == self.view(of: quick))
        #expect(try self.view(of: slow) == Set(lab.resolve(peer, count: .max) ?? []))
    }

    /// What a subscriber knows, by what it heard.
    private func view(of peer: ScriptedPeer) throws -> Set<UInt32> {
        var known: Set<UInt32> = []
        var sequence: UInt32?
        for heard in peer.allHeard where heard.type == 0x06 {
            guard case .handleResolutionResponse(let response)? = decoded(heard.bytes),
                case .members(_, let members) = response.outcome
            else { continue }
            let ids = Set(members.map(\.id.rawValue))
            guard let increment = response.increment, !increment.isSnapshot else {
                known = ids
                sequence = response.increment?.sequence
                continue
            }
            #expect(sequence.map { $0 &+ 1 } == increment.sequence, "a gap")
            sequence = increment.sequence
            known = known.union(ids).subtracting(response.gone.map(\.rawValue))
        }
        return known
    }
}
