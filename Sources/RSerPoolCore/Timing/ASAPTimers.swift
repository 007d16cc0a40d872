// SPDX-License-Identifier: Apache-2.0

/// The timers and thresholds of RFC 5352 §7 under their RFC names, and the few that the RFC leaves open.
public struct ASAPTimers: Hashable, Sendable {
    /// T1-ENRPrequest: how long a resolution waits for its answer before it is sent again. 15 s.
    public var t1ENRPRequest: Duration = .seconds(15)
    /// T2-registration: how long a registration waits for its answer. 30 s.
    public var t2Registration: Duration = .seconds(30)
    /// T3-deregistration: how long a deregistration waits for its answer. 30 s.
    public var t3Deregistration: Duration = .seconds(30)
    /// T4-reregistration: nil for what the RFC says, ``reregistrationInterval(life:)``.
    public var t4Reregistration: Duration?
    /// T5-Serverhunt: how long one round of the hunt for a registrar lasts, doubling from round to round. 10 s.
    public var t5Serverhunt: Duration = .seconds(10)
    /// T6-Serverannounce: a registrar announces itself every (N+1)·T6, N other registrars being heard. 1 s.
    public var t6Serverannounce: Duration = .seconds(1)
    /// T7-ENRPoutdate: how long an announced registrar is remembered, at least three announcement intervals. 5 s.
    public var t7ENRPOutdate: Duration = .seconds(5)
    /// stale_cache_value: how long a pool user takes an answer for fresh; zero disables the cache. 30 s (the RFC gives none).
    public var staleCacheValue: Duration = .seconds(30)
    /// MAX-REG-ATTEMPT: after more failed registrations than this the user is told. 2.
    public var maxRegAttempt = 2
    /// MAX-REQUEST-RETRANSMIT: how often a resolution is sent again. 2.
    public var maxRequestRetransmit = 2
    /// MAX-BAD-PE-REPORT: how many reporters an element survives. 3 (the RFC gives none).
    public var maxBadPEReport = 3
    /// RETRAN-MAX: the longest round of the hunt. 60 s.
    public var retranMax: Duration = .seconds(60)

    // Not in the RFC.

    /// Mean time between two keep-alives to an element, ± 50 %. Zero: none without a cause. 10 s.
    public var keepAliveInterval: Duration = .seconds(10)
    /// How long an element may take to acknowledge a keep-alive. 5 s.
    public var keepAliveTimeout: Duration = .seconds(5)
    /// Least time between two keep-alives that reports cause. 1 s.
    public var minimumCheckInterval: Duration = .seconds(1)
    /// How long one registrar of the hunt is preferred before the next one is asked as well. 250 ms.
    public var huntStagger: Duration = .milliseconds(250)
    /// How long the hunt pauses when every registrar refused; doubles up to T5. 1 s.
    public var huntRetryPause: Duration = .seconds(1)
    /// How often a pool that cannot be subscribed to is asked for. 1 s.
    public var pollInterval: Duration = .seconds(1)
    /// How long a pool user that waits for updates lets its registrar be silent before it asks whether it is there. 30 s.
    public var homeCheckInterval: Duration = .seconds(30)
    /// How late a timer may be before a process takes it that it was itself stopped. 1 s.
    public var stallTolerance: Duration = .seconds(1)

    public init() {}

    /// The RFC's defaults.
    public static let rfc = ASAPTimers()

    /// Fast detection on a local network: what fails is known within about a second.
    public static let lan: ASAPTimers = {
        var timers = ASAPTimers()
        timers.t1ENRPRequest = .seconds(1)
        timers.t2Registration = .seconds(1)
        timers.t3Deregistration = .seconds(1)
        timers.t5Serverhunt = .seconds(1)
        timers.t6Serverannounce = .milliseconds(200)
        timers.t7ENRPOutdate = .seconds(1)
        timers.staleCacheValue = .seconds(1)
        timers.retranMax = .seconds(5)
        timers.keepAliveInterval = .seconds(1)
        timers.keepAliveTimeout = .milliseconds(500)
        timers.minimumCheckInterval = .milliseconds(100)
        timers.huntStagger = .milliseconds(50)
        timers.huntRetryPause = .milliseconds(100)
        timers.pollInterval = .milliseconds(250)
        timers.homeCheckInterval = .milliseconds(500)
        timers.stallTolerance = .milliseconds(300)
        return timers
    }()

    /// T4-reregistration for a registration life: min(10 min, life − 20 s); half the life where that is 40 s or less
    /// (ASAP-268); 10 min for an infinite one. A configured T4 rules, but never beyond three quarters of the life.
    public func reregistrationInterval(life: Duration?) -> Duration {
        if let t4Reregistration { return min(t4Reregistration, life.map { $0 * 3 / 4 } ?? t4Reregistration) }
        guard let life else { return .seconds(600) }
        return life <= .seconds(40) ? life / 2 : min(.seconds(600), life - .seconds(20))
    }
}
