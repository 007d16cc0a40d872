// SPDX-License-Identifier: Apache-2.0

public import Logging
public import RSerPoolTransport
public import RSerPoolWire
public import ServiceLifecycle

/// A pool element with a service that holds sessions: each user's session is handed to a closure with what the user sends, a
/// way to answer, and the state that outlives this server.
///
///     let server = PoolElementServer(
///         in: "CountPool", registrars: .list(.sctp("192.0.2.1")), host: try SocketHost.open(), logger: logger
///     ) { session in
///         for await request in session.requests {
///             try await session.send(request.bytes, answering: request)
///         }
///     }
///     try await server.run()
///
/// Over SCTP, or over TCP with ``PoolElement/Configuration/listen`` set to a `tcp:` endpoint. A graceful shutdown first leaves the
/// pool; then sessions come to their ends (``ServedSession/isLeaving``), for at most
/// ``PoolElement/Configuration/drainLimit``. Where each message is answered by itself, ``PoolElement`` with a handler is enough.
public struct PoolElementServer: Service {
    /// Its membership: events, load, policy.
    public let element: PoolElement

    public init(
        pool: PoolHandle, configuration: PoolElement.Configuration, host: Host, logger: Logger,
        session: @escaping PoolElement.SessionHandler
    ) {
        self.element = PoolElement(
            pool: pool, configuration: configuration, host: host, logger: logger, service: session)
    }

    /// With the defaults of ``PoolElement/Configuration``.
    public init(
        in pool: PoolHandle, registrars: RegistrarDiscovery, host: Host, logger: Logger,
        session: @escaping PoolElement.SessionHandler
    ) {
        self.init(
            pool: pool, configuration: PoolElement.Configuration(registrars: registrars), host: host, logger: logger,
            session: session)
    }

    /// As ``PoolElement/run()``.
    public func run() async throws {
        try await self.element.run()
    }
}
