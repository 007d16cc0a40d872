// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool element's side of registration (RFC 5352 §3.1, §3.2, timers T2, T3 and T4 of §7.1).
///
/// It says what to send and when; whoever owns it finds registrars and carries messages.
///
/// Deviation (ASAP-062): after MAX-REG-ATTEMPT it reports and, unless told to stop, goes on with back-off. A server does
/// not want to leave its pool because all registrars were away for a while.
package struct ElementRegistration: Sendable {
    package enum Action: Equatable, Sendable {
        /// Send the registration of the element as it is now to the home registrar.
        case sendRegistration
        case sendDeregistration
        /// Look for another home: this one failed us.
        case hunt
        /// The identifier is in use: draw another one; ``sendRegistration`` follows.
        case chooseNewID
        case report(Report)
    }

    package enum Report: Equatable, Sendable {
        /// With the causes as warnings: values were changed (ASAP-028).
        case registered(warnings: [ErrorCause])
        case rejected([ErrorCause])
        /// So many registrations in a row had no answer.
        case noAnswer(attempts: Int)
        /// As `noAnswer`, and it was told to stop then.
        case gaveUp(attempts: Int)
        /// The registrar removed it unasked; it registers again.
        case expelled([ErrorCause])
        case deregistered([ErrorCause])
    }

    private enum State: Sendable {
        /// Wants to register and has no home. Leaves for `.registering`.
        case homeless
        /// T2 runs. Leaves for `.registered`, `.rejected`, or on T2 for `.homeless` or `.pausing`.
        case registering(t2: ContinuousClock.Instant)
        /// Too many attempts failed: the next one comes later. Leaves for `.registering` or `.homeless`.
        case pausing(until: ContinuousClock.Instant, hasHome: Bool)
        /// T4 runs. Leaves for `.registering` when it ends or something changes.
        case registered(t4: ContinuousClock.Instant)
        /// Leaves for `.registering` only when the content was corrected (ASAP-055).
        case rejected
        /// T3 runs, whether a home was told or there is none: nobody waits for one for ever. Leaves for `.gone`.
        case deregistering(t3: ContinuousClock.Instant, isTold: Bool)
        case gone
    }

    private let timers: ASAPTimers
    private let life: RegistrationLife
    private let stopsAfterMaxAttempts: Bool
    /// A fixed identifier is never changed silently.
    private let mayChangeID: Bool
    private var state = State.homeless
    /// Registrations, or deregistrations, since the last success (ASAP-061); of the latter also those that had no home.
    private var attempts = 0
    private var hasHome = false
    /// Identifiers in a row that were in use: a registrar that finds all of them in use is not asked for ever.
    private var idsInUse = 0

    package init(timers: ASAPTimers, life: RegistrationLife, mayChangeID: Bool, stopsAfterMaxAttempts: Bool) {
        self.timers = timers
        self.life = life
        self.mayChangeID = mayChangeID
        self.stopsAfterMaxAttempts = stopsAfterMaxAttempts
    }

    package var isRegistered: Bool {
        if case .registered = self.state { true } else { false }
    }

    package var isGone: Bool { if case .gone = self.state { true } else { false } }

    package var nextDeadline: ContinuousClock.Instant? {
        switch self.state {
        case .registering(let deadline), .pausing(let deadline, _), .registered(let deadline): deadline
        case .deregistering(let deadline, _): deadline
        case .homeless, .rejected, .gone: nil
        }
    }

    /// A home registrar was found, or another one has adopted us.
    package mutating func homeFound(now: ContinuousClock.Instant) -> [Action] {
        self.hasHome = true
        switch self.state {
        case .homeless, .registering, .registered: return self.register(now: now)
        case .pausing(let until, _):
            self.state = .pausing(until: until, hasHome: true)
            return []
        case .deregistering: return self.sendDeregistration(now: now)
        case .rejected, .gone: return []
        }
    }

    /// The link to the home registrar is gone (ASAP-051, ASAP-063).
    package mutating func homeLost() -> [Action] {
        self.hasHome = false
        switch self.state {
        case .registering, .registered, .homeless:
            self.state = .homeless
            return [.hunt]
        case .pausing(let until, _):
            self.state = .pausing(until: until, hasHome: false)
            return [.hunt]
        case .deregistering: return [.hunt]
        case .rejected, .gone: return []
        }
    }

    /// Policy values or life have changed: registers again at once (ASAP-057); it also corrects what was rejected.
    package mutating func contentChanged(now: ContinuousClock.Instant) -> [Action] {
        switch self.state {
        case .registered, .registering, .rejected: self.hasHome ? self.register(now: now) : []
        case .homeless, .pausing, .deregistering, .gone: []
        }
    }

    package mutating func received(_ response: RegistrationResponse, now: ContinuousClock.Instant) -> [Action] {
        guard case .registering = self.state else { return [] }
        self.attempts = 0
        guard response.isRejected else {
            self.idsInUse = 0
            self.state = .registered(t4: now + self.timers.reregistrationInterval(life: self.life.duration))
            return [.report(.registered(warnings: response.causes))]
        }
        if self.mayChangeID, response.causes.map(\.code) == [.nonUniquePoolElementID],
            self.idsInUse <= self.timers.maxRegAttempt
        {
            self.idsInUse += 1
            return [.chooseNewID] + self.register(now: now)
        }
        self.state = .rejected
        return [.report(.rejected(response.causes))]
    }

    /// An answer to our deregistration, or the word that we were removed (ASAP-106).
    package mutating func received(_ response: DeregistrationResponse, now: ContinuousClock.Instant) -> [Action] {
        switch self.state {
        case .deregistering:
            self.state = .gone
            return [.report(.deregistered(response.causes))]
        case .registered, .registering:
            return [.report(.expelled(response.causes))] + self.register(now: now)
        case .homeless, .pausing, .rejected, .gone: return []
        }
    }

    /// Leaves the pool (ASAP-087).
    package mutating func deregister(now: ContinuousClock.Instant) -> [Action] {
        switch self.state {
        case .registered, .registering, .pausing:
            self.attempts = 0
            guard self.hasHome else {
                self.state = .deregistering(t3: now + self.timers.t3Deregistration, isTold: false)
                return [.hunt]
            }
            return self.sendDeregistration(now: now)
        case .homeless, .rejected:
            self.state = .gone
            return [.report(.deregistered([]))]
        case .deregistering, .gone: return []
        }
    }

    package mutating func timersFired(now: ContinuousClock.Instant) -> [Action] {
        switch self.state {
        case .registering(let t2) where t2 <= now: return self.registrationUnanswered(now: now)
        case .pausing(let until, let hasHome) where until <= now:
            if hasHome { return self.register(now: now) }
            self.state = .homeless
            return []
        case .registered(let t4) where t4 <= now: return self.register(now: now)
        case .deregistering(let t3, let isTold) where t3 <= now:
            if !isTold { self.attempts += 1 }
            if self.attempts > self.timers.maxRegAttempt {
                self.state = .gone
                return [.report(.noAnswer(attempts: self.attempts)), .report(.deregistered([]))]
            }
            self.state = .deregistering(t3: now + self.timers.t3Deregistration, isTold: false)
            return [.hunt]
        default: return []
        }
    }

    private mutating func register(now: ContinuousClock.Instant) -> [Action] {
        self.attempts += 1
        self.state = .registering(t2: now + self.timers.t2Registration)
        return [.sendRegistration]
    }

    private mutating func sendDeregistration(now: ContinuousClock.Instant) -> [Action] {
        self.attempts += 1
        self.state = .deregistering(t3: now + self.timers.t3Deregistration, isTold: true)
        return [.sendDeregistration]
    }

    /// T2 has ended: another registrar is looked for, and after more than MAX-REG-ATTEMPT the user is told.
    private mutating func registrationUnanswered(now: ContinuousClock.Instant) -> [Action] {
        guard self.attempts > self.timers.maxRegAttempt else {
            self.state = .homeless
            return [.hunt]
        }
        guard !self.stopsAfterMaxAttempts else {
            self.state = .gone
            return [.report(.gaveUp(attempts: self.attempts))]
        }
        let excess = min(self.attempts - self.timers.maxRegAttempt - 1, 16)
        let pause = min(self.timers.t2Registration * (1 << excess), self.timers.retranMax)
        self.state = .pausing(until: now + pause, hasHome: self.hasHome)
        return [.report(.noAnswer(attempts: self.attempts)), .hunt]
    }
}
