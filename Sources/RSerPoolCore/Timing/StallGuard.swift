// SPDX-License-Identifier: Apache-2.0

/// Notices that this process itself was stopped (a frozen machine, SIGSTOP, a debugger, a starved CPU), so that nobody is
/// removed for a silence that was ours.
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
        guard let expected = self.expected, now - expected > self.tolerance else { return nil }
        self.expected = nil
        self.graceEnds = now + self.grace
        return now - expected
    }

    package func inGrace(now: ContinuousClock.Instant) -> Bool {
        guard let graceEnds = self.graceEnds else { return false }
        return now < graceEnds
    }
}
