// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
public import RSerPoolCore
internal import RSerPoolTransport
public import RSerPoolWire
internal import SocketLoop

/// A conversation with a pool that outlives the elements it is held with (RFC 5351 §4.2, RFC 5352 §6.5).
///
///     try await user.withSession(with: "CalcPool") { session in
///         let answer = try await session.request(bytes)
///     }
///
/// It is bound to one element, reached over SCTP, TCP or UDP as the pool's elements offer, and stays with it while that works.
/// When the element dies, is cut off, or does not answer within ``Configuration/attemptTimeout``, the session reports it, takes
/// the next one (those that the element's business card prefers, then by the pool's policy), gives it the newest state cookie,
/// runs the application's fail-over handler, and sends on: what had not been handed over, then what waited. A request that was
/// out goes to the next element again, which may carry it out a second time, unless its ``SendOptions`` say otherwise. What was
/// sent and wants no answer may be lost: ``Failover/uncertainMessages`` says how much.
///
/// An element that leaves in good order says so on the control channel; the session finishes the request that is out and moves.
///
/// Bounds: one request is out at a time, 4 096 pieces wait to be sent; one cookie is kept.
public actor Session {
    /// A link to the element that the session is bound to. A class: each message looks at it, and none copies it.
    final class Binding {
        enum Phase {
            /// The fail-over handler has the word. Leaves for `.up`.
            case preparing
            case up
            /// We have ended it; what follows from that waits for the link's end.
            case ending(reason: String, isReported: Bool)
        }

        let link: LinkID
        let member: PoolMember
        let route: ElementPorts.Route
        let since: ContinuousClock.Instant
        var phase: Phase
        /// What its transport had taken and could not begin to send.
        var unsent: [SessionOutbox.Data] = []
        /// The element wants to be left as soon as nothing is out.
        var isLeaving = false
        /// It has sent data.
        var wasHeard = false
        /// One of its cards has had a pool asked for.
        var hasNamedPool = false
        var wasGivenCookie = false
        var hasRejectedCookie = false

        init(
            link: LinkID, member: PoolMember, route: ElementPorts.Route, phase: Phase, since: ContinuousClock.Instant
        ) {
            self.link = link
            self.member = member
            self.route = route
            self.phase = phase
            self.since = since
        }
    }

    /// An attempt to connect. What the far end says, and that it ends, may come before the task that waits for it goes on.
    final class Attempt {
        let outcome = OneShot<Void>()
        var hasEnded = false
        var early: [InboundMessage] = []
    }

    /// Someone who waits for a piece of the outbox.
    enum Ticket {
        case request(Waiter<Message>)
        case message(Waiter<PoolElementID>)
    }

    /// Whom a session is to be bound to.
    enum Destination: Sendable {
        case pool(PoolHandle)
        /// This element while it can be reached, then others of its pool.
        case element(PoolElementID, PoolHandle)
        /// This address and nobody else: no fail-over (RFC 5352 §6.5.4).
        case address(UserTransport)
    }

    /// Nil where the session was given an address.
    public nonisolated let pool: PoolHandle?
    nonisolated let destination: Destination
    nonisolated let user: PoolUser
    nonisolated let host: Host
    nonisolated let configuration: Configuration
    nonisolated let inbox: SessionInbox
    let ports: ElementPorts
    /// For copies to all elements.
    let copyPorts: ElementPorts
    var outbox = SessionOutbox()
    var tickets: [UInt64: Ticket] = [:]
    var binding: Binding?
    var attempts: [LinkID: Attempt] = [:]
    /// Links to elements that were left in good order, and what they had taken.
    var retiring: [LinkID: (binding: Binding, taken: SessionOutbox.Taken)] = [:]
    /// When the element has not answered in time; nil while no request is out.
    var attemptDeadline: ContinuousClock.Instant?
    /// Fires at that time or before, and is set again then: one for each request would be much of what a request costs.
    var attemptTimer: TimerID?
    /// Whom the fail-over handler waits for.
    var handlerAnswer: OneShot<Message>?
    /// The newest state cookie (RFC 5352 §3.8).
    var cookie: [UInt8]?
    /// The order of fail-over that the element's newest business card names (§3.9).
    var preferred: [PoolElementID] = []
    /// Whom the session was bound to last, and why not any more.
    var former: (member: PoolMember, reason: String)?
    var repeatsRequest = false
    /// Elements that failed since something was last achieved.
    var failed: Set<PoolElementID> = []
    /// Elements that have said that they leave the pool, and when.
    var leaving: [PoolElementID: ContinuousClock.Instant] = [:]
    /// How long to wait before the next element: grows while links end without having been of use.
    var restlessness = Duration.zero
    /// Since when an element has been looked for; nil once something was achieved.
    var lookingSince: ContinuousClock.Instant?
    /// Elements that cannot read the session's cookie.
    var refusesCookie: Set<PoolElementID> = []
    /// Somebody has asked to be connected.
    var wantsBinding = false
    /// The inbox has been full, and nobody has said that it has room again. While it has not been, no request asks it.
    var isHoldingBack = false
    /// Wakes the task that binds.
    let wakeUps = Mailbox<Void>(limit: 1)
    /// The pause between two looks for an element.
    var resting: OneShot<Void>?
    var isClosed = false

    init(
        to destination: Destination, user: PoolUser, configuration: Configuration
    ) {
        self.destination = destination
        switch destination {
        case .pool(let pool), .element(_, let pool): self.pool = pool
        case .address: self.pool = nil
        }
        self.user = user
        self.host = user.host
        self.configuration = configuration
        self.inbox = SessionInbox(limit: configuration.maxPendingEvents)
        func makePorts() -> ElementPorts {
            ElementPorts(
                host: user.host, framing: configuration.streamFraming, isFast: user.configuration.fastFailureDetection)
        }
        self.ports = makePorts()
        self.copyPorts = makePorts()
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// The element that the session is bound to now.
    public var element: PoolElementID? { self.binding?.member.id }

    /// What happens, in order: messages that are no answers, and changes of element. For one reader at a time.
    public nonisolated var events: SessionEvents { SessionEvents(session: self, inbox: self.inbox) }

    /// Binds the session now; otherwise the first request or message does. Whoever only listens calls this.
    public func connect() {
        self.wantsBinding = true
        self.wake()
    }

    /// Sends `bytes` and waits for the answer: the next message of the element. Requests are sent one after the other.
    ///
    /// - Parameters:
    ///   - payloadProtocol: SCTP's payload protocol identifier; not 11, which is ASAP's own (RFC 5352 §5).
    ///   - timeout: for the whole of it, fail-over included; nil: as long as there are elements to try, each for
    ///     ``Configuration/attemptTimeout``.
    /// - Throws: ``PoolError``, whose ``PoolError/fate`` says whether the request may have been carried out; or
    ///   `CancellationError`. An answer that comes later is never taken for another request's: its link ends.
    public func request(
        _ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0, options: SendOptions = .useDefault,
        timeout: Duration? = nil
    ) async throws -> Message {
        guard !options.contains(.toAll) else {
            throw PoolError(.configurationInvalid, "a request has one answer: to all elements go only messages")
        }
        let data = try self.checked(bytes, payloadProtocol, stream, options)
        let ticket = Waiter<Message>()
        let number = self.outbox.append(data, options: options, wantsAnswer: true)
        self.tickets[number] = .request(ticket)
        let timer = timeout.map { timeout in
            self.host.clock.schedule(at: self.host.clock.now + timeout) {
                self.assumeIsolated { $0.timedOut(number, after: timeout) }
            }
        }
        defer { if let timer { self.host.clock.cancel(timer) } }
        self.goOn()
        do {
            return try await ticket.value()
        } catch let error as CancellationError {
            self.abandon(number)
            throw error
        }
    }

    /// Sends a message that wants no answer. Returns when the transport has taken it: that is all that can be known here.
    ///
    /// - Returns: who got it.
    /// - Throws: ``PoolError`` with its ``PoolError/fate``, or `CancellationError`: then it may just have been sent.
    @discardableResult
    public func send(
        _ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0, options: SendOptions = .useDefault
    ) async throws -> Delivery {
        let data = try self.checked(bytes, payloadProtocol, stream, options)
        if options.contains(.toAll) { return try await self.sendToAll(data, options) }
        if let element = self.sendAtOnce(data, options) { return Delivery(elements: [element], failed: []) }
        let ticket = Waiter<PoolElementID>()
        let number = self.outbox.append(data, options: options, wantsAnswer: false)
        self.tickets[number] = .message(ticket)
        self.goOn()
        do {
            return Delivery(elements: [try await ticket.value()], failed: [])
        } catch let error as CancellationError {
            self.abandon(number)
            throw error
        }
    }

    private func checked(
        _ bytes: [UInt8], _ payloadProtocol: UInt32, _ stream: UInt16, _ options: SendOptions
    ) throws(PoolError) -> SessionOutbox.Data {
        guard !self.isClosed else {
            throw PoolError(.stopped, "the session is closed", fate: .notExecuted)
        }
        guard payloadProtocol != ASAPMessage.payloadProtocol else {
            throw PoolError(
                .configurationInvalid, "payload protocol 11 is ASAP's own: data needs another one", fate: .notExecuted)
        }
        guard !bytes.isEmpty else {
            throw PoolError(.configurationInvalid, "SCTP carries no empty messages", fate: .notExecuted)
        }
        guard !self.outbox.isFull else {
            throw PoolError(
                .overloaded, "\(SessionOutbox.maxPieces) messages wait in this session already", fate: .notExecuted)
        }
        if options.contains(.toLast), self.binding == nil, self.former == nil {
            throw PoolError(
                .configurationInvalid, "no element has had a message yet: there is no last one", fate: .notExecuted)
        }
        return SessionOutbox.Data(
            bytes: bytes, payloadProtocol: payloadProtocol, stream: stream, isUnordered: options.contains(.unordered))
    }

    /// Without a detour, where nothing waits and the link takes it.
    private func sendAtOnce(_ data: SessionOutbox.Data, _ options: SendOptions) -> PoolElementID? {
        guard let binding = self.binding, case .up = binding.phase, !binding.isLeaving, self.outbox.isNothingWaiting,
            (try? self.transmit(data, over: binding)) != nil
        else { return nil }
        self.outbox.handOver(options)
        return binding.member.id
    }

    func transmit(_ data: SessionOutbox.Data, over binding: Binding) throws(TransportError) {
        let message = OutboundMessage(
            bytes: data.bytes, payloadProtocol: data.payloadProtocol, stream: data.stream, unordered: data.isUnordered)
        try binding.route.port.send(binding.route.framing?.outbound(message) ?? message, on: binding.link)
    }

    // MARK: Ends of waiting

    private func timedOut(_ number: UInt64, after timeout: Duration) {
        guard case .request(let ticket)? = self.tickets[number] else { return }
        let fate = self.abandon(number)
        ticket.end(.failure(PoolError(.timedOut, "no answer within \(timeout)", fate: fate)))
    }

    /// Nobody waits for a piece any more. If it is out, its link has to end, or its late answer would be taken for the next
    /// request's.
    @discardableResult
    private func abandon(_ number: UInt64) -> RequestFate {
        self.tickets[number] = nil
        guard let (piece, isOut) = self.outbox.withdraw(number) else { return .notExecuted }
        if isOut {
            self.stopAttemptTimer()
            // Its time was the caller's own: no proof that nobody reaches the element.
            self.endBinding("a request was given up", isReported: false)
        }
        return piece.fate
    }

    /// A piece will go nowhere any more.
    func fail(_ piece: SessionOutbox.Piece, _ error: PoolError) {
        switch self.tickets.removeValue(forKey: piece.number) {
        case .request(let ticket): ticket.end(.failure(error.with(piece.fate)))
        case .message(let ticket): ticket.end(.failure(error.with(piece.fate)))
        // It was handed over, and whoever sent it went on.
        case nil: self.tell(.undelivered(piece.data.bytes, piece.fate))
        }
    }

    /// Ends it; ``PoolUser/withSession(with:_:)`` does that.
    func close() async {
        self.isClosed = true
        self.stopAttemptTimer()
        if let timer = self.attemptTimer.take() { self.host.clock.cancel(timer) }
        for piece in self.outbox.removeAll() { self.fail(piece, PoolError(.stopped, "the session is closed")) }
        self.resting?.resolve(.success(()))
        // Who was about to be connected has done nothing wrong, and is not waited for.
        for attempt in self.attempts.values { attempt.outcome.resolve(.failure(CancellationError())) }
        self.wakeUps.finish()
        self.inbox.finish()
        await self.ports.close(within: .seconds(1))
        await self.copyPorts.close(within: .seconds(1))
    }
}
