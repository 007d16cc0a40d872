// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

/// A pool user's subscriptions, on a link of their own: answers and updates cannot be confused there.
///
/// The link is opened with the first subscription and left with the last.
actor PoolWatcher {
    private enum Wish: Sendable {
        case watch(PoolHandle, ChangeQueue)
        case unwatch(PoolHandle, ChangeQueue)
    }

    /// Pools watched at a time by one user; a further one yields nothing but its end.
    static let maxPools = 4_096

    private struct Watched {
        var subscription: PoolSubscription
        var queues: [ChangeQueue] = []
    }

    private nonisolated let host: Host
    private let configuration: PoolUser.Configuration
    private let logger: Logger
    private let alarm: Alarm
    /// Wishes come from any thread, in order; bounded by the number of iterators that exist.
    private nonisolated let wishes = Mailbox<Wish>(limit: 1 << 20)

    private var home: HomeLink
    private var homeCheck: HomeCheck
    /// The pools of questions to the present home whether it is there that it has not answered; it answers in order.
    private var openChecks: [PoolHandle] = []
    private var pools: [PoolHandle: Watched] = [:]
    private var ports: (sctp: (any Port)?, tcp: (any Port)?) = (nil, nil)

    init(configuration: PoolUser.Configuration, host: Host, logger: Logger) {
        self.host = host
        self.configuration = configuration
        self.logger = logger
        self.alarm = Alarm(clock: host.clock)
        self.home = HomeLink(configured: [], timers: configuration.timers)
        self.homeCheck = HomeCheck(timers: configuration.timers)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    nonisolated func watch(_ pool: PoolHandle, _ queue: ChangeQueue) {
        if !self.wishes.put(.watch(pool, queue)) { queue.finish() }
    }

    nonisolated func unwatch(_ pool: PoolHandle, _ queue: ChangeQueue) {
        _ = self.wishes.put(.unwatch(pool, queue))
    }

    /// No wish is heard any more.
    nonisolated func end() {
        self.wishes.finish()
    }

    func run(_ addresses: [RegistrarAddress]) async throws {
        var announcements: (any DatagramPort)?
        defer {
            announcements?.close()
            for pool in self.pools.values { for queue in pool.queues { queue.finish() } }
            self.pools = [:]
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.alarm.run { await self.timersFired() } }
                defer { group.cancelAll() }
                while let wishes = await self.wishes.next() {
                    for wish in wishes { self.grant(wish) }
                    if self.pools.isEmpty, self.home.isOpen {
                        announcements?.close()
                        announcements = nil
                        await self.closePorts(within: .seconds(1))
                        self.home = HomeLink(configured: [], timers: self.configuration.timers)
                        self.setAlarm()
                    }
                    guard !self.pools.isEmpty, !self.home.isOpen else { continue }
                    self.home = HomeLink(configured: addresses, timers: self.configuration.timers)
                    self.ports = try await self.configuration.openPorts(for: addresses, self.host, receiver: self)
                    self.home.use(sctpPort: self.ports.sctp, tcpPort: self.ports.tcp)
                    announcements = try await self.configuration.openAnnouncements(self.host, receiver: self)
                    self.take(self.home.start(now: self.host.clock.now))
                    self.setAlarm()
                }
            }
        } catch {
            await self.closePorts(within: .zero)
            throw error
        }
        await self.closePorts(within: .seconds(1))
    }

    private func closePorts(within limit: Duration) async {
        self.home.use(sctpPort: nil, tcpPort: nil)
        let ports = [self.ports.sctp, self.ports.tcp].compactMap { $0 }
        self.ports = (nil, nil)
        for port in ports { await port.close(within: limit) }
    }

    private func grant(_ wish: Wish) {
        switch wish {
        case .watch(let pool, let queue):
            guard self.pools[pool] != nil || self.pools.count < Self.maxPools else {
                self.logger.warning("too many pools are watched", metadata: ["limit": "\(Self.maxPools)"])
                queue.finish()
                return
            }
            let isNew = self.pools[pool] == nil
            self.pools[
                pool, default: Watched(subscription: PoolSubscription(pool: pool, timers: self.configuration.timers))
            ]
            .queues.append(queue)
            if isNew {
                self.advance(pool) { subscription, now, home in home ? subscription.homeFound(now: now) : [] }
            } else if let members = self.pools[pool]?.subscription.members {
                queue.put([.snapshot(members)], members: members)
            }
        case .unwatch(let pool, let queue):
            self.pools[pool]?.queues.removeAll { $0 === queue }
            if self.pools[pool]?.queues.isEmpty == true { self.pools[pool] = nil }
        }
        self.setAlarm()
    }

    // MARK: Events

    private func advance(
        _ pool: PoolHandle,
        _ input: (inout PoolSubscription, ContinuousClock.Instant, _ hasHome: Bool) -> [PoolSubscription.Action]
    ) {
        let hasHome = self.home.home != nil
        let now = self.host.clock.now
        // Out of the table while it changes: its members are not copied.
        guard var watched = self.pools.removeValue(forKey: pool) else { return }
        let actions = input(&watched.subscription, now, hasHome)
        self.pools[pool] = watched
        for action in actions {
            switch action {
            case .send(let request):
                if let bytes = try? request.encoded(for: self.home.dialect.audience) { _ = self.home.send(bytes) }
            case .hunt: self.take(self.home.distrust(now: now))
            case .tell(let changes):
                guard let watched = self.pools[pool] else { continue }
                let members = watched.subscription.members ?? []
                for queue in watched.queues { queue.put(changes, members: members) }
            case .unknownPool: self.logger.debug("the pool does not exist", metadata: ["pool": "\(pool)"])
            }
        }
    }

    private func take(_ outcomes: [HomeLink.Outcome]) {
        for outcome in outcomes {
            switch outcome {
            case .found:
                self.homeCheck.heard(now: self.host.clock.now)
                self.openChecks = []
            case .lost:
                self.homeCheck.homeLost()
                self.openChecks = []
            case .kept, .nobodyThere: break
            }
            for pool in self.pools.keys.sorted() {
                switch outcome {
                case .found: self.advance(pool) { subscription, now, _ in subscription.homeFound(now: now) }
                case .lost: self.advance(pool) { subscription, _, _ in subscription.homeLost() }
                case .kept, .nobodyThere: break
                }
            }
        }
    }

    private func setAlarm() {
        let deadlines =
            self.pools.values.compactMap(\.subscription.nextDeadline)
            + [self.home.nextDeadline, self.homeCheck.nextDeadline].compactMap { $0 }
        self.alarm.set(deadlines.min())
    }

    private func timersFired() {
        for pool in self.pools.keys.sorted() {
            self.advance(pool) { subscription, now, _ in subscription.timersFired(now: now) }
        }
        self.take(self.home.timersFired(now: self.host.clock.now))
        self.checkHome(now: self.host.clock.now)
        self.setAlarm()
    }

    private func checkHome(now: ContinuousClock.Instant) {
        switch self.homeCheck.timersFired(now: now) {
        case nil: break
        case .ask:
            guard
                let pool = self.pools.keys.sorted().first(where: {
                    self.pools[$0]?.subscription.followsIncrements == true
                })
            else { return }
            let request = HandleResolution(pool: pool, wantsUpdates: false, count: 1)
            if let bytes = try? request.encoded(for: self.home.dialect.audience), self.home.send(bytes) {
                self.openChecks.append(pool)
            }
        case .giveUp:
            self.logger.info("the home registrar does not answer")
            for pool in self.pools.keys.sorted() {
                self.advance(pool) { subscription, now, _ in subscription.homeIsSilent(now: now) }
            }
        }
    }

    /// Whether it answers our question whether the registrar is there. Another word of the registrar may have come between
    /// the two; what the answer lists is never all of the pool.
    private func isAnswerToCheck(_ response: HandleResolutionResponse) -> Bool {
        guard response.increment == nil, !response.updatesFollow,
            let index = self.openChecks.firstIndex(of: response.pool)
        else { return false }
        self.openChecks.remove(at: index)
        guard case .members = response.outcome else { return false }
        return true
    }

    private func handle(_ event: LinkEvent) {
        let now = self.host.clock.now
        if case .message(let message, let link) = event {
            // What an earlier home still sends is old news.
            if link == self.home.home, let decoded = try? ASAPMessage.decode(message.bytes[...]),
                case .handleResolutionResponse(var response) = decoded.message
            {
                if case .members(let policy, let members) = response.outcome {
                    response.outcome = .members(policy: policy, members.heard(in: self.home.dialect))
                }
                let response = response
                let isAnswerToCheck = self.isAnswerToCheck(response)
                self.homeCheck.heard(now: now)
                if isAnswerToCheck { return self.setAlarm() }
                self.advance(response.pool) { subscription, now, _ in subscription.received(response, now: now) }
            }
        } else if self.home.isOpen {
            // Links that we end ourselves, closing, interrupt nothing.
            self.take(self.home.received(event, now: now))
        }
        self.setAlarm()
    }
}

extension PoolWatcher: PortReceiver {
    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }
}

extension PoolWatcher: DatagramReceiver {
    nonisolated func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { watcher in
            guard case .serverAnnounce(let announce)? = try? ASAPMessage.decode(bytes[...]).message else { return }
            watcher.take(watcher.home.received(announce, from: source.ip, now: watcher.host.clock.now))
            watcher.setAlarm()
        }
    }
}
