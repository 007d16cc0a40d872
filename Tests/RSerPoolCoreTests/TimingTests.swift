// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Timers (RFC 5352 §7)")
struct ASAPTimersTests {
    @Test("The RFC's defaults [ASAP-265]")
    func defaults() {
        let timers = ASAPTimers.rfc
        #expect(timers.t1ENRPRequest == .seconds(15))
        #expect(timers.t2Registration == .seconds(30))
        #expect(timers.t3Deregistration == .seconds(30))
        #expect(timers.t5Serverhunt == .seconds(10))
        #expect(timers.t6Serverannounce == .seconds(1))
        #expect(timers.t7ENRPOutdate == .seconds(5))
        #expect(timers.retranMax == .seconds(60))
        #expect(timers.maxRegAttempt == 2)
        #expect(timers.maxRequestRetransmit == 2)
        #expect(timers.maxBadPEReport == 3)
        #expect(timers.staleCacheValue == .seconds(30))
    }

    @Test(
        "T4 is min(10 min, life − 20 s), half of a short life, 10 min for an infinite one [ASAP-267, ASAP-268]",
        arguments: [
            (300, 280), (3_600, 600), (620, 600), (60, 40), (41, 21), (40, 20), (10, 5), (1, 0.5), (nil, 600),
        ] as [(Double?, Double)])
    func t4(life: Double?, expected: Double) {
        #expect(ASAPTimers.rfc.reregistrationInterval(life: life.map { .seconds($0) }) == .seconds(expected))
    }

    @Test(
        "A configured T4 rules, but an element renews before its life ends",
        arguments: [(30.0, 30.0), (20, 15), (nil, 30)] as [(Double?, Double)])
    func configuredT4(life: Double?, expected: Double) {
        var timers = ASAPTimers()
        timers.t4Reregistration = .seconds(30)
        let life = life.map { $0 * (expected == 30 ? 2 : 1) }
        #expect(timers.reregistrationInterval(life: life.map { .seconds($0) }) == .seconds(expected))
    }

    @Test("The preset for local networks keeps the order of things")
    func lan() {
        let timers = ASAPTimers.lan
        #expect(timers.keepAliveTimeout < timers.keepAliveInterval)
        #expect(timers.huntStagger < timers.t5Serverhunt)
        #expect(timers.t5Serverhunt < timers.retranMax)
        #expect(timers.t7ENRPOutdate >= timers.t6Serverannounce * 3)
    }
}

@Suite("Deadline queue")
struct DeadlineQueueTests {
    private func pool(_ name: String) -> Due { .pool(PoolHandle(name)) }
    private func peer(_ number: UInt32) -> Due { .peer(RegistrarID(rawValue: number)) }

    @Test("Keys come due in order, each once")
    func order() {
        var queue = DeadlineQueue()
        queue.set(pool("b"), to: at(seconds: 2))
        queue.set(pool("a"), to: at(seconds: 1))
        queue.set(pool("c"), to: at(seconds: 3))
        #expect(queue.nextDeadline == at(seconds: 1))
        #expect(queue.popDue(now: at(seconds: 0)) == nil)
        #expect(queue.popDue(now: at(seconds: 2)) == pool("a"))
        #expect(queue.popDue(now: at(seconds: 2)) == pool("b"))
        #expect(queue.popDue(now: at(seconds: 2)) == nil)
        #expect(queue.count == 1)
    }

    @Test("A deadline moves later, earlier, away, and back")
    func moving() {
        var queue = DeadlineQueue()
        queue.set(pool("a"), to: at(seconds: 1))
        queue.set(pool("a"), to: at(seconds: 5))
        #expect(queue.popDue(now: at(seconds: 4)) == nil)
        queue.set(pool("a"), to: at(seconds: 3))
        #expect(queue.popDue(now: at(seconds: 4)) == pool("a"))
        #expect(queue.popDue(now: at(seconds: 9)) == nil)
        queue.set(pool("a"), to: at(seconds: 9))
        queue.set(pool("a"), to: nil)
        #expect(queue.nextDeadline == nil)
        #expect(queue.popDue(now: at(seconds: 99)) == nil)
        queue.set(pool("a"), to: at(seconds: 9))
        #expect(queue.popDue(now: at(seconds: 9)) == pool("a"))
        #expect(queue.count == 0)
    }

    @Test("It does what a plain table does, whatever comes", arguments: 0..<50 as Range<UInt64>)
    func twin(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var queue = DeadlineQueue()
        var table: [Due: Instant] = [:]
        var now = 0
        for _ in 0..<2_000 {
            let key = peer(.random(in: 0..<20, using: &generator))
            switch Int.random(in: 0..<10, using: &generator) {
            case 0...5:
                let deadline = at(.milliseconds(now + Int.random(in: -5...50, using: &generator)))
                queue.set(key, to: deadline)
                table[key] = deadline
            case 6:
                queue.set(key, to: nil)
                table[key] = nil
                if table.count < 3 { queue.shrink() }
            default:
                now += Int.random(in: 0...10, using: &generator)
                let moment = at(.milliseconds(now))
                // Early rather than late.
                if let next = table.values.min() { #expect(queue.nextDeadline.map { $0 <= next } == true) }
                var due: Set<Due> = []
                while let key = queue.popDue(now: moment) { #expect(due.insert(key).inserted) }
                #expect(due == Set(table.filter { $0.value <= moment }.keys))
                table = table.filter { $0.value > moment }
            }
            #expect(queue.count == table.count)
        }
    }

    @Test("One moment asked for again and again costs nothing")
    func samePlace() {
        var queue = DeadlineQueue()
        queue.set(peer(0), to: at(seconds: 1))
        let clock = ContinuousClock()
        // Quadratic work would take minutes here.
        let span = clock.measure {
            for _ in 0..<200_000 {
                queue.set(peer(1), to: at(seconds: 5))
                queue.set(peer(1), to: nil)
            }
        }
        #expect(span < .seconds(20))
        queue.set(peer(1), to: at(seconds: 5))
        #expect(queue.popDue(now: at(seconds: 9)) == peer(0))
        #expect(queue.popDue(now: at(seconds: 9)) == peer(1))
        #expect(queue.popDue(now: at(seconds: 9)) == nil)
    }
}

@Suite("Stall guard")
struct StallGuardTests {
    @Test("A call that comes late by more than the tolerance starts a grace period")
    func late() {
        var stall = StallGuard(tolerance: .seconds(1), grace: .seconds(10))
        stall.expect(at(seconds: 5))
        #expect(stall.observe(now: at(seconds: 4)) == nil)
        #expect(stall.observe(now: at(seconds: 6)) == nil)
        #expect(!stall.inGrace(now: at(seconds: 6)))
        #expect(stall.observe(now: at(.milliseconds(6_001))) == .milliseconds(1_001))
        #expect(stall.inGrace(now: at(seconds: 7)))
        #expect(stall.observe(now: at(seconds: 8)) == nil, "told once")
        #expect(stall.inGrace(now: at(seconds: 16)))
        #expect(!stall.inGrace(now: at(.milliseconds(16_001))))
    }

    @Test("Who expects nothing is never late")
    func nothingExpected() {
        var stall = StallGuard(tolerance: .seconds(1), grace: .seconds(10))
        #expect(stall.observe(now: at(seconds: 500)) == nil)
        stall.expect(at(seconds: 501))
        stall.expect(nil)
        #expect(stall.observe(now: at(seconds: 900)) == nil)
        #expect(!stall.inGrace(now: at(seconds: 900)))
    }

    @Test("Lateness above a quarter of the tolerance makes it more patient, up to three times; punctuality less again")
    func patience() {
        var stall = StallGuard(tolerance: .seconds(1), grace: .seconds(10))
        var now = at(seconds: 0)
        func late(_ span: Duration) {
            stall.expect(now + .seconds(2))
            now += .seconds(2) + span
            _ = stall.observe(now: now)
        }
        late(.milliseconds(250))
        #expect(stall.patience == 0, "that is ordinary scheduling")
        for expected in [1, 2, 3, 3] {
            late(.milliseconds(251))
            #expect(stall.patience == expected)
        }
        #expect(!stall.inGrace(now: now))
        for expected in [2, 1, 0, 0] {
            late(.milliseconds(1))
            #expect(stall.patience == expected)
        }
    }

    @Test("Patience goes down once for each tolerance of punctuality, not with each event")
    func slowForgiveness() {
        var stall = StallGuard(tolerance: .seconds(1), grace: .seconds(10))
        for second in [2, 4] {
            stall.expect(at(seconds: second))
            _ = stall.observe(now: at(.milliseconds(second * 1_000 + 300)))
        }
        #expect(stall.patience == 2)
        for step in 1...9 {
            stall.expect(at(.milliseconds(4_300 + 100 * step)))
            _ = stall.observe(now: at(.milliseconds(4_300 + 100 * step)))
        }
        #expect(stall.patience == 2)
    }
}

@Suite("Timers of registrars for one another (RFC 5353 §4.2)")
struct ENRPTimersTests {
    @Test("The RFC's defaults [ENRP-096, ENRP-158]")
    func defaults() {
        let timers = ENRPTimers.rfc
        #expect(timers.peerHeartbeatCycle == .seconds(30))
        #expect(timers.maxTimeLastHeard == .seconds(61))
        #expect(timers.maxTimeNoResponse == .seconds(5))
        #expect(timers.arbitrationLimit == .seconds(10))
        #expect(timers.takeoverGuard == timers.maxTimeLastHeard)
        #expect(timers.resynchronizationInterval == .seconds(15))
    }

    @Test("Heartbeats are up to an eighth early, evenly spread, never late [ENRP-097]")
    func heartbeats() {
        var generator = SeededGenerator(seed: 1)
        var quarters = [Int](repeating: 0, count: 4)
        for _ in 0..<4_000 {
            let pause = ENRPTimers.rfc.nextHeartbeat(after: at(seconds: 0), using: &generator) - at(seconds: 0)
            #expect((.milliseconds(26_250) ... .seconds(30)).contains(pause))
            quarters[min(3, Int((pause - .milliseconds(26_250)) / .milliseconds(3_750) * 4))] += 1
        }
        for count in quarters { #expect(abs(count - 1_000) <= tolerance(4_000, 0.25)) }
    }

    @Test("The preset for local networks keeps the order of things")
    func lan() {
        let timers = ENRPTimers.lan
        #expect(timers.maxTimeLastHeard > timers.peerHeartbeatCycle * 2)
        #expect(timers.maxTimeLastHeard + timers.maxTimeNoResponse < .seconds(1))
        #expect(timers.reconnectPause < timers.reconnectMax)
    }
}
