// SPDX-License-Identifier: Apache-2.0

/// Whether a home registrar of which nothing is wanted but updates is still there.
///
/// A registrar that hangs sends none, and over the kernel's SCTP its association stands all the same. So after
/// `homeCheckInterval` without a word it is asked something; no answer within T1 is as good as a lost association.
package struct HomeCheck: Sendable {
    package enum Action: Equatable, Sendable {
        case ask
        /// It has not answered: look for another one.
        case giveUp
    }

    private enum State: Sendable {
        /// There is no home. Leaves for `.quiet` with one.
        case off
        /// Leaves for `.asked` when nothing is heard until then.
        case quiet(until: ContinuousClock.Instant)
        /// Leaves for `.quiet` with any word, or at the deadline.
        case asked(deadline: ContinuousClock.Instant)
    }

    private let timers: ASAPTimers
    private var state = State.off

    package init(timers: ASAPTimers) {
        self.timers = timers
    }

    package var isAsking: Bool { if case .asked = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .off: nil
        case .quiet(let until): until
        case .asked(let deadline): deadline
        }
    }

    /// There is a home, or it has said something.
    package mutating func heard(now: ContinuousClock.Instant) {
        self.state = .quiet(until: now + self.timers.homeCheckInterval)
    }

    package mutating func homeLost() {
        self.state = .off
    }

    package mutating func timersFired(now: ContinuousClock.Instant) -> Action? {
        switch self.state {
        case .quiet(let until) where until <= now:
            self.state = .asked(deadline: now + self.timers.t1ENRPRequest)
            return .ask
        case .asked(let deadline) where deadline <= now:
            self.heard(now: now)
            return .giveUp
        default: return nil
        }
    }
}
