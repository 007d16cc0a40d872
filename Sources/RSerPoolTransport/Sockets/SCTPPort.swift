// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import SCTP
internal import SocketLoop

/// An SCTP endpoint as a port: its associations are the links, their numbers the links' numbers.
///
/// Bounds: the options' `sendBufferLimit` per link on top of what the stack holds, messages of 65 536 octets, and
/// `maxIncomingLinks`. Messages sent before `.up` wait for it. Keep it as long as its events are wanted.
package actor SCTPPort: Port, SCTPReceiver {
    /// Associations that we may begin besides `maxIncomingLinks`.
    private static let maxOutgoingLinks = 16_384

    private struct Known {
        var isIncoming: Bool
        /// We have shut it down: however it ends, we ended it.
        var isShutDown = false
    }

    package nonisolated let id: PortID
    package nonisolated let local: LocalEndpoint
    private nonisolated let loop: SocketLoop
    private nonisolated let endpoint: SCTPEndpoint
    private let maxIncomingLinks: Int
    private var receiver: (any PortReceiver)?
    private var known: [AssociationID: Known] = [:]
    private var incomingCount = 0
    private var isClosing = false
    private var isClosed = false
    private var closers: [CheckedContinuation<Void, Never>] = []
    /// Associations above `maxIncomingLinks`, aborted at once.
    package private(set) var refusedAssociations = 0

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }

    init(id: PortID, options: PortOptions, encapsulationPort: UInt16, stack: SCTPStack) async throws(TransportError) {
        var settings: SCTPEndpointOptions = options.fastFailureDetection ? .fast : .default
        settings.localAddresses = options.localAddresses
        settings.port = options.port
        settings.encapsulationPort = options.encapsulationPort ?? encapsulationPort
        settings.acceptsAssociations = options.acceptsLinks
        settings.sendBufferLimit = options.sendBufferLimit
        settings.maxAssociations = options.maxIncomingLinks + Self.maxOutgoingLinks
        do throws(SCTPError) {
            self.endpoint = try await SCTPEndpoint(on: stack, options: settings)
        } catch {
            throw TransportError(error)
        }
        self.id = id
        self.loop = stack.loop
        self.local = LocalEndpoint(
            scheme: .sctp, addresses: options.localAddresses.isEmpty ? [.anyIPv4] : options.localAddresses,
            port: self.endpoint.port, encapsulationPort: self.endpoint.encapsulationPort)
        self.maxIncomingLinks = options.maxIncomingLinks
    }

    /// Begins to tell `receiver`, never before the caller goes on: its continuation is queued when this returns, behind the
    /// first call to the loop and before the second.
    func start(_ receiver: any PortReceiver) {
        self.receiver = receiver
        self.loop.call {
            self.loop.call {
                self.endpoint.assumeIsolated { $0.setReceiver(self) }
            }
        }
    }

    // MARK: Port

    package nonisolated func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        let peer = SCTPPeer(
            addresses: remote.addresses, port: remote.port, encapsulationPort: remote.encapsulationPort)
        let id = try self.onEndpoint { endpoint throws(SCTPError) in try endpoint.startConnecting(to: peer) }
        self.assumeIsolated { $0.known[id] = Known(isIncoming: false) }
        return self.link(id)
    }

    package nonisolated func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError) {
        guard link.port == self.id else { throw TransportError(.noSuchLink, "link \(link) is another port's") }
        try self.onEndpoint { endpoint throws(SCTPError) in
            try endpoint.submit(
                message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol,
                unordered: message.unordered, on: AssociationID(rawValue: link.number))
        }
    }

    package nonisolated func shutdown(_ link: LinkID) {
        guard link.port == self.id else { return }
        self.assumeIsolated { $0.finish(AssociationID(rawValue: link.number)) }
    }

    package nonisolated func abort(_ link: LinkID) {
        guard link.port == self.id else { return }
        self.endpoint.assumeIsolated { $0.abort(AssociationID(rawValue: link.number)) }
    }

    package nonisolated func setReading(_ isReading: Bool, on link: LinkID) {
        guard link.port == self.id else { return }
        self.endpoint.assumeIsolated { $0.setReading(isReading) }
    }

    package nonisolated func localAddresses(of link: LinkID) -> [IPAddress] {
        guard link.port == self.id else { return [] }
        let remotes = self.endpoint.assumeIsolated { $0.addresses(of: AssociationID(rawValue: link.number)) }
        guard let remote = remotes.first else { return [] }
        let bound = self.endpoint.localAddresses
        if self.endpoint.stack.kind == .kernel, bound.count > 1 {
            // What the association was told of: all that the far end can make use of.
            let isLocal = remotes.contains(where: \.isLoopback)
            let usable = bound.filter { isLocal || !$0.isLoopback }
            return usable.isEmpty ? bound : usable
        }
        let family = bound.filter { $0.family == remote.family }
        if family.count == 1 { return family }
        return LocalRoute.source(to: remote).map { [$0] } ?? []
    }

    package nonisolated func smoothedRoundTripTime(of link: LinkID) -> Duration? {
        guard link.port == self.id else { return nil }
        return self.endpoint.assumeIsolated { $0.smoothedRoundTripTime(of: AssociationID(rawValue: link.number)) }
    }

    package func close(within limit: Duration) async {
        guard !self.isClosed else { return }
        if !self.isClosing {
            self.isClosing = true
            for id in self.known.keys.sorted(by: { $0.rawValue < $1.rawValue }) { self.finish(id) }
        }
        if limit > .zero, !self.known.isEmpty {
            // Not cut short by cancellation: this is how a cancelled run() ends, and `limit` bounds it.
            let timer = self.loop.clock.schedule(at: self.loop.clock.now.advanced(by: limit)) {
                self.assumeIsolated { $0.resumeClosers() }
            }
            await withCheckedContinuation { self.closers.append($0) }
            self.loop.clock.cancel(timer)
        }
        guard !self.isClosed else { return }
        self.isClosed = true
        self.resumeClosers()
        await self.endpoint.close(gracefulWithin: .zero)
        self.receiver = nil
    }

    // MARK: Events

    package nonisolated func received(_ event: SCTPEvent, from endpoint: SCTPEndpoint) {
        self.assumeIsolated { $0.handle(event) }
    }

    private func handle(_ event: SCTPEvent) {
        switch event {
        case .up(let association):
            self.cameUp(association)
        case .message(let message, let id):
            guard self.known[id] != nil else { return }
            let inbound = InboundMessage(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream)
            self.tell(.message(inbound, self.link(id)))
        case .writable(let id):
            if self.known[id] != nil { self.tell(.writable(self.link(id))) }
        case .down(let id, let reason):
            guard let known = self.known.removeValue(forKey: id) else { return }
            if known.isIncoming { self.incomingCount -= 1 }
            self.tell(.down(self.link(id), known.isShutDown ? .closed : LinkDownReason(reason)))
            if self.isClosing, self.known.isEmpty { self.resumeClosers() }
        case .sendFailed(let id, let message):
            guard self.known[id] != nil else { return }
            let unsent = OutboundMessage(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream,
                unordered: message.unordered)
            self.tell(.unsent(unsent, self.link(id)))
        case .path, .shutdownReceived:
            // A link has no paths; the end that belongs to the other one follows.
            break
        }
    }

    private func cameUp(_ association: SCTPAssociation) {
        if association.isIncoming {
            guard !self.isClosing, self.incomingCount < self.maxIncomingLinks else {
                self.refusedAssociations += 1
                self.endpoint.assumeIsolated { $0.abort(association.id) }
                if !self.isClosing { self.receiver?.turnedAway(.tooManyLinks, at: self) }
                return
            }
            self.incomingCount += 1
            self.known[association.id] = Known(isIncoming: true)
        }
        let peer = association.peer
        let remote = RemoteEndpoint(
            addresses: peer.addresses, port: peer.port, encapsulationPort: peer.encapsulationPort)
        self.tell(
            .up(Link(id: self.link(association.id), scheme: .sctp, remote: remote, isIncoming: association.isIncoming)))
    }

    // MARK: Helpers

    private func finish(_ id: AssociationID) {
        guard self.known[id] != nil else { return }
        self.known[id]?.isShutDown = true
        self.endpoint.assumeIsolated { $0.shutdown(id) }
    }

    private func tell(_ event: LinkEvent) {
        self.receiver?.received(event, from: self)
    }

    private func resumeClosers() {
        let closers = self.closers
        self.closers = []
        for closer in closers { closer.resume() }
    }

    private nonisolated func link(_ id: AssociationID) -> LinkID { LinkID(port: self.id, number: id.rawValue) }

    private nonisolated func onEndpoint<Value: Sendable>(
        _ body: @Sendable (isolated SCTPEndpoint) throws(SCTPError) -> Value
    ) throws(TransportError) -> Value {
        let outcome = self.endpoint.assumeIsolated { endpoint in
            Result { () throws(SCTPError) in try body(endpoint) }
        }
        return try outcome.mapError(TransportError.init).get()
    }
}

extension LinkDownReason {
    init(_ reason: SCTPDownReason) {
        switch reason {
        case .shutdown: self = .shutdown
        case .aborted: self = .aborted
        case .lost: self = .lost
        case .refused: self = .refused
        case .closed: self = .closed
        }
    }
}

extension TransportError {
    init(_ error: SCTPError) {
        let code: Code
        switch error.code {
        case .addressInUse: code = .addressInUse
        case .addressUnavailable: code = .addressNotAvailable
        case .stackUnavailable: code = .unsupported
        case .noResources: code = .outOfResources
        case .bufferFull: code = .bufferFull
        case .messageTooLong: code = .messageTooLong
        case .unknownAssociation, .notConnected, .lost: code = .noSuchLink
        default: code = .failed
        }
        self.init(code, error.message)
    }
}
