// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
package import RSerPoolTransport
public import RSerPoolWire
internal import SocketLoop

/// Requests and answers over SCTP with one element of a pool at a time; when that fails, with the next one.
///
/// It stays with an element while that works. A request whose element dies is sent again to another one: it may then have
/// been carried out twice. One request at a time; others wait their turn.
public actor Session {
    /// One answer of a pool element.
    public struct Answer: Hashable, Sendable {
        public let bytes: [UInt8]
        public let stream: UInt16
        public let payloadProtocol: UInt32
        /// Who gave it.
        public let element: PoolElementID
    }

    private struct Connection {
        let link: LinkID
        let member: PoolMember
    }

    /// How long one element may take to be connected, and to answer, before the next one is tried.
    public static let requestTimeout = Duration.seconds(5)

    public nonisolated let pool: PoolHandle
    private nonisolated let user: PoolUser
    private nonisolated let host: Host
    private var port: (any Port)?
    private var connection: Connection?
    /// Connections that are being opened.
    private var connecting: [LinkID: OneShot<Void>] = [:]
    private var answer: (link: LinkID, outcome: OneShot<InboundMessage>)?
    private var turns: [OneShot<Void>] = []
    private var isBusy = false
    private var isClosed = false

    init(with pool: PoolHandle, user: PoolUser) {
        self.pool = pool
        self.user = user
        self.host = user.host
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// The element that answers now.
    public var element: PoolElementID? { self.connection?.member.id }

    /// Sends `bytes` and waits for the answer, trying as many elements as the pool has, each once.
    ///
    /// - Parameter payloadProtocol: SCTP's payload protocol identifier; not 11, which is ASAP's own (RFC 5352 §5).
    /// - Throws: ``PoolError``; `.noPoolElement` when every element failed.
    public func request(
        _ bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0
    ) async throws -> Answer {
        guard payloadProtocol != ASAPMessage.payloadProtocol else {
            throw PoolError(.configurationInvalid, "payload protocol 11 is ASAP's own: data needs another one")
        }
        guard !bytes.isEmpty else { throw PoolError(.configurationInvalid, "SCTP carries no empty messages") }
        try await self.waitForTurn()
        defer { self.endTurn() }
        let message = OutboundMessage(bytes: bytes, payloadProtocol: payloadProtocol, stream: stream)
        var failed: Set<PoolElementID> = []
        var lastReason = "it has none"
        while true {
            let connection: Connection
            do {
                connection = try await self.connected(avoiding: failed)
            } catch let failure as Failure {
                lastReason = failure.reason
                guard failed.insert(failure.element).inserted else { break }
                continue
            }
            do {
                let answer = try await self.exchange(message, on: connection)
                return Answer(
                    bytes: answer.bytes, stream: answer.stream, payloadProtocol: answer.payloadProtocol,
                    element: connection.member.id)
            } catch let failure as Failure {
                lastReason = failure.reason
                self.drop(connection)
                await self.user.reportUnreachable(failure.element, in: self.pool)
                failed.insert(failure.element)
            }
        }
        throw PoolError(.noPoolElement, "no element of pool \(self.pool) answers; the last one tried: \(lastReason)")
    }

    /// Ends it; ``PoolUser/withSession(with:_:)`` does that.
    func close() async {
        self.isClosed = true
        for turn in self.turns { turn.resolve(.failure(PoolError(.stopped, "the session is closed"))) }
        self.turns = []
        let port = self.port.take()
        await port?.close(within: .seconds(1))
    }

    /// Why one element did not do.
    private struct Failure: Error {
        let element: PoolElementID
        let reason: String
    }

    // MARK: Turns

    private func waitForTurn() async throws {
        guard !self.isClosed else { throw PoolError(.stopped, "the session is closed") }
        guard self.isBusy else {
            self.isBusy = true
            return
        }
        let turn = OneShot<Void>()
        self.turns.append(turn)
        do {
            try await turn.value()
        } catch {
            // Cancelled while waiting: whoever gave us the turn meanwhile has to be followed by the next.
            if let index = self.turns.firstIndex(where: { $0 === turn }) {
                self.turns.remove(at: index)
            } else if !self.isClosed {
                self.endTurn()
            }
            throw error
        }
    }

    private func endTurn() {
        if self.turns.isEmpty {
            self.isBusy = false
        } else {
            self.turns.removeFirst().resolve(.success(()))
        }
    }

    // MARK: One element

    private func connected(avoiding failed: Set<PoolElementID>) async throws -> Connection {
        if let connection = self.connection { return connection }
        let member = try await self.chooseMember(avoiding: failed)
        guard case .sctp(let transport) = member.transport else {
            throw PoolError(.configurationInvalid, "the elements of pool \(self.pool) are not reached over SCTP")
        }
        let port = try await self.openPort()
        let outcome = OneShot<Void>()
        let place = "\(member.id) at \(transport.addresses.map(\.description).joined(separator: ",")):\(transport.port)"
        do {
            let link = try port.connect(
                to: RemoteEndpoint(
                    addresses: transport.addresses, port: transport.port, encapsulationPort: member.encapsulationPort))
            self.connecting[link] = outcome
            defer { self.connecting[link] = nil }
            do {
                try await self.withDeadline(outcome)
            } catch {
                port.abort(link)
                throw error
            }
            let connection = Connection(link: link, member: member)
            self.connection = connection
            return connection
        } catch let error as CancellationError {
            throw error
        } catch {
            await self.user.reportUnreachable(member.id, in: self.pool)
            throw Failure(element: member.id, reason: "\(place): \(error)")
        }
    }

    /// The policy's choice; a few more draws, should it name one that has just failed.
    private func chooseMember(avoiding failed: Set<PoolElementID>) async throws -> PoolMember {
        var member = try await self.user.choose(from: self.pool)
        for _ in 0..<failed.count where failed.contains(member.id) {
            member = try await self.user.choose(from: self.pool)
        }
        guard !failed.contains(member.id) else {
            throw Failure(element: member.id, reason: "every element of the pool has failed")
        }
        return member
    }

    private func openPort() async throws -> any Port {
        if let port = self.port { return port }
        do throws(TransportError) {
            let port = try await self.host.transport.open(
                PortOptions(scheme: .sctp, fastFailureDetection: self.user.configuration.fastFailureDetection),
                receiver: self)
            self.port = port
            return port
        } catch {
            throw PoolError(.endpointUnusable, "cannot open an SCTP endpoint: \(error.message)")
        }
    }

    private func exchange(_ message: OutboundMessage, on connection: Connection) async throws -> InboundMessage {
        let outcome = OneShot<InboundMessage>()
        self.answer = (connection.link, outcome)
        defer { self.answer = nil }
        do {
            try self.port?.send(message, on: connection.link)
            return try await self.withDeadline(outcome)
        } catch let error as CancellationError {
            // Its late answer must not be taken for the next request's.
            self.drop(connection)
            throw error
        } catch let error as TransportError where error.code == .messageTooLong {
            throw PoolError(
                .configurationInvalid, "a request of \(message.bytes.count) octets is too long: \(error.message)")
        } catch {
            throw Failure(element: connection.member.id, reason: "\(connection.member.id): \(error)")
        }
    }

    private func drop(_ connection: Connection) {
        guard self.connection?.link == connection.link else { return }
        self.connection = nil
        self.port?.abort(connection.link)
    }

    private func withDeadline<Value: Sendable>(_ outcome: OneShot<Value>) async throws -> Value {
        let clock = self.host.clock
        let timer = clock.schedule(at: clock.now + Self.requestTimeout) {
            outcome.resolve(.failure(PoolError(.timedOut, "no answer within \(Self.requestTimeout)")))
        }
        defer { clock.cancel(timer) }
        return try await outcome.value()
    }

    // MARK: Events

    private func handle(_ event: LinkEvent) {
        switch event {
        case .up(let link): self.connecting[link.id]?.resolve(.success(()))
        case .message(let message, let link):
            // Control messages never reach the application (RFC 5352 §3, ASAP-009).
            guard message.payloadProtocol != ASAPMessage.payloadProtocol, self.answer?.link == link else { return }
            self.answer?.outcome.resolve(.success(message))
        case .writable: break
        case .down(let link, let reason):
            let error = PoolError(.noPoolElement, "the association ended (\(reason.rawValue))")
            self.connecting[link]?.resolve(.failure(error))
            if self.connection?.link == link { self.connection = nil }
            if self.answer?.link == link { self.answer?.outcome.resolve(.failure(error)) }
        }
    }
}

extension Session: PortReceiver {
    nonisolated package func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}
