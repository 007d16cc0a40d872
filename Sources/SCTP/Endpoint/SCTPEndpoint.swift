// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress
internal import SocketLoop

/// A one-to-many SCTP socket: accepts associations, begins them, and carries messages on all of them (RFC 6458 §3).
///
/// Its executor is the socket loop, so nothing here waits for another thread. What happens comes as `events`, or
/// synchronously to a receiver for the layers above. End it with `close(gracefulWithin:)`; dropping the last reference
/// aborts everything.
public actor SCTPEndpoint {
    /// The SCTP port it is bound to.
    public nonisolated let port: UInt16
    /// The local UDP port of its packets, if they are encapsulated.
    public nonisolated let encapsulationPort: UInt16?
    /// The local addresses peers can reach it at; "every address" is spelled out as those of the interfaces that are
    /// up.
    public nonisolated let localAddresses: [IPAddress]
    public nonisolated let options: SCTPEndpointOptions
    public nonisolated let stack: SCTPStack

    /// One association from the endpoint's point of view.
    private final class Association {
        enum Phase {
            /// Leaves for `up`, or the association ends.
            case connecting
            /// Leaves for `shuttingDown`, or the association ends.
            case up
            /// Takes no more messages; what waits is still sent. `isTold`: the stack has been told to shut down.
            case shuttingDown(isTold: Bool)
        }

        var phase: Phase
        var info: SCTPAssociation?
        var queue = SendQueue()
        /// A `submit` was refused: say `writable` when there is room.
        var owesWritable = false
        var senders: [Waiter<Void>] = []
        var connecting: Waiter<SCTPAssociation>?
        var connectTimer: TimerID?

        init() { self.phase = .connecting }
    }

    private let socket: any StackSocket
    private var associations: [AssociationID: Association] = [:]
    private var counters = SCTPStatistics()
    private var isClosed = false
    private var closing: Waiter<Void>?

    private weak var receiver: (any SCTPReceiver)?
    private var hasReceiver = false
    /// Events that arose inside a call, delivered after it.
    private var deferred: [SCTPEvent] = []

    private var batch: [SCTPEvent] = []
    private var batchOctets = 0
    private var reader: Waiter<[SCTPEvent]?>?

    /// Binds an endpoint; if it accepts associations, it does so from now on.
    /// - Throws: `addressInUse`, `addressUnavailable` and others; the message names address and port.
    public init(on stack: SCTPStack, options: SCTPEndpointOptions = .default) async throws(SCTPError) {
        try options.validate()
        let socket = try await stack.loop.run { () throws(SCTPError) in try stack.opener.open(options) }
        // What a socket has bound never changes; it is published by the hop back from the loop.
        self.port = socket.port
        self.encapsulationPort = socket.encapsulationPort
        self.localAddresses = socket.localAddresses
        self.options = options
        self.stack = stack
        self.socket = socket
        self.begin()
    }

    // Not isolated: Swift 6.3.1 fails to optimise callers of an actor with such a deinit ("circular reference", without a
    // place). There is nobody left to resume here: whoever waits in a method holds the endpoint.
    deinit {
        let socket = self.socket
        self.stack.loop.call { socket.close() }
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.stack.loop.asUnownedSerialExecutor() }

    private func begin() {
        self.socket.owner = self
        self.socket.isReading = true
    }

    // MARK: Associations

    /// Associates with a peer; returns when the association is up. Cancelling aborts the attempt.
    ///
    /// The outcome is an event too, in its place among the others.
    /// - Throws: `refused`, `timedOut`, `alreadyAssociated`, `cancelled`, `closed` and others.
    public func connect(to peer: SCTPPeer) async throws(SCTPError) -> SCTPAssociation {
        let id = try self.startConnecting(to: peer)
        let waiter = Waiter<SCTPAssociation>()
        self.associations[id]?.connecting = waiter
        do {
            return try await waiter.value()
        } catch let error as SCTPError {
            throw error
        } catch {
            self.abort(id)
            throw SCTPError(.cancelled, "connecting to \(peer) was cancelled")
        }
    }

    /// Begins to associate. The outcome comes as `up` or `down`, never inside this call.
    package func startConnecting(to peer: SCTPPeer) throws(SCTPError) -> AssociationID {
        try self.checkOpen()
        guard !peer.addresses.isEmpty, peer.port != 0 else {
            throw SCTPError(.invalidArgument, "a peer needs an address and a port: \(peer)")
        }
        guard self.associations.count < self.options.maxAssociations else {
            throw SCTPError(.noResources, "the endpoint has \(self.associations.count) associations, its limit")
        }
        let id = AssociationID.next()
        try self.socket.connect(id, to: peer)
        let association = Association()
        association.connectTimer = self.stack.loop.clock.schedule(at: .now.advanced(by: self.options.connectTimeout)) {
            [weak self] in
            self?.assumeIsolated { $0.connectTimedOut(id, peer) }
        }
        self.associations[id] = association
        return id
    }

    private func connectTimedOut(_ id: AssociationID, _ peer: SCTPPeer) {
        guard case .connecting = self.associations[id]?.phase else { return }
        self.socket.abort(id)
        self.end(id, .refused, SCTPError(.timedOut, "\(peer) did not answer within \(self.options.connectTimeout)"))
        self.handOver()
    }

    /// Ends an association in an orderly way: messages already accepted are delivered first. `down` follows.
    /// Unknown associations are ignored: they have just ended.
    public func shutdown(_ id: AssociationID) {
        switch self.associations[id]?.phase {
        case .connecting: self.abort(id)
        case .up:
            self.associations[id]?.phase = .shuttingDown(isTold: false)
            self.proceedWithShutdown(id)
        case .shuttingDown, nil: break
        }
    }

    private func proceedWithShutdown(_ id: AssociationID) {
        guard let association = self.associations[id], case .shuttingDown(isTold: false) = association.phase,
            association.queue.isEmpty
        else { return }
        if self.socket.shutdown(id) { self.associations[id]?.phase = .shuttingDown(isTold: true) }
    }

    /// Ends an association at once; what has not arrived is lost. `sendFailed` for what the stack had not been given, and
    /// `down(_, .closed)` follow after this call.
    /// Unknown associations are ignored: they have just ended.
    public func abort(_ id: AssociationID) {
        guard let association = self.associations.removeValue(forKey: id) else { return }
        self.socket.abort(id)
        let unsent = association.queue.removeAll()
        self.abandon(association, SCTPError(.closed, "\(id) was aborted"))
        for message in unsent { self.later(.sendFailed(id, message)) }
        self.later(.down(id, .closed))
        self.checkClosing()
    }

    /// The peer's addresses and ports; nil when the association has ended.
    public func peer(of id: AssociationID) -> SCTPPeer? {
        self.associations[id] == nil ? nil : self.socket.peer(of: id)
    }

    /// All of the peer's addresses; empty when the association has ended.
    public func addresses(of id: AssociationID) -> [IPAddress] {
        self.peer(of: id)?.addresses ?? []
    }

    /// The associations that are up.
    public var upAssociations: [SCTPAssociation] { self.associations.values.compactMap(\.info) }

    /// The smoothed round-trip time of an association's primary path; nil while nothing has been measured, and once the
    /// association has ended. The kernel's stack measures in steps of the system's tick, a few milliseconds.
    public func smoothedRoundTripTime(of id: AssociationID) -> Duration? {
        self.associations[id]?.info == nil ? nil : self.socket.smoothedRoundTripTime(of: id)
    }

    /// Changes an association's HB.interval.
    public func setHeartbeat(_ interval: Duration, on id: AssociationID) throws(SCTPError) {
        guard self.associations[id]?.info != nil else { throw .unknown(id) }
        try self.socket.setHeartbeat(interval, on: id)
    }

    /// Sends a heartbeat now, to notice sooner that a peer is gone.
    public func probe(_ id: AssociationID) {
        if self.associations[id]?.info != nil { self.socket.probe(id) }
    }

    public var statistics: SCTPStatistics {
        var sum = self.socket.statistics
        sum.associationsUp = self.counters.associationsUp
        sum.associationsRejected = self.counters.associationsRejected
        sum.messagesTooLong = self.counters.messagesTooLong
        sum.sendsRefused = self.counters.sendsRefused
        return sum
    }

    // MARK: Sending

    /// Sends a message; suspends while the association's queue is full. Returning means accepted, not arrived.
    /// - Throws: `unknownAssociation`, `notConnected`, `messageTooLong`, `invalidArgument`, `lost`, `cancelled`.
    public func send(_ message: SCTPMessage, on id: AssociationID) async throws(SCTPError) {
        while true {
            if Task.isCancelled { throw SCTPError(.cancelled, "sending was cancelled") }
            if try self.accept(message, on: id) { return }
            let waiter = Waiter<Void>()
            self.associations[id]?.senders.append(waiter)
            do {
                try await waiter.value()
            } catch let error as SCTPError {
                throw error.code == .closed ? SCTPError(.lost, "\(id) ended") : error
            } catch {
                self.associations[id]?.senders.removeAll { $0 === waiter }
                throw SCTPError(.cancelled, "sending was cancelled")
            }
        }
    }

    /// Sends a message without ever waiting.
    /// - Throws: `bufferFull` when the association's queue is at its limit (`writable` follows), else as `send`.
    package func submit(
        _ bytes: [UInt8], stream: UInt16, payloadProtocol: UInt32, unordered: Bool, on id: AssociationID
    ) throws(SCTPError) {
        let message = SCTPMessage(bytes: bytes, stream: stream, payloadProtocol: payloadProtocol, unordered: unordered)
        if try self.accept(message, on: id) { return }
        self.associations[id]?.owesWritable = true
        self.counters.sendsRefused += 1
        throw SCTPError(.bufferFull, "\(self.associations[id]?.queue.octets ?? 0) octets wait for \(id)")
    }

    /// Hands a message to the stack or to the queue before it. False: the queue is full.
    private func accept(_ message: SCTPMessage, on id: AssociationID) throws(SCTPError) -> Bool {
        guard let association = self.associations[id] else { throw .unknown(id) }
        guard !message.bytes.isEmpty else { throw SCTPError(.invalidArgument, "SCTP has no empty messages") }
        guard message.bytes.count <= self.options.maxMessageLength else {
            throw SCTPError(
                .messageTooLong, "\(message.bytes.count) octets, the limit is \(self.options.maxMessageLength)")
        }
        switch association.phase {
        case .connecting:
            guard message.stream < self.options.outboundStreams else { throw .stream(message.stream) }
        case .up:
            if let info = association.info, message.stream >= info.outboundStreams { throw .stream(message.stream) }
            guard association.queue.isEmpty else { break }
            switch self.socket.send(message, on: id) {
            case .sent: return true
            case .full: break
            case .failed(let errno): throw SCTPError(.notConnected, "\(id) takes no more messages", errno: errno)
            }
        case .shuttingDown:
            throw SCTPError(.notConnected, "\(id) is being shut down")
        }
        let waiting = association.queue.octets
        guard waiting == 0 || waiting + message.bytes.count <= self.options.sendBufferLimit else { return false }
        association.queue.append(message)
        return true
    }

    /// The stack has room again.
    private func flush(_ id: AssociationID) {
        guard let association = self.associations[id] else { return }
        sending: while let message = association.queue.first {
            switch self.socket.send(message, on: id) {
            case .sent:
                association.queue.removeFirst()
            case .full:
                break sending
            case .failed:
                // Fewer streams were granted than asked for while connecting, or the association is ending.
                association.queue.removeFirst()
                self.later(.sendFailed(id, message))
            }
        }
        guard association.queue.octets <= self.options.sendBufferLimit / 2 else { return }
        let senders = association.senders
        association.senders = []
        for sender in senders { sender.end() }
        self.proceedWithShutdown(id)
        if association.owesWritable {
            association.owesWritable = false
            self.emit(.writable(id))
        }
    }

    // MARK: Events

    /// What happens to the associations, in batches, oldest first. Ends when the endpoint closes.
    ///
    /// While more than `eventBufferLimit` octets wait here the endpoint stops reading, and the stack's receive windows
    /// close: senders are held back, nothing is lost. It is for one consumer, who must keep reading for anything else
    /// to happen.
    public nonisolated var events: SCTPEventBatches { SCTPEventBatches(endpoint: self) }

    /// Sends all further events to `receiver` instead of `events`. It is not retained.
    package func setReceiver(_ receiver: any SCTPReceiver) {
        self.receiver = receiver
        self.hasReceiver = true
        let waiting = self.batch
        self.batch = []
        self.batchOctets = 0
        for event in waiting { self.later(event) }
    }

    /// With a receiver: whether messages are taken from the stack. While they are not, its windows to the peers close.
    package func setReading(_ isReading: Bool) {
        guard !self.isClosed else { return }
        self.socket.isReading = isReading
    }

    func nextBatch() async -> [SCTPEvent]? {
        if !self.batch.isEmpty {
            defer {
                self.batch = []
                self.batchOctets = 0
                if !self.isClosed { self.socket.isReading = true }
            }
            return self.batch
        }
        guard !self.isClosed, !Task.isCancelled else { return nil }
        let waiter = Waiter<[SCTPEvent]?>()
        self.reader?.end(.success(nil))
        self.reader = waiter
        // Cancellation ends the sequence.
        return try? await waiter.value()
    }

    private func handle(_ events: [StackEvent]) {
        for event in events {
            switch event {
            case .up(let info): self.cameUp(info)
            case .message(let message, let id):
                if self.associations[id] != nil { self.emit(.message(message, id)) }
            case .path(let id, let address, let state):
                if self.associations[id] != nil { self.emit(.path(id, address, state)) }
            case .writable(let id): self.flush(id)
            case .shutdownReceived(let id):
                if self.associations[id] != nil {
                    self.associations[id]?.phase = .shuttingDown(isTold: true)
                    self.emit(.shutdownReceived(id))
                }
            case .down(let id, let reason):
                self.end(id, reason, SCTPError(reason == .refused ? .refused : .lost, "\(id) ended: \(reason)"))
            case .messageTooLong(let id):
                self.counters.messagesTooLong += 1
                self.abort(id)
            }
        }
        self.emitDeferred()
        self.handOver()
    }

    private func cameUp(_ info: SCTPAssociation) {
        let isOverLimit = info.isIncoming && self.associations.count >= self.options.maxAssociations
        guard !isOverLimit, !self.isClosed, self.closing == nil else {
            self.counters.associationsRejected += 1
            return self.socket.abort(info.id)
        }
        // Aborted by us while the answer was on its way.
        if !info.isIncoming, self.associations[info.id] == nil { return self.socket.abort(info.id) }
        self.counters.associationsUp += 1
        let association = self.associations[info.id] ?? Association()
        association.phase = .up
        association.info = info
        let waiter = association.connecting
        association.connecting = nil
        self.cancelTimer(association)
        self.associations[info.id] = association
        waiter?.end(.success(info))
        self.emit(.up(info))
        self.flush(info.id)
    }

    private func end(_ id: AssociationID, _ reason: SCTPDownReason, _ error: SCTPError) {
        guard let association = self.associations.removeValue(forKey: id) else { return }
        let unsent = association.queue.removeAll()
        self.abandon(association, error)
        for message in unsent { self.emit(.sendFailed(id, message)) }
        self.emit(.down(id, reason))
        self.checkClosing()
    }

    /// Resumes everyone who waits for an association that has ended.
    private func abandon(_ association: Association, _ error: SCTPError) {
        self.cancelTimer(association)
        association.connecting?.end(.failure(error))
        for sender in association.senders { sender.end(.failure(SCTPError(.lost, error.message))) }
    }

    private func cancelTimer(_ association: Association) {
        guard let timer = association.connectTimer else { return }
        self.stack.loop.clock.cancel(timer)
        association.connectTimer = nil
    }

    private func emit(_ event: SCTPEvent) {
        guard !self.hasReceiver else {
            self.receiver?.received(event, from: self)
            return
        }
        self.batch.append(event)
        self.batchOctets += 64
        if case .message(let message, _) = event { self.batchOctets += message.bytes.count }
        if self.batchOctets > self.options.eventBufferLimit { self.socket.isReading = false }
    }

    /// Delivers an event after the call that caused it.
    private func later(_ event: SCTPEvent) {
        self.deferred.append(event)
        guard self.deferred.count == 1 else { return }
        self.stack.loop.call { [weak self] in
            self?.assumeIsolated { endpoint in
                endpoint.emitDeferred()
                endpoint.handOver()
            }
        }
    }

    private func emitDeferred() {
        // What a receiver causes meanwhile is deferred again, behind these.
        while !self.deferred.isEmpty {
            let events = self.deferred
            self.deferred = []
            for event in events { self.emit(event) }
        }
    }

    /// Gives the reader what has gathered, once per turn and not once per event.
    private func handOver() {
        guard let reader = self.reader, !self.batch.isEmpty else { return }
        self.reader = nil
        guard reader.end(.success(self.batch)) else { return }
        self.batch = []
        self.batchOctets = 0
        if !self.isClosed { self.socket.isReading = true }
    }

    // MARK: Closing

    /// Shuts all associations down and closes; what is left after `limit` is aborted. A limit of zero aborts at once.
    /// Further calls wait for the first.
    public func close(gracefulWithin limit: Duration) async {
        guard !self.isClosed else { return }
        if self.closing == nil {
            let waiter = Waiter<Void>()
            self.closing = waiter
            if limit > .zero, !self.associations.isEmpty {
                for id in Array(self.associations.keys) { self.shutdown(id) }
                let timer = self.stack.loop.clock.schedule(at: .now.advanced(by: limit)) { waiter.end() }
                // A cancelled task does not wait for the peers.
                try? await waiter.value()
                self.stack.loop.clock.cancel(timer)
            }
            self.closeNow()
        } else {
            await self.closed()
        }
    }

    private var closedWaiters: [Waiter<Void>] = []

    private func closed() async {
        let waiter = Waiter<Void>()
        self.closedWaiters.append(waiter)
        try? await waiter.value()
    }

    private func checkClosing() {
        if self.associations.isEmpty { self.closing?.end() }
    }

    private func closeNow() {
        guard !self.isClosed else { return }
        let left = self.associations
        self.associations = [:]
        // First our state, then the socket: nothing may come back from it.
        self.socket.owner = nil
        self.socket.close()
        for (id, association) in left.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            self.abandon(association, SCTPError(.closed, "the endpoint was closed"))
            self.emit(.down(id, .closed))
        }
        self.emitDeferred()
        self.isClosed = true
        self.handOver()
        self.reader?.end(.success(nil))
        self.reader = nil
        for waiter in self.closedWaiters { waiter.end() }
        self.closedWaiters = []
    }

    private func checkOpen() throws(SCTPError) {
        guard !self.isClosed, self.closing == nil else { throw SCTPError(.closed, "the endpoint is closed") }
    }
}

extension SCTPEndpoint: StackSocketOwner {
    nonisolated func happened(_ events: [StackEvent]) {
        self.assumeIsolated { $0.handle(events) }
    }
}

/// An endpoint's events in batches; see `SCTPEndpoint.events`.
public struct SCTPEventBatches: AsyncSequence, Sendable {
    public typealias Element = [SCTPEvent]
    public typealias Failure = Never

    let endpoint: SCTPEndpoint

    public func makeAsyncIterator() -> Iterator { Iterator(endpoint: self.endpoint) }

    public struct Iterator: AsyncIteratorProtocol {
        let endpoint: SCTPEndpoint

        public mutating func next() async -> [SCTPEvent]? {
            await self.endpoint.nextBatch()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> [SCTPEvent]? {
            await self.endpoint.nextBatch()
        }
    }
}

extension SCTPError {
    static func unknown(_ id: AssociationID) -> SCTPError {
        SCTPError(.unknownAssociation, "there is no \(id)")
    }

    fileprivate static func stream(_ stream: UInt16) -> SCTPError {
        SCTPError(.invalidArgument, "there is no outgoing stream \(stream)")
    }
}

extension SCTPEndpointOptions {
    fileprivate func validate() throws(SCTPError) {
        guard self.outboundStreams > 0, self.inboundStreams > 0 else {
            throw SCTPError(.invalidArgument, "an association needs a stream each way")
        }
        guard self.rtoMin <= self.rtoInitial, self.rtoInitial <= self.rtoMax else {
            throw SCTPError(.invalidArgument, "RTO.Min ≤ RTO.Initial ≤ RTO.Max does not hold")
        }
        guard self.maxMessageLength > 0, self.maxAssociations > 0, self.sendBufferLimit >= 0, self.eventBufferLimit > 0
        else {
            throw SCTPError(.invalidArgument, "a limit of the options is not positive")
        }
        guard self.localAddresses.allSatisfy({ !$0.isMulticast }) else {
            throw SCTPError(.invalidArgument, "SCTP cannot be bound to a multicast address")
        }
    }
}
