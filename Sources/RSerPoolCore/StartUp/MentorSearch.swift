// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// How a registrar that starts finds a mentor and learns from it who is there (RFC 5353 §3.2.2, §3.2.3).
///
/// One endpoint after the other is asked for its peer list and then for its handlespace; the first that gives both is the
/// mentor, the others are backups. Endpoints are named by numbers of the ``PeerBook``.
///
/// Decided here, where the RFC leaves it open:
/// - When nobody has answered for `mentorSearchTime`, it serves without (AMB-10), and goes on trying to reach them. A
///   download that has begun may take longer, up to ``downloadLimit``, and if it breaks, there is as much time to find another.
/// - A mentor that stops in the middle of a download is asked again over a new association: over the old one it might go on
///   where it was (AMB-9), and the rest would be taken for all.
/// - Registrars that all start at once would all reject each other. When everybody who can be reached is starting too, the
///   one with the largest ID has nothing to wait for and serves; the others learn from it.
package struct MentorSearch: Sendable {
    package enum Action: Equatable, Sendable {
        /// Reach this endpoint; ``reached(_:now:)`` or ``failed(_:now:using:)`` follows.
        case contact(Int)
        case requestList(Int)
        case requestTable(Int)
        /// Abort the association with this endpoint.
        case disconnect(Int)
        /// Begin to serve.
        case serve(Outcome)
    }

    package enum Outcome: Equatable, Sendable {
        case learned(from: Int)
        /// None is configured and none is looked for.
        case alone
        /// Everybody else is starting too.
        case firstOfAll
        /// Nobody answered in time.
        case noMentor
    }

    private enum State: Sendable {
        /// Leaves for `.asked` when it is reached; for the next one, or `.pausing`, when that fails or at the deadline.
        case contacting(Int, deadline: ContinuousClock.Instant)
        /// Leaves for `.downloading` with the list.
        case asked(Int, deadline: ContinuousClock.Instant)
        /// Leaves for `.over` with the last part of the table.
        case downloading(Int, begun: ContinuousClock.Instant, deadline: ContinuousClock.Instant)
        /// Everybody has been tried in vain. Leaves for `.contacting`.
        case pausing(until: ContinuousClock.Instant)
        case over
    }

    private let ownID: RegistrarID
    private let timers: ENRPTimers
    private var state: State
    private let begun: ContinuousClock.Instant
    /// When it serves with what it has.
    private var ends: ContinuousClock.Instant
    private let isDiscovering: Bool
    // Of the pass through the list that runs.
    private var tried: Set<Int> = []
    private var rejecters: Set<RegistrarID> = []
    private var hasSilent = false

    /// - Parameter isDiscovering: others may turn up by multicast.
    package init(ownID: RegistrarID, timers: ENRPTimers, isDiscovering: Bool, now: ContinuousClock.Instant) {
        self.ownID = ownID
        self.timers = timers
        self.isDiscovering = isDiscovering
        self.begun = now
        self.ends = now + timers.mentorSearchTime
        self.state = .pausing(until: now)
    }

    /// Whose peer list is awaited.
    package var asked: Int? { if case .asked(let candidate, _) = self.state { candidate } else { nil } }

    /// Whose table is awaited.
    package var downloading: Int? { if case .downloading(let candidate, _, _) = self.state { candidate } else { nil } }

    /// How long a whole table may take.
    package var downloadLimit: Duration { self.timers.tableTimeout * 60 }

    package var isOver: Bool { if case .over = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .contacting(_, let deadline), .asked(_, let deadline), .downloading(_, _, let deadline): deadline
        case .pausing(let until): until
        case .over: nil
        }
    }

    /// - Parameter candidates: everybody to try, in order of preference.
    package mutating func start(
        _ candidates: [Int], now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        self.proceed(candidates, now: now, using: &generator)
    }

    /// There is an association with that endpoint.
    package mutating func reached(_ candidate: Int, now: ContinuousClock.Instant) -> [Action] {
        guard case .contacting(candidate, _) = self.state else { return [] }
        self.state = .asked(candidate, deadline: self.deadline(now))
        return [.requestList(candidate)]
    }

    /// It refuses, or its association has ended.
    package mutating func failed(
        _ candidate: Int, _ candidates: [Int], now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard self.mentor == candidate else { return [] }
        if self.downloading != nil { self.downloadBroke(now: now) }
        return self.proceed(candidates, now: now, using: &generator)
    }

    package mutating func receivedList(
        by id: RegistrarID, isRejected: Bool, _ candidates: [Int], now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard let candidate = self.asked else { return [] }
        guard !isRejected else {
            self.rejecters.insert(id)
            return self.proceed(candidates, now: now, using: &generator)
        }
        return self.download(candidate, begun: now, now: now)
    }

    package mutating func receivedTable(
        isRejected: Bool, isEmpty: Bool, moreFollows: Bool, _ candidates: [Int], now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard case .downloading(let candidate, let begun, _) = self.state else { return [] }
        // It serves, so it is worth waiting for.
        if isRejected {
            self.downloadBroke(now: now)
            return self.proceed(candidates, now: now, using: &generator)
        }
        guard moreFollows else { return self.serve(.learned(from: candidate)) }
        // Nobody has a table without end.
        guard !isEmpty, now - begun < self.downloadLimit else {
            self.downloadBroke(now: now)
            return [.disconnect(candidate)] + self.proceed(candidates, now: now, using: &generator)
        }
        return self.download(candidate, begun: begun, now: now)
    }

    /// Somebody new to try has turned up.
    package mutating func candidatesChanged(
        _ candidates: [Int], now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard case .pausing = self.state, candidates.contains(where: { !self.tried.contains($0) }) else { return [] }
        return self.proceed(candidates, now: now, using: &generator)
    }

    package mutating func timersFired(
        _ candidates: [Int], now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard let deadline = self.nextDeadline, deadline <= now else { return [] }
        var actions: [Action] = []
        switch self.state {
        case .pausing:
            guard !self.isTooLate(now) else { return self.serve(.noMentor) }
            self.tried = []
            self.rejecters = []
            self.hasSilent = false
        case .contacting, .asked: self.hasSilent = true
        case .downloading(let candidate, _, _):
            self.downloadBroke(now: now)
            actions.append(.disconnect(candidate))
        case .over: break
        }
        return actions + self.proceed(candidates, now: now, using: &generator)
    }

    private var mentor: Int? {
        switch self.state {
        case .contacting(let number, _), .asked(let number, _), .downloading(let number, _, _): number
        case .pausing, .over: nil
        }
    }

    private func isTooLate(_ now: ContinuousClock.Instant) -> Bool {
        self.timers.mentorSearchTime > .zero && now >= self.ends
    }

    /// What was learned may be less than half: another mentor is worth some time, though not without end.
    private mutating func downloadBroke(now: ContinuousClock.Instant) {
        self.hasSilent = true
        let limit = self.begun + self.timers.mentorSearchTime + self.downloadLimit
        self.ends = max(self.ends, min(now + self.timers.mentorSearchTime, limit))
    }

    /// When to give up waiting for somebody.
    private func deadline(_ now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        let limit = now + self.timers.maxTimeNoResponse
        return self.timers.mentorSearchTime > .zero ? min(limit, self.ends) : limit
    }

    private mutating func download(
        _ candidate: Int, begun: ContinuousClock.Instant, now: ContinuousClock.Instant
    ) -> [Action] {
        self.state = .downloading(candidate, begun: begun, deadline: now + self.timers.tableTimeout)
        return [.requestTable(candidate)]
    }

    private mutating func serve(_ outcome: Outcome) -> [Action] {
        self.state = .over
        return [.serve(outcome)]
    }

    /// Tries the next one, or ends the pass.
    private mutating func proceed(
        _ candidates: [Int], now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        // All that were named turned out to be ourselves.
        if candidates.isEmpty, !self.isDiscovering { return self.serve(.alone) }
        if self.isTooLate(now) { return self.serve(.noMentor) }
        if let next = candidates.first(where: { !self.tried.contains($0) }) {
            self.tried.insert(next)
            self.state = .contacting(next, deadline: self.deadline(now))
            return [.contact(next)]
        }
        if let largest = self.rejecters.max(), !self.hasSilent, largest < self.ownID { return self.serve(.firstOfAll) }
        var until = now + self.timers.mentorRetryPause * Double.random(in: 1...2.5, using: &generator)
        if self.timers.mentorSearchTime > .zero { until = min(until, self.ends) }
        self.state = .pausing(until: until)
        return []
    }
}
