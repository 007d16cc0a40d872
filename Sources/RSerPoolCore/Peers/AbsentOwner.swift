// SPDX-License-Identifier: Apache-2.0

/// A registrar that is home of pool elements, but is no peer: a mentor's table named it and we have never met it, or it left
/// before it said where it can be reached. Nobody here would notice its death, and its elements would stay for ever.
///
/// Decided here, as the RFC says nothing of it: when it has been absent for as long as a peer may be silent, all peers are
/// asked for their lists. One that lists it watches it, and we wait on. If none does, it is dead, and taken over.
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
        case asked(until: ContinuousClock.Instant)
    }

    private let timers: ENRPTimers
    private var state: State

    package init(timers: ENRPTimers, now: ContinuousClock.Instant) {
        self.timers = timers
        self.state = .waiting(until: now + timers.maxTimeLastHeard)
    }

    package var nextDeadline: ContinuousClock.Instant {
        switch self.state {
        case .waiting(let until), .asked(let until): until
        }
    }

    /// A peer knows it, or it has spoken without saying where it can be reached.
    package mutating func listed(now: ContinuousClock.Instant) {
        self.state = .waiting(until: now + self.timers.maxTimeLastHeard)
    }

    /// - Parameter isSpared: this registrar was stopped a moment ago, or does not serve yet.
    package mutating func timersFired(now: ContinuousClock.Instant, isSpared: Bool) -> Action? {
        guard self.nextDeadline <= now else { return nil }
        switch self.state {
        case .waiting where isSpared:
            self.listed(now: now)
            return nil
        case .waiting:
            self.state = .asked(until: now + self.timers.maxTimeNoResponse)
            return .askPeers
        case .asked:
            self.listed(now: now)
            return isSpared ? nil : .takeOver
        }
    }
}
