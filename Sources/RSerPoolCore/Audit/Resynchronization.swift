// SPDX-License-Identifier: Apache-2.0

/// Bringing our copy of one peer's elements in line with the peer (RFC 5353 §3.6.3).
///
/// At most one runs with a peer at a time, and between the end of one and the begin of the next there is
/// `resynchronizationInterval` (AMB-32), however often the peer says that the checksums differ. The marks are kept by the
/// ``Handlespace``.
package struct Resynchronization: Sendable {
    package enum Action: Equatable, Sendable {
        /// Mark all elements of the peer.
        case mark
        /// Send HANDLE_TABLE_REQUEST with W = 1.
        case request
        /// The table is complete: remove what is still marked, silently.
        case purge
    }

    private enum State: Sendable {
        /// Leaves for `.running` when the checksums differ, not before `notBefore`.
        case idle(notBefore: ContinuousClock.Instant?)
        /// Leaves for `.idle` with the last part, a rejection, or at the deadline.
        case running(deadline: ContinuousClock.Instant)
    }

    private let timers: ENRPTimers
    private var state = State.idle(notBefore: nil)

    package init(timers: ENRPTimers) {
        self.timers = timers
    }

    package var isRunning: Bool { if case .running = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        if case .running(let deadline) = self.state { deadline } else { nil }
    }

    /// The peer's checksum is not the one that we expect.
    package mutating func checksumsDiffer(now: ContinuousClock.Instant) -> [Action] {
        guard case .idle(let notBefore) = self.state, notBefore.map({ $0 <= now }) ?? true else { return [] }
        self.state = .running(deadline: now + self.timers.tableTimeout)
        return [.mark, .request]
    }

    /// A part of the table was taken over.
    package mutating func receivedTable(
        isRejected: Bool, moreFollows: Bool, now: ContinuousClock.Instant
    ) -> [Action] {
        guard case .running = self.state else { return [] }
        if isRejected {
            self.end(now: now)
            return []
        }
        guard moreFollows else {
            self.end(now: now)
            return [.purge]
        }
        self.state = .running(deadline: now + self.timers.tableTimeout)
        return [.request]
    }

    /// Its association is over, or no answer came: nothing is removed.
    package mutating func abandon(now: ContinuousClock.Instant) {
        if self.isRunning { self.end(now: now) }
    }

    package mutating func timersFired(now: ContinuousClock.Instant) {
        if let deadline = self.nextDeadline, deadline <= now { self.end(now: now) }
    }

    private mutating func end(now: ContinuousClock.Instant) {
        self.state = .idle(notBefore: now + self.timers.resynchronizationInterval)
    }
}
