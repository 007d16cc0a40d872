// SPDX-License-Identifier: Apache-2.0

/// Notices that this process itself was stopped (a frozen machine, SIGSTOP, a debugger, a starved CPU), so that nobody is
/// removed for a silence that was ours.
///
/// Lateness that is less than that counts too (the idea of Lifeguard, arXiv:1707.00788): each timer that fires late by more
/// than a quarter of the tolerance raises ``patience``, each stretch of punctuality lowers it; so a registrar that is
/// starved asks more often before it gives somebody up.
///
/// Whoever owns it tells it each moment that it sees, and when it wanted to be called. A call that comes late by more than
/// `tolerance` starts a grace period; during it, silence and lost associations are reasons to ask, not to remove.
package struct StallGuard: Sendable {
    /// Lateness below this is ordinary scheduling.
    package let tolerance: Duration
    /// How long judgement is suspended after a stall was noticed.
    package let grace: Duration
    private var expected: ContinuousClock.Instant?
    private var graceEnds: ContinuousClock.Instant?
    private var lastJudged: ContinuousClock.Instant?

    /// The most that ``patience`` reaches.
    package static let maxPatience = 3
    /// How often somebody silent is asked once more before it is given up.
    package private(set) var patience = 0

    package init(tolerance: Duration, grace: Duration) {
        self.tolerance = tolerance
        self.grace = grace
    }

    /// Says when the next call was asked for.
    package mutating func expect(_ deadline: ContinuousClock.Instant?) {
        self.expected = deadline
    }

    /// Says what time it is, with each event.
    /// - Returns: how long this process was stopped, if it has just found out.
    package mutating func observe(now: ContinuousClock.Instant) -> Duration? {
        guard let expected = self.expected else { return nil }
        if now >= expected { self.judge(now - expected, now: now) }
        guard now - expected > self.tolerance else { return nil }
        self.expected = nil
        self.graceEnds = now + self.grace
        return now - expected
    }

    package func inGrace(now: ContinuousClock.Instant) -> Bool {
        guard let graceEnds = self.graceEnds else { return false }
        return now < graceEnds
    }

    private mutating func judge(_ lateness: Duration, now: ContinuousClock.Instant) {
        if lateness > self.tolerance / 4 {
            self.patience = min(self.patience + 1, Self.maxPatience)
            self.lastJudged = now
        } else if self.patience > 0, self.lastJudged.map({ now - $0 > self.tolerance }) ?? true {
            self.patience -= 1
            self.lastJudged = now
        }
    }
}
