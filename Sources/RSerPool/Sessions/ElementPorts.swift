// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport
internal import RSerPoolWire

/// The local endpoints from which a session reaches elements: one for each kind of user transport, opened when it is first
/// needed. It belongs to one actor.
final class ElementPorts {
    /// How one element is reached.
    struct Route {
        let port: any Port
        let remote: RemoteEndpoint
        /// Nil where the transport keeps messages apart.
        let framing: StreamFraming?
        /// Cookies and business cards can be told there.
        let hasControlChannel: Bool
    }

    private let host: Host
    private let framing: StreamFraming
    private let isFast: Bool
    private var ports: [LinkScheme: any Port] = [:]
    /// Being opened, for the first who wants one and those who come meanwhile.
    private var opening: [LinkScheme: OneShot<Void>] = [:]
    private var isClosed = false

    init(host: Host, framing: StreamFraming, isFast: Bool) {
        self.host = host
        self.framing = framing
        self.isFast = isFast
    }

    /// - Throws: `.configurationInvalid` for a kind of transport that sessions cannot use, `.endpointUnusable` where no
    ///   local endpoint can be had.
    nonisolated(nonsending) func route(
        to transport: UserTransport, encapsulationPort: UInt16?, receiver: any PortReceiver
    ) async throws(PoolError) -> Route {
        switch transport {
        case .sctp(let sctp):
            return Route(
                port: try await self.port(.sctp, .sctp, receiver),
                remote: RemoteEndpoint(
                    addresses: sctp.addresses, port: sctp.port, encapsulationPort: encapsulationPort),
                framing: nil, hasControlChannel: sctp.use == .dataAndControl)
        case .tcp(let address):
            return Route(
                port: try await self.port(.tcp, .tcp(framing: self.framing.cutter), receiver),
                remote: RemoteEndpoint(addresses: [address.ip], port: address.port),
                framing: self.framing, hasControlChannel: self.framing.isEnveloped)
        case .udp(let address):
            return Route(
                port: try await self.port(.udp, .udp, receiver),
                remote: RemoteEndpoint(addresses: [address.ip], port: address.port), framing: nil,
                hasControlChannel: false)
        case .udpLite, .dccp, .opaque:
            throw PoolError(
                .configurationInvalid,
                "a session reaches elements over SCTP, TCP or UDP, not over \(transport.kind): resolve the pool and connect yourself"
            )
        }
    }

    private nonisolated(nonsending) func port(
        _ kind: LinkScheme, _ scheme: PortOptions.Scheme, _ receiver: any PortReceiver
    ) async throws(PoolError) -> any Port {
        while true {
            guard !self.isClosed else { throw PoolError(.stopped, "the session is closed") }
            if let port = self.ports[kind] { return port }
            guard let other = self.opening[kind] else { break }
            do { try await other.value() } catch { throw PoolError(.stopped, "the task was cancelled") }
        }
        let mine = OneShot<Void>()
        self.opening[kind] = mine
        defer {
            self.opening[kind] = nil
            mine.resolve(.success(()))
        }
        let port: any Port
        do throws(TransportError) {
            port = try await self.host.transport.open(
                PortOptions(scheme: scheme, fastFailureDetection: self.isFast), receiver: receiver)
        } catch {
            throw PoolError(.endpointUnusable, "cannot open a \(kind.rawValue) endpoint: \(error.message)")
        }
        guard !self.isClosed else {
            await port.close(within: .zero)
            throw PoolError(.stopped, "the session is closed")
        }
        self.ports[kind] = port
        return port
    }

    /// Ends all links in good order, then closes.
    nonisolated(nonsending) func close(within limit: Duration) async {
        self.isClosed = true
        let ports = self.ports
        self.ports = [:]
        for kind in [LinkScheme.sctp, .tcp, .udp] { await ports[kind]?.close(within: limit) }
    }
}
