// SPDX-License-Identifier: Apache-2.0

/// Bringing our copy of one peer's elements in line with the peer (RFC 5353 §3.6.3).
///
/// At most one runs with a peer at a time, and between the end of one and the begin of the next there is
/// `resynchronizationInterval` (AMB-32), however often the peer says that the checksums differ; up to ``maxBackOff`` times as
/// long while tables do not make the checksums equal, as where a peer has an element that we refuse. The marks are kept by
/// the ``Handlespace``.
///
/// Decided here, where the RFC leaves it open: nothing in a HANDLE_TABLE_RESPONSE says which request it answers, and a peer
/// goes on where it was until it forgets a download (AMB-9). The tail of an old download must not be taken for a whole table,
/// as all that it does not list is removed. So the next audit waits until the last request is answered, or the peer has shown
/// that it answers nothing, and until the peer has forgotten what it had begun.
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

    package static var maxBackOff: Int { 16 }

    private let timers: ENRPTimers
    private var state = State.idle(notBefore: nil)
    /// The last request on this association has no answer yet.
    private var isAnswerDue = false
    /// When the peer was first heard of again after we had given up to wait for an answer.
    private var heardInVain: ContinuousClock.Instant?
    /// Whole tables since the checksums were last the same.
    private var fruitless = 0

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
        if self.isAnswerDue {
            // It may have stood still, and is about to answer. Who says nothing for so long after a sign of life never will.
            let since = self.heardInVain ?? now
            self.heardInVain = since
            guard now >= since + self.timers.tableTimeout else { return [] }
        }
        self.heardInVain = nil
        self.isAnswerDue = true
        self.state = .running(deadline: now + self.timers.tableTimeout)
        return [.mark, .request]
    }

    /// The checksums are the same.
    package mutating func checksumsAgree(now: ContinuousClock.Instant) {
        self.forgetFruitless(now: now)
    }

    private mutating func forgetFruitless(now: ContinuousClock.Instant) {
        guard self.fruitless > 1, case .idle(let notBefore?) = self.state else {
            self.fruitless = 0
            return
        }
        self.fruitless = 0
        self.state = .idle(notBefore: min(notBefore, now + self.timers.resynchronizationInterval))
    }

    /// What ``Action/request`` stands for could not be sent.
    package mutating func requestNotSent(now: ContinuousClock.Instant) {
        self.isAnswerDue = false
        if self.isRunning { self.end(now: now) }
    }

    /// A part of its table came.
    /// - Returns: whether it belongs to the audit that runs, and is to be taken over; then ``receivedTable`` follows.
    package mutating func answerArrived(moreFollows: Bool, now: ContinuousClock.Instant) -> Bool {
        self.isAnswerDue = false
        if self.isRunning { return true }
        if moreFollows { self.awaitForgetting(now: now) }
        return false
    }

    /// A part of the table was taken over.
    package mutating func receivedTable(
        isRejected: Bool, isEmpty: Bool, moreFollows: Bool, now: ContinuousClock.Instant
    ) -> [Action] {
        guard self.isRunning else { return [] }
        // One that gives nothing and promises more would go on for ever.
        if isRejected || isEmpty && moreFollows {
            self.end(now: now)
            self.awaitForgetting(now: now)
            return []
        }
        guard moreFollows else {
            self.fruitless += 1
            self.end(now: now)
            return [.purge]
        }
        self.isAnswerDue = true
        self.state = .running(deadline: now + self.timers.tableTimeout)
        return [.request]
    }

    /// Its association is over: nothing is removed, and no answer will come.
    package mutating func abandon(now: ContinuousClock.Instant) {
        self.isAnswerDue = false
        self.heardInVain = nil
        if self.isRunning { self.end(now: now) }
        self.forgetFruitless(now: now)
    }

    /// No answer came in time: nothing is removed.
    package mutating func timersFired(now: ContinuousClock.Instant) {
        if let deadline = self.nextDeadline, deadline <= now { self.end(now: now) }
    }

    private mutating func end(now: ContinuousClock.Instant) {
        let backOff = min(1 << min(max(self.fruitless - 1, 0), 16), Self.maxBackOff)
        self.state = .idle(notBefore: now + self.timers.resynchronizationInterval * backOff)
    }

    /// The peer may have begun a download for us that we do not want to go on with.
    private mutating func awaitForgetting(now: ContinuousClock.Instant) {
        guard case .idle(let notBefore) = self.state else { return }
        let forgotten = now + self.timers.tableTimeout * 2
        self.state = .idle(notBefore: max(notBefore ?? forgotten, forgotten))
    }
}
