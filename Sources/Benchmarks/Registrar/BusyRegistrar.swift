// SPDX-License-Identifier: Apache-2.0

import Logging
import NetworkAddress
import RSerPoolRegistrar
import RSerPoolTransport
import RSerPoolWire
import SocketLoop

/// A registrar with one pool, on a network that carries nothing, and what is sent to it. It lives on the registrar's thread.
actor BusyRegistrar {
    private let pool = PoolHandle("pool")
    private let network = SilentNetwork()
    private let clock: ForwardClock
    private let host: Host
    private let registrar: Registrar
    /// The first one is the elements'.
    private let links: [LinkID]
    private let registrations: [[UInt8]]
    private var next = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    init(members: Int, subscribers: Int) throws {
        let loop = try SocketLoop(name: "benchmark")
        let clock = ForwardClock(loop.clock)
        self.clock = clock
        self.host = Host(
            executor: loop, tasks: loop.tasks, clock: clock, transport: self.network, drawSeed: { 7 })
        var configuration = RegistrarConfiguration()
        configuration.limits.maxElementsPerLink = members
        configuration.enrpEndpoints = []
        self.registrar = Registrar(
            configuration: configuration, host: self.host,
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() })
        self.links = (0...subscribers).map { LinkID(port: PortID(rawValue: 1), number: UInt64($0 + 1)) }
        let pool = self.pool
        // Two loads each, so that registering again is a change.
        self.registrations = try (0..<2 * members).map { number in
            let member = PoolMember(
                id: PoolElementID(rawValue: UInt32(number % members + 1)), life: .seconds(3_600),
                transport: .sctp(SCTPTransport(port: 4711, addresses: [.loopbackIPv4])),
                policy: .leastUsed(load: Load(rawValue: number < members ? 1 : 2)))
            return try Registration(pool: pool, member: member).encoded()
        }
    }

    /// Serves while `body` runs.
    static func with(
        members: Int, subscribers: Int, _ body: (BusyRegistrar) async throws -> Void
    ) async throws {
        let busy = try BusyRegistrar(members: members, subscribers: subscribers)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await busy.registrar.run() }
            _ = try await busy.registrar.endpoints
            try await busy.prepare(members)
            try await body(busy)
            group.cancelAll()
        }
    }

    private func prepare(_ members: Int) throws {
        for link in self.links {
            let remote = RemoteEndpoint(addresses: [.loopbackIPv4], port: UInt16(truncatingIfNeeded: link.number))
            self.deliver(.up(Link(id: link, scheme: .sctp, remote: remote, isIncoming: true)))
        }
        self.registerAgain(members)
        let subscription = try HandleResolution(pool: self.pool, wantsUpdates: true, wantsIncrements: true).encoded()
        for link in self.links.dropFirst() { self.deliver(subscription, link) }
    }

    private func deliver(_ event: LinkEvent) {
        self.network.port.receiver.withLock { $0 }?.received(event, from: self.network.port)
    }

    private func deliver(_ bytes: [UInt8], _ link: LinkID) {
        self.deliver(.message(InboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol), link))
    }

    // MARK: Measured

    /// Registers elements again with another load; each change is told at once.
    func registerAgain(_ count: Int) {
        for _ in 0..<count {
            self.clock.putForward(.milliseconds(10))
            self.deliver(self.registrations[self.next % self.registrations.count], self.links[0])
            self.next += 1
        }
    }

    func resolve(_ count: Int, upTo members: UInt32) throws {
        let request = try HandleResolution(pool: self.pool, count: members).encoded()
        for _ in 0..<count { self.deliver(request, self.links[0]) }
    }

    var sentCount: Int { self.network.port.sentCount }
}
