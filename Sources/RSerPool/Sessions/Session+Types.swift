// SPDX-License-Identifier: Apache-2.0

public import RSerPoolCore
public import RSerPoolWire

extension Session {
    public struct Configuration: Sendable {
        /// How long one element may take to be connected, and to answer a request, before the next one is tried. 5 s.
        public var attemptTimeout: Duration = .seconds(5)
        /// How long a session goes on looking while no element of the pool can be reached, before requests fail. Zero:
        /// each element is tried once.
        public var patience: Duration = .zero
        /// Whether the next element is looked for as soon as one is lost, also with nothing to send. Nil: once the session
        /// holds a state cookie, or its events are read.
        public var staysConnected: Bool?
        /// How messages are told apart where elements are reached over TCP.
        public var streamFraming = StreamFraming.envelope
        /// Events that wait for their reader; beyond, nothing more is read from the element until it has caught up. 1 024.
        public var maxPendingEvents = 1_024
        /// The pool element that this process is itself, if any: its business card goes to each element of the session
        /// (RFC 5352 §3.9), and ``SendOptions/toAll`` leaves it out.
        public var identity: PoolElement?
        /// Called on the host's thread after the session has been bound to another element, before anything that waits is sent.
        public var onFailover: FailoverHandler?

        public init() {}
    }

    /// Brings the new element up to date, by messages of the application. An error fails what waits with
    /// ``PoolError/Code/failoverFailed``.
    public typealias FailoverHandler = @Sendable (FailoverContext) async throws -> Void

    /// A message of an element.
    public struct Message: Hashable, Sendable {
        public let bytes: [UInt8]
        public let stream: UInt16
        /// SCTP's payload protocol identifier; never 11, which is ASAP's own. 0 over TCP without envelopes, and UDP.
        public let payloadProtocol: UInt32
        /// Who sent it.
        public let element: PoolElementID
    }

    /// Which elements were given a message.
    public struct Delivery: Hashable, Sendable {
        public let elements: [PoolElementID]
        /// With ``SendOptions/toAll``: those that could not be reached.
        public let failed: [PoolElementID]
    }

    /// A change of element, and what it means for what was sent.
    public struct Failover: Hashable, Sendable {
        public let from: PoolElementID
        public let to: PoolElementID
        /// Why the former one was left.
        public let reason: String
        /// Messages without an answer that the former element was sent after its last cookie: each may have arrived, been
        /// carried out, or neither. Requests are not among them: each is answered, or fails with its ``RequestFate``.
        public let uncertainMessages: Int
        /// A request was out: the next element gets it again, and it may be carried out twice.
        public let repeatsRequest: Bool
        /// The newest state cookie was sent to the new element.
        public let hasState: Bool
    }

    public enum Event: Hashable, Sendable {
        /// The first element is bound to the session.
        case connected(PoolElementID)
        /// A message that is the answer of no request.
        case message(Message)
        /// The element is gone. The next one follows as a ``failedOver(_:)``, at once or with the next request.
        case disconnected(PoolElementID, reason: String)
        case failedOver(Failover)
        /// No element of the pool can be had now; the session goes on looking.
        case interrupted(PoolError)
        /// A message that was not to fail over, and what has become of it.
        case undelivered([UInt8], RequestFate)
    }
}

/// What a fail-over handler can do: talk to the new element before anybody else does.
public struct FailoverContext: Sendable {
    /// What has happened.
    public let failover: Session.Failover
    let session: Session

    public func send(_ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0) async throws {
        try await self.session.prepare(
            SessionOutbox.Data(bytes: bytes, payloadProtocol: payloadProtocol, stream: stream))
    }

    /// Sends a request and waits for its answer, within the session's ``Session/Configuration/attemptTimeout``.
    public func request(
        _ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0
    ) async throws -> Session.Message {
        try await self.session.prepareAsking(
            SessionOutbox.Data(bytes: bytes, payloadProtocol: payloadProtocol, stream: stream))
    }
}
