// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// How a pool user makes use of answers that it has got before (RFC 5352 §3.3, C1 to C4).
///
/// How long an answer may be used depends on the pool's policy:
///
/// | policy | an answer is fresh for | because |
/// |---|---|---|
/// | round robin, random, weighted random, priority; policies of one's own | stale_cache_value, 30 s | shares stay right while the list is whole |
/// | weighted round robin | not at all | a user goes round its list (RFC 5356 §4.2.3), each element once: the weights are in the registrar's answers |
/// | least used, priority least used, randomized least used, their distance-sensitive kin | at most 1 s | loads are those of the answer: who caches sends everything to yesterday's idle element |
/// | all with degradation | not at all | the registrar counts each choice: one element is asked for each time |
public struct Caching: Hashable, Sendable {
    /// When an answer is asked for again.
    public enum Refresh: Hashable, Sendable {
        /// When it is stale; who asks waits for the new one.
        case whenStale
        /// When it is stale; who asks gets the old one at once, for as long again as it was fresh, while the new one is on
        /// its way (C3). Not for policies that go by load.
        case behind
        /// When three quarters of its time are over and somebody uses it, so that nobody waits and nothing stale is used;
        /// one request more than C4 wants. Not for policies that go by load.
        case ahead
    }

    /// How long answers about pools of these policies are fresh, instead of what the table says; zero: not at all.
    public var freshTimes: [PolicyType: Duration] = [:]
    public var refresh = Refresh.behind

    public init() {}

    /// No answer is used twice.
    public static let off: Caching = {
        var caching = Caching()
        caching.isOff = true
        return caching
    }()

    private var isOff = false
    private static let freshTimeOfLoads = Duration.seconds(1)

    func freshTime(for policy: PoolPolicy, staleCacheValue: Duration) -> Duration {
        if self.isOff { return .zero }
        if let own = self.freshTimes[policy.type] { return own }
        if policy.type.countsChoices || policy.type == .weightedRoundRobin { return .zero }
        return policy.load == nil ? staleCacheValue : min(staleCacheValue, Self.freshTimeOfLoads)
    }
}

extension PolicyType {
    /// Each element that an answer lists counts as chosen at the registrar, so nobody asks for more than is used.
    package var countsChoices: Bool {
        switch self {
        case .leastUsedDegradation, .randomizedLeastUsedDegradation, .priorityLeastUsedDegradation,
            .randomizedPriorityLeastUsedDegradation, .leastUsedDegradationDPF:
            true
        default: false
        }
    }
}
