// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Arbitration over who takes over one dead registrar, the target (RFC 5353 §3.5.1), from the side of one initiator.
///
/// Decided here, where the RFC leaves it open:
/// - It has a limit (AMB-23): an awaited peer that has died meanwhile, or has said nothing at all in a whole round, does
///   not count as known any more. A deviation: the RFC waits for ever, and one silent peer would leave the target's
///   elements without an owner.
/// - Peers that speak but do not acknowledge are asked again after a random pause, which also settles contests with
///   registrars that arbitrate the other way round; after ``maxRounds`` rounds it goes on without them.
/// - Any message of the target ends it, not only PRESENCE (AMB-22).
package struct TakeoverContest: Sendable {
    package static let maxRounds = 3

    package enum Action: Equatable, Sendable {
        /// Send INIT_TAKEOVER to everybody, the target included.
        case announceInitiation
        /// Ask these whether they live, as they have not acknowledged.
        case probe([RegistrarID])
        /// Acknowledge the initiator's INIT_TAKEOVER and leave the target to it.
        case yield(to: RegistrarID)
        /// We have it. `unheard`: who never agreed.
        case win(unheard: [RegistrarID])
    }

    private enum State: Sendable {
        /// Leaves for `.won` when nobody is awaited any more, for `.yielded` before a larger ID, for `.pausing` at the
        /// deadline, for `.targetLives` on any word of the target.
        case contesting(
            awaited: Set<RegistrarID>, begun: ContinuousClock.Instant, deadline: ContinuousClock.Instant,
            hasProbed: Bool)
        /// Leaves for `.contesting` at the deadline, else as `.contesting` does.
        case pausing(until: ContinuousClock.Instant)
        case won, yielded, targetLives
    }

    package let target: RegistrarID
    private let ownID: RegistrarID
    private let timers: ENRPTimers
    private var state: State
    private var round = 0

    /// The first round is begun by ``begin(peers:now:)``.
    package init(target: RegistrarID, ownID: RegistrarID, timers: ENRPTimers, now: ContinuousClock.Instant) {
        self.target = target
        self.ownID = ownID
        self.timers = timers
        self.state = .pausing(until: now)
    }

    package var isOver: Bool {
        switch self.state {
        case .contesting, .pausing: false
        case .won, .yielded, .targetLives: true
        }
    }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .contesting(_, let begun, let deadline, let hasProbed):
            hasProbed ? deadline : begun + self.timers.arbitrationLimit / 2
        case .pausing(let until): until
        case .won, .yielded, .targetLives: nil
        }
    }

    /// A round begins: everybody but the target has to acknowledge.
    /// - Parameter peers: all known active peers.
    package mutating func begin(peers: Set<RegistrarID>, now: ContinuousClock.Instant) -> [Action] {
        guard case .pausing = self.state else { return [] }
        self.round += 1
        let awaited = peers.subtracting([self.target, self.ownID])
        self.state = .contesting(
            awaited: awaited, begun: now, deadline: now + self.timers.arbitrationLimit, hasProbed: false)
        return [.announceInitiation] + self.winIfDone()
    }

    /// Acknowledgements of others, and second ones, do not count (AMB-24).
    package mutating func receivedAck(from peer: RegistrarID) -> [Action] {
        self.stopAwaiting(peer)
    }

    /// A peer has died, or left: it is not known any more.
    package mutating func peerDied(_ peer: RegistrarID) -> [Action] {
        self.stopAwaiting(peer)
    }

    /// Somebody else initiates a takeover of the same target: the larger ID goes on, the smaller one yields.
    package mutating func receivedInitTakeover(from initiator: RegistrarID) -> [Action] {
        switch self.state {
        case .contesting where self.ownID > initiator, .pausing where self.ownID > initiator: return []
        case .contesting, .pausing:
            self.state = .yielded
            return [.yield(to: initiator)]
        case .won: return []
        case .yielded, .targetLives: return [.yield(to: initiator)]
        }
    }

    /// Any word of the target.
    package mutating func heardTarget() {
        if !self.isOver { self.state = .targetLives }
    }

    /// Somebody else has taken it over.
    package mutating func targetTaken() {
        if !self.isOver { self.state = .yielded }
    }

    /// - Parameters:
    ///   - peers: all known active peers, for a further round.
    ///   - lastHeard: when each peer was last heard.
    package mutating func timersFired(
        peers: Set<RegistrarID>, lastHeard: (RegistrarID) -> ContinuousClock.Instant?, now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        switch self.state {
        case .pausing(let until) where until <= now: return self.begin(peers: peers, now: now)
        case .contesting(let awaited, let begun, let deadline, let hasProbed):
            if deadline <= now {
                return self.roundEnded(awaited, begun: begun, lastHeard: lastHeard, now: now, using: &generator)
            }
            guard !hasProbed, begun + self.timers.arbitrationLimit / 2 <= now else { return [] }
            self.state = .contesting(awaited: awaited, begun: begun, deadline: deadline, hasProbed: true)
            return [.probe(awaited.sorted())]
        default: return []
        }
    }

    private mutating func roundEnded(
        _ awaited: Set<RegistrarID>, begun: ContinuousClock.Instant,
        lastHeard: (RegistrarID) -> ContinuousClock.Instant?, now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        let alive = awaited.filter { (lastHeard($0) ?? begun) > begun }
        guard !alive.isEmpty, self.round < Self.maxRounds else {
            self.state = .won
            return [.win(unheard: awaited.sorted())]
        }
        let pause = self.timers.arbitrationLimit * Double.random(in: 0.1...1, using: &generator)
        self.state = .pausing(until: now + pause)
        return []
    }

    private mutating func stopAwaiting(_ peer: RegistrarID) -> [Action] {
        guard case .contesting(var awaited, let begun, let deadline, let hasProbed) = self.state,
            awaited.remove(peer) != nil
        else { return [] }
        self.state = .contesting(awaited: awaited, begun: begun, deadline: deadline, hasProbed: hasProbed)
        return self.winIfDone()
    }

    private mutating func winIfDone() -> [Action] {
        guard case .contesting(let awaited, _, _, _) = self.state, awaited.isEmpty else { return [] }
        self.state = .won
        return [.win(unheard: [])]
    }
}
