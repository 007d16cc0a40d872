// SPDX-License-Identifier: Apache-2.0

public import Logging
package import NetworkAddress
public import RSerPoolCore
public import RSerPoolTransport
public import RSerPoolWire
public import ServiceLifecycle

/// A client of pools (RFC 5352 §1.1): asks a registrar who is in a pool, chooses by the pool's policy, reports elements that
/// it cannot reach, watches pools change.
///
///     let user = PoolUser(registrars: .list(.sctp("192.0.2.1"), .tcp("192.0.2.2")), host: host, logger: logger)
///     // in a task group, or a ServiceGroup:  try await user.run()
///     let member = try await user.choose(from: "EchoPool")
///     for await change in user.pool("EchoPool").changes { … }
///
/// Nothing is sent or received before ``run()``; what is asked for earlier waits for it.
public actor PoolUser: Service {
    public struct Configuration: Sendable {
        public var registrars: RegistrarDiscovery
        public var timers: ASAPTimers = .rfc
        /// The policies by which it chooses; lists by another one are used in the registrar's order.
        public var policies = PolicyCatalogue.standard
        /// How long answers are used, by policy; `.off` for no cache at all.
        public var caching = Caching()
        /// Heartbeats and retransmissions of SCTP tuned for a local network.
        public var fastFailureDetection = false
        /// Whether to fail a resolution as soon as every registrar has refused once; by default the hunt goes on until the
        /// request's own time is over, 45 s with the RFC's timers.
        public var failsWithoutRegistrar = false
        /// Changes that wait for a slow reader of ``WatchedPool/changes``; beyond, they become one snapshot. 256.
        public var maxPendingChanges = 256
        /// Unreachable reports a second, over all elements; further ones are not sent (ASAP-178). 10.
        public var maxReportsPerSecond = 10

        public init(registrars: RegistrarDiscovery) {
            self.registrars = registrars
        }
    }

    nonisolated let host: Host
    nonisolated let configuration: Configuration
    nonisolated let logger: Logger
    private nonisolated let watcher: PoolWatcher
    private let alarm: Alarm

    private var generator: HostGenerator
    private var home: HomeLink
    private var resolver: Resolver
    private var cache: ResolutionCache
    private var waiting: [PoolHandle: Waiting] = [:]
    /// Elements that the application was given to send to: only those may be reported (ASAP-169).
    private var used: Set<ElementKey> = []
    private var reportTimes: [ContinuousClock.Instant] = []
    private nonisolated let stopping = OneShot<Void>()
    private var hasEnded = false

    public init(configuration: Configuration, host: Host, logger: Logger) {
        self.host = host
        self.configuration = configuration
        self.logger = logger
        self.alarm = Alarm(clock: host.clock)
        self.generator = host.makeGenerator()
        self.home = HomeLink(configured: [], timers: configuration.timers)
        self.resolver = Resolver(timers: configuration.timers)
        self.cache = ResolutionCache(
            staleCacheValue: configuration.timers.staleCacheValue, caching: configuration.caching)
        self.watcher = PoolWatcher(configuration: configuration, host: host, logger: logger)
    }

    /// With the defaults of ``Configuration``.
    public init(registrars: RegistrarDiscovery, host: Host, logger: Logger) {
        self.init(configuration: Configuration(registrars: registrars), host: host, logger: logger)
    }

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    /// Keeps a link to a home registrar, answers requests and feeds subscriptions, until the task is cancelled or a
    /// graceful shutdown begins.
    ///
    /// - Throws: ``PoolError`` if there is no registrar to try or a local endpoint cannot be opened.
    public func run() async throws {
        var ports: [any Port] = []
        var announcements: (any DatagramPort)?
        var failure: (any Error)?
        do {
            let addresses = try await self.configuration.registrars.addresses(onlySCTP: false)
            self.home = HomeLink(configured: addresses, timers: self.configuration.timers)
            let (sctp, tcp) = try await self.configuration.openPorts(for: addresses, self.host, receiver: self)
            ports = [sctp, tcp].compactMap { $0 }
            self.home.use(sctpPort: sctp, tcpPort: tcp)
            announcements = try await self.configuration.openAnnouncements(self.host, receiver: self)
            self.take(self.home.start(now: self.host.clock.now))
            self.setAlarm()
            try await self.live(addresses)
        } catch is CancellationError {
        } catch {
            failure = error
        }
        self.end(failure)
        announcements?.close()
        for port in ports { await port.close(within: failure == nil ? .seconds(1) : .zero) }
        if let failure { throw failure }
    }

    private func live(_ addresses: [RegistrarAddress]) async throws {
        try await withTaskExecutorPreference(self.host.tasks) {
            // Not `gracefulShutdown()`: its waiting leaves the host's thread.
            try await withGracefulShutdownHandler {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.alarm.run { await self.timersFired() } }
                    group.addTask { try await self.watcher.run(addresses) }
                    group.addTask { try await self.stopping.value() }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            } onGracefulShutdown: {
                self.stopping.resolve(.success(()))
            }
        }
    }

    private func end(_ failure: (any Error)?) {
        self.hasEnded = true
        self.home.use(sctpPort: nil, tcpPort: nil)
        self.watcher.end()
        let error = failure ?? PoolError(.stopped, "the pool user has stopped")
        for waiter in self.waiting.sorted(by: { $0.key < $1.key }) { waiter.value.outcome.resolve(.failure(error)) }
        self.waiting = [:]
    }

    // MARK: What it is for

    /// Where the registrar is that it asks; empty while it has none.
    package var registrarAddresses: [IPAddress] { self.home.homeAddresses }

    /// Who is in a pool, by the cache while that is fresh, else by the home registrar (RFC 5352 §3.3).
    ///
    /// - Parameter count: how many elements are wanted; nil leaves it to the registrar, 128 or so. `Int.max` is as many as
    ///   fit an answer. A request with a number always asks.
    /// - Throws: ``PoolError``, `.unknownPool` and `.noAnswer` foremost, or `CancellationError`.
    public func resolve(_ pool: PoolHandle, count: Int? = nil) async throws -> Resolution {
        let now = self.host.clock.now
        if count == nil, let cached = self.cache.members(of: pool, now: now) {
            return Resolution(
                pool: pool, policy: cached.overallPolicy, members: cached.members,
                registrar: self.home.homeEndpoint ?? "", isFromCache: true)
        }
        return try await self.ask(pool, count: count)
    }

    /// One element of a pool, chosen by the pool's policy: call it for each message or each session.
    ///
    /// - Throws: ``PoolError``, `.noPoolElement` if all are known to be unreachable.
    public func choose(from pool: PoolHandle) async throws -> PoolMember {
        guard let member = try await self.choose(from: pool, avoiding: []) else {
            throw PoolError(.noPoolElement, "no element of pool \(pool) can be reached")
        }
        return member
    }

    /// Another element instead of one that could not be reached: reports that one and chooses again (RFC 5351 §4.1,
    /// GETNEXTSERVER). The first one is ``choose(from:)``'s.
    ///
    /// - Throws: ``PoolError``, `.noPoolElement` when there is no other one.
    public func choose(from pool: PoolHandle, insteadOf failed: PoolElementID) async throws -> PoolMember {
        self.reportUnreachable(failed, in: pool)
        guard let member = try await self.choose(from: pool, avoiding: [failed]) else {
            throw PoolError(.noPoolElement, "no other element of pool \(pool) can be reached")
        }
        return member
    }

    /// One element by the pool's policy, none of `avoided`; nil when the registrar knows no other one either.
    func choose(from pool: PoolHandle, avoiding avoided: Set<PoolElementID>) async throws -> PoolMember? {
        func markAvoided() {
            for id in avoided { self.cache.markUnreachable(ElementKey(pool: pool, id: id)) }
        }
        markAvoided()
        if let member = self.chooseFromCache(pool) { return member }
        // Where the registrar counts choices, no more than this one is asked for; should that be one to avoid, all are.
        let countsChoices = self.cache.policy(of: pool)?.countsChoices ?? false
        for count in countsChoices ? [1, nil] : [nil] as [Int?] {
            let resolution = try await self.ask(pool, count: count)
            markAvoided()
            if let member = self.chooseFromCache(pool) { return member }
            // Nothing is cached: the answer is used once.
            var chooser = MemberChooser(
                members: resolution.members, policy: resolution.policy, policies: self.configuration.policies)
            for id in avoided { chooser.markUnreachable(id) }
            guard let member = chooser.next(using: &self.generator) else { continue }
            self.remember(ElementKey(pool: pool, id: member.id))
            return member
        }
        return nil
    }

    /// A certain element, if the registrar lists it.
    func member(_ id: PoolElementID, of pool: PoolHandle) async throws -> PoolMember? {
        let member = try await self.resolve(pool).members.first { $0.id == id }
        if member != nil { self.willUse(id, in: pool) }
        return member
    }

    /// Something is going to be sent to an element that was not chosen here.
    func willUse(_ id: PoolElementID, in pool: PoolHandle) {
        self.remember(ElementKey(pool: pool, id: id))
    }

    /// Leaves an element out of further choices until the next answer, without a report.
    func setAside(_ id: PoolElementID, in pool: PoolHandle) {
        self.cache.markUnreachable(ElementKey(pool: pool, id: id))
    }

    /// A business card names a pool: it is asked for unless it is known (RFC 5352 §3.9 BC1).
    func heard(of pool: PoolHandle) {
        guard self.cache.members(of: pool, now: self.host.clock.now) == nil else { return }
        _ = try? self.request(pool, count: nil)
    }

    /// Reports an element that could not be reached, to the home registrar (RFC 5352 §3.5), and leaves it out of further
    /// choices until the next answer. Nothing is sent for an element that ``choose(from:)`` has not given (ASAP-169), nor
    /// twice for one choice.
    public func reportUnreachable(_ id: PoolElementID, in pool: PoolHandle) {
        let key = ElementKey(pool: pool, id: id)
        self.cache.markUnreachable(key)
        guard self.used.remove(key) != nil else { return }
        let now = self.host.clock.now
        self.reportTimes.removeAll { now - $0 >= .seconds(1) }
        guard self.reportTimes.count < self.configuration.maxReportsPerSecond else { return }
        self.reportTimes.append(now)
        guard let bytes = try? EndpointUnreachable(pool: pool, id: id).encoded() else { return }
        _ = self.home.send(bytes)
    }

    /// Forgets what it remembers of a pool: the next request asks (RFC 5352 §6.4).
    public func purge(_ pool: PoolHandle) {
        self.cache.purge(pool)
    }

    /// A pool to be watched.
    public nonisolated func pool(_ handle: PoolHandle) -> WatchedPool {
        WatchedPool(handle: handle, watcher: self.watcher, maxPendingChanges: self.configuration.maxPendingChanges)
    }

    /// A session with a pool, for as long as `body` runs.
    ///
    /// - Parameter element: an element to come back to (RFC 3237 §2.10): it is taken while it can be reached, then others.
    public nonisolated func withSession<Result: Sendable>(
        with pool: PoolHandle, element: PoolElementID? = nil, configuration: Session.Configuration = .init(),
        _ body: @Sendable (Session) async throws -> Result
    ) async throws -> Result {
        let destination = element.map { Session.Destination.element($0, pool) } ?? .pool(pool)
        return try await self.withSession(Session(to: destination, user: self, configuration: configuration), body)
    }

    /// A session with whoever is at an address, without fail-over (RFC 5352 §6.5.4).
    public nonisolated func withSession<Result: Sendable>(
        at transport: UserTransport, configuration: Session.Configuration = .init(),
        _ body: @Sendable (Session) async throws -> Result
    ) async throws -> Result {
        let session = Session(to: .address(transport), user: self, configuration: configuration)
        return try await self.withSession(session, body)
    }

    private nonisolated func withSession<Result: Sendable>(
        _ session: Session, _ body: @Sendable (Session) async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await session.run() }
            do {
                let result = try await body(session)
                await session.close()
                group.cancelAll()
                return result
            } catch {
                await session.close()
                throw error
            }
        }
    }

    // MARK: Requests

    /// An answer that is waited for, by as many as want the same.
    private struct Waiting {
        let outcome = OneShot<Resolution>()
        let count: Int?
    }

    private func ask(_ pool: PoolHandle, count: Int?) async throws -> Resolution {
        // One request a pool is open at a time: who wants another number of elements comes after it.
        while let open = self.waiting[pool], open.count != count {
            _ = try? await open.outcome.value()
            try Task.checkCancellation()
        }
        return try await self.request(pool, count: count).value()
    }

    private func request(_ pool: PoolHandle, count: Int?) throws(PoolError) -> OneShot<Resolution> {
        guard !self.hasEnded else { throw PoolError(.stopped, "the pool user has stopped") }
        if let open = self.waiting[pool] { return open.outcome }
        let waiting = Waiting(count: count)
        self.waiting[pool] = waiting
        let request = HandleResolution(pool: pool, count: count.map { UInt32(clamping: max(0, $0)) })
        self.carryOut(self.resolver.request(request, now: self.host.clock.now))
        self.setAlarm()
        return waiting.outcome
    }

    private func chooseFromCache(_ pool: PoolHandle) -> PoolMember? {
        guard let choice = self.cache.choose(from: pool, now: self.host.clock.now, using: &self.generator) else {
            return nil
        }
        self.remember(ElementKey(pool: pool, id: choice.member.id))
        if choice.isRefreshDue { _ = try? self.request(pool, count: nil) }
        return choice.member
    }

    /// Most elements remembered as used; the memory starts anew beyond.
    private static let maxUsed = 65_536

    private func remember(_ key: ElementKey) {
        if self.used.count >= Self.maxUsed { self.used = [] }
        self.used.insert(key)
    }

    private func carryOut(_ actions: [Resolver.Action]) {
        let now = self.host.clock.now
        for action in actions {
            switch action {
            case .send(let request):
                guard let bytes = try? request.encoded(for: self.home.dialect.audience) else {
                    self.resolver.abandon(request.pool)
                    self.fail(
                        request.pool,
                        PoolError(
                            .configurationInvalid,
                            "a pool handle of \(request.pool.octets.count) octets does not fit a message"))
                    continue
                }
                _ = self.home.send(bytes)
            case .hunt: self.take(self.home.distrust(now: now))
            case .fail(let pool, let failure): self.fail(pool, self.error(failure, pool))
            }
        }
    }

    private func error(_ failure: Resolver.Failure, _ pool: PoolHandle) -> PoolError {
        switch failure {
        case .noAnswer where self.home.home == nil: self.noRegistrar
        case .noAnswer:
            PoolError(.noAnswer, "registrar \(self.home.homeEndpoint ?? "") does not answer who is in pool \(pool)")
        case .refused(let causes):
            PoolError(
                .refused,
                "the registrar refused the request: " + causes.map(\.code.description).joined(separator: ", "),
                causes: causes)
        case .tooMany: PoolError(.overloaded, "more than \(Resolver.maxRequests) resolutions are open")
        }
    }

    private var noRegistrar: PoolError {
        let tried = self.configuration.registrars.registrars.map(\.description).joined(separator: ", ")
        return PoolError(
            .noRegistrar,
            "no registrar could be reached (\(tried.isEmpty ? "none was announced" : "tried \(tried)")): "
                + "is one running, and is its address right?")
    }

    private func fail(_ pool: PoolHandle, _ error: PoolError) {
        self.waiting.removeValue(forKey: pool)?.outcome.resolve(.failure(error))
    }

    // MARK: Events

    private func setAlarm() {
        self.alarm.set([self.resolver.nextDeadline, self.home.nextDeadline].compactMap { $0 }.min())
    }

    private func timersFired() {
        let now = self.host.clock.now
        self.carryOut(self.resolver.timersFired(now: now))
        self.take(self.home.timersFired(now: now))
        self.setAlarm()
    }

    private func take(_ outcomes: [HomeLink.Outcome]) {
        let now = self.host.clock.now
        for outcome in outcomes {
            switch outcome {
            case .found: self.carryOut(self.resolver.homeFound(now: now))
            case .lost: self.carryOut(self.resolver.homeLost())
            case .kept: break
            case .nobodyThere:
                guard self.configuration.failsWithoutRegistrar else { continue }
                for pool in self.waiting.keys.sorted() {
                    self.resolver.abandon(pool)
                    self.fail(pool, self.noRegistrar)
                }
            }
        }
    }

    private func handle(_ event: LinkEvent) {
        let now = self.host.clock.now
        if case .message(let message, let link) = event {
            self.received(message, over: link, now: now)
        } else {
            self.take(self.home.received(event, now: now))
        }
        self.setAlarm()
    }

    private func received(_ message: InboundMessage, over link: LinkID, now: ContinuousClock.Instant) {
        // A late answer of an earlier home is as good as any (ASAP-213).
        switch try? ASAPMessage.decode(message.bytes[...]).message {
        case .handleResolutionResponse(let response): self.received(response, now: now)
        case .error(let error): self.carryOut(self.resolver.received(error))
        default: self.logger.debug("message ignored", metadata: ["link": "\(link)"])
        }
    }

    private func received(_ response: HandleResolutionResponse, now: ContinuousClock.Instant) {
        let wasAskedFor = self.resolver.answered(response.pool)
        switch response.outcome {
        case .members(let policy, let members):
            let members = members.heard(in: self.home.dialect)
            let chooser = MemberChooser(members: members, policy: policy, policies: self.configuration.policies)
            // What was asked for with a number is that question's alone: the list for choices, and how far it is used, stay.
            if self.waiting[response.pool]?.count == nil { self.cache.store(chooser, for: response.pool, now: now) }
            guard wasAskedFor else { return }
            let resolution = Resolution(
                pool: response.pool, policy: policy ?? .roundRobin, members: members,
                registrar: self.home.homeEndpoint ?? "", isFromCache: false)
            self.waiting.removeValue(forKey: response.pool)?.outcome.resolve(.success(resolution))
        case .failed(let causes):
            guard wasAskedFor else { return }
            self.cache.purge(response.pool)
            let isUnknown = causes.contains { $0.code == .unknownPoolHandle }
            let reasons = causes.map(\.code.description).joined(separator: ", ")
            self.fail(
                response.pool,
                PoolError(
                    isUnknown ? .unknownPool : .refused,
                    isUnknown
                        ? "registrar \(self.home.homeEndpoint ?? "") knows no pool \(response.pool): has an element registered?"
                        : "registrar \(self.home.homeEndpoint ?? "") gives no element of pool \(response.pool): \(reasons)",
                    causes: causes))
        }
    }
}

extension PoolUser: PortReceiver {
    nonisolated package func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}

extension PoolUser: DatagramReceiver {
    nonisolated package func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { user in
            guard case .serverAnnounce(let announce)? = try? ASAPMessage.decode(bytes[...]).message else { return }
            user.take(user.home.received(announce, from: source.ip, now: user.host.clock.now))
            user.setAlarm()
        }
    }
}
