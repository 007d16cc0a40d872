// SPDX-License-Identifier: Apache-2.0

public import Logging
package import NetworkAddress
public import RSerPoolCore
public import RSerPoolTransport
public import RSerPoolWire
public import ServiceLifecycle
internal import SocketLoop

/// A server in a pool (RFC 5352 §1.1): registers, renews its registration in time, answers keep-alives, follows to another
/// registrar when its own dies, and leaves in good order.
///
///     let host = try SocketHost.open()
///     let element = PoolElement(
///         in: "EchoPool", registrars: .list(.sctp("192.0.2.1")), host: host, logger: logger
///     ) { request in request.bytes }
///     try await element.run()
///
/// The SCTP endpoint that talks to registrars is also where its users reach it, unless ``Configuration/listen`` or
/// ``Configuration/transport`` names another place. Each message of a user goes to the handler; what that returns is sent back
/// on the same stream with the same payload protocol. Messages of one association are handled one after the other, those of
/// different ones side by side. ``PoolElementServer`` serves whole sessions.
///
/// A pool element begins each session with its business card on the control channel (RFC 5352 §3.9), and ends its life by
/// leaving the pool first, then its sessions.
public actor PoolElement: Service {
    public struct Configuration: Sendable {
        public var policy: PoolPolicy = .roundRobin
        /// Nil: a random identifier, and another one should it be in use. A fixed one is never changed.
        public var id: PoolElementID?
        /// How long a registration holds without being renewed. 300 s.
        public var life: RegistrationLife = .seconds(300)
        /// Where users reach the service: over SCTP, `sctp:*` with any free port by default, or over TCP. With TCP there is an
        /// SCTP endpoint besides, for the registrars.
        public var listen: Endpoint = .sctp("*", port: 0)
        /// What is registered instead of the endpoint that is listened on; nil: that, with a control channel besides the
        /// data over SCTP. For services that are reached by other means.
        public var transport: UserTransport?
        /// How messages are told apart where users come over TCP.
        public var streamFraming = StreamFraming.envelope
        /// Signs state cookies, the same for all elements of a pool. Nil: they are given and taken unsigned, whoever may have
        /// made them, as rsplib does.
        public var cookieKey: CookieKey?
        /// How long sessions may go on after the element has left its pool. 10 s; zero: they end at once.
        public var drainLimit: Duration = .seconds(10)
        /// Asked every ``loadInterval`` how much of the element's capacity is in use, for a policy that goes by load
        /// (RFC 5356 §3.1). All elements of a pool mean the same by it.
        public var load: (@Sendable () async -> Load)?
        /// At least a second. 1 s.
        public var loadInterval: Duration = .seconds(1)
        /// Loads that differ by less from what was last told are not told: 0.01.
        public var loadTolerance = 0.01
        public var registrars: RegistrarDiscovery
        public var timers: ASAPTimers = .rfc
        /// Heartbeats and retransmissions of SCTP tuned for a local network.
        public var fastFailureDetection = false
        /// Whether to end after more than MAX-REG-ATTEMPT registrations without an answer; by default it goes on, with back-off.
        public var stopsAfterMaxAttempts = false
        /// Messages of one association that wait for the handler; beyond, the association is aborted. 1 024.
        public var maxPendingRequests = 1_024
        /// Associations of users at a time; further ones are refused. 10 000.
        public var maxAssociations = 10_000

        public init(registrars: RegistrarDiscovery) {
            self.registrars = registrars
        }
    }

    /// One message of a user.
    public struct Request: Sendable {
        public let bytes: [UInt8]
        public let stream: UInt16
        /// SCTP's payload protocol identifier; never 11, which is ASAP's own.
        public let payloadProtocol: UInt32
        /// Where it came from: all addresses of the association.
        public let source: String
    }

    /// What happens to the registration.
    public enum Event: Hashable, Sendable {
        /// Registered, or registered again. `home` is the registrar's ID once known, else its endpoint; warnings say what it changed.
        case registered(id: PoolElementID, home: String, warnings: [ErrorCause])
        /// No registrar has answered so many registrations; it goes on.
        case noAnswer(attempts: Int)
        /// The registrar is gone; another one is looked for.
        case homeLost
        /// A registrar removed this element unasked; it registers again.
        case expelled([ErrorCause])
        case deregistered
    }

    /// Runs on the host's thread: what takes long, or blocks, belongs elsewhere. Nil, or an error, sends no answer.
    public typealias Handler = @Sendable (Request) async throws -> [UInt8]?
    /// Serves one user's session, on the host's thread.
    public typealias SessionHandler = @Sendable (ServedSession) async throws -> Void

    public nonisolated let pool: PoolHandle
    /// What happens to the registration; the newest 64 events are kept for one reader.
    public nonisolated let events: AsyncStream<Event>
    private nonisolated let eventSink: AsyncStream<Event>.Continuation

    package nonisolated let host: Host
    nonisolated let configuration: Configuration
    let service: SessionHandler
    nonisolated let logger: Logger
    private var generator: HostGenerator
    private let alarm: Alarm

    /// The identifier that it registers with.
    public private(set) var id: PoolElementID
    private(set) var policy: PoolPolicy
    private var registration: ElementRegistration
    private var home: HomeLink
    /// The SCTP endpoint.
    private(set) var port: (any Port)?
    /// The TCP endpoint, if users come over TCP.
    private(set) var servicePort: (any Port)?
    var links: [LinkID: ServedLink] = [:]
    /// As it was last registered.
    private(set) var registered: PoolMember?
    /// By whom this element wants to be followed.
    private(set) var successors: [PoolMember] = []
    /// Out of the pool since then, and at work for sessions that are open.
    var leavingSince: ContinuousClock.Instant?
    var leavingCheckAt: ContinuousClock.Instant?
    /// State cookies whose signature was wrong.
    public internal(set) var rejectedCookies = 0
    /// When the next change of the policy's values may be told (POL-012); nil: at once.
    private var nextPolicyUpdate: ContinuousClock.Instant?
    private var policyUpdateIsDue = false
    let newSessions = Mailbox<ServedLink>(limit: 1 << 16)
    let whenOver = OneShot<Void>()
    private nonisolated let stopping = OneShot<Void>()
    private(set) var isOver = false

    public init(pool: PoolHandle, configuration: Configuration, host: Host, logger: Logger, handler: @escaping Handler)
    {
        self.init(
            pool: pool, configuration: configuration, host: host, logger: logger,
            service: Self.service(handler, logger: logger))
    }

    init(
        pool: PoolHandle, configuration: Configuration, host: Host, logger: Logger, service: @escaping SessionHandler
    ) {
        self.pool = pool
        self.host = host
        self.configuration = configuration
        self.service = service
        self.logger = logger
        var generator = host.makeGenerator()
        self.id = configuration.id ?? .random(using: &generator)
        self.generator = generator
        self.alarm = Alarm(clock: host.clock)
        self.policy = configuration.policy
        self.registration = ElementRegistration(
            timers: configuration.timers, life: configuration.life, mayChangeID: configuration.id == nil,
            stopsAfterMaxAttempts: configuration.stopsAfterMaxAttempts)
        self.home = HomeLink(configured: [], timers: configuration.timers)
        (self.events, self.eventSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
    }

    /// With the defaults of ``Configuration``.
    public init(
        in pool: PoolHandle, registrars: RegistrarDiscovery, host: Host, logger: Logger, handler: @escaping Handler
    ) {
        self.init(
            pool: pool, configuration: Configuration(registrars: registrars), host: host, logger: logger,
            handler: handler)
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// Registers and serves until the task is cancelled, or a graceful shutdown begins: then it leaves the pool, waits until
    /// its registrar has told everybody, and lets its sessions come to their ends, for at most ``Configuration/drainLimit``.
    ///
    /// - Throws: ``PoolError`` when the registration is rejected for good, or an endpoint cannot be opened.
    public func run() async throws {
        defer { self.eventSink.finish() }
        // Else what the closure says could never be told.
        if self.configuration.load != nil { try self.setLoad(self.policy.load ?? .idle) }
        let addresses = try await self.configuration.registrars.addresses(onlySCTP: true)
        self.home = HomeLink(configured: addresses, timers: self.configuration.timers)
        let port = try await self.openPort()
        self.port = port
        do {
            self.servicePort = try await self.openServicePort()
        } catch {
            await port.close(within: .zero)
            throw error
        }
        self.home.use(sctpPort: port, tcpPort: nil)
        var announcements: (any DatagramPort)?
        do {
            announcements = try await self.openAnnouncements()
            try await self.live()
        } catch {
            announcements?.close()
            await self.servicePort?.close(within: .zero)
            await port.close(within: .zero)
            if error is CancellationError { return }
            throw error
        }
        announcements?.close()
        await self.servicePort?.close(within: .seconds(1))
        await port.close(within: .seconds(1))
    }

    /// Changes the policy's values, the load for example, by registering again (RFC 5352 §3.1, RFC 5356 §5).
    ///
    /// Changes that come faster than one a second are told together, the newest value counting. The policy's type has to
    /// stay what the pool's is.
    public func setPolicy(_ policy: PoolPolicy) {
        guard policy != self.policy else { return }
        self.policy = policy
        self.policyUpdateIsDue = true
        self.tellPolicy(now: self.host.clock.now)
        self.setAlarm()
    }

    /// Tells how much of the capacity is in use, for a policy that goes by load; otherwise as ``setPolicy(_:)``.
    ///
    /// - Throws: ``PoolError``, `.configurationInvalid` where the policy has no load.
    public func setLoad(_ load: Load) throws {
        guard let policy = self.policy.with(load: load) else {
            throw PoolError(
                .configurationInvalid,
                "the elements of pool \(self.pool) are not chosen by load: choose least-used, for example")
        }
        self.setPolicy(policy)
    }

    /// By whom this element wants to be followed should it fail, in this order, instead of by the pool's policy. Users that are
    /// bound to it are told by a business card (RFC 5352 §3.9), and those to come.
    public func setSuccessors(_ members: [PoolMember]) {
        self.successors = members.filter { $0.id != self.id }
        for link in self.links.values where link.hasBegun { self.sendBusinessCard(over: link) }
    }

    /// Leaves the pool, then its sessions (``Configuration/drainLimit``); ``run()`` returns when that is done.
    public func deregister() {
        self.carryOut(self.registration.deregister(now: self.host.clock.now))
        self.setAlarm()
    }

    /// Whom it takes for its home: where that is and, once known, its ID; and whether it is registered there.
    package var homeBelief: (addresses: [IPAddress], id: RegistrarID?, isRegistered: Bool) {
        (self.home.homeAddresses, self.home.homeID, self.registration.isRegistered)
    }

    // MARK: Life

    private func live() async throws {
        self.take(self.home.start(now: self.host.clock.now))
        self.setAlarm()
        try await withTaskExecutorPreference(self.host.tasks) {
            // Not `gracefulShutdown()`: its waiting leaves the host's thread.
            try await withGracefulShutdownHandler {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.alarm.run { await self.timersFired() } }
                    group.addTask { await self.serve() }
                    if let load = self.configuration.load {
                        group.addTask { try await self.report(load) }
                    }
                    group.addTask {
                        try await self.stopping.value()
                        await self.deregister()
                    }
                    defer {
                        self.isOver = true
                        group.cancelAll()
                    }
                    try await self.whenOver.value()
                }
            } onGracefulShutdown: {
                self.stopping.resolve(.success(()))
            }
        }
    }

    private func report(_ load: @Sendable () async -> Load) async throws {
        let interval = max(.seconds(1), self.configuration.loadInterval)
        while true {
            let value = await load()
            let last = self.policy.load?.fraction ?? 0
            let isEnd = value == .idle || value == .full
            if isEnd || abs(value.fraction - last) >= self.configuration.loadTolerance { try self.setLoad(value) }
            try await self.host.clock.sleep(for: interval)
        }
    }

    private func openServicePort() async throws -> (any Port)? {
        let listen = self.configuration.listen
        guard listen.scheme != .sctp else { return nil }
        guard listen.scheme == .tcp else {
            throw PoolError(
                .configurationInvalid,
                "a pool element listens over SCTP or TCP, not on \(listen): sctp:*:0 or tcp:*:0, for example")
        }
        do {
            let resolved = try await listen.lookedUp(defaultPort: 0)
            return try await self.host.transport.open(
                PortOptions(
                    scheme: .tcp(framing: self.configuration.streamFraming.cutter), localAddresses: resolved.addresses,
                    port: resolved.port, acceptsLinks: true, maxIncomingLinks: self.configuration.maxAssociations,
                    fastFailureDetection: self.configuration.fastFailureDetection), receiver: self)
        } catch let error as TransportError {
            throw PoolError(.endpointUnusable, "cannot listen on \(listen): \(error.message)")
        } catch let error as EndpointError {
            throw PoolError(.configurationInvalid, error.message)
        }
    }

    private func openPort() async throws -> any Port {
        do {
            let endpoint =
                self.configuration.listen.scheme == .sctp ? self.configuration.listen : .sctp("*", port: 0)
            let listen = try await endpoint.lookedUp(defaultPort: 0)
            return try await self.host.transport.open(
                PortOptions(
                    scheme: .sctp, localAddresses: listen.addresses, port: listen.port,
                    encapsulationPort: listen.encapsulationPort, acceptsLinks: true,
                    maxIncomingLinks: self.configuration.maxAssociations,
                    fastFailureDetection: self.configuration.fastFailureDetection), receiver: self)
        } catch let error as TransportError {
            throw PoolError(.endpointUnusable, "cannot listen on \(self.configuration.listen): \(error.message)")
        } catch let error as EndpointError {
            throw PoolError(.configurationInvalid, error.message)
        }
    }

    private func openAnnouncements() async throws -> (any DatagramPort)? {
        guard let group = self.configuration.registrars.announceGroup else { return nil }
        do {
            return try await self.host.transport.open(DatagramOptions(group: group, joins: true), receiver: self)
        } catch {
            throw PoolError(.endpointUnusable, "cannot hear announcements on \(group): \(error.message)")
        }
    }

    // MARK: Time

    private func setAlarm() {
        self.alarm.set(
            [
                self.registration.nextDeadline, self.home.nextDeadline,
                self.policyUpdateIsDue ? self.nextPolicyUpdate : nil, self.leavingCheckAt,
            ]
            .compactMap { $0 }.min())
    }

    private func timersFired() {
        let now = self.host.clock.now
        self.take(self.home.timersFired(now: now))
        self.carryOut(self.registration.timersFired(now: now))
        self.tellPolicy(now: now)
        self.checkLeaving(now: now)
        self.setAlarm()
    }

    private func tellPolicy(now: ContinuousClock.Instant) {
        guard self.policyUpdateIsDue, self.nextPolicyUpdate.map({ $0 <= now }) ?? true else { return }
        self.policyUpdateIsDue = false
        self.nextPolicyUpdate = now + .seconds(1)
        self.carryOut(self.registration.contentChanged(now: now))
    }

    // MARK: Links

    private func handle(_ event: LinkEvent) {
        let now = self.host.clock.now
        switch event {
        case .up(let link):
            self.userLinkUp(link)
            self.take(self.home.received(event, now: now))
        case .message(let raw, let link):
            let message = self.links[link]?.framing?.inbound(raw) ?? raw
            if message.payloadProtocol == ASAPMessage.payloadProtocol {
                self.received(control: message, on: link, now: now)
            } else {
                self.received(data: message, on: link)
            }
        case .writable(let link): self.links[link]?.room.signal()
        case .unsent: break
        case .down(let link, _):
            self.userLinkDown(link)
            // We have left: our own end of the link is no loss.
            guard !self.isOver else { return }
            self.take(self.home.received(event, now: now))
        }
        self.setAlarm()
    }

    private func take(_ outcomes: [HomeLink.Outcome]) {
        let now = self.host.clock.now
        for outcome in outcomes {
            switch outcome {
            case .found: self.carryOut(self.registration.homeFound(now: now))
            case .kept: if !self.registration.isRegistered { self.carryOut(self.registration.homeFound(now: now)) }
            case .lost:
                self.logger.info("home registrar lost")
                self.eventSink.yield(.homeLost)
                // The hunt has begun, and may have ended: a registrar's own association with us serves at once. Then there is
                // no reason to look for another one beside it.
                self.carryOut(self.registration.homeLost().filter { $0 != .hunt })
            case .nobodyThere: self.logger.debug("no registrar answers; the hunt goes on")
            }
        }
    }

    // MARK: Registration

    private func carryOut(_ actions: [ElementRegistration.Action]) {
        let now = self.host.clock.now
        for action in actions {
            switch action {
            case .sendRegistration: self.sendRegistration()
            case .sendDeregistration:
                self.send { () throws(WireError) in try Deregistration(pool: self.pool, id: self.id).encoded() }
            case .hunt: self.take(self.home.distrust(now: now))
            case .chooseNewID: self.id = .random(using: &self.generator)
            case .report(let report): self.take(report)
            }
        }
    }

    private func take(_ report: ElementRegistration.Report) {
        switch report {
        case .registered(let warnings):
            let home = self.home.homeName ?? "unknown"
            self.logger.debug(
                "registered", metadata: ["pool": "\(self.pool)", "element": "\(self.id)", "home": "\(home)"])
            self.eventSink.yield(.registered(id: self.id, home: home, warnings: warnings))
        case .rejected(let causes):
            let reasons = causes.map(\.code.description).joined(separator: ", ")
            self.whenOver.resolve(
                .failure(
                    PoolError(
                        .rejected,
                        "registrar \(self.home.homeName ?? "unknown") rejected \(self.id) in pool \(self.pool): "
                            + (reasons.isEmpty ? "it gave no reason" : reasons), causes: causes)))
        case .noAnswer(let attempts):
            self.logger.warning("no registrar answers the registration", metadata: ["attempts": "\(attempts)"])
            self.eventSink.yield(.noAnswer(attempts: attempts))
        case .gaveUp(let attempts):
            self.whenOver.resolve(
                .failure(
                    PoolError(.noAnswer, "no registrar has answered \(attempts) registrations in pool \(self.pool)")))
        case .expelled(let causes):
            self.logger.info("removed by the registrar; registering again")
            self.eventSink.yield(.expelled(causes))
        case .deregistered:
            self.eventSink.yield(.deregistered)
            self.beginLeaving(now: self.host.clock.now)
        }
    }

    private func sendRegistration() {
        guard let home = self.home.home, let port = self.port else { return }
        let reachable = port.localAddresses(of: home)
        let transport: UserTransport
        switch self.configuration.transport {
        case nil where self.servicePort != nil:
            transport = .tcp(SocketAddress(ip: self.serviceAddress(reachable), port: self.servicePort?.local.port ?? 0))
        case nil:
            transport = .sctp(SCTPTransport(port: port.local.port, use: .dataAndControl, addresses: reachable))
        case .some(let configured):
            // All addresses that are registered have to be addresses of the association (ASAP-022, ASAP-237).
            let foreign = configured.addresses.filter { !reachable.contains($0) }
            guard foreign.isEmpty else {
                self.whenOver.resolve(
                    .failure(
                        PoolError(
                            .configurationInvalid,
                            "address \(foreign[0]) of the service is none of the association with the registrar "
                                + "(\(reachable.map(\.description).joined(separator: ", "))): register one of these")))
                return
            }
            transport = configured
        }
        var encapsulationPort: UInt16?
        if case .sctp = transport { encapsulationPort = port.local.encapsulationPort }
        let member = PoolMember(
            id: self.id, home: self.home.homeID ?? .undetermined, life: self.home.dialect.told(self.configuration.life),
            transport: transport, policy: self.policy, encapsulationPort: encapsulationPort)
        self.registered = member
        let audience = self.home.dialect.audience
        self.send { () throws(WireError) in
            try Registration(pool: self.pool, member: member).encoded(for: audience)
        }
    }

    /// Where users reach the TCP endpoint: what it is bound to, else where the registrar sees us.
    private func serviceAddress(_ reachable: [IPAddress]) -> IPAddress {
        self.servicePort?.local.addresses.first { !$0.isWildcard } ?? reachable.first ?? .anyIPv4
    }

    /// A message that cannot be sent is not sent again here: the machine's timers see to that.
    private func send(_ encode: () throws(WireError) -> [UInt8]) {
        do throws(WireError) {
            _ = self.home.send(try encode())
        } catch {
            self.whenOver.resolve(
                .failure(PoolError(.configurationInvalid, "the registration does not fit a message: \(error.reason)")))
        }
    }

    // MARK: Control messages

    private func received(control message: InboundMessage, on link: LinkID, now: ContinuousClock.Instant) {
        let decoded: Decoded<ASAPMessage>
        do throws(WireError) {
            decoded = try ASAPMessage.decode(message.bytes[...])
        } catch {
            self.logger.debug("malformed control message", metadata: ["error": "\(error)"])
            self.report(error.causes, about: message, on: link)
            return
        }
        // Registrars come over SCTP: who uses the service over TCP has nothing to say to the registration.
        if link.port == self.servicePort?.id {
            switch decoded.message {
            case .cookieEcho, .businessCard: break
            default: return self.logger.debug("a user's control message ignored")
            }
        }
        switch decoded.message {
        case .registrationResponse(let response) where response.pool == self.pool && response.id == self.id:
            if self.home.isRegistrarLink(link) { self.carryOut(self.registration.received(response, now: now)) }
        case .deregistrationResponse(let response) where response.pool == self.pool && response.id == self.id:
            if self.home.isRegistrarLink(link) { self.carryOut(self.registration.received(response, now: now)) }
        case .endpointKeepAlive(let keepAlive): self.received(keepAlive, on: link, now: now)
        case .cookieEcho(let echo): self.received(echo, on: link)
        case .businessCard(let card): self.received(card, on: link)
        case .error(let error):
            self.logger.warning("the registrar reports an error", metadata: ["causes": "\(error.causes.map(\.code))"])
        default: self.logger.debug("control message ignored", metadata: ["type": "\(decoded.message.type.name)"])
        }
        self.report(decoded.unrecognized, about: message, on: link)
    }

    /// KA1 and KA2 of RFC 5352 §3.4: another pool, or another element: silence. The answer goes out before we follow.
    private func received(_ keepAlive: EndpointKeepAlive, on link: LinkID, now: ContinuousClock.Instant) {
        guard keepAlive.pool == self.pool, keepAlive.id == nil || keepAlive.id == self.id else { return }
        guard let ack = try? EndpointKeepAliveAck(pool: self.pool, id: self.id).encoded() else { return }
        _ = self.home.send(ack, on: link)
        if link == self.home.home {
            self.home.homeID = keepAlive.registrar
        } else if keepAlive.wantsToBeHome, keepAlive.registrar != self.home.homeID {
            self.take(self.home.adopt(link, id: keepAlive.registrar, now: now))
        }
    }

    private func report(_ causes: [ErrorCause], about message: InboundMessage, on link: LinkID) {
        guard !causes.isEmpty, message.bytes.first != ASAPMessage.MessageType.error.rawValue,
            let bytes = try? ASAPError(causes: causes).encoded()
        else { return }
        _ = self.home.send(bytes, on: link)
    }
}

extension PoolElement: PortReceiver {
    nonisolated package func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}

extension PoolElement: DatagramReceiver {
    nonisolated package func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { element in
            guard case .serverAnnounce(let announce)? = try? ASAPMessage.decode(bytes[...]).message else { return }
            element.take(element.home.received(announce, from: source.ip, now: element.host.clock.now))
            element.setAlarm()
        }
    }
}
