// SPDX-License-Identifier: Apache-2.0

/// Whether one peer lives (RFC 5353 §3.4.3): silence, a probe, and then its death.
///
/// Decided here, where the RFC leaves it open:
/// - An association that ends is no death, but a reason to ask at once over a new one (AMB-41). If that is refused, nobody is
///   there to be sent anything.
/// - A peer that somebody else takes over is not watched until it speaks (AMB-19) or the time for that is over (AMB-29).
package struct PeerLiveness: Sendable {
    package enum Action: Equatable, Sendable {
        /// Send a PRESENCE with R = 1, over a new association if there is none.
        case probe
        /// It is dead: take it over.
        case declareDead
    }

    private enum State: Sendable {
        /// Leaves for `.probed` after MAX-TIME-LAST-HEARD, or when its association ends.
        case heard(ContinuousClock.Instant)
        /// Leaves for `.heard` with any word of it, for `.dead` at the deadline.
        case probed(deadline: ContinuousClock.Instant, asked: Int)
        /// Somebody else takes it over. Leaves for `.heard` with any word of it, for `.probed` when that took too long.
        case notActive(until: ContinuousClock.Instant)
        /// We take it over. Leaves for `.heard` with any word of it.
        case dead
    }

    private let timers: ENRPTimers
    private var state: State
    /// The last word of it.
    package private(set) var lastHeard: ContinuousClock.Instant

    package init(timers: ENRPTimers, now: ContinuousClock.Instant) {
        self.timers = timers
        self.state = .heard(now)
        self.lastHeard = now
    }

    /// Whether it takes part: it is neither dead nor being taken over.
    package var isActive: Bool {
        switch self.state {
        case .heard, .probed: true
        case .notActive, .dead: false
        }
    }

    package var isDead: Bool { if case .dead = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .heard(let instant): instant + self.timers.maxTimeLastHeard
        case .probed(let deadline, _): deadline
        case .notActive(let until): until
        case .dead: nil
        }
    }

    /// A message of any type came from it (§3.4.3).
    /// - Returns: whether it was not active, so that its takeover has to be stopped (§3.5.1).
    package mutating func heard(now: ContinuousClock.Instant) -> Bool {
        let wasActive = self.isActive
        self.state = .heard(now)
        self.lastHeard = now
        return !wasActive
    }

    /// Its association is over.
    package mutating func linkEnded(now: ContinuousClock.Instant, patience: Int) -> Action? {
        switch self.state {
        case .heard:
            self.state = .probed(deadline: now + self.timers.maxTimeNoResponse * (1 + patience), asked: 1)
            return .probe
        case .probed: return .probe
        case .notActive, .dead: return nil
        }
    }

    /// Nobody is at its endpoint: the association that a probe needed was refused.
    package mutating func refused(now: ContinuousClock.Instant, inGrace: Bool) -> Action? {
        guard case .probed = self.state, !inGrace else { return nil }
        self.state = .dead
        return .declareDead
    }

    /// Somebody else takes it over, and we have agreed (§3.5.1).
    package mutating func markNotActive(now: ContinuousClock.Instant) {
        // However often that is said: the time for a takeover does not begin anew.
        if case .notActive = self.state { return }
        self.state = .notActive(until: now + self.timers.takeoverGuard)
    }

    /// - Parameters:
    ///   - inGrace: this registrar was stopped a moment ago: silence proves nothing.
    ///   - patience: how often a silent peer is asked once more before it is given up, while this registrar itself is late.
    package mutating func timersFired(now: ContinuousClock.Instant, inGrace: Bool, patience: Int) -> Action? {
        switch self.state {
        case .heard(let instant) where instant + self.timers.maxTimeLastHeard <= now:
            self.state = .probed(deadline: now + self.timers.maxTimeNoResponse, asked: 1)
            return .probe
        case .probed(let deadline, let asked) where deadline <= now:
            if inGrace || asked <= patience {
                self.state = .probed(deadline: now + self.timers.maxTimeNoResponse, asked: inGrace ? 1 : asked + 1)
                return .probe
            }
            self.state = .dead
            return .declareDead
        case .notActive(let until) where until <= now:
            self.state = .probed(deadline: now + self.timers.maxTimeNoResponse, asked: 1)
            return .probe
        default: return nil
        }
    }
}
