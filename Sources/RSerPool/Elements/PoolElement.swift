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
/// The SCTP endpoint that talks to registrars is also where its users reach it, unless ``Configuration/transport`` names
/// another place. Each message of a user goes to the handler; what that returns is sent back on the same stream with the
/// same payload protocol. Messages of one association are handled one after the other, those of different ones side by side.
public actor PoolElement: Service {
    public struct Configuration: Sendable {
        public var policy: PoolPolicy = .roundRobin
        /// Nil: a random identifier, and another one should it be in use. A fixed one is never changed.
        public var id: PoolElementID?
        /// How long a registration holds without being renewed. 300 s.
        public var life: RegistrationLife = .seconds(300)
        /// The SCTP endpoint: `sctp:*` with any free port by default.
        public var listen: Endpoint = .sctp("*", port: 0)
        /// Where users reach the service; nil: at the SCTP endpoint, with a control channel besides the data.
        public var transport: UserTransport?
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

    public nonisolated let pool: PoolHandle
    /// What happens to the registration; the newest 64 events are kept for one reader.
    public nonisolated let events: AsyncStream<Event>
    private nonisolated let eventSink: AsyncStream<Event>.Continuation

    private nonisolated let host: Host
    private let configuration: Configuration
    private let handler: Handler
    private var logger: Logger
    private var generator: HostGenerator
    private let alarm: Alarm

    /// The identifier that it registers with.
    public private(set) var id: PoolElementID
    private var policy: PoolPolicy
    private var registration: ElementRegistration
    private var home: HomeLink
    private var port: (any Port)?
    private var links: [LinkID: UserLink] = [:]
    /// When the next change of the policy's values may be told (POL-012); nil: at once.
    private var nextPolicyUpdate: ContinuousClock.Instant?
    private var policyUpdateIsDue = false
    private let newWorkers = Mailbox<UserLink>(limit: 1 << 16)
    private let whenOver = OneShot<Void>()
    private nonisolated let stopping = OneShot<Void>()
    private var isOver = false

    /// One user's association: its messages wait here for its worker.
    private final class UserLink: Sendable {
        let id: LinkID
        let source: String
        let inbox: Mailbox<InboundMessage>
        let room: RoomSignal

        init(_ link: Link, limit: Int) {
            self.id = link.id
            self.source = link.remote.addresses.map { SocketAddress(ip: $0, port: link.remote.port).description }
                .joined(separator: ",")
            self.inbox = Mailbox(limit: limit)
            self.room = RoomSignal()
        }
    }

    public init(pool: PoolHandle, configuration: Configuration, host: Host, logger: Logger, handler: @escaping Handler)
    {
        self.pool = pool
        self.host = host
        self.configuration = configuration
        self.handler = handler
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

    /// Registers and serves until the task is cancelled, or a graceful shutdown begins: then it deregisters first.
    ///
    /// - Throws: ``PoolError`` when the registration is rejected for good, or an endpoint cannot be opened.
    public func run() async throws {
        defer { self.eventSink.finish() }
        let addresses = try await self.configuration.registrars.addresses(onlySCTP: true)
        self.home = HomeLink(configured: addresses, timers: self.configuration.timers)
        let port = try await self.openPort()
        self.port = port
        self.home.use(sctpPort: port, tcpPort: nil)
        var announcements: (any DatagramPort)?
        do {
            announcements = try await self.openAnnouncements()
            try await self.live()
        } catch {
            announcements?.close()
            await port.close(within: .zero)
            if error is CancellationError { return }
            throw error
        }
        announcements?.close()
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

    /// Leaves the pool; ``run()`` returns when that is done.
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

    private func openPort() async throws -> any Port {
        guard self.configuration.listen.scheme == .sctp else {
            throw PoolError(
                .configurationInvalid,
                "a pool element listens over SCTP, not on \(self.configuration.listen): sctp:*:0 for example")
        }
        do {
            let listen = try await self.configuration.listen.lookedUp(defaultPort: 0)
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
                self.policyUpdateIsDue ? self.nextPolicyUpdate : nil,
            ]
            .compactMap { $0 }.min())
    }

    private func timersFired() {
        let now = self.host.clock.now
        self.take(self.home.timersFired(now: now))
        self.carryOut(self.registration.timersFired(now: now))
        self.tellPolicy(now: now)
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
            if link.isIncoming { self.links[link.id] = UserLink(link, limit: self.configuration.maxPendingRequests) }
            self.take(self.home.received(event, now: now))
        case .message(let message, let link):
            if message.payloadProtocol == ASAPMessage.payloadProtocol {
                self.received(control: message, on: link, now: now)
            } else {
                self.received(data: message, on: link)
            }
        case .writable(let link): self.links[link]?.room.signal()
        case .down(let link, _):
            if let user = self.links.removeValue(forKey: link) {
                user.inbox.finish()
                user.room.finish()
            }
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
            self.whenOver.resolve(.success(()))
        }
    }

    private func sendRegistration() {
        guard let home = self.home.home, let port = self.port else { return }
        let reachable = port.localAddresses(of: home)
        let transport: UserTransport
        switch self.configuration.transport {
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
        let audience = self.home.dialect.audience
        self.send { () throws(WireError) in
            try Registration(pool: self.pool, member: member).encoded(for: audience)
        }
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
        switch decoded.message {
        case .registrationResponse(let response) where response.pool == self.pool && response.id == self.id:
            if self.home.isRegistrarLink(link) { self.carryOut(self.registration.received(response, now: now)) }
        case .deregistrationResponse(let response) where response.pool == self.pool && response.id == self.id:
            if self.home.isRegistrarLink(link) { self.carryOut(self.registration.received(response, now: now)) }
        case .endpointKeepAlive(let keepAlive): self.received(keepAlive, on: link, now: now)
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

    // MARK: Service

    private func received(data message: InboundMessage, on link: LinkID) {
        // Once it is over nobody answers any more; the end of the association tells the user.
        guard let user = self.links[link], !self.isOver else { return }
        if user.room.becomeBusy(), !self.newWorkers.put(user) {
            self.port?.abort(link)
            return
        }
        if !user.inbox.put(message) {
            self.logger.warning(
                "a user sends faster than the service answers: association aborted",
                metadata: ["user": "\(user.source)"])
            self.port?.abort(link)
        }
    }

    /// One worker for each association that has sent something.
    private func serve() async {
        await withDiscardingTaskGroup { group in
            while let users = await self.newWorkers.next() {
                for user in users { group.addTask { await self.work(for: user) } }
            }
        }
    }

    private func work(for user: UserLink) async {
        while let messages = await user.inbox.next() {
            for message in messages {
                let request = Request(
                    bytes: message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol,
                    source: user.source)
                do {
                    guard let answer = try await self.handler(request) else { continue }
                    await self.answer(answer, to: message, of: user)
                } catch {
                    self.logger.warning(
                        "the service failed a request", metadata: ["error": "\(error)", "user": "\(user.source)"])
                }
            }
        }
    }

    private func answer(_ bytes: [UInt8], to message: InboundMessage, of user: UserLink) async {
        let answer = OutboundMessage(
            bytes: bytes, payloadProtocol: message.payloadProtocol, stream: message.stream)
        while let port = self.port {
            do throws(TransportError) {
                return try port.send(answer, on: user.id)
            } catch {
                guard error.code == .bufferFull else {
                    if error.code == .messageTooLong {
                        self.logger.warning("an answer of \(bytes.count) octets is too long to be sent")
                    }
                    return
                }
            }
            guard await user.room.wait() else { return }
        }
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
