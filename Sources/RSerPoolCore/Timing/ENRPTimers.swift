// SPDX-License-Identifier: Apache-2.0

/// The thresholds of RFC 5353 §4.2 under their RFC names, and the times that the RFC leaves open.
public struct ENRPTimers: Hashable, Sendable {
    /// PEER-HEARTBEAT-CYCLE: how often a registrar tells its peers that it lives, each time up to an eighth earlier. 30 s.
    public var peerHeartbeatCycle: Duration = .seconds(30)
    /// MAX-TIME-LAST-HEARD: how long a peer may be silent before it is asked. 61 s.
    public var maxTimeLastHeard: Duration = .seconds(61)
    /// MAX-TIME-NO-RESPONSE: how long a peer may take to answer. 5 s.
    public var maxTimeNoResponse: Duration = .seconds(5)

    // Not in the RFC.

    /// How long a part of a handlespace download may take. A mentor forgets a download half as long again after its last
    /// part: from then on a client that asks gets the first part. 5 s.
    public var tableTimeout: Duration = .seconds(5)
    /// The least pause before mentors that refused are asked again; drawn up to 2.5 times as long. 2 s.
    public var mentorRetryPause: Duration = .seconds(2)
    /// How long a mentor is looked for before a registrar serves without having met one; zero: for ever. A download that has
    /// begun may take up to 60 times ``tableTimeout``. 10 s.
    public var mentorSearchTime: Duration = .seconds(10)
    /// The first pause before a peer that could not be reached is tried again; doubles up to ``reconnectMax``. 1 s.
    public var reconnectPause: Duration = .seconds(1)
    /// The longest pause between two tries to reach a peer, which never end. 60 s.
    public var reconnectMax: Duration = .seconds(60)
    /// How many inherited pool elements are asked a second after a takeover (RFC 5353 §3.5.2). 100.
    public var keepAlivesPerSecond = 100

    public init() {}

    /// The RFC's defaults.
    public static let rfc = ENRPTimers()

    /// Fast detection on a local network: a registrar's death is known, and its elements have a new home, within a second.
    public static let lan: ENRPTimers = {
        var timers = ENRPTimers()
        timers.peerHeartbeatCycle = .milliseconds(200)
        timers.maxTimeLastHeard = .milliseconds(450)
        timers.maxTimeNoResponse = .milliseconds(250)
        timers.tableTimeout = .seconds(1)
        timers.mentorRetryPause = .milliseconds(100)
        timers.mentorSearchTime = .milliseconds(1_500)
        timers.reconnectPause = .milliseconds(100)
        timers.reconnectMax = .seconds(2)
        timers.keepAlivesPerSecond = 10_000
        return timers
    }()

    /// How long an initiator waits for acknowledgements of its takeover (RFC 5353 §3.5.1 gives no limit).
    package var arbitrationLimit: Duration { self.maxTimeNoResponse * 2 }
    /// How long a takeover by somebody else may take before the target is watched again.
    package var takeoverGuard: Duration { self.maxTimeLastHeard }
    /// Least time between the ends of two resynchronisations with one peer.
    package var resynchronizationInterval: Duration { self.peerHeartbeatCycle / 2 }
    /// How much longer than its life a copy of somebody else's element is kept: its home's word normally comes first.
    package var expiryGrace: Duration { max(self.peerHeartbeatCycle, .seconds(1)) }

    /// When the next heartbeat is due after one at `now`: −12.5 % to 0 of the cycle, so that peers do not beat in step.
    package func nextHeartbeat(
        after now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> ContinuousClock.Instant {
        now + self.peerHeartbeatCycle * Double.random(in: 0.875...1, using: &generator)
    }
}
