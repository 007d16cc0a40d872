// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import Testing

@Suite("The registrar's watch over an element (RFC 5352 §3.4, §3.5)")
struct ElementWatchTests {
    private typealias Watch = ElementWatch<String>

    private var generator = SeededGenerator(seed: 1)

    private static func settings(interval: Duration? = .seconds(10)) -> Watch.Settings {
        var settings = Watch.Settings()
        settings.keepAliveInterval = interval
        return settings
    }

    private mutating func registered(_ settings: Watch.Settings = settings(), life: Duration? = nil) -> Watch {
        var watch = Watch(settings: settings)
        watch.registered(life: life, now: at(seconds: 0), using: &self.generator)
        return watch
    }

    @Test("Keep-alives come at 0.5 to 1.5 times the interval, spread over all of it [ASAP-158, ASAP-160]")
    mutating func spread() {
        var eighths = [Int](repeating: 0, count: 8)
        for _ in 0..<800 {
            let deadline = self.registered().nextDeadline
            #expect(deadline.map { $0 >= at(seconds: 5) && $0 <= at(seconds: 15) } == true)
            if let deadline { eighths[min(7, Int((deadline - at(seconds: 5)) / .seconds(10) * 8))] += 1 }
        }
        for count in eighths { #expect(abs(count - 100) <= tolerance(800, 0.125)) }
    }

    @Test("Who acknowledges is asked again later; who does not in time is removed [ASAP-161, ASAP-162]")
    mutating func acknowledgement() throws {
        var watch = self.registered()
        var now = try #require(watch.nextDeadline)
        for _ in 0..<5 {
            #expect(watch.timersFired(now: now, inGrace: false) == .sendKeepAlive)
            #expect(watch.nextDeadline == now + .seconds(5))
            now += .seconds(4)
            watch.acknowledged(now: now, using: &self.generator)
            #expect(!watch.isBeingChecked)
            let next = try #require(watch.nextDeadline)
            #expect(next >= now + .seconds(5))
            now = next
        }
        #expect(watch.timersFired(now: now, inGrace: false) == .sendKeepAlive)
        #expect(watch.timersFired(now: now + .seconds(4), inGrace: false) == nil)
        #expect(watch.timersFired(now: now + .seconds(5), inGrace: false) == .remove(.noAcknowledgement))
    }

    @Test("A life ends when it was not renewed; each registration begins a full one [ASAP-085]")
    mutating func life() {
        var watch = self.registered(Self.settings(interval: nil), life: .seconds(3))
        for second in [2, 4, 6] {
            #expect(watch.timersFired(now: at(seconds: second), inGrace: false) == nil)
            watch.registered(life: .seconds(3), now: at(seconds: second), using: &self.generator)
        }
        #expect(watch.nextDeadline == at(seconds: 9))
        #expect(watch.timersFired(now: at(seconds: 9), inGrace: false) == .remove(.lifeEnded))
    }

    @Test("An infinite life never ends [ASAP-084]")
    mutating func infiniteLife() {
        var watch = self.registered(Self.settings(interval: nil))
        #expect(watch.nextDeadline == nil)
        #expect(watch.timersFired(now: at(seconds: 1_000_000_000), inGrace: false) == nil)
    }

    @Test("A report starts a check at once; further ones join it while it runs [ASAP-171, ASAP-179]")
    mutating func oneCheckAtATime() {
        var watch = self.registered()
        #expect(watch.reported(by: "a", now: at(seconds: 1)) == .sendKeepAlive)
        for _ in 0..<50 { #expect(watch.reported(by: "a", now: at(.milliseconds(1_005))) == nil) }
        #expect(watch.reported(by: "b", now: at(.milliseconds(1_005))) == nil)
        #expect(watch.reportCount == 2)
        watch.acknowledged(now: at(.milliseconds(1_010)), using: &self.generator)
        #expect(!watch.isBeingChecked)
    }

    @Test("At most one check a second is started for reports; the next one is not forgotten [ASAP-301]")
    mutating func rateLimit() {
        var watch = self.registered()
        #expect(watch.reported(by: "a", now: at(seconds: 1)) == .sendKeepAlive)
        watch.acknowledged(now: at(.milliseconds(1_010)), using: &self.generator)
        #expect(watch.reported(by: "a", now: at(.milliseconds(1_020))) == nil)
        #expect(watch.nextDeadline == at(seconds: 2))
        #expect(watch.timersFired(now: at(seconds: 2), inGrace: false) == .sendKeepAlive)
    }

    @Test("More reporters than MAX-BAD-PE-REPORT remove it, alive or not; one reporter counts once [ASAP-175]")
    mutating func reporters() {
        var watch = self.registered()
        for reporter in ["a", "b", "c"] {
            #expect(watch.reported(by: reporter, now: at(seconds: 1)) != .remove(.reportedUnreachable))
        }
        watch.acknowledged(now: at(seconds: 2), using: &self.generator)
        #expect(watch.reportCount == 3)
        #expect(watch.reported(by: "c", now: at(seconds: 3)) == .sendKeepAlive)
        #expect(watch.reported(by: "d", now: at(seconds: 3)) == .remove(.reportedUnreachable))
    }

    @Test("A registration clears the record, an acknowledgement does not [ASAP-085]")
    mutating func cleanRecord() {
        var watch = self.registered()
        for reporter in ["a", "b", "c"] { _ = watch.reported(by: reporter, now: at(seconds: 1)) }
        watch.registered(life: nil, now: at(seconds: 2), using: &self.generator)
        #expect(watch.reportCount == 0)
        #expect(watch.reported(by: "d", now: at(seconds: 3)) == .sendKeepAlive)
    }

    @Test(
        "An association that ends in order is asked after, a lost one removes at once [ASAP-086]",
        arguments: [true, false])
    mutating func associationEnds(wasOrderly: Bool) {
        var watch = self.registered()
        let action = watch.linkEnded(wasOrderly: wasOrderly, now: at(seconds: 1), inGrace: false)
        #expect(action == (wasOrderly ? .sendKeepAlive : .remove(.associationLost)))
        #expect(watch.isBeingChecked == wasOrderly)
    }

    @Test("A keep-alive that cannot be delivered removes [ASAP-159, ASAP-173]")
    mutating func undeliverable() {
        var watch = self.registered()
        _ = watch.reported(by: "a", now: at(seconds: 1))
        #expect(watch.keepAliveUndeliverable() == .remove(.unreachable))
    }

    @Test("In grace after a stop of our own nobody is removed: everybody is asked first")
    mutating func grace() {
        var watch = self.registered(life: .seconds(20))
        #expect(watch.timersFired(now: at(seconds: 100), inGrace: true) == .sendKeepAlive)
        #expect(watch.timersFired(now: at(seconds: 106), inGrace: true) == .sendKeepAlive, "asked again")
        #expect(watch.linkEnded(wasOrderly: false, now: at(seconds: 107), inGrace: true) == .sendKeepAlive)
        #expect(watch.timersFired(now: at(seconds: 112), inGrace: false) != nil)
    }

    @Test("A challenge asks, and joins a check that runs")
    mutating func challenge() {
        var watch = self.registered()
        #expect(watch.challenged(now: at(seconds: 1)) == .sendKeepAlive)
        #expect(watch.challenged(now: at(seconds: 1)) == nil)
        #expect(watch.timersFired(now: at(seconds: 6), inGrace: false) == .remove(.noAcknowledgement))
    }

    @Test("Inherited: a fresh life and record, and no keep-alive before it is asked; asked at any time [ENRP-120]")
    mutating func inheritance() {
        var watch = self.registered(life: .seconds(30))
        _ = watch.reported(by: "a", now: at(seconds: 1))
        watch.inherited(life: .seconds(60), now: at(seconds: 10))
        #expect(watch.reportCount == 0)
        #expect(!watch.isBeingChecked)
        #expect(watch.nextDeadline == at(seconds: 70))
        #expect(watch.timersFired(now: at(seconds: 40), inGrace: false) == nil)
        #expect(watch.asked(now: at(seconds: 40)) == .sendKeepAlive)
        #expect(watch.isBeingChecked)
        #expect(watch.asked(now: at(seconds: 42)) == .sendKeepAlive, "whatever was asked before")
        #expect(watch.nextDeadline == at(seconds: 47))
        #expect(watch.timersFired(now: at(seconds: 47), inGrace: false) == .remove(.noAcknowledgement))
        watch.inherited(life: nil, now: at(seconds: 50))
        #expect(watch.nextDeadline == nil)
    }

    @Test("A patient registrar asks a silent element again before it removes it")
    mutating func patience() {
        var watch = self.registered()
        _ = watch.asked(now: at(seconds: 0))
        #expect(watch.timersFired(now: at(seconds: 5), inGrace: false, patience: 1) == .sendKeepAlive)
        #expect(watch.timersFired(now: at(seconds: 10), inGrace: false, patience: 1) == .remove(.noAcknowledgement))
    }
}
