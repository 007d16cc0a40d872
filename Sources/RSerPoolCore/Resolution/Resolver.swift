// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool user's open resolutions (RFC 5352 §3.3, §3.7): T1, MAX-REQUEST-RETRANSMIT, and the hunt beside it.
///
/// Requests for one pool that come while one is open share its answer.
package struct Resolver: Sendable {
    package enum Action: Equatable, Sendable {
        case send(HandleResolution)
        /// The home registrar is silent or missing: look for another one, beside the repetition (ASAP-209).
        case hunt
        case fail(PoolHandle, Failure)
    }

    package enum Failure: Equatable, Sendable {
        /// No answer to the request and its repetitions.
        case noAnswer
        /// The registrar could not read the request.
        case refused([ErrorCause])
        /// More requests are open than allowed.
        case tooMany
    }

    private struct Request: Sendable {
        var message: HandleResolution
        /// Periods of T1 that it has waited through, this one included: with a registrar to ask, each began with a copy.
        var periods = 1
        var wasSent = false
        var t1: ContinuousClock.Instant
    }

    /// Open requests at a time.
    package static let maxRequests = 4_096

    private let timers: ASAPTimers
    private var requests: [Request] = []
    private var hasHome = false

    package init(timers: ASAPTimers) {
        self.timers = timers
    }

    package var nextDeadline: ContinuousClock.Instant? { self.requests.map(\.t1).min() }

    package func isPending(_ pool: PoolHandle) -> Bool { self.requests.contains { $0.message.pool == pool } }

    package mutating func request(_ message: HandleResolution, now: ContinuousClock.Instant) -> [Action] {
        guard !self.isPending(message.pool) else { return [] }
        guard self.requests.count < Self.maxRequests else { return [.fail(message.pool, .tooMany)] }
        var request = Request(message: message, t1: now + self.timers.t1ENRPRequest)
        defer { self.requests.append(request) }
        guard self.hasHome else { return [.hunt] }
        request.wasSent = true
        return [.send(message)]
    }

    /// A home was found: what waited for one is sent, what the old one did not answer is sent again (ASAP-206, ASAP-212).
    package mutating func homeFound(now: ContinuousClock.Instant) -> [Action] {
        self.hasHome = true
        return self.requests.indices.map { index in
            if self.requests[index].wasSent { self.requests[index].periods += 1 }
            self.requests[index].wasSent = true
            self.requests[index].t1 = now + self.timers.t1ENRPRequest
            return .send(self.requests[index].message)
        }
    }

    package mutating func homeLost() -> [Action] {
        self.hasHome = false
        return self.requests.isEmpty ? [] : [.hunt]
    }

    /// An answer has come, from whomever (ASAP-213).
    /// - Returns: whether it was waited for.
    package mutating func answered(_ pool: PoolHandle) -> Bool {
        guard let index = self.requests.firstIndex(where: { $0.message.pool == pool }) else { return false }
        self.requests.remove(at: index)
        return true
    }

    /// An ASAP_ERROR, which names no request: the oldest one that was sent takes it (ASAP-037).
    package mutating func received(_ error: ASAPError) -> [Action] {
        guard let index = self.requests.firstIndex(where: \.wasSent) else { return [] }
        return [.fail(self.requests.remove(at: index).message.pool, .refused(error.causes))]
    }

    /// Nobody waits for it any more.
    package mutating func abandon(_ pool: PoolHandle) {
        self.requests.removeAll { $0.message.pool == pool }
    }

    package mutating func timersFired(now: ContinuousClock.Instant) -> [Action] {
        var actions: [Action] = []
        for index in self.requests.indices.reversed() where self.requests[index].t1 <= now {
            if self.requests[index].periods > self.timers.maxRequestRetransmit {
                actions.append(.fail(self.requests.remove(at: index).message.pool, .noAnswer))
                continue
            }
            self.requests[index].periods += 1
            self.requests[index].t1 = now + self.timers.t1ENRPRequest
            if self.hasHome {
                self.requests[index].wasSent = true
                actions.append(.send(self.requests[index].message))
            }
            if !actions.contains(.hunt) { actions.append(.hunt) }
        }
        return actions
    }
}
