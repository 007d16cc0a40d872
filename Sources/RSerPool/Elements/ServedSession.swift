// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// One user's session at a pool element: what the user sends, a way to answer, and the state that outlives this element.
///
///     let server = PoolElementServer(in: "CountPool", registrars: …, host: host, logger: logger) { session in
///         var count = session.state.flatMap(Count.init) ?? Count()
///         for await request in session.requests {
///             count.add(request.bytes)
///             try await session.send(count.bytes, answering: request)
///             try await session.keep(count.bytes)
///         }
///     }
///
/// It begins with the first message, or with the cookie that another element of the pool has given the user. When the closure
/// returns, the association ends in good order; when it throws, at once.
public struct ServedSession: Sendable {
    let link: ServedLink
    package let element: PoolElement

    /// Where the user is: all addresses of the association.
    public var user: String { self.link.source }

    /// What an element of this pool, perhaps another one, last gave this user to keep (``keep(_:)``), if the user has sent it
    /// and its signature is right. Nil for a session that begins here.
    ///
    /// It is there when the session begins, unless messages on streams other than 0 have overtaken the cookie on a network
    /// that loses packets.
    public var state: [UInt8]? { self.link.state }

    /// Who the user is, if it is a pool element itself (RFC 5352 §3.9): where to go on if it dies.
    public var businessCard: BusinessCard? { self.link.card }

    /// The element is leaving its pool: it takes what this user still sends, and wants the session to come to an end. The user
    /// has been told, and moves when no request is out. A session in which nothing was sent or received for a second, and whose
    /// closure waits in ``requests``, is then ended; all others within ``PoolElement/Configuration/drainLimit``.
    public var isLeaving: Bool { self.link.isLeaving }

    /// What the user sends, in order, without the control channel. Ends when the user is gone, or has moved.
    ///
    /// At most ``PoolElement/Configuration/maxPendingRequests`` wait: over TCP the user is held back then, over SCTP the
    /// association is aborted. For one reader at a time: two tasks that read at once are a fault of the program, and trap.
    public var requests: Requests { Requests(session: self) }

    /// Sends a message to the user, waiting while the transport has no room.
    ///
    /// - Throws: ``PoolError``: `.userGone`, or `.configurationInvalid` for what is empty, too long, or on payload protocol 11.
    public func send(_ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0) async throws {
        guard payloadProtocol != ASAPMessage.payloadProtocol else {
            throw PoolError(.configurationInvalid, "payload protocol 11 is ASAP's own: data needs another one")
        }
        guard !bytes.isEmpty else { throw PoolError(.configurationInvalid, "SCTP carries no empty messages") }
        try await self.element.transmit(bytes, payloadProtocol: payloadProtocol, stream: stream, over: self.link)
    }

    /// Sends an answer on the stream and with the payload protocol of the request.
    public func send(_ bytes: [UInt8], answering request: PoolElement.Request) async throws {
        try await self.send(bytes, payloadProtocol: request.payloadProtocol, stream: request.stream)
    }

    /// Gives the user a state cookie: should this element fail, the next one gets it back in ``state``. The newest counts. It
    /// is signed with ``PoolElement/Configuration/cookieKey``.
    ///
    /// - Throws: ``PoolError``: `.configurationInvalid` where there is no control channel, or for more than about 65 000
    ///   octets; `.userGone`.
    public func keep(_ state: [UInt8]) async throws {
        try await self.element.keep(state, over: self.link)
    }

    /// Waits until the element begins to leave its pool, or the user is gone.
    public func untilLeaving() async throws {
        try await self.link.whenLeaving.value()
    }

    public struct Requests: AsyncSequence, Sendable {
        let session: ServedSession

        public func makeAsyncIterator() -> Iterator { Iterator(session: self.session) }

        public struct Iterator: AsyncIteratorProtocol {
            let session: ServedSession

            public mutating func next() async -> PoolElement.Request? {
                let link = self.session.link
                let request = await link.next()
                if link.isPaused { await self.session.element.readOn(link) }
                return request
            }
        }
    }
}
