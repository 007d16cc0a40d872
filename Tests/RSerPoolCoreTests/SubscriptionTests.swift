// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("From lists and increments to changes")
struct MembershipTrackerTests {
    private static let busy = member(1, policy: .leastUsed(load: .full))

    @Test("The first list is a snapshot, by identifier")
    func snapshot() {
        var tracker = MembershipTracker()
        #expect(!tracker.hasSnapshot)
        #expect(tracker.replace(with: [member(2), member(1)]) == [.snapshot([member(1), member(2)])])
        #expect(tracker.hasSnapshot)
        #expect(tracker.replace(with: [member(1), member(2)]).isEmpty)
    }

    @Test("A further list is told as what it changes")
    func wholeLists() {
        var tracker = MembershipTracker()
        _ = tracker.replace(with: [member(1), member(2)])
        #expect(
            tracker.replace(with: [Self.busy, member(3)]) == [
                .left(member(2)), .updated(Self.busy), .joined(member(3)),
            ])
        #expect(tracker.members == [Self.busy, member(3)])
        #expect(tracker.replace(with: []) == [.left(Self.busy), .left(member(3))])
        #expect(tracker.isEmpty)
    }

    @Test("In a partial list absence says nothing")
    func partialLists() {
        var tracker = MembershipTracker()
        _ = tracker.replace(with: [member(1), member(2)], isPartial: true)
        #expect(tracker.replace(with: [member(2), member(3)], isPartial: true) == [.joined(member(3))])
        #expect(tracker.members == [member(1), member(2), member(3)])
        tracker.demandSnapshot()
        #expect(tracker.replace(with: [member(4)], isPartial: true) == [.snapshot((1...4).map { member($0) })])
    }

    @Test("Increments; what is not new is not told, who was not there does not leave")
    func increments() {
        var tracker = MembershipTracker()
        _ = tracker.replace(with: [member(1)])
        #expect(tracker.apply([member(1), member(2)], gone: [id(9)]) == [.joined(member(2))])
        #expect(tracker.apply([Self.busy], gone: [id(2)]) == [.left(member(2)), .updated(Self.busy)])
    }

    @Test("Changes applied one by one give the list again", arguments: 0..<20 as Range<UInt64>)
    func twin(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var tracker = MembershipTracker()
        var mirror: [PoolElementID: PoolMember] = [:]
        for _ in 0..<200 {
            let members = (1...8).filter { _ in Bool.random(using: &generator) }.map {
                member($0, policy: .leastUsed(load: Load(rawValue: UInt32.random(in: 0...1, using: &generator))))
            }
            for change in tracker.replace(with: members) {
                switch change {
                case .snapshot(let all): mirror = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })
                case .joined(let member): #expect(mirror.updateValue(member, forKey: member.id) == nil)
                case .updated(let member): #expect(mirror.updateValue(member, forKey: member.id) != nil)
                case .left(let member): #expect(mirror.removeValue(forKey: member.id) == member)
                case .interrupted, .resumed: Issue.record("\(change)")
                }
            }
            #expect(mirror.values.sorted { $0.id < $1.id } == members)
            #expect(tracker.members == members)
        }
    }
}

@Suite("A pool user's subscription (RFC 5352 §2.2.5; increments by 0xa952)")
struct PoolSubscriptionTests {
    private static let request = HandleResolution(pool: echo, wantsUpdates: true, count: .max, wantsIncrements: true)
    private static let unknown = HandleResolutionResponse(
        pool: echo, outcome: .failed([ErrorCause(.unknownPoolHandle)]))

    private static func list(_ numbers: Int..., updatesFollow: Bool = true) -> HandleResolutionResponse {
        HandleResolutionResponse(
            pool: echo, updatesFollow: updatesFollow,
            outcome: .members(policy: .roundRobin, numbers.map { member($0) }))
    }

    private static func part(
        _ sequence: UInt32, _ numbers: [Int], gone: [Int] = [], isSnapshot: Bool = false, more: Bool = false
    ) -> HandleResolutionResponse {
        HandleResolutionResponse(
            pool: echo, updatesFollow: true, outcome: .members(policy: .roundRobin, numbers.map { member($0) }),
            increment: IncrementalUpdate(isSnapshot: isSnapshot, moreFollows: more, sequence: sequence),
            gone: gone.map { id($0) })
    }

    private static func snapshot(_ numbers: Int...) -> PoolChange { .snapshot(numbers.map { member($0) }) }

    private static func asking() -> PoolSubscription {
        var subscription = PoolSubscription(pool: echo, timers: .rfc)
        _ = subscription.homeFound(now: at(seconds: 0))
        return subscription
    }

    private static func following(_ sequence: UInt32 = 7) -> PoolSubscription {
        var subscription = self.asking()
        _ = subscription.received(self.part(sequence, [1, 2], isSnapshot: true), now: at(seconds: 0))
        return subscription
    }

    @Test("It asks with S, for increments, for all; T1 runs")
    func asks() {
        var subscription = PoolSubscription(pool: echo, timers: .rfc)
        #expect(subscription.nextDeadline == nil)
        #expect(subscription.members == nil)
        #expect(subscription.homeFound(now: at(seconds: 0)) == [.send(Self.request)])
        #expect(subscription.nextDeadline == at(seconds: 15))
        #expect(subscription.timersFired(now: at(seconds: 15)) == [.hunt, .send(Self.request)])
    }

    @Test("Whole lists become changes, without polling")
    func wholeLists() {
        var subscription = Self.asking()
        #expect(subscription.received(Self.list(1, 2), now: at(seconds: 1)) == [.tell([Self.snapshot(1, 2)])])
        #expect(subscription.nextDeadline == nil)
        #expect(
            subscription.received(Self.list(2, 3), now: at(seconds: 2))
                == [.tell([.left(member(1)), .joined(member(3))])])
        #expect(subscription.received(Self.list(2, 3), now: at(seconds: 3)).isEmpty)
    }

    @Test("Where S is refused it polls, and the lists become changes")
    func refused() {
        var subscription = Self.asking()
        _ = subscription.received(Self.list(1, updatesFollow: false), now: at(seconds: 1))
        #expect(subscription.nextDeadline == at(seconds: 2))
        #expect(subscription.timersFired(now: at(seconds: 2)) == [.send(Self.request)])
        #expect(
            subscription.received(Self.list(1, 2, updatesFollow: false), now: at(seconds: 2)) == [
                .tell([.joined(member(2))])
            ])
    }

    @Test("Increments in order are applied, over the wrap of the number too", arguments: [7, .max] as [UInt32])
    func increments(sequence: UInt32) {
        var subscription = Self.following(sequence)
        #expect(
            subscription.received(Self.part(sequence &+ 1, [3], gone: [1]), now: at(seconds: 1))
                == [.tell([.left(member(1)), .joined(member(3))])])
        #expect(
            subscription.received(Self.part(sequence &+ 2, [], gone: [3]), now: at(seconds: 1)) == [
                .tell([.left(member(3))])
            ])
        #expect(subscription.members == [member(2)])
    }

    @Test("A gap: it asks again, tells nothing meanwhile, then what has changed in between")
    func gap() {
        var subscription = Self.following()
        #expect(subscription.received(Self.part(9, [3]), now: at(seconds: 1)) == [.send(Self.request)])
        #expect(subscription.received(Self.part(10, [4]), now: at(seconds: 1)).isEmpty)
        #expect(
            subscription.received(Self.part(10, [2, 3, 4], isSnapshot: true), now: at(seconds: 2))
                == [.tell([.left(member(1)), .joined(member(3)), .joined(member(4))])])
        #expect(subscription.received(Self.part(11, [], gone: [2]), now: at(seconds: 2)) == [.tell([.left(member(2))])])
    }

    @Test("A snapshot in parts is told when it is whole")
    func parts() {
        var subscription = Self.asking()
        #expect(
            subscription.received(Self.part(7, [1, 2], isSnapshot: true, more: true), now: at(seconds: 10)).isEmpty)
        #expect(subscription.members == nil)
        #expect(subscription.nextDeadline == at(seconds: 25), "T1 begins anew with each part")
        #expect(
            subscription.received(Self.part(7, [3], isSnapshot: true), now: at(seconds: 11)) == [
                .tell([Self.snapshot(1, 2, 3)])
            ])
    }

    @Test("Too slow for increments: a snapshot unasked, told as changes")
    func unaskedSnapshot() {
        var subscription = Self.following()
        #expect(subscription.received(Self.part(99, [2], isSnapshot: true, more: true), now: at(seconds: 1)).isEmpty)
        #expect(
            subscription.received(Self.part(99, [3], isSnapshot: true), now: at(seconds: 1))
                == [.tell([.left(member(1)), .joined(member(3))])])
        #expect(subscription.received(Self.part(100, [4]), now: at(seconds: 2)) == [.tell([.joined(member(4))])])
    }

    @Test("An unknown pool is empty, and asked for again each second")
    func unknownPool() {
        var subscription = Self.asking()
        #expect(subscription.received(Self.unknown, now: at(seconds: 1)) == [.tell([Self.snapshot()]), .unknownPool])
        #expect(subscription.timersFired(now: at(seconds: 2)) == [.send(Self.request)])
        #expect(subscription.received(Self.unknown, now: at(seconds: 2)) == [.unknownPool])
        _ = subscription.timersFired(now: at(seconds: 3))
        #expect(
            subscription.received(Self.part(1, [1], isSnapshot: true), now: at(seconds: 3)) == [
                .tell([.joined(member(1))])
            ])
    }

    @Test("The last element leaves: told, then asked for again")
    func emptied() {
        var subscription = Self.following()
        #expect(
            subscription.received(Self.unknown, now: at(seconds: 1))
                == [.tell([.left(member(1)), .left(member(2))]), .unknownPool])
        #expect(subscription.nextDeadline == at(seconds: 2))
    }

    @Test("The registrar is lost: interrupted once; then resumed, and a snapshot [ASAP-141]")
    func interrupted() {
        var subscription = Self.following()
        #expect(subscription.homeLost() == [.tell([.interrupted]), .hunt])
        #expect(subscription.homeLost() == [.hunt])
        #expect(subscription.members == [member(1), member(2)], "what was known stays known")
        #expect(subscription.received(Self.part(8, [3]), now: at(seconds: 1)).isEmpty)
        #expect(subscription.homeFound(now: at(seconds: 2)) == [.send(Self.request)])
        #expect(
            subscription.received(Self.part(1, [2], isSnapshot: true), now: at(seconds: 2)) == [
                .tell([.resumed, Self.snapshot(2)])
            ])
    }

    @Test("A registrar that has just come does not empty a full pool with its first word")
    func freshRegistrar() {
        var subscription = Self.following()
        _ = subscription.homeLost()
        _ = subscription.homeFound(now: at(seconds: 10))
        #expect(
            subscription.received(Self.unknown, now: at(seconds: 10)).isEmpty, "its elements have not come back yet")
        #expect(subscription.members == [member(1), member(2)])
        #expect(subscription.timersFired(now: at(seconds: 11)) == [.send(Self.request)])
        #expect(
            subscription.received(Self.part(1, [1], isSnapshot: true), now: at(seconds: 11)) == [
                .tell([.resumed, Self.snapshot(1)])
            ])
    }

    @Test("But when it keeps saying so, the pool is empty")
    func reallyEmpty() {
        var subscription = Self.following()
        _ = subscription.homeLost()
        _ = subscription.homeFound(now: at(seconds: 10))
        var told: [PoolChange] = []
        var second = 10
        while told.isEmpty, second < 60 {
            for action in subscription.received(Self.unknown, now: at(seconds: second)) {
                if case .tell(let changes) = action { told += changes }
            }
            second += 1
            _ = subscription.timersFired(now: at(seconds: second))
        }
        #expect(told == [.resumed, Self.snapshot()])
        #expect((21...30).contains(second), "after T5 and a little: \(second)")
    }

    @Test("Silence after T1 interrupts as well, and is asked beside a hunt")
    func silence() {
        var subscription = Self.following()
        _ = subscription.received(Self.part(99, [3]), now: at(seconds: 1))
        #expect(subscription.timersFired(now: at(seconds: 16)) == [.tell([.interrupted]), .hunt, .send(Self.request)])
        #expect(
            subscription.received(Self.part(100, [1], isSnapshot: true), now: at(seconds: 17)) == [
                .tell([.resumed, Self.snapshot(1)])
            ])
    }

    @Test("Another refusal than 'unknown pool' empties nothing")
    func otherRefusal() {
        var subscription = Self.following()
        let refusal = HandleResolutionResponse(pool: echo, outcome: .failed([ErrorCause(.lackOfResources)]))
        #expect(subscription.received(refusal, now: at(seconds: 1)) == [.tell([.interrupted])])
        #expect(subscription.members == [member(1), member(2)])
        #expect(subscription.nextDeadline == at(seconds: 2))
    }

    @Test("A polled answer of 128 may have been cut: nobody leaves by it")
    func longPolledAnswer() {
        var subscription = Self.asking()
        let full = HandleResolutionResponse(
            pool: echo, outcome: .members(policy: .roundRobin, (1...128).map { member($0) }))
        _ = subscription.received(full, now: at(seconds: 0))
        _ = subscription.timersFired(now: at(seconds: 1))
        let other = HandleResolutionResponse(
            pool: echo, outcome: .members(policy: .roundRobin, (2...129).map { member($0) }))
        #expect(subscription.received(other, now: at(seconds: 1)) == [.tell([.joined(member(129))])])
    }

    @Test("A whole list that fills its message is partial too: nobody leaves by it")
    func listThatFillsTheMessage() {
        var subscription = Self.asking()
        // 40 octets each: 1 637 of them and a bit fit.
        func update(_ numbers: ClosedRange<Int>) -> HandleResolutionResponse {
            HandleResolutionResponse(
                pool: echo, updatesFollow: true, outcome: .members(policy: .roundRobin, numbers.map { member($0) }))
        }
        _ = subscription.received(update(1...1_637), now: at(seconds: 0))
        #expect(subscription.received(update(2...1_638), now: at(seconds: 1)) == [.tell([.joined(member(1_638))])])
        // A short list is whole again.
        #expect(subscription.received(update(2...3), now: at(seconds: 2)).count == 1)
        #expect(subscription.members?.count == 2)
    }
}
