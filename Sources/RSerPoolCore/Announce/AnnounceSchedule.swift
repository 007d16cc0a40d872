// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// When a registrar announces itself by multicast (RFC 5352 §3.6): every (N+1)·T6, N being the other registrars heard
/// (ASAP-181). Its own announcements, looped back, do not count; who is not heard for T7, or three
/// announcement intervals if that is longer, leaves N.
package struct AnnounceSchedule: Sendable {
    /// Other registrars counted; more of them do not slow us down further.
    package static let maxHeard = 64

    private let own: RegistrarID
    private let timers: ASAPTimers
    private var heard: [RegistrarID: ContinuousClock.Instant] = [:]
    private var lastSent: ContinuousClock.Instant?

    package init(own: RegistrarID, timers: ASAPTimers) {
        self.own = own
        self.timers = timers
    }

    /// The next announcement.
    package func nextDeadline(now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        self.lastSent.map { $0 + self.interval } ?? now
    }

    package mutating func received(_ announce: ServerAnnounce, now: ContinuousClock.Instant) {
        guard announce.registrar != self.own else { return }
        guard self.heard[announce.registrar] != nil || self.heard.count < Self.maxHeard else { return }
        self.heard[announce.registrar] = now
    }

    /// Whether an announcement is due now; it counts as sent then.
    package mutating func isDue(now: ContinuousClock.Instant) -> Bool {
        let memory = max(self.timers.t7ENRPOutdate, self.interval * 3)
        self.heard = self.heard.filter { now - $0.value < memory }
        guard self.nextDeadline(now: now) <= now else { return false }
        self.lastSent = now
        return true
    }

    private var interval: Duration { self.timers.t6Serverannounce * (self.heard.count + 1) }
}
