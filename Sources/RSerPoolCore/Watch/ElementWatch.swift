// SPDX-License-Identifier: Apache-2.0

/// A registrar's watch over one element that it is home of: its life, its keep-alives, the reports against it
/// (RFC 5352 §3.4, §3.5).
///
/// Deviations from the letter of §3.5, for the sake of elements that live:
/// - Each reporter counts once until the element re-registers; the RFC counts reports. One misled user cannot remove it.
/// - At most one check runs at a time, and at most one is started per `minimumCheckInterval`; reports in between join it.
/// - An element that acknowledges no keep-alive in time is removed although its association stands.
package struct ElementWatch<Reporter: Hashable & Sendable>: Sendable {
    package struct Settings: Hashable, Sendable {
        /// Mean time between two keep-alives, each one drawn from 0.5 to 1.5 times this (ASAP-160). Nil: only checks with a cause.
        package var keepAliveInterval: Duration? = .seconds(10)
        /// How long an element may take to acknowledge.
        package var keepAliveTimeout: Duration = .seconds(5)
        /// Least time between two checks with a cause.
        package var minimumCheckInterval: Duration = .seconds(1)
        /// MAX-BAD-PE-REPORT: one reporter more than this and the element is removed (ASAP-175).
        package var maxBadReports = 3

        package init() {}
    }

    package enum Action: Equatable, Sendable {
        /// Ask it whether it lives, on the link that it registered over; if there is none any more, on a new one.
        case sendKeepAlive
        case remove(Removal)
    }

    /// Why an element is removed without having asked for it.
    package enum Removal: String, Sendable {
        case lifeEnded, noAcknowledgement, associationLost, unreachable, reportedUnreachable
    }

    private enum Check: Sendable {
        /// Leaves for `.running` with the next keep-alive.
        case none
        /// A keep-alive is out. Leaves for `.none` with the acknowledgement.
        case running(deadline: ContinuousClock.Instant, asked: Int)
    }

    private let settings: Settings
    private var check = Check.none
    private var lifeEnds: ContinuousClock.Instant?
    private var nextKeepAlive: ContinuousClock.Instant?
    private var lastCheck: ContinuousClock.Instant?
    private var reporters: Set<Reporter> = []

    package init(settings: Settings) {
        self.settings = settings
    }

    /// When ``timersFired(now:inGrace:patience:)`` has something to do.
    package var nextDeadline: ContinuousClock.Instant? {
        var deadlines: [ContinuousClock.Instant] = []
        if let lifeEnds { deadlines.append(lifeEnds) }
        if case .running(let deadline, _) = self.check { deadlines.append(deadline) }
        if let nextKeepAlive { deadlines.append(nextKeepAlive) }
        return deadlines.min()
    }

    package var isBeingChecked: Bool { if case .running = self.check { true } else { false } }

    /// How many different reporters said that it cannot be reached.
    package var reportCount: Int { self.reporters.count }

    /// It registered or re-registered: a full life, a clean record (ASAP-085). That it spoke is as good as an answer.
    package mutating func registered(
        life: Duration?, now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) {
        self.lifeEnds = life.map { now + $0 }
        self.reporters = []
        self.acknowledged(now: now, using: &generator)
    }

    /// It was inherited from a registrar that died: a fresh life, and it is asked before anything else (RFC 5353 §3.5.2).
    package mutating func inherited(life: Duration?, now: ContinuousClock.Instant) {
        self.lifeEnds = life.map { now + $0 }
        self.reporters = []
        self.check = .none
        self.nextKeepAlive = nil
    }

    /// It answered a keep-alive (ASAP-162).
    package mutating func acknowledged(
        now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) {
        self.check = .none
        self.nextKeepAlive = self.settings.keepAliveInterval.map { interval in
            now + interval * Double.random(in: 0.5...1.5, using: &generator)
        }
    }

    /// Somebody could not reach it (ASAP-171 to ASAP-175, ASAP-179).
    package mutating func reported(by reporter: Reporter, now: ContinuousClock.Instant) -> Action? {
        self.reporters.insert(reporter)
        if self.reporters.count > self.settings.maxBadReports { return .remove(.reportedUnreachable) }
        return self.startCheck(now: now)
    }

    /// Somebody else has a reason to know whether it lives, a newcomer with its identifier for example.
    package mutating func challenged(now: ContinuousClock.Instant) -> Action? {
        self.startCheck(now: now)
    }

    /// It has to be asked now, whatever was asked before.
    package mutating func asked(now: ContinuousClock.Instant) -> Action {
        self.beginCheck(now: now)
        return .sendKeepAlive
    }

    /// The association that it registered over is over.
    ///
    /// - Parameter wasOrderly: by SHUTDOWN, as a killed process's kernel sends it too: it is asked over a new association.
    ///   Otherwise it is gone, unless our own sleep may have been the reason.
    package mutating func linkEnded(wasOrderly: Bool, now: ContinuousClock.Instant, inGrace: Bool) -> Action {
        guard wasOrderly || inGrace else { return .remove(.associationLost) }
        self.beginCheck(now: now)
        return .sendKeepAlive
    }

    /// A keep-alive could not be delivered: the association that it needed did not come up (ASAP-159, ASAP-173).
    package mutating func keepAliveUndeliverable() -> Action {
        .remove(.unreachable)
    }

    /// - Parameters:
    ///   - inGrace: this registrar was stopped a moment ago: nobody is removed for a silence that was ours.
    ///   - patience: how often an element that does not answer is asked once more, while this registrar itself is late.
    package mutating func timersFired(
        now: ContinuousClock.Instant, inGrace: Bool, patience: Int = 0
    ) -> Action? {
        if let lifeEnds, lifeEnds <= now {
            guard inGrace else { return .remove(.lifeEnded) }
            self.lifeEnds = now + self.settings.keepAliveTimeout
        }
        if case .running(let deadline, let asked) = self.check, deadline <= now {
            guard inGrace || asked <= patience else { return .remove(.noAcknowledgement) }
            self.beginCheck(now: now, asked: inGrace ? 1 : asked + 1)
            return .sendKeepAlive
        }
        if let nextKeepAlive, nextKeepAlive <= now {
            self.nextKeepAlive = nil
            if self.isBeingChecked { return nil }
            self.beginCheck(now: now)
            return .sendKeepAlive
        }
        return nil
    }

    private mutating func startCheck(now: ContinuousClock.Instant) -> Action? {
        if self.isBeingChecked { return nil }
        if let lastCheck, now - lastCheck < self.settings.minimumCheckInterval {
            let due = lastCheck + self.settings.minimumCheckInterval
            self.nextKeepAlive = min(self.nextKeepAlive ?? due, due)
            return nil
        }
        self.beginCheck(now: now)
        return .sendKeepAlive
    }

    private mutating func beginCheck(now: ContinuousClock.Instant, asked: Int = 1) {
        self.lastCheck = now
        self.nextKeepAlive = nil
        self.check = .running(deadline: now + self.settings.keepAliveTimeout, asked: asked)
    }
}
