// SPDX-License-Identifier: Apache-2.0

/// The hunt for a home registrar (RFC 5352 §3.6, SH1 to SH6).
///
/// The order of the list is a preference: one registrar is tried, the next one joins after `huntStagger` or as soon as an
/// attempt failed, at most three at a time (ASAP-191, ASAP-192). Whoever answers first is home. A round lasts T5, which
/// doubles up to RETRAN-MAX; the next round begins where this one stopped in the list (ASAP-197 to ASAP-199). When all of
/// the list refused before that, it pauses `huntRetryPause`, doubling up to T5, and begins again.
package struct ServerHunt: Sendable {
    package static let maxAttempts = 3

    package enum Action: Equatable, Sendable {
        case connect(RegistrarAddress)
        /// Give up an attempt that is under way, or a surplus one that came up.
        case abandon(RegistrarAddress)
        /// This one is home now; the hunt is over.
        case adopt(RegistrarAddress)
    }

    private enum State: Sendable {
        /// Leaves for `.hunting` when asked to.
        case idle
        /// Attempts are under way, or all failed and it pauses. Leaves for `.idle` with the first one that comes up.
        case hunting(roundEnds: ContinuousClock.Instant, nextAttempt: ContinuousClock.Instant?)
    }

    private let timers: ASAPTimers
    private var state = State.idle
    private var attempts: [RegistrarAddress] = []
    /// Tried in this pass through the list.
    private var tried: Set<RegistrarAddress> = []
    /// Not the first to be tried. Not the last either: what follows on the list may be forged (ASAP-203).
    private var avoided: RegistrarAddress?
    private var t5: Duration
    private var pause: Duration
    /// How often all of the list has been tried without success since the hunt began.
    package private(set) var fruitlessPasses = 0

    package init(timers: ASAPTimers) {
        self.timers = timers
        self.t5 = timers.t5Serverhunt
        self.pause = timers.huntRetryPause
    }

    package var isHunting: Bool { if case .hunting = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        guard case .hunting(let roundEnds, let nextAttempt) = self.state else { return nil }
        return nextAttempt.map { min($0, roundEnds) } ?? roundEnds
    }

    /// Begins a hunt; one that runs goes on.
    /// - Parameters:
    ///   - avoided: the one that just failed us: another one is tried before it, if there is one.
    ///   - isContinued: the last hunt found somebody who was gone again at once, a registrar that refuses whoever it has
    ///     let in for example: then that one counts as tried, and the hunt goes on where it was, its pauses too.
    package mutating func start(
        _ list: [RegistrarAddress], avoiding avoided: RegistrarAddress? = nil, isContinued: Bool = false,
        now: ContinuousClock.Instant
    ) -> [Action] {
        guard !self.isHunting else { return [] }
        if !isContinued {
            self.t5 = self.timers.t5Serverhunt
            self.pause = self.timers.huntRetryPause
            self.fruitlessPasses = 0
            self.tried = []
        }
        self.avoided = list.count > 1 ? avoided : nil
        self.state = .hunting(roundEnds: now + self.t5, nextAttempt: now)
        return self.proceed(list, now: now)
    }

    /// The list has grown.
    package mutating func listChanged(_ list: [RegistrarAddress], now: ContinuousClock.Instant) -> [Action] {
        guard case .hunting(let roundEnds, _) = self.state else { return [] }
        if self.attempts.isEmpty { self.state = .hunting(roundEnds: roundEnds, nextAttempt: now) }
        return self.proceed(list, now: now)
    }

    /// SH3 and SH6: the first one that comes up is home; the others are abandoned.
    package mutating func attemptSucceeded(_ address: RegistrarAddress) -> [Action] {
        guard self.isHunting, self.attempts.contains(address) else { return [.abandon(address)] }
        let surplus = self.attempts.filter { $0 != address }
        self.stop()
        return surplus.map { .abandon($0) } + [.adopt(address)]
    }

    /// SH4: another one is tried at once.
    package mutating func attemptFailed(
        _ address: RegistrarAddress, _ list: [RegistrarAddress], now: ContinuousClock.Instant
    ) -> [Action] {
        guard case .hunting(let roundEnds, _) = self.state, let index = self.attempts.firstIndex(of: address) else {
            return []
        }
        self.attempts.remove(at: index)
        self.state = .hunting(roundEnds: roundEnds, nextAttempt: now)
        return self.proceed(list, now: now)
    }

    package mutating func timersFired(_ list: [RegistrarAddress], now: ContinuousClock.Instant) -> [Action] {
        guard case .hunting(let roundEnds, _) = self.state else { return [] }
        var actions: [Action] = []
        if roundEnds <= now {
            actions = self.attempts.map { .abandon($0) }
            self.attempts = []
            self.t5 = min(self.t5 * 2, max(self.timers.retranMax, self.timers.t5Serverhunt))
            self.state = .hunting(roundEnds: now + self.t5, nextAttempt: now)
        }
        return actions + self.proceed(list, now: now)
    }

    /// Somebody else decided who is home: the hunt is over.
    package mutating func cancel() -> [Action] {
        defer { self.stop() }
        self.tried = []
        return self.attempts.map { .abandon($0) }
    }

    private mutating func stop() {
        self.state = .idle
        self.attempts = []
    }

    /// Starts the next attempt if it is due and there is room for it.
    private mutating func proceed(_ list: [RegistrarAddress], now: ContinuousClock.Instant) -> [Action] {
        guard case .hunting(let roundEnds, let nextAttempt?) = self.state, nextAttempt <= now else { return [] }
        guard self.attempts.count < Self.maxAttempts else {
            self.state = .hunting(roundEnds: roundEnds, nextAttempt: nil)
            return []
        }
        let avoided = self.avoided
        self.avoided = nil
        let untried = list.filter { !self.tried.contains($0) && !self.attempts.contains($0) }
        guard let address = untried.first(where: { $0 != avoided }) ?? untried.first else {
            return self.endPass(roundEnds: roundEnds, now: now)
        }
        self.tried.insert(address)
        self.attempts.append(address)
        self.state = .hunting(roundEnds: roundEnds, nextAttempt: now + self.timers.huntStagger)
        return [.connect(address)]
    }

    /// Everybody was tried: wait for those who may still answer, else pause and begin again.
    private mutating func endPass(roundEnds: ContinuousClock.Instant, now: ContinuousClock.Instant) -> [Action] {
        guard self.attempts.isEmpty else {
            self.state = .hunting(roundEnds: roundEnds, nextAttempt: nil)
            return []
        }
        self.tried = []
        self.fruitlessPasses += 1
        self.state = .hunting(roundEnds: max(roundEnds, now + self.pause), nextAttempt: now + self.pause)
        self.pause = min(self.pause * 2, self.timers.t5Serverhunt)
        return []
    }
}
