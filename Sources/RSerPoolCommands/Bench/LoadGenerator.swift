// SPDX-License-Identifier: Apache-2.0

internal import Histogram
internal import NetworkAddress
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

/// Puts load on a registrar over real sockets, and measures how it answers.
///
/// It lives on its host's thread: a request goes out in the turn in which the answer before it came, and what is measured is
/// the time between the two. Bounds: as many requests wait as the plan says; a latency counts up to a minute.
actor LoadGenerator {
    struct Connection {
        let port: any Port
        /// When each request was sent whose answer has not come; answers come in this order.
        var sent = Queue()
        /// Nil once it is over.
        var link: LinkID?
        /// The last change that it has heard of.
        var heard: UInt64 = 0
    }

    /// What comes first goes first.
    struct Queue {
        private var times: [ContinuousClock.Instant] = []
        private var first = 0

        var isEmpty: Bool { self.first == self.times.count }

        mutating func append(_ time: ContinuousClock.Instant) {
            if self.first > 1_024, self.first * 2 > self.times.count {
                self.times.removeFirst(self.first)
                self.first = 0
            }
            self.times.append(time)
        }

        mutating func removeFirst() -> ContinuousClock.Instant? {
            guard !self.isEmpty else { return nil }
            defer { self.first += 1 }
            return self.times[self.first]
        }
    }

    enum Phase {
        case connecting
        /// Elements register; this is the next one.
        case preparing(next: Int)
        case measuring(until: ContinuousClock.Instant)
        /// What was asked is still answered.
        case ending
        case over
    }

    struct Element {
        let pool: PoolHandle
        let id: PoolElementID
        let registration: [UInt8]
        let deregistration: [UInt8]
    }

    let host: Host
    let plan: LoadPlan
    var phase = Phase.connecting
    /// Those that are measured; the last ones, if elements register elsewhere, are theirs.
    var connections: [Connection] = []
    private var index: [LinkID: Int] = [:]
    var elements: [Element] = []
    var requests: [[UInt8]] = []
    /// Where the elements say that they are.
    private var address = IPAddress.loopbackIPv4
    private var nextRequest = 0
    private var registered = 0
    /// The length of answers of which one has been looked into.
    private var knownLength = -1
    var outstanding = 0
    private var heardBy = 0
    private var change: UInt64 = 0
    private var changedAt: ContinuousClock.Instant
    private var lastSign: ContinuousClock.Instant
    var begin: ContinuousClock.Instant
    private var report = LoadReport()
    /// Nanoseconds, up to a minute.
    private var latencies = Histogram<UInt64>(
        highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
    var step = OneShot<Void>()
    /// With `die`: when each element's association ended of which no subscriber has been told.
    var died: [PoolElementID: ContinuousClock.Instant] = [:]
    var bystander: Element?
    var unrelated = Histogram<UInt64>(
        highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    init(_ plan: LoadPlan, host: Host) {
        self.plan = plan
        self.host = host
        let now = host.clock.now
        (self.changedAt, self.lastSign, self.begin) = (now, now, now)
    }

    /// Carries the plan out, and leaves the registrar as it was.
    func run() async throws -> LoadReport {
        do {
            try await self.connect()
            try await self.prepare()
            try await self.measure()
            try await self.cleanUp()
        } catch {
            await self.close()
            throw error
        }
        await self.close()
        return self.report
    }

    // MARK: Steps

    /// Waits for the end of a step; gives up when nothing has come for as long as the plan's patience.
    private func awaitStep(_ what: String) async throws {
        let step = self.step
        self.lastSign = self.host.clock.now
        let watchdog = Alarm(clock: self.host.clock)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await step.value() }
            group.addTask {
                try await watchdog.run { await self.checkPatience(watchdog, what) }
            }
            watchdog.set(self.lastSign + self.plan.patience)
            defer { group.cancelAll() }
            try await group.next()
        }
        self.step = OneShot()
    }

    private func checkPatience(_ watchdog: Alarm, _ what: String) {
        let limit = self.lastSign + self.plan.patience
        guard limit <= self.host.clock.now else { return watchdog.set(limit) }
        if case .ending = self.phase {
            self.report.unanswered = UInt64(self.outstanding)
            self.fail("\(self.outstanding) requests were never answered", count: UInt64(self.outstanding))
            self.outstanding = 0
            return self.step.resolve(.success(()))
        }
        let endpoint = SocketAddress(ip: self.plan.target.addresses[0], port: self.plan.target.port)
        self.step.resolve(
            .failure(
                CommandFailure(.unreachable, "\(endpoint) does not answer (\(what)); is a registrar running there?")))
    }

    private func connect() async throws {
        var places = [(self.plan.target, self.plan.scheme, self.plan.connections)]
        if self.plan.work == .die {
            guard let home = self.plan.home else { throw Self.elementsNeedSCTP }
            places = [(home, .sctp, self.plan.connections), (self.plan.target, self.plan.scheme, 1), (home, .sctp, 1)]
        } else if self.plan.work == .subscribe || self.plan.members > 0 && self.plan.home != self.plan.target {
            guard let home = self.plan.home else { throw Self.elementsNeedSCTP }
            places.append((home, .sctp, 1))
        }
        for (remote, scheme, count) in places {
            var shared: (any Port)?
            for _ in 0..<count {
                // Between two SCTP endpoints there is one association: each needs an endpoint of its own here.
                let port: any Port
                if scheme == .tcp, let shared { port = shared } else { port = try await self.open(scheme) }
                shared = port
                let link = try port.connect(to: remote)
                self.index[link] = self.connections.count
                self.connections.append(Connection(port: port, link: link))
                self.outstanding += 1
            }
        }
        try await self.awaitStep("connecting")
    }

    private static let elementsNeedSCTP = CommandFailure(
        .usage, "elements register over SCTP only: name an SCTP endpoint with --elements-at")

    private func open(_ scheme: LinkScheme) async throws -> any Port {
        let framing = PortOptions.Scheme.tcp(framing: { try MessageFraming.frameLength($0) })
        do {
            return try await self.host.transport.open(
                PortOptions(scheme: scheme == .tcp ? framing : .sctp, sendBufferLimit: 16 << 20), receiver: self)
        } catch {
            throw CommandFailure(.unreachable, "cannot open a socket: \(error.message)")
        }
    }

    private func prepare() async throws {
        try self.encode()
        self.phase = .preparing(next: 0)
        guard self.plan.work != .register, !self.elements.isEmpty else { return }
        for _ in 0..<min(64, self.elements.count) { self.registerNext() }
        try await self.awaitStep("registering \(self.elements.count) elements")
    }

    private func measure() async throws {
        self.nextRequest = 0
        self.begin = self.host.clock.now
        self.phase = .measuring(until: self.begin + self.plan.duration)
        if self.plan.work == .die {
            try self.registerBystander()
        } else if self.plan.work == .subscribe {
            for number in 0..<self.plan.connections { self.ask(on: number, now: self.begin) }
        } else {
            for number in 0..<self.plan.inFlight { self.ask(on: number % self.plan.connections, now: self.begin) }
        }
        try await self.awaitStep("measuring")
        // Until the last sign: waiting for what never came is none of it.
        self.report.seconds = (self.lastSign - self.begin) / .seconds(1)
        self.report.latencies = Latencies(self.latencies)
        if self.plan.work == .die { self.report.meanwhile = Latencies(self.unrelated) }
    }

    private func cleanUp() async throws {
        self.phase = .over
        self.outstanding = 0
        if self.plan.work == .die {
            self.elements = self.bystander.map { [$0] } ?? []
            self.registered = 1
        }
        for element in self.elements.prefix(self.registered) {
            self.send(element.deregistration, on: self.homeConnection)
            self.outstanding += 1
        }
        if self.outstanding > 0 { try? await self.awaitStep("leaving") }
    }

    private func close() async {
        var closed: Set<PortID> = []
        for connection in self.connections where closed.insert(connection.port.id).inserted {
            await connection.port.close(within: .milliseconds(200))
        }
    }

    // MARK: Messages

    /// The last one, if elements register elsewhere than what is measured.
    var homeConnection: Int {
        self.connections.count > self.plan.connections ? self.connections.count - 1 : 0
    }

    private func encode() throws {
        // Registrars let no element in with an address that is not its association's.
        let home = self.connections[self.homeConnection]
        if let address = home.link.flatMap({ home.port.localAddresses(of: $0).first }) { self.address = address }
        self.elements = try (0..<self.plan.members).map { number in
            try self.element(number + 1, in: self.plan.pools[number % self.plan.pools.count])
        }
        switch self.plan.work {
        case .resolve:
            self.requests = try self.plan.pools.map {
                try HandleResolution(pool: $0, count: self.plan.count).encoded(for: .asap)
            }
        case .register, .registerAgain: self.requests = self.elements.map(\.registration)
        case .subscribe, .die:
            self.requests = [
                try HandleResolution(pool: self.plan.pools[0], wantsUpdates: true, wantsIncrements: true)
                    .encoded(for: .asap)
            ]
        }
    }

    func element(_ number: Int, in pool: PoolHandle) throws -> Element {
        let id = PoolElementID(rawValue: UInt32(number))
        let member = PoolMember(
            id: id, life: .seconds(300), transport: .sctp(SCTPTransport(port: 4711, addresses: [self.address])),
            policy: self.plan.policy)
        return Element(
            pool: pool, id: id, registration: try Registration(pool: pool, member: member).encoded(for: .asap),
            deregistration: try Deregistration(pool: pool, id: id).encoded())
    }

    func send(_ bytes: [UInt8], on number: Int) {
        guard let link = self.connections[number].link else { return }
        do {
            try self.connections[number].port.send(
                OutboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol), on: link)
        } catch {
            self.fail("a request could not be sent: \(error.message)")
        }
    }

    private func registerNext() {
        guard case .preparing(let next) = self.phase, next < self.elements.count else { return }
        self.phase = .preparing(next: next + 1)
        let home = self.plan.work == .die ? next % self.plan.connections : self.homeConnection
        self.send(self.elements[next].registration, on: home)
    }

    private func ask(on number: Int, now: ContinuousClock.Instant) {
        self.outstanding += 1
        self.connections[number].sent.append(now)
        if self.plan.work == .register, self.nextRequest >= self.elements.count {
            // Who was there longest leaves for its successor, which has its name.
            self.send(self.elements[self.nextRequest % self.elements.count].deregistration, on: number)
        }
        self.send(self.requests[self.nextRequest % self.requests.count], on: number)
        self.nextRequest += 1
    }

    private func fail(_ what: String, count: UInt64 = 1) {
        self.report.errors += count
        self.report.firstError = self.report.firstError ?? what
    }

    // MARK: Answers

    private func handle(_ event: LinkEvent) {
        switch event {
        case .up(let link):
            guard case .connecting = self.phase, self.index[link.id] != nil else { return }
            self.lastSign = self.host.clock.now
            self.outstanding -= 1
            if self.outstanding == 0 { self.step.resolve(.success(())) }
        case .message(let message, let link):
            guard let number = self.index[link] else { return }
            self.received(message.bytes, on: number)
        case .down(let link, let reason):
            // Those that were ended here are no longer known by their link.
            guard let number = self.index[link], self.connections[number].link == link else { return }
            self.connections[number].link = nil
            if case .over = self.phase { return }
            let endpoint = SocketAddress(ip: self.plan.target.addresses[0], port: self.plan.target.port)
            self.step.resolve(
                .failure(CommandFailure(.unreachable, "\(endpoint) has ended a connection (\(reason.rawValue))")))
        case .writable, .unsent: break
        }
    }

    private func received(_ bytes: [UInt8], on number: Int) {
        let now = self.host.clock.now
        self.lastSign = now
        switch bytes.first.flatMap(ASAPMessage.MessageType.init(rawValue:)) {
        case .endpointKeepAlive: self.acknowledge(bytes, on: number)
        case .registrationResponse: self.registrationAnswered(bytes, on: number, now: now)
        case .deregistrationResponse:
            guard case .over = self.phase else { return }
            self.outstanding -= 1
            if self.outstanding == 0 { self.step.resolve(.success(())) }
        case .handleResolutionResponse: self.resolutionAnswered(bytes, on: number, now: now)
        case .error: self.fail(Self.refusal(in: bytes) ?? "the registrar does not understand")
        default: break
        }
    }

    private func acknowledge(_ bytes: [UInt8], on number: Int) {
        guard case .endpointKeepAlive(let keepAlive)? = try? ASAPMessage.decode(bytes[...]).message else { return }
        // One without a name may mean any of the pool's elements that are here: all of them answer.
        let ids = keepAlive.id.map { [$0] } ?? self.elements.lazy.filter { $0.pool == keepAlive.pool }.map(\.id)
        for id in ids {
            guard let ack = try? EndpointKeepAliveAck(pool: keepAlive.pool, id: id).encoded() else { continue }
            self.send(ack, on: number)
        }
    }

    private func registrationAnswered(_ bytes: [UInt8], on number: Int, now: ContinuousClock.Instant) {
        let isRejected = bytes[1] & 1 == 1
        switch self.phase {
        case .preparing:
            if isRejected {
                let why = Self.refusal(in: bytes) ?? "no reason given"
                self.step.resolve(.failure(CommandFailure(.unreachable, "a registration is rejected: \(why)")))
                return
            }
            self.registered += 1
            if self.registered == self.elements.count { return self.step.resolve(.success(())) }
            self.registerNext()
        case .measuring, .ending:
            if isRejected { self.fail(Self.refusal(in: bytes) ?? "a registration is rejected") }
            if self.plan.work == .die { return self.bystanderAnswered(now: now) }
            // There the registration is what is told, not what is measured.
            if self.plan.work == .subscribe { return }
            self.registered = min(self.elements.count, max(self.registered, self.nextRequest))
            self.answered(on: number, now: now)
        case .connecting, .over: break
        }
    }

    private func resolutionAnswered(_ bytes: [UInt8], on number: Int, now: ContinuousClock.Instant) {
        if case .over = self.phase { return }
        if self.plan.work == .die { return self.told(bytes, now: now) }
        if bytes.count != self.knownLength {
            if let refusal = Self.refusal(in: bytes) { self.fail(refusal) } else { self.knownLength = bytes.count }
        }
        guard self.plan.work == .subscribe else { return self.answered(on: number, now: now) }
        self.heard(on: number, now: now)
    }

    private func answered(on number: Int, now: ContinuousClock.Instant) {
        guard let sent = self.connections[number].sent.removeFirst() else { return }
        self.outstanding -= 1
        self.record(now - sent)
        if case .measuring(let end) = self.phase {
            if now < end { return self.ask(on: number, now: now) }
            self.phase = .ending
        }
        if self.outstanding == 0 { self.step.resolve(.success(())) }
    }

    func record(_ latency: Duration) {
        self.report.answers += 1
        self.latencies.record(Self.nanoseconds(latency))
    }

    static func nanoseconds(_ latency: Duration) -> UInt64 {
        let (seconds, attoseconds) = latency.components
        return UInt64(clamping: min(seconds * 1_000_000_000 + attoseconds / 1_000_000_000, 60_000_000_000))
    }

    /// What an answer refuses; nil for a positive one.
    private static func refusal(in bytes: [UInt8]) -> String? {
        func words(_ causes: [ErrorCause]) -> String {
            let text = causes.map { "\($0.code)" }.joined(separator: ", ")
            guard causes.contains(where: { $0.code == .lackOfResources }) else { return text }
            return text + " (a bound of the registrar is met; its log says which)"
        }
        guard let message = try? ASAPMessage.decode(bytes[...]).message else { return "an answer is malformed" }
        switch message {
        case .handleResolutionResponse(let response):
            if case .failed(let causes) = response.outcome { return words(causes) }
            return nil
        case .registrationResponse(let response): return response.isRejected ? words(response.causes) : nil
        case .error(let error): return words(error.causes)
        default: return nil
        }
    }

    // MARK: Changes

    /// A subscriber has heard the last change; or, at first, has its list.
    private func heard(on number: Int, now: ContinuousClock.Instant) {
        guard self.connections[number].heard <= self.change else { return }
        self.connections[number].heard = self.change + 1
        if self.change > 0 { self.record(now - self.changedAt) }
        self.heardBy += 1
        guard self.heardBy == self.plan.connections, case .measuring(let end) = self.phase else { return }
        if now >= end { return self.step.resolve(.success(())) }
        _ = self.host.clock.schedule(at: now + self.plan.pause) { self.assumeIsolated { $0.makeChange() } }
    }

    private func makeChange() {
        guard case .measuring = self.phase, let element = self.elements.first else { return }
        self.change += 1
        self.heardBy = 0
        let load = Load(rawValue: UInt32(truncatingIfNeeded: self.change))
        let member = PoolMember(
            id: element.id, life: .seconds(300),
            transport: .sctp(SCTPTransport(port: 4711, addresses: [self.address])), policy: .leastUsed(load: load))
        guard let bytes = try? Registration(pool: element.pool, member: member).encoded(for: .asap) else { return }
        self.changedAt = self.host.clock.now
        self.send(bytes, on: self.homeConnection)
    }
}

extension LoadGenerator: PortReceiver {
    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}
