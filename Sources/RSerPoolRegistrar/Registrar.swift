// SPDX-License-Identifier: Apache-2.0

public import Logging
package import NetworkAddress
internal import RSerPoolCore
public import RSerPoolTransport
public import RSerPoolWire
public import ServiceLifecycle
internal import SocketLoop

/// A registrar, an ENRP server in the words of RFC 5353: pool elements register with it, pool users ask it who is in a pool.
///
///     let host = try SocketHost.open()
///     let registrar = Registrar(configuration: .init(), host: host, logger: logger)
///     try await registrar.run()
///
/// All its pools, elements and links live on the host's one thread, and so does the handlespace that it owns: between a
/// message in and its answer out nothing waits.
///
/// Deviations from RFC 5352 are listed at ``ElementWatch`` (reports and keep-alives), ``Pool`` (merged updates), and here:
/// - Answers list at most ``RegistrarLimits/maxAnswerElements`` elements unless the request names a number; the RFC lists all.
/// - An element whose association is lost is removed at once, without a keep-alive that could only fail (§3.5 sends one).
/// - An identifier in use is given to the newcomer if its holder does not answer a keep-alive.
///
/// Deviations from RFC 5353 are listed at ``PeerLink`` (provisional peers), ``TakeoverContest`` (time limit), and here:
/// - A registrar that starts anew under its old ID takes its former elements back from its mentor, and asks them.
/// - A table may not change who is home of an element that we claim; see `Registrar+Takeover.swift`.
public actor Registrar: Service {
    public nonisolated let id: RegistrarID
    nonisolated let host: Host
    let configuration: RegistrarConfiguration
    var logger: Logger

    // What it knows.
    var handlespace: Handlespace
    var elements: [ElementKey: PoolElement] = [:]
    var pools: [PoolHandle: Pool] = [:]
    /// The most elements that a heartbeat has seen since memory was given back.
    var mostElements = 0
    /// How many the last one saw.
    var lastElements = 0
    var links: [LinkID: LinkState] = [:]
    var linkDirectory = LinkDirectory()
    /// Links that are being opened to ask elements, and which those are.
    var opening: [LinkID: Opening] = [:]
    /// The same by where they lead: SCTP has one association between two endpoints, however many elements live there.
    var openingTo: [RemoteEndpoint: LinkID] = [:]
    /// Newcomers that wait until the holder of their identifier has answered, or has not.
    var challenges: [ElementKey: Challenge] = [:]
    var subscriptionCount = 0
    /// Elements that were ours until another registrar was said to be their home, as long as that one has not confirmed it
    /// since, and the link that we had to each. They are all in the handlespace.
    var givenUp: [ElementKey: LinkID?] = [:]
    /// Links that stand over which elements had registered that are no longer ours.
    var formerLinks: [ElementKey: LinkID] = [:]

    // Other registrars.
    var peers: [RegistrarID: PeerLink] = [:]
    var connections: [LinkID: PeerConnection] = [:]
    var book: PeerBook<LinkID>
    /// Endpoints of the book that turned out to be our own.
    var ownNumbers: Set<Int> = []
    /// Nil before the search for a mentor begins, and when it is over.
    var search: MentorSearch?
    /// What others know has not been learned yet: nobody can learn from us.
    var isLearning = true
    let searchOutcome = OneShot<Void>()
    var takeovers: [RegistrarID: Takeover] = [:]
    /// Elements that a peer claims too, and that will be asked.
    var settling: Set<ElementKey> = []
    /// Who is home of elements, but no peer.
    var absentOwners: [RegistrarID: AbsentOwner] = [:]
    let procedures = Mailbox<Procedure>(limit: 65_536)
    /// When the next batch of elements may be asked by a procedure.
    var nextVisit: ContinuousClock.Instant
    /// Elements to be asked as soon as we serve.
    var adopted: [ElementKey] = []
    var dialects: [RegistrarAddress] = []
    var enrpPorts: [any Port] = []
    var discoverer: (any DatagramPort)?

    // When something is due.
    var deadlines = DeadlineQueue()
    var stallGuard: StallGuard
    var announcing: AnnounceSchedule
    let alarm: Alarm
    private var expectedAlarm: ContinuousClock.Instant?

    var counts = RegistrarCounts()
    var generator: HostGenerator
    /// For the choices of policies.
    var choices: ChoiceGenerator
    var logged: [String: ContinuousClock.Instant] = [:]

    private var ports: [any Port] = []
    private var announcer: (any DatagramPort)?
    private(set) var isClosing = false
    /// Start-up is over: whoever comes is let in (RFC 5353 §3.2.3).
    private(set) var isServing = false
    private let whenReady = OneShot<[BoundEndpoint]>()
    private nonisolated let stopping = OneShot<Void>()

    /// One association or connection, and what hangs on it. A class: thousands of elements may hang on one link, and nothing of
    /// that is copied when a message comes.
    final class LinkState {
        let link: Link
        let port: any Port
        /// Elements that registered over it, or are asked over it.
        var elements: Set<ElementKey> = []
        var subscriptions: Set<PoolHandle> = []
        /// See ``Registrar/formerLinks``.
        var formerElements: Set<ElementKey> = []

        init(link: Link, port: any Port) {
            self.link = link
            self.port = port
        }
    }

    struct Opening: Sendable {
        let remote: RemoteEndpoint
        let port: any Port
        var elements: Set<ElementKey>
    }

    struct Challenge: Sendable {
        let registration: Registration
        let newcomer: LinkID
    }

    /// An endpoint as it was really bound.
    public struct BoundEndpoint: Hashable, Sendable {
        public enum Service: String, Hashable, Sendable {
            case asap
            case enrp
        }

        public let service: Service
        /// With the port that was bound and, on the userland stack, the UDP port.
        public let endpoint: Endpoint
    }

    public init(configuration: RegistrarConfiguration, host: Host, logger: Logger) {
        var generator = host.makeGenerator()
        let id = configuration.id ?? .random(using: &generator)
        self.id = id
        self.host = host
        self.configuration = configuration
        self.logger = logger
        self.logger[metadataKey: "registrar.id"] = "\(id)"
        self.generator = generator
        // A branch: how many choices there are does not change what else is drawn.
        self.choices = ChoiceGenerator(seed: generator.next())
        var limits = Handlespace.Limits()
        limits.maxPools = configuration.limits.maxPools
        limits.maxElements = configuration.limits.maxElements
        limits.maxHandleLength = configuration.limits.maxHandleLength
        self.handlespace = Handlespace(limits: limits, policies: configuration.policies)
        self.stallGuard = StallGuard(
            tolerance: configuration.timers.stallTolerance, grace: configuration.timers.keepAliveTimeout * 2)
        self.announcing = AnnounceSchedule(own: id, timers: configuration.timers)
        self.book = PeerBook(configured: [], timers: configuration.enrpTimers, now: host.clock.now)
        self.nextVisit = host.clock.now
        self.alarm = Alarm(clock: host.clock)
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// Meets its peers, opens its endpoints and serves until the task is cancelled or a graceful shutdown begins; then it
    /// accepts nothing more, ends its associations in good order and returns.
    ///
    /// - Throws: ``RegistrarError`` if an endpoint cannot be opened.
    public func run() async throws {
        do {
            try await withTaskExecutorPreference(self.host.tasks) {
                // Not `gracefulShutdown()`: its waiting leaves the host's thread.
                try await withGracefulShutdownHandler {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await self.alarm.run { await self.timersFired() } }
                        group.addTask { try await self.serve() }
                        group.addTask { try await self.beat() }
                        group.addTask {
                            await self.carryOutProcedures()
                            try await self.stopping.value()
                        }
                        group.addTask { try await self.stopping.value() }
                        defer { group.cancelAll() }
                        try await group.next()
                    }
                } onGracefulShutdown: {
                    self.stopping.resolve(.success(()))
                }
            }
        } catch is CancellationError {
        } catch {
            await self.close(within: .zero)
            self.whenReady.resolve(.failure(error))
            throw error
        }
        self.logger.info(
            "registrar stops",
            metadata: ["pools": "\(self.handlespace.poolCount)", "elements": "\(self.handlespace.elementCount)"])
        await self.close(within: .seconds(1))
        self.whenReady.resolve(.failure(RegistrarError(.stopped, "it was stopped before it was ready")))
    }

    /// Serves until it is stopped, once it has met its peers.
    private func serve() async throws {
        try self.check()
        // At once, so that a port in use is told at once; who comes before we serve is turned away.
        try await self.openEndpoints()
        try await self.startUp()
        self.isServing = true
        try await self.openAnnouncer()
        self.whenReady.resolve(.success(self.boundEndpoints))
        self.logger.info("registrar serves", metadata: ["endpoints": "\(self.boundEndpoints.map { "\($0.endpoint)" })"])
        try await self.stopping.value()
    }

    /// The heart: a PRESENCE to every peer each PEER-HEARTBEAT-CYCLE (RFC 5353 §3.4.2).
    private func beat() async throws {
        while true {
            let next = self.configuration.enrpTimers.nextHeartbeat(after: self.host.clock.now, using: &self.generator)
            try await self.host.clock.sleep(until: next)
            self.heartbeat()
        }
    }

    /// The endpoints, once they are open.
    /// - Throws: ``RegistrarError``, or `CancellationError`.
    public nonisolated var endpoints: [BoundEndpoint] {
        get async throws { try await self.whenReady.value() }
    }

    /// What it has counted since it started.
    public var statistics: [RegistrarCounter: UInt64] { self.counts.all }

    /// How many pools and elements it knows.
    public var size: (pools: Int, elements: Int) { (self.handlespace.poolCount, self.handlespace.elementCount) }

    /// All elements that it knows, with their homes.
    package var members: [ElementKey: PoolMember] { self.handlespace.members }

    // MARK: Endpoints

    /// The SCTP endpoint from which elements at these addresses are asked.
    func sctpPort(reaching addresses: [IPAddress]) -> (any Port)? {
        let ports = self.ports.filter { $0.local.scheme == .sctp }
        return ports.first { port in
            port.local.addresses.contains { local in
                addresses.contains {
                    $0.family == local.family && (local.isWildcard || $0.isLoopback == local.isLoopback)
                }
            }
        } ?? ports.first
    }

    private var boundEndpoints: [BoundEndpoint] {
        self.ports.map { BoundEndpoint(service: .asap, endpoint: Endpoint(bound: $0.local)) }
            + self.enrpPorts.map { BoundEndpoint(service: .enrp, endpoint: Endpoint(bound: $0.local)) }
    }

    private func check() throws {
        guard self.id != .undetermined else {
            throw RegistrarError(
                .configurationInvalid, "registrar ID 0 stands for no registrar: give another one, or none")
        }
        guard !self.configuration.asapEndpoints.isEmpty else {
            throw RegistrarError(
                .configurationInvalid, "no ASAP endpoint to listen on: give one, sctp:*:3863 for example")
        }
        guard self.configuration.asapEndpoints.allSatisfy({ !$0.isSecured }) else {
            throw RegistrarError(.configurationInvalid, "TLS is not there yet; use sctp: or tcp:")
        }
    }

    private func openEndpoints() async throws {
        for endpoint in self.configuration.asapEndpoints {
            self.ports.append(
                try await self.open(
                    endpoint, defaultPort: ASAPMessage.port, maxLinks: self.configuration.limits.maxLinks,
                    sendBuffer: self.configuration.limits.sendBuffer))
        }
    }

    private func openAnnouncer() async throws {
        guard let group = self.configuration.announceGroup else { return }
        do {
            self.announcer = try await self.host.transport.open(
                DatagramOptions(group: group, joins: true), receiver: self)
        } catch {
            throw RegistrarError(.endpointUnusable, "cannot announce to \(group): \(error.message)")
        }
        self.schedule(.announcement, at: self.host.clock.now)
    }

    func open(_ endpoint: Endpoint, defaultPort: UInt16, maxLinks: Int, sendBuffer: Int) async throws -> any Port {
        guard !endpoint.isSecured else {
            throw RegistrarError(.configurationInvalid, "\(endpoint): TLS is not there yet; use sctp: or tcp:")
        }
        let scheme: PortOptions.Scheme =
            endpoint.scheme == .tcp ? .tcp(framing: { try MessageFraming.frameLength($0) }) : .sctp
        do {
            let resolved = try await endpoint.lookedUp(defaultPort: defaultPort)
            return try await self.host.transport.open(
                PortOptions(
                    scheme: scheme, localAddresses: resolved.addresses, port: resolved.port,
                    encapsulationPort: resolved.encapsulationPort, acceptsLinks: true,
                    maxIncomingLinks: maxLinks, sendBufferLimit: sendBuffer,
                    fastFailureDetection: self.configuration.fastFailureDetection), receiver: self)
        } catch let error as TransportError {
            throw RegistrarError(.endpointUnusable, "cannot listen on \(endpoint): \(error.message)")
        } catch let error as EndpointError {
            throw RegistrarError(.configurationInvalid, error.message)
        }
    }

    private func close(within limit: Duration) async {
        self.isClosing = true
        self.announcer?.close()
        self.announcer = nil
        self.discoverer?.close()
        self.discoverer = nil
        let ports = self.ports + self.enrpPorts
        self.ports = []
        self.enrpPorts = []
        await withDiscardingTaskGroup { group in
            for port in ports { group.addTask { await port.close(within: limit) } }
        }
    }

    // MARK: Time

    func scheduleBook() {
        self.schedule(.book, at: self.book.nextDeadline)
    }

    func schedule(_ due: Due, at deadline: ContinuousClock.Instant?) {
        self.deadlines.set(due, to: deadline)
        // An alarm before all deadlines comes anyway, and sets the next one.
        if let expected = self.expectedAlarm, expected <= self.deadlines.nextDeadline ?? expected { return }
        self.setAlarm()
    }

    /// Besides what is due, a beat: without it a registrar with nothing due for a while could not tell its own sleep.
    private func setAlarm() {
        let now = self.host.clock.now
        let beat =
            self.handlespace.elementCount > 0 || !self.peers.isEmpty
            ? now + self.configuration.timers.stallTolerance : nil
        let next = [self.deadlines.nextDeadline, beat].compactMap { $0 }.min()
        if let next, let expected = self.expectedAlarm, expected <= next, expected > now { return }
        self.expectedAlarm = next
        self.stallGuard.expect(next)
        self.alarm.set(next)
    }

    private func timersFired() {
        let now = self.host.clock.now
        self.observe(now)
        self.expectedAlarm = nil
        // A bound on one turn: what has arrived meanwhile is handled before the rest.
        var budget = 1_000
        while budget > 0, let due = self.deadlines.popDue(now: now) {
            budget -= 1
            switch due {
            case .element(let key): self.timersFired(for: key, now: now)
            case .pool(let handle): self.flush(handle, now: now)
            case .announcement: self.announce(now: now)
            case .peer(let id): self.peerTimersFired(id, now: now)
            case .takeover(let target): self.takeoverTimersFired(target, now: now)
            case .absentOwner(let id): self.absentOwnerTimersFired(id, now: now)
            case .replica(let key): self.replicaExpired(key, now: now)
            case .search: self.searchTimersFired(now: now)
            case .book: self.contactPeers(now: now)
            }
        }
        self.setAlarm()
    }

    /// Finds out whether this process was stopped.
    func observe(_ now: ContinuousClock.Instant) {
        guard let stall = self.stallGuard.observe(now: now) else { return }
        self.counts.count(.stalls)
        self.logger.warning(
            "this registrar was stopped; nobody is removed for the silence",
            metadata: ["stall.seconds": "\(stall / .seconds(1))"])
    }

    // MARK: Announcements

    private func announce(now: ContinuousClock.Instant) {
        defer { self.schedule(.announcement, at: self.announcing.nextDeadline(now: now)) }
        guard self.announcing.isDue(now: now), let announcer = self.announcer else { return }
        var announce = ServerAnnounce(registrar: self.id, transports: [])
        for port in self.ports {
            let local = port.local
            let addresses = port.announcedAddresses
            switch local.scheme {
            case .sctp where !addresses.isEmpty:
                announce.transports.append(.sctp(SCTPTransport(port: local.port, addresses: addresses)))
                announce.encapsulationPort = announce.encapsulationPort ?? local.encapsulationPort
            case .tcp:
                announce.transports += addresses.map { .tcp(SocketAddress(ip: $0, port: local.port)) }
            case .sctp, .udp: break
            }
        }
        guard let bytes = try? announce.encoded() else { return }
        announcer.send(bytes)
        self.counts.count(.announcementsSent)
    }

    private func received(announcement bytes: [UInt8], from source: SocketAddress) {
        // Announcements by multicast are never answered (WIRE-053).
        guard case .serverAnnounce(let announce)? = try? ASAPMessage.decode(bytes[...]).message else { return }
        self.announcing.received(announce, now: self.host.clock.now)
    }
}

extension Registrar: PortReceiver {
    nonisolated package func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { registrar in
            if registrar.enrpPorts.contains(where: { $0.id == port.id }) {
                registrar.handlePeer(event, port)
            } else {
                registrar.handle(event, port)
            }
        }
    }

    nonisolated package func turnedAway(_ reason: TurnedAway, at port: any Port) {
        self.assumeIsolated { $0.note(reason, at: port.local) }
    }
}

extension Registrar: DatagramReceiver {
    nonisolated package func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { $0.received(announcement: bytes, from: source) }
    }
}
