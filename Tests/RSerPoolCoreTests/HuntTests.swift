// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Server hunt (RFC 5352 §3.6, SH1 to SH6)")
struct ServerHuntTests {
    private static func list(_ count: Int) -> [RegistrarAddress] { (1...count).map { registrar($0) } }

    @Test("The first on the list is preferred; the next ones join one by one, three at most [ASAP-191, ASAP-192]")
    func atMostThree() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(5)
        #expect(hunt.start(list, now: at(seconds: 0)) == [.connect(list[0])])
        #expect(hunt.nextDeadline == at(.milliseconds(250)))
        #expect(hunt.timersFired(list, now: at(.milliseconds(249))).isEmpty)
        #expect(hunt.timersFired(list, now: at(.milliseconds(250))) == [.connect(list[1])])
        #expect(hunt.timersFired(list, now: at(.milliseconds(500))) == [.connect(list[2])])
        #expect(hunt.timersFired(list, now: at(.milliseconds(750))).isEmpty)
        #expect(hunt.nextDeadline == at(seconds: 10), "only T5 is left to wait for")
    }

    @Test("Who answers first is home, the others are left [ASAP-194, ASAP-200, ASAP-201]")
    func firstAnswers() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(3)
        _ = hunt.start(list, now: at(seconds: 0))
        _ = hunt.timersFired(list, now: at(.milliseconds(250)))
        #expect(hunt.attemptSucceeded(list[1]) == [.abandon(list[0]), .adopt(list[1])])
        #expect(!hunt.isHunting)
        #expect(hunt.nextDeadline == nil)
        #expect(hunt.attemptSucceeded(list[0]) == [.abandon(list[0])], "too late")
    }

    @Test("A refusal brings the next one at once [ASAP-196]")
    func refusal() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(3)
        _ = hunt.start(list, now: at(seconds: 0))
        #expect(hunt.attemptFailed(list[0], list, now: at(.milliseconds(1))) == [.connect(list[1])])
        #expect(hunt.attemptFailed(list[0], list, now: at(.milliseconds(2))).isEmpty, "it was told of that already")
    }

    @Test(
        "T5 doubles up to RETRAN-MAX; a round begins with others than the last [ASAP-193, ASAP-197, ASAP-198, ASAP-199]"
    )
    func rounds() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(7)
        var actions = hunt.start(list, now: at(seconds: 0))
        var now = at(seconds: 0)
        var rounds: [[RegistrarAddress]] = [[]]
        var abandoned: [[RegistrarAddress]] = []
        var lengths: [Duration] = []
        var began = now
        while lengths.count < 3 {
            for action in actions {
                if case .connect(let address) = action { rounds[rounds.count - 1].append(address) }
            }
            guard let next = hunt.nextDeadline else { break }
            now = next
            actions = hunt.timersFired(list, now: now)
            let left = actions.compactMap { if case .abandon(let address) = $0 { address } else { nil } }
            if !left.isEmpty {
                abandoned.append(left)
                lengths.append(now - began)
                began = now
                rounds.append([])
            }
        }
        #expect(lengths == [.seconds(10), .seconds(20), .seconds(40)])
        #expect(rounds[0] == Array(list[0..<3]))
        #expect(rounds[1] == Array(list[3..<6]))
        #expect(rounds[2].first == list[6])
        #expect(abandoned[0] == rounds[0])
    }

    @Test("T5's sequence is 10, 20, 40, 60, 60; a new hunt begins with 10 again [ASAP-195, ASAP-197]")
    func doubling() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(40)
        var now = at(seconds: 0)
        _ = hunt.start(list, now: now)
        var lengths: [Duration] = []
        var began = now
        while lengths.count < 5, let next = hunt.nextDeadline {
            now = next
            if hunt.timersFired(list, now: now).contains(where: { if case .abandon = $0 { true } else { false } }) {
                lengths.append(now - began)
                began = now
            }
        }
        #expect(lengths == [10, 20, 40, 60, 60].map { .seconds($0) })
        _ = hunt.cancel()
        _ = hunt.start(Array(list.prefix(1)), now: now)
        _ = hunt.timersFired(list, now: now + .milliseconds(250))
        _ = hunt.timersFired(list, now: now + .milliseconds(500))
        _ = hunt.timersFired(list, now: now + .milliseconds(750))
        #expect(hunt.nextDeadline == now + .seconds(10))
    }

    @Test("Everybody refuses: a pause, doubling up to T5, then all over again")
    func everybodyRefuses() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(2)
        var now = at(seconds: 0)
        var actions = hunt.start(list, now: now)
        var pauses: [Duration] = []
        while pauses.count < 6 {
            guard case .connect(let address)? = actions.first else {
                Issue.record("\(actions)")
                return
            }
            actions = hunt.attemptFailed(address, list, now: now)
            if actions.isEmpty, let next = hunt.nextDeadline {
                pauses.append(next - now)
                now = next
                actions = hunt.timersFired(list, now: now)
            }
        }
        #expect(pauses == [1, 2, 4, 8, 10, 10].map { .seconds($0) })
        #expect(hunt.fruitlessPasses == 6)
    }

    @Test("The one that failed us is not the first to be tried again, nor the last [ASAP-190]")
    func avoided() {
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(9)
        #expect(hunt.start(list, avoiding: list[0], now: at(seconds: 0)) == [.connect(list[1])])
        #expect(hunt.timersFired(list, now: at(.milliseconds(250))) == [.connect(list[0])])
        #expect(hunt.attemptFailed(list[0], list, now: at(.milliseconds(251))) == [.connect(list[2])])
        var lone = ServerHunt(timers: .rfc)
        #expect(
            lone.start([list[0]], avoiding: list[0], now: at(seconds: 0)) == [.connect(list[0])], "nobody else is there"
        )
    }

    @Test("An empty list waits, and a newcomer on it is tried at once")
    func growingList() {
        var hunt = ServerHunt(timers: .rfc)
        #expect(hunt.start([], now: at(seconds: 0)).isEmpty)
        #expect(hunt.isHunting)
        #expect(hunt.listChanged([registrar(1)], now: at(.milliseconds(10))) == [.connect(registrar(1))])
        #expect(hunt.start([registrar(2)], now: at(.milliseconds(20))).isEmpty, "one hunt at a time")
        #expect(hunt.cancel() == [.abandon(registrar(1))])
        #expect(hunt.listChanged([registrar(1)], now: at(.milliseconds(30))).isEmpty)
    }

    @Test("Whatever happens, never more than three attempts are open [ASAP-192]", arguments: 0..<30 as Range<UInt64>)
    func bound(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var hunt = ServerHunt(timers: .rfc)
        let list = Self.list(6)
        var open: Set<RegistrarAddress> = []
        var now = at(seconds: 0)
        func carryOut(_ actions: [ServerHunt.Action]) {
            for action in actions {
                switch action {
                case .connect(let address): #expect(open.insert(address).inserted)
                case .abandon(let address): open.remove(address)
                case .adopt(let address):
                    #expect(open == [address])
                    open = []
                }
                #expect(open.count <= ServerHunt.maxAttempts)
            }
        }
        for _ in 0..<500 {
            now += .milliseconds(Int.random(in: 0...2_000, using: &generator))
            let some = open.sorted { $0.description < $1.description }.randomElement(using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: carryOut(hunt.start(list, now: now))
            case 1: if let some { carryOut(hunt.attemptSucceeded(some)) }
            case 2:
                if let some {
                    open.remove(some)
                    carryOut(hunt.attemptFailed(some, list, now: now))
                }
            case 3: carryOut(hunt.listChanged(list, now: now))
            default: carryOut(hunt.timersFired(list, now: now))
            }
            #expect(hunt.isHunting || open.isEmpty)
        }
    }
}

@Suite("Known registrars (RFC 5352 §3.6)")
struct RegistrarListTests {
    private static let source = IPAddress.ipv4(0xc000_020a)

    private static func announce(_ number: Int, _ transports: [ServerAnnounce.Transport] = []) -> ServerAnnounce {
        ServerAnnounce(registrar: RegistrarID(rawValue: UInt32(number)), transports: transports)
    }

    @Test("An announcement without transports stands for SCTP at its source, port 3863 [ASAP-185]")
    func withoutTransports() {
        var list = RegistrarList(configured: [], timers: .rfc)
        #expect(list.received(Self.announce(1), from: Self.source, now: at(seconds: 0)) == true)
        #expect(list.addresses == [RegistrarAddress(scheme: .sctp, addresses: [Self.source], port: 3863)])
    }

    @Test("Announced transports are learned, unspecified addresses standing for the source [ASAP-180, ASAP-183]")
    func transports() {
        var list = RegistrarList(configured: [], timers: .rfc)
        let ip = IPAddress.ipv4(0xc000_0263)
        let announce = Self.announce(
            1,
            [
                .sctp(SCTPTransport(port: 4_000, addresses: [ip])),
                .sctp(SCTPTransport(port: 4_001, addresses: [.anyIPv4])),
                .tcp(SocketAddress(ip: .anyIPv4, port: 4_002)),
            ])
        list.received(announce, from: Self.source, now: at(seconds: 0))
        #expect(
            list.addresses == [
                RegistrarAddress(scheme: .sctp, addresses: [ip], port: 4_000),
                RegistrarAddress(scheme: .sctp, addresses: [Self.source], port: 4_001),
                RegistrarAddress(scheme: .tcp, addresses: [Self.source], port: 4_002),
            ])
    }

    @Test("Not announced for T7, it is forgotten; each announcement begins T7 anew [ASAP-184, ASAP-186]")
    func t7() {
        var list = RegistrarList(configured: [], timers: .rfc)
        for second in [0, 4, 8] {
            #expect(list.received(Self.announce(1), from: Self.source, now: at(seconds: second)) == (second == 0))
            list.timersFired(now: at(seconds: second))
            #expect(list.addresses.count == 1)
        }
        #expect(list.nextDeadline == at(seconds: 13))
        list.timersFired(now: at(.milliseconds(12_999)))
        #expect(list.addresses.count == 1)
        list.timersFired(now: at(seconds: 13))
        #expect(list.addresses.isEmpty)
    }

    @Test("Many registrars announce seldom: the list stays stable all the same [ASAP-187]")
    func manyRegistrars() {
        var list = RegistrarList(configured: [], timers: .rfc)
        for round in 0..<6 {
            for number in 1...6 {
                // Each of six announces every 6 s.
                let now = at(seconds: 6 * round + number - 1)
                list.timersFired(now: now)
                let news = list.received(Self.announce(number), from: .ipv4(0xc000_0200 + UInt32(number)), now: now)
                #expect(news == (round == 0), "round \(round), registrar \(number)")
            }
        }
        #expect(list.addresses.count == 6)
    }

    @Test("Configured ones come first, are never forgotten and never stored twice [ASAP-188]")
    func configured() {
        let known = RegistrarAddress(scheme: .sctp, addresses: [Self.source], port: 3863)
        var list = RegistrarList(configured: [known], timers: .rfc)
        #expect(list.received(Self.announce(1), from: Self.source, now: at(seconds: 0)) == false)
        list.received(Self.announce(2), from: .ipv4(7), now: at(seconds: 0))
        #expect(list.addresses.count == 2)
        #expect(list.addresses.first == known)
        list.timersFired(now: at(seconds: 1_000))
        #expect(list.addresses == [known])
    }

    @Test("A flood of forged announcements is bounded, and pushes no configured registrar out [ASAP-203, ASAP-302]")
    func flood() {
        let known = registrar(1)
        var list = RegistrarList(configured: [known], timers: .rfc)
        for number in 0..<10_000 {
            list.received(Self.announce(number + 1), from: .ipv4(0x0a00_0000 + UInt32(number)), now: at(seconds: 0))
        }
        #expect(list.addresses.count == RegistrarList.maxAnnounced + 1)
        #expect(list.addresses.first == known)
    }
}

@Suite("When a registrar announces itself (RFC 5352 §3.6)")
struct AnnounceScheduleTests {
    private static let own = RegistrarID(rawValue: 1)

    /// Seconds at which it announces, while the registrars in `others` announce each second.
    private static func moments(others: [UInt32], until end: Int) -> [Int] {
        var schedule = AnnounceSchedule(own: self.own, timers: .rfc)
        var moments: [Int] = []
        for second in 0..<end {
            let now = at(seconds: second)
            for other in others {
                schedule.received(ServerAnnounce(registrar: RegistrarID(rawValue: other), transports: []), now: now)
            }
            if schedule.nextDeadline(now: now) <= now, schedule.isDue(now: now) { moments.append(second) }
        }
        return moments
    }

    @Test(
        "Every (N+1)·T6, the own announcements not counting [ASAP-181]",
        arguments: [([], 1), ([1], 1), ([2], 2), ([1, 2, 3, 4], 4)] as [([UInt32], Int)])
    func interval(others: [UInt32], interval: Int) {
        #expect(Self.moments(others: others, until: 20) == Array(stride(from: 0, to: 20, by: interval)))
    }

    @Test("Who is not heard any more stops counting after T7")
    func outdated() {
        var schedule = AnnounceSchedule(own: Self.own, timers: .rfc)
        schedule.received(ServerAnnounce(registrar: RegistrarID(rawValue: 2), transports: []), now: at(seconds: 0))
        #expect(schedule.isDue(now: at(seconds: 0)) == true)
        #expect(schedule.nextDeadline(now: at(seconds: 0)) == at(seconds: 2))
        #expect(schedule.isDue(now: at(seconds: 1)) == false)
        #expect(schedule.isDue(now: at(seconds: 10)) == true)
        #expect(schedule.nextDeadline(now: at(seconds: 10)) == at(seconds: 11))
    }

    @Test("Forged identifiers slow it down only so far [ASAP-302]")
    func flood() {
        var schedule = AnnounceSchedule(own: Self.own, timers: .rfc)
        for number in 2..<10_000 as Range<UInt32> {
            schedule.received(
                ServerAnnounce(registrar: RegistrarID(rawValue: number), transports: []), now: at(seconds: 0))
        }
        #expect(schedule.isDue(now: at(seconds: 0)) == true)
        #expect(schedule.nextDeadline(now: at(seconds: 0)) <= at(seconds: AnnounceSchedule.maxHeard + 1))
    }
}

@Suite("Whether a silent home registrar is there")
struct HomeCheckTests {
    private static let begin = ContinuousClock.Instant.now

    @Test("It is asked after homeCheckInterval of silence, and given up when T1 passes without a word")
    func asksAndGivesUp() {
        var check = HomeCheck(timers: .rfc)
        #expect(check.nextDeadline == nil)
        check.heard(now: Self.begin)
        check.heard(now: Self.begin + .seconds(10))
        #expect(check.timersFired(now: Self.begin + .seconds(39)) == nil)
        #expect(check.timersFired(now: Self.begin + .seconds(40)) == .ask)
        #expect(check.isAsking)
        #expect(check.timersFired(now: Self.begin + .seconds(54)) == nil)
        #expect(check.timersFired(now: Self.begin + .seconds(55)) == .giveUp)
        #expect(check.nextDeadline == Self.begin + .seconds(85))
    }

    @Test("Any word ends the question; without a home nothing is due")
    func words() {
        var check = HomeCheck(timers: .rfc)
        check.heard(now: Self.begin)
        #expect(check.timersFired(now: Self.begin + .seconds(30)) == .ask)
        check.heard(now: Self.begin + .seconds(31))
        #expect(!check.isAsking)
        #expect(check.timersFired(now: Self.begin + .seconds(60)) == nil)
        check.homeLost()
        #expect(check.nextDeadline == nil)
        #expect(check.timersFired(now: Self.begin + .seconds(100)) == nil)
    }
}
