// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool user's subscription to one pool: the S bit of RFC 5352 §2.2.5, with whatever the registrar can do.
///
/// It asks with S and for increments. Where the registrar sends updates, increments or whole lists, it follows them; where
/// it refuses (A = 0), or where the pool does not exist, it asks again every `pollInterval`. A pool that was not empty
/// becomes empty only on a registrar's word; after an interruption only when that word has stood for ``emptyAfter``: a
/// registrar that has just started knows nobody until the elements have found it.
package struct PoolSubscription: Sendable {
    package enum Action: Equatable, Sendable {
        case send(HandleResolution)
        case hunt
        case tell([PoolChange])
        /// The registrar does not know the pool.
        case unknownPool
    }

    private enum State: Sendable {
        /// Leaves for `.asking` when there is a registrar.
        case homeless
        /// T1 runs. Leaves for `.following` or `.polling` with the answer.
        case asking(t1: ContinuousClock.Instant, parts: [PoolMember])
        /// Updates come by themselves; `sequence` is that of the last increment, nil when whole lists come.
        case following(sequence: UInt32?)
        /// Leaves for `.asking` at `next`.
        case polling(next: ContinuousClock.Instant)
    }

    /// An answer this long from a registrar that sends no updates may have been cut: rsplib stops at 128 elements.
    package static let partialAnswerLength = 128
    /// Most members that a snapshot in parts may have: a bound on what a registrar can make us keep.
    package static let maxMembers = 2_000_000

    package let pool: PoolHandle
    private let timers: ASAPTimers
    private var state = State.homeless
    private var tracker = MembershipTracker()
    private var isInterrupted = false
    /// Since when, after an interruption, a registrar says that a pool which was not empty is unknown.
    private var unknownSince: ContinuousClock.Instant?

    package init(pool: PoolHandle, timers: ASAPTimers) {
        self.pool = pool
        self.timers = timers
    }

    /// What is known now, by identifier; nil before the first answer.
    package var members: [PoolMember]? { self.tracker.hasSnapshot || self.isInterrupted ? self.tracker.members : nil }

    /// How long elements may take to find a registrar that has started anew: the longest pause of their hunt, and a bit.
    private var emptyAfter: Duration { self.timers.t5Serverhunt + self.timers.pollInterval * 2 }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .asking(let t1, _): t1
        case .polling(let next): next
        case .homeless, .following: nil
        }
    }

    package mutating func homeFound(now: ContinuousClock.Instant) -> [Action] {
        self.ask(now: now)
    }

    package mutating func homeLost() -> [Action] {
        self.state = .homeless
        return self.interrupt() + [.hunt]
    }

    /// Whether increments come by themselves. An answer without one is then no update, so the registrar can be asked
    /// something to see whether it is there.
    package var followsIncrements: Bool { if case .following(.some) = self.state { true } else { false } }

    /// The registrar does not answer, though its association stands.
    package mutating func homeIsSilent(now: ContinuousClock.Instant) -> [Action] {
        guard self.followsIncrements else { return [] }
        return self.interrupt() + [.hunt] + self.ask(now: now)
    }

    package mutating func timersFired(now: ContinuousClock.Instant) -> [Action] {
        switch self.state {
        case .asking(let t1, _) where t1 <= now: self.interrupt() + [.hunt] + self.ask(now: now)
        case .polling(let next) where next <= now: self.ask(now: now)
        default: []
        }
    }

    /// An answer or an update has come.
    package mutating func received(_ response: HandleResolutionResponse, now: ContinuousClock.Instant) -> [Action] {
        switch response.outcome {
        case .failed(let causes): self.failed(causes, now: now)
        case .members(_, let members):
            if let increment = response.increment {
                self.received(increment, members, gone: response.gone, now: now)
            } else {
                self.received(wholeList: members, updatesFollow: response.updatesFollow, now: now)
            }
        }
    }

    private mutating func received(
        wholeList members: [PoolMember], updatesFollow: Bool, now: ContinuousClock.Instant
    ) -> [Action] {
        switch self.state {
        case .homeless: return []
        case .asking:
            self.state = updatesFollow ? .following(sequence: nil) : .polling(next: now + self.timers.pollInterval)
        case .following, .polling: break
        }
        let isPartial = !updatesFollow && members.count >= Self.partialAnswerLength || Self.fillsMessage(members)
        return self.tell(self.tracker.replace(with: members, isPartial: isPartial))
    }

    private mutating func received(
        _ increment: IncrementalUpdate, _ members: [PoolMember], gone: [PoolElementID], now: ContinuousClock.Instant
    ) -> [Action] {
        if increment.isSnapshot { return self.received(snapshotPart: members, increment, now: now) }
        guard case .following(let sequence?) = self.state else { return [] }
        // A gap: something was lost between the registrar and us.
        guard increment.sequence == sequence &+ 1 else { return self.ask(now: now) }
        self.state = .following(sequence: increment.sequence)
        return self.tell(self.tracker.apply(members, gone: gone))
    }

    private mutating func received(
        snapshotPart members: [PoolMember], _ increment: IncrementalUpdate, now: ContinuousClock.Instant
    ) -> [Action] {
        var parts: [PoolMember] = []
        switch self.state {
        case .asking(_, let earlier): parts = earlier
        // A snapshot unasked: we were too slow for increments.
        case .following: break
        case .homeless, .polling: return []
        }
        parts += members
        guard parts.count <= Self.maxMembers else { return self.ask(now: now) }
        guard !increment.moreFollows else {
            self.state = .asking(t1: now + self.timers.t1ENRPRequest, parts: parts)
            return []
        }
        self.state = .following(sequence: increment.sequence)
        return self.tell(self.tracker.replace(with: parts))
    }

    private mutating func failed(_ causes: [ErrorCause], now: ContinuousClock.Instant) -> [Action] {
        if case .homeless = self.state { return [] }
        self.state = .polling(next: now + self.timers.pollInterval)
        guard causes.contains(where: { $0.code == .unknownPoolHandle }) else { return self.interrupt() }
        if self.isInterrupted, !self.tracker.isEmpty {
            let since = self.unknownSince ?? now
            self.unknownSince = since
            guard now - since >= self.emptyAfter else { return [] }
        }
        return self.tell(self.tracker.replace(with: [])) + [.unknownPool]
    }

    /// Whether one more member like these might not have fitted the message, so that some may be missing.
    private static func fillsMessage(_ members: [PoolMember]) -> Bool {
        // Nothing less can fill one: the largest member takes half of it.
        guard members.count > 1 else { return false }
        let lengths = members.map { ($0.encodedParameter(for: .asap).count + 3) & ~3 }
        return lengths.reduce(0, +) + (lengths.max() ?? 0) * 2 > WireWriter.maximumLength
    }

    private mutating func ask(now: ContinuousClock.Instant) -> [Action] {
        self.state = .asking(t1: now + self.timers.t1ENRPRequest, parts: [])
        return [.send(HandleResolution(pool: self.pool, wantsUpdates: true, count: .max, wantsIncrements: true))]
    }

    private mutating func interrupt() -> [Action] {
        guard self.tracker.hasSnapshot, !self.isInterrupted else { return [] }
        self.isInterrupted = true
        self.unknownSince = nil
        self.tracker.demandSnapshot()
        return [.tell([.interrupted])]
    }

    private mutating func tell(_ changes: [PoolChange]) -> [Action] {
        let all = self.isInterrupted ? [.resumed] + changes : changes
        self.isInterrupted = false
        return all.isEmpty ? [] : [.tell(all)]
    }
}
