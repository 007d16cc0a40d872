// SPDX-License-Identifier: Apache-2.0

/// A registrar that is home of pool elements, but is no peer: a mentor's table named it and we have never met it, or it left
/// before it said where it can be reached. Nobody here would notice its death, and its elements would stay for ever.
///
/// Decided here, as the RFC says nothing of it: when it has been absent for as long as a peer may be silent, all peers are
/// asked for their lists. One that lists it watches it, and we wait on. If none does that answers, or there is none to be asked, it
/// is dead, and taken over.
package struct AbsentOwner: Sendable {
    package enum Action: Equatable, Sendable {
        /// Ask all peers whom they know; ``listed(now:)`` follows for each that names it.
        case askPeers
        /// Nobody knows it: take it over.
        case takeOver
    }

    private enum State: Sendable {
        /// Leaves for `.asked`.
        case waiting(until: ContinuousClock.Instant)
        /// Leaves for `.waiting` when somebody lists it, or at the end.
        case asked(until: ContinuousClock.Instant, hasAnswer: Bool)
    }

    private let timers: ENRPTimers
    private var state: State

    package init(timers: ENRPTimers, now: ContinuousClock.Instant) {
        self.timers = timers
        self.state = .waiting(until: now + timers.maxTimeLastHeard)
    }

    package var nextDeadline: ContinuousClock.Instant {
        switch self.state {
        case .waiting(let until), .asked(let until, _): until
        }
    }

    /// A peer knows it, or it has spoken without saying where it can be reached.
    package mutating func listed(now: ContinuousClock.Instant) {
        self.state = .waiting(until: now + self.timers.maxTimeLastHeard)
    }

    /// A peer has answered; ``listed(now:)`` follows if it names it.
    package mutating func listReceived() {
        if case .asked(let until, _) = self.state { self.state = .asked(until: until, hasAnswer: true) }
    }

    /// - Parameters:
    ///   - isSpared: this registrar was stopped a moment ago, or does not serve yet.
    ///   - hasPeers: there is somebody to be asked.
    package mutating func timersFired(now: ContinuousClock.Instant, isSpared: Bool, hasPeers: Bool) -> Action? {
        guard self.nextDeadline <= now else { return nil }
        switch self.state {
        case .waiting where isSpared:
            self.listed(now: now)
            return nil
        case .waiting:
            self.state = .asked(until: now + self.timers.maxTimeNoResponse, hasAnswer: false)
            return .askPeers
        case .asked(_, let hasAnswer):
            // Peers that do not answer are late, as the absent one may be, or dead, and then they are none soon.
            self.listed(now: now)
            return isSpared || hasPeers && !hasAnswer ? nil : .takeOver
        }
    }
}
