// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
package import RSerPoolTransport
package import RSerPoolWire
internal import SocketLoop

/// Asks one registrar what it knows, over ENRP but as a tool, not as a registrar: one association, one answer, gone.
///
/// It never says where it could be reached (no Server Information), so our registrars take it for provisional and forget
/// it with its association: it appears in no list and delays no takeover. rsplib's want to be introduced to whoever asks:
/// they get a full PRESENCE first, and see the association end in good order.
package actor ENRPQuery {
    /// A registrar's whole handlespace.
    package struct Table: Sendable {
        package var registrar: RegistrarID
        /// Elements stand here once, whichever parts of the answer named them.
        package var pools: [PoolHandle: [PoolElementID: PoolMember]] = [:]

        package init(registrar: RegistrarID) {
            self.registrar = registrar
        }
    }

    /// The registrars that a registrar lists; itself not among them.
    package struct PeerListing: Sendable {
        package var registrar: RegistrarID
        package var servers: [ServerInformation]
    }

    /// Elements that one table may have. A registrar that says "more follows" for ever shall not fill our memory.
    private static let maxElements = 16_000_000

    private nonisolated let host: Host
    private let endpoint: Endpoint
    private let dialect: Dialect
    private let timers: ENRPTimers
    private let fastFailureDetection: Bool
    private let patience: Duration
    private let id: RegistrarID

    private var port: (any Port)?
    private var link: LinkID?
    private let connected = OneShot<Void>()
    private var question: (answerType: ENRPMessage.MessageType, answer: OneShot<ENRPMessage>)?

    /// - Parameter patience: how long it is tried to reach a registrar, and how long one may reject, before it is given up.
    package init(
        of endpoint: Endpoint, dialect: Dialect = .rfc, timers: ENRPTimers, fastFailureDetection: Bool,
        patience: Duration = .seconds(15), host: Host
    ) {
        var generator = host.makeGenerator()
        self.id = .random(using: &generator)
        self.endpoint = endpoint
        self.dialect = dialect
        self.timers = timers
        self.fastFailureDetection = fastFailureDetection
        self.patience = patience
        self.host = host
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// All that it knows of everybody's elements (RFC 5353 §3.2.3, W = 0).
    /// - Throws: ``ENRPQueryError``, or `CancellationError`.
    package func handlespace() async throws -> Table {
        try await self.withAssociation { deadline in
            var table = Table(registrar: .undetermined)
            var count = 0
            while true {
                let message = try await self.ask(.handleTableRequest(ownChildrenOnly: false), until: deadline)
                table.registrar = message.sender
                guard case .handleTableResponse(_, let moreFollows, let entries) = message.body else { return table }
                count += self.take(entries, into: &table)
                guard moreFollows else { return table }
                guard !entries.isEmpty, count <= Self.maxElements else {
                    throw ENRPQueryError(.malformed, "\(self.endpoint): its handlespace has no end")
                }
            }
        }
    }

    /// The peers that it lists (§3.2.2).
    /// - Throws: as ``handlespace()``.
    package func peers() async throws -> PeerListing {
        try await self.withAssociation { deadline in
            let message = try await self.ask(.listRequest, until: deadline)
            guard case .listResponse(_, let servers) = message.body else {
                return PeerListing(registrar: message.sender, servers: [])
            }
            // rsplib's list the asker too, whom they have just been introduced to.
            return PeerListing(registrar: message.sender, servers: servers.filter { $0.id != self.id })
        }
    }

    /// - Returns: how many elements the entries have.
    private func take(_ entries: [ENRPMessage.PoolEntry], into table: inout Table) -> Int {
        var count = 0
        for entry in entries {
            for var member in entry.members {
                member.life = self.dialect.heard(member.life)
                table.pools[entry.pool, default: [:]][member.id] = member
                count += 1
            }
        }
        return count
    }

    // MARK: The association

    private func withAssociation<Value: Sendable>(
        _ body: (_ deadline: ContinuousClock.Instant) async throws -> Value
    ) async throws -> Value {
        let deadline = self.host.clock.now + self.patience
        let port = try await self.openPort()
        self.port = port
        let outcome: Result<Value, any Error>
        do {
            try await self.connect(port, until: deadline)
            outcome = .success(try await body(deadline))
        } catch {
            outcome = .failure(error)
        }
        self.port = nil
        await port.close(within: .seconds(1))
        return try outcome.get()
    }

    private func openPort() async throws -> any Port {
        do throws(TransportError) {
            return try await self.host.transport.open(
                PortOptions(scheme: .sctp, fastFailureDetection: self.fastFailureDetection), receiver: self)
        } catch {
            throw ENRPQueryError(.unreachable, "cannot open an SCTP endpoint: \(error.message)")
        }
    }

    private func connect(_ port: any Port, until deadline: ContinuousClock.Instant) async throws {
        guard self.endpoint.scheme == .sctp,
            let remote = try await self.endpoint.lookedUp(defaultPort: ENRPMessage.port).remote
        else {
            throw ENRPQueryError(
                .endpointInvalid,
                "\(self.endpoint): a registrar's own SCTP endpoint is needed; sctp:192.0.2.1:9901 for example")
        }
        do throws(TransportError) {
            self.link = try port.connect(to: remote)
        } catch {
            throw ENRPQueryError(.unreachable, "cannot reach \(self.endpoint): \(error.message)")
        }
        try await self.wait(
            for: self.connected, until: deadline,
            orThrow: "\(self.endpoint) does not answer: is the address right, and the registrar running?")
        if self.dialect == .rsplib { try self.introduce(to: .undetermined) }
    }

    /// PRESENCE with our own endpoint, which rsplib checks against the association.
    private func introduce(to receiver: RegistrarID) throws {
        guard let port = self.port, let link = self.link else { return }
        let information = ServerInformation(
            id: self.id, transport: SCTPTransport(port: port.local.port, addresses: port.localAddresses(of: link)))
        try self.send(
            .presence(replyRequired: false, checksum: PEChecksum().rsplibValue, information: information), to: receiver)
    }

    // MARK: Question and answer

    /// Asks, and asks again after a pause as long as the registrar rejects: it may be starting, or have too many askers.
    private func ask(_ body: ENRPMessage.Body, until deadline: ContinuousClock.Instant) async throws -> ENRPMessage {
        while true {
            let message = try await self.exchange(body)
            guard message.body.isRejection else { return message }
            let next = self.host.clock.now + self.timers.mentorRetryPause
            guard next < deadline else {
                throw ENRPQueryError(
                    .unreachable,
                    "\(self.endpoint) rejects each \(body.type.name): it is starting or busy, or it is rsplib's: then add --dialect \(self.endpoint)=rsplib"
                )
            }
            try await self.host.clock.sleep(until: next)
        }
    }

    private func exchange(_ body: ENRPMessage.Body) async throws -> ENRPMessage {
        let answer = OneShot<ENRPMessage>()
        self.question = (body.type == .listRequest ? .listResponse : .handleTableResponse, answer)
        defer { self.question = nil }
        try self.send(body, to: .undetermined)
        return try await self.wait(
            for: answer, until: self.host.clock.now + self.timers.tableTimeout,
            orThrow:
                "\(self.endpoint) gave no answer to \(body.type.name) within \(self.timers.tableTimeout / .seconds(1)) s: is it a registrar's ENRP endpoint, and not its ASAP one?"
        )
    }

    private func send(_ body: ENRPMessage.Body, to receiver: RegistrarID) throws {
        guard let port = self.port, let link = self.link else {
            throw ENRPQueryError(.unreachable, "\(self.endpoint) has ended the association")
        }
        let message = ENRPMessage(sender: self.id, receiver: receiver, body: body)
        let bytes = try message.encoded(for: self.dialect == .rsplib ? .rsplibENRP : .enrp)
        do throws(TransportError) {
            try port.send(OutboundMessage(bytes: bytes, payloadProtocol: ENRPMessage.payloadProtocol), on: link)
        } catch {
            throw ENRPQueryError(.unreachable, "\(self.endpoint): \(error.message)")
        }
    }

    private func wait<Value: Sendable>(
        for outcome: OneShot<Value>, until deadline: ContinuousClock.Instant, orThrow message: String
    ) async throws -> Value {
        let timer = self.host.clock.schedule(at: deadline) {
            outcome.resolve(.failure(ENRPQueryError(.unreachable, message)))
        }
        defer { self.host.clock.cancel(timer) }
        return try await outcome.value()
    }

    // MARK: Events

    private func handle(_ event: LinkEvent) {
        switch event {
        case .up(let link):
            if link.id == self.link { self.connected.resolve(.success(())) }
        case .message(let message, let link):
            if link == self.link { self.received(message) }
        case .down(let link, let reason):
            guard link == self.link else { return }
            self.link = nil
            self.fail(.unreachable, Self.text(of: reason, self.endpoint))
        case .writable, .unsent: break
        }
    }

    private static func text(of reason: LinkDownReason, _ endpoint: Endpoint) -> String {
        switch reason {
        case .refused:
            "cannot reach \(endpoint): no registrar listens there; one names its enrp= endpoints, with /udp= where needed, when it starts"
        case .shutdown: "\(endpoint) has ended the association: the registrar is stopping"
        case .aborted: "\(endpoint) has aborted the association: is it a registrar's ENRP endpoint?"
        case .lost: "\(endpoint) does not answer any more"
        case .closed, .protocolViolation: "the association with \(endpoint) has ended: \(reason.rawValue)"
        }
    }

    private func fail(_ code: ENRPQueryError.Code, _ message: String) {
        let error = ENRPQueryError(code, message)
        self.connected.resolve(.failure(error))
        self.question?.answer.resolve(.failure(error))
    }

    private func received(_ message: InboundMessage) {
        // What speaks ASAP may say so; nothing else is for us.
        guard message.payloadProtocol == ENRPMessage.payloadProtocol || message.payloadProtocol == 0 else {
            if message.payloadProtocol == ASAPMessage.payloadProtocol {
                self.fail(.unreachable, "\(self.endpoint) speaks ASAP: give the registrar's ENRP endpoint")
            }
            return
        }
        let decoded: ENRPMessage
        do throws(WireError) {
            decoded = try ENRPMessage.decode(message.bytes[...]).message
        } catch {
            self.fail(
                .malformed,
                "\(self.endpoint) sent what is no ENRP message: \(error.code) at offset \(error.offset): \(error.reason)"
            )
            return
        }
        guard decoded.receiver == self.id || decoded.receiver == .undetermined else { return }
        switch decoded.body {
        case .presence(replyRequired: true, _, _) where self.dialect == .rsplib:
            try? self.introduce(to: decoded.sender)
        case .error(let causes):
            let isSecurity = causes.contains { $0.code == .rejectedForSecurity }
            self.fail(
                isSecurity ? .refusedForSecurity : .unreachable,
                "\(self.endpoint) answers with an error: \(causes.map(\.code.description).joined(separator: ", "))")
        default:
            guard let question = self.question, decoded.body.type == question.answerType else { return }
            question.answer.resolve(.success(decoded))
        }
    }
}

extension ENRPQuery: PortReceiver {
    package nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}

extension ENRPMessage.Body {
    fileprivate var isRejection: Bool {
        switch self {
        case .handleTableResponse(isRejected: true, _, _), .listResponse(isRejected: true, _): true
        default: false
        }
    }
}
