// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Arbitration of a takeover (RFC 5353 §3.5.1)")
struct TakeoverContestTests {
    private typealias Contest = TakeoverContest

    private static let target = RegistrarID(rawValue: 9)
    private static let own = RegistrarID(rawValue: 50)
    private static let smaller = RegistrarID(rawValue: 40)
    private static let larger = RegistrarID(rawValue: 60)
    private static let everybody: Set<RegistrarID> = [target, smaller, larger]

    private var generator = SeededGenerator(seed: 1)

    private static func begun(_ peers: Set<RegistrarID> = everybody) -> Contest {
        var contest = Contest(target: self.target, ownID: self.own, timers: .rfc, now: at(seconds: 0))
        _ = contest.begin(peers: peers, now: at(seconds: 0))
        return contest
    }

    private mutating func fire(
        _ contest: inout Contest, at now: Instant, heard: [RegistrarID: Instant] = [:],
        peers: Set<RegistrarID> = everybody
    ) -> [Contest.Action] {
        contest.timersFired(peers: peers, lastHeard: { heard[$0] }, now: now, using: &self.generator)
    }

    @Test("It begins with the announcement, and has not won before everybody but the target has acknowledged")
    func acknowledgements() {
        var contest = Contest(target: Self.target, ownID: Self.own, timers: .rfc, now: at(seconds: 0))
        #expect(contest.begin(peers: Self.everybody, now: at(seconds: 0)) == [.announceInitiation])
        #expect(contest.begin(peers: Self.everybody, now: at(seconds: 0)) == [], "once")
        #expect(contest.receivedAck(from: Self.target) == [])
        #expect(contest.receivedAck(from: Self.smaller) == [])
        #expect(contest.receivedAck(from: Self.smaller) == [], "a second one does not count")
        #expect(contest.receivedAck(from: RegistrarID(rawValue: 77)) == [], "nor does a stranger's")
        #expect(!contest.isOver)
        #expect(contest.receivedAck(from: Self.larger) == [.win(unheard: [])])
        #expect(contest.isOver)
        #expect(contest.nextDeadline == nil)
        #expect(contest.receivedAck(from: Self.larger) == [], "it is won once")
    }

    @Test("With nobody else it has won as it begins", arguments: [[], [target], [target, own]] as [Set<RegistrarID>])
    func nobodyElse(peers: Set<RegistrarID>) {
        var contest = Contest(target: Self.target, ownID: Self.own, timers: .rfc, now: at(seconds: 0))
        #expect(contest.begin(peers: peers, now: at(seconds: 0)) == [.announceInitiation, .win(unheard: [])])
    }

    @Test("A smaller ID is ignored, a larger one is yielded to, also in a pause")
    mutating func rivals() {
        for isPausing in [false, true] {
            var contest = Self.begun()
            if isPausing {
                _ = self.fire(&contest, at: at(seconds: 10), heard: [Self.smaller: at(seconds: 1)])
                #expect(!contest.isOver)
            }
            #expect(contest.receivedInitTakeover(from: Self.smaller) == [])
            #expect(!contest.isOver)
            #expect(contest.receivedInitTakeover(from: Self.larger) == [.yield(to: Self.larger)])
            #expect(contest.isOver)
            #expect(contest.receivedInitTakeover(from: Self.smaller) == [.yield(to: Self.smaller)], "it is theirs now")
            #expect(contest.receivedAck(from: Self.smaller) == [])
            #expect(contest.receivedAck(from: Self.larger) == [])
        }
    }

    @Test("Once won it is not given away")
    func rivalAfterwards() {
        var contest = Self.begun([Self.target])
        #expect(contest.receivedInitTakeover(from: Self.larger) == [])
    }

    @Test("Two initiators, each with the other's announcement: exactly one yields")
    func bothWays() {
        var left = Contest(target: Self.target, ownID: Self.smaller, timers: .rfc, now: at(seconds: 0))
        var right = Contest(target: Self.target, ownID: Self.larger, timers: .rfc, now: at(seconds: 0))
        _ = left.begin(peers: [Self.target, Self.larger], now: at(seconds: 0))
        _ = right.begin(peers: [Self.target, Self.smaller], now: at(seconds: 0))
        #expect(left.receivedInitTakeover(from: Self.larger) == [.yield(to: Self.larger)])
        #expect(right.receivedInitTakeover(from: Self.smaller) == [])
        #expect(right.receivedAck(from: Self.smaller) == [.win(unheard: [])])
    }

    enum Stage: CaseIterable {
        case announced, acknowledgedByOne, probed, pausing
    }

    @Test(
        "A word of the target ends it at every stage; so does somebody else's takeover", arguments: Stage.allCases,
        [true, false])
    mutating func ended(stage: Stage, byTarget: Bool) {
        var contest = Self.begun()
        switch stage {
        case .announced: break
        case .acknowledgedByOne: _ = contest.receivedAck(from: Self.smaller)
        case .probed: _ = self.fire(&contest, at: at(seconds: 5))
        case .pausing: _ = self.fire(&contest, at: at(seconds: 10), heard: [Self.smaller: at(seconds: 1)])
        }
        #expect(!contest.isOver)
        if byTarget { contest.heardTarget() } else { contest.targetTaken() }
        #expect(contest.isOver)
        #expect(contest.nextDeadline == nil)
        #expect(contest.receivedAck(from: Self.smaller) == [])
        #expect(contest.receivedAck(from: Self.larger) == [])
        #expect(self.fire(&contest, at: at(seconds: 60)) == [])
        #expect(contest.begin(peers: Self.everybody, now: at(seconds: 60)) == [])
    }

    @Test("A peer that dies meanwhile is not waited for")
    func peerDies() {
        var contest = Self.begun()
        #expect(contest.receivedAck(from: Self.smaller) == [])
        #expect(contest.peerDied(RegistrarID(rawValue: 77)) == [])
        #expect(contest.peerDied(Self.larger) == [.win(unheard: [])])
    }

    @Test("Half of the time is over: who has not acknowledged is asked whether it lives, once")
    mutating func probe() {
        var contest = Self.begun()
        _ = contest.receivedAck(from: Self.smaller)
        #expect(contest.nextDeadline == at(seconds: 5))
        #expect(self.fire(&contest, at: at(seconds: 4)) == [])
        #expect(self.fire(&contest, at: at(seconds: 5)) == [.probe([Self.larger])])
        #expect(contest.nextDeadline == at(seconds: 10))
        #expect(self.fire(&contest, at: at(seconds: 9)) == [])
    }

    @Test("Who said nothing in a whole round does not count: it is won without them")
    mutating func silentPeers() {
        var contest = Self.begun()
        _ = self.fire(&contest, at: at(seconds: 5))
        let before = at(seconds: -1)
        #expect(
            self.fire(&contest, at: at(seconds: 10), heard: [Self.smaller: before, Self.larger: before])
                == [.win(unheard: [Self.smaller, Self.larger])])
    }

    @Test("Who speaks and does not acknowledge is asked again, in three rounds; then it goes on without them")
    mutating func mutePeers() throws {
        var contest = Self.begun()
        var begun = at(seconds: 0)
        for round in 1...TakeoverContest.maxRounds {
            #expect(self.fire(&contest, at: begun + .seconds(5)) == [.probe([Self.smaller, Self.larger])])
            let end = begun + .seconds(10)
            let heard = [Self.smaller: begun + .seconds(1)]
            guard round < TakeoverContest.maxRounds else {
                #expect(
                    self.fire(&contest, at: end, heard: heard) == [.win(unheard: [Self.smaller, Self.larger])])
                break
            }
            #expect(self.fire(&contest, at: end, heard: heard) == [])
            let next = try #require(contest.nextDeadline)
            #expect((.seconds(1) ... .seconds(10)).contains(next - end))
            #expect(contest.receivedAck(from: Self.smaller) == [], "too late for this round")
            #expect(self.fire(&contest, at: next) == [.announceInitiation])
            begun = next
        }
        #expect(contest.isOver)
    }

    @Test("A further round waits for those who are known then")
    mutating func laterRound() throws {
        var contest = Self.begun()
        _ = self.fire(&contest, at: at(seconds: 10), heard: [Self.smaller: at(seconds: 1)])
        let next = try #require(contest.nextDeadline)
        let newcomer = RegistrarID(rawValue: 70)
        #expect(self.fire(&contest, at: next, peers: [newcomer]) == [.announceInitiation])
        #expect(contest.receivedAck(from: Self.smaller) == [])
        #expect(contest.receivedAck(from: newcomer) == [.win(unheard: [])])
    }
}
