// SPDX-License-Identifier: Apache-2.0

internal import Histogram
internal import RSerPoolTransport
internal import RSerPoolWire

/// What load is put on a registrar.
struct LoadPlan: Sendable {
    enum Work: String, CaseIterable, Sendable {
        /// HANDLE_RESOLUTIONs, one pool after the other.
        case resolve
        /// REGISTRATIONs of elements that are not there; those that were there longest leave for them.
        case register
        /// REGISTRATIONs of elements that are there.
        case registerAgain = "re-register"
        /// A change of one element at a time, told to everybody who has subscribed to its pool.
        case subscribe
        /// The elements' associations end all at once: how long until a subscriber has heard of each, and how long an unrelated
        /// request takes meanwhile.
        case die
    }

    var work: Work
    /// The registrar that is measured.
    var target: RemoteEndpoint
    var scheme: LinkScheme
    /// Where elements register, over SCTP.
    var home: RemoteEndpoint?
    var pools: [PoolHandle]
    /// Elements, over all pools. With `resolve`, 0: the pool is there.
    var members: Int
    var policy: PoolPolicy
    var connections: Int
    /// Requests without an answer, over all connections.
    var inFlight: Int
    /// Elements that an answer shall list; nil: as many as the registrar likes.
    var count: UInt32?
    var duration: Duration
    /// How long nothing may come from the registrar.
    var patience = Duration.seconds(5)
    /// Between two changes.
    var pause = Duration.milliseconds(20)
}

/// What was measured.
struct LoadReport: Sendable {
    /// Of requests, or of changes as each subscriber has heard them.
    var answers: UInt64 = 0
    var unanswered: UInt64 = 0
    /// Answers that refuse, and requests without an answer.
    var errors: UInt64 = 0
    var seconds: Double = 0
    var latencies = Latencies()
    /// With `die`: those of registrations that have nothing to do with it, while elements died.
    var meanwhile: Latencies?
    /// The first refusal or lack of an answer, in words.
    var firstError: String?
}

/// In seconds.
struct Latencies: Sendable {
    var count: UInt64 = 0
    var median: Double = 0
    var percentile99: Double = 0
    var longest: Double = 0

    init() {}

    /// - Parameter histogram: Nanoseconds.
    init(_ histogram: Histogram<UInt64>) {
        self.count = histogram.totalCount
        self.median = Double(histogram.valueAtPercentile(50)) / 1e9
        self.percentile99 = Double(histogram.valueAtPercentile(99)) / 1e9
        self.longest = Double(histogram.max) / 1e9
    }
}
