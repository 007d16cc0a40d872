// SPDX-License-Identifier: Apache-2.0

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
    /// In seconds.
    var median: Double = 0
    var percentile99: Double = 0
    var longest: Double = 0
    /// The first refusal or lack of an answer, in words.
    var firstError: String?
}
