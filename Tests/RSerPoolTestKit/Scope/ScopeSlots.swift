// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPool
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire
internal import ServiceLifecycleTestKit
internal import SocketLoop

extension Logger {
    static var silent: Logger { Logger(label: "scope") { _ in SwiftLogNoOpLogHandler() } }
}

/// A place for a registrar: the process there may die and start again.
final class RegistrarSlot {
    enum State { case down, up, stopping }

    let name: String
    let addresses: [IPAddress]
    let drift: ClockDrift
    var id: RegistrarID
    /// Somebody else was there before: others may tell it of its own endpoint.
    var hasChangedID = false
    var state = State.down
    var node: Node?
    var registrar: Registrar?
    private var trigger: Kept<GracefulShutdownTestTrigger?>?

    init(name: String, addresses: [IPAddress], drift: ClockDrift, id: RegistrarID) {
        self.name = name
        self.addresses = addresses
        self.drift = drift
        self.id = id
    }

    func start(in world: World, _ configuration: RegistrarConfiguration) {
        let node = world.startNode(self.name, addresses: self.addresses, drift: self.drift)
        let registrar = Registrar(configuration: configuration, host: node.host, logger: .silent)
        let trigger = Kept<GracefulShutdownTestTrigger?>(nil)
        node.start {
            try await testGracefulShutdown {
                trigger.value = $0
                try await registrar.run()
            }
        }
        self.node = node
        self.registrar = registrar
        self.trigger = trigger
        self.state = .up
    }

    /// As SIGTERM does.
    func stop() {
        self.state = .stopping
        self.node?.inspect { self.trigger?.value?.triggerGracefulShutdown() }
    }

    func inspect<Result: Sendable>(_ body: @Sendable (isolated Registrar) -> Result) -> Result? {
        guard let node = self.node, let registrar = self.registrar, node.isAlive else { return nil }
        return node.inspect { registrar.assumeIsolated { body($0) } }
    }
}

/// A place for a pool element.
final class ElementSlot {
    enum State { case down, up, leaving }

    let name: String
    let addresses: [IPAddress]
    let drift: ClockDrift
    let pool: ScopeSettings.PoolSettings
    /// The same in all its lives; nil: a random one each time.
    let fixedID: PoolElementID?
    var policy: PoolPolicy
    var state = State.down
    var node: Node?
    var element: PoolElement?
    let homesLost = Kept(0)
    /// When it was last seen with an answered registration.
    var lastRegistered = Duration.zero
    /// When and as who it was in a pool for the last time.
    var past: [(id: PoolElementID, gone: Duration)] = []

    init(
        name: String, addresses: [IPAddress], drift: ClockDrift, pool: ScopeSettings.PoolSettings,
        fixedID: PoolElementID?
    ) {
        self.name = name
        self.addresses = addresses
        self.drift = drift
        self.pool = pool
        self.fixedID = fixedID
        self.policy = pool.isAdaptive ? .leastUsed(load: .idle) : .roundRobin
    }

    func start(in world: World, _ configuration: PoolElement.Configuration) {
        let node = world.startNode(self.name, addresses: self.addresses, drift: self.drift)
        let element = PoolElement(
            pool: self.pool.handle, configuration: configuration, host: node.host, logger: .silent,
            handler: { $0.bytes })
        node.start { try await element.run() }
        node.start { [homesLost] in
            for await event in element.events { if event == .homeLost { homesLost.value += 1 } }
        }
        self.node = node
        self.element = element
        self.state = .up
    }

    func inspect<Result: Sendable>(_ body: @Sendable (isolated PoolElement) -> Result) -> Result? {
        guard let node = self.node, let element = self.element, node.isAlive else { return nil }
        return node.inspect { element.assumeIsolated { body($0) } }
    }

    var id: PoolElementID? { self.inspect { $0.id } }
}

/// A place for a pool user, with what it has seen.
final class UserSlot {
    /// What became of one resolution.
    enum Outcome: Sendable {
        case members([PoolElementID], registrar: String, isFromCache: Bool)
        case failed(PoolError.Code)
    }

    struct Resolved: Sendable {
        var pool: PoolHandle
        var outcome: Outcome
        /// The era in which it was asked for.
        var era: Int
    }

    /// What a watcher knows of a pool.
    struct View: Sendable {
        var members: [PoolElementID: PoolMember]?
        var isInterrupted = false
        /// Those of whom it was told that they left.
        var left: [PoolElementID] = []
    }

    let name: String
    let addresses: [IPAddress]
    let drift: ClockDrift
    let overTCP: Bool
    var node: Node?
    var user: PoolUser?
    let views = Kept<[PoolHandle: View]>([:])
    let resolved = Kept<[Resolved]>([])
    /// Raised when the scope is well, so that what was asked for before is known.
    let era = Kept(0)

    init(name: String, addresses: [IPAddress], drift: ClockDrift, overTCP: Bool) {
        self.name = name
        self.addresses = addresses
        self.drift = drift
        self.overTCP = overTCP
    }

    func start(
        in world: World, _ configuration: PoolUser.Configuration, watching watched: [PoolHandle],
        resolving pools: [PoolHandle], pause: Duration
    ) {
        let node = world.startNode(self.name, addresses: self.addresses, drift: self.drift)
        let user = PoolUser(configuration: configuration, host: node.host, logger: .silent)
        self.node = node
        self.user = user
        self.views.value = [:]
        self.resolved.value = []
        node.start { try await user.run() }
        for pool in watched {
            self.views.value[pool] = View()
            node.start { [views] in
                for await change in user.pool(pool).changes { views.note(change, pool) }
            }
        }
        let (clock, host) = (node.host.clock, node.host)
        for pool in pools {
            node.start { [resolved, era] in
                var generator = host.makeGenerator()
                while !Task.isCancelled {
                    try await clock.sleep(for: pause * Double.random(in: 0.5...1.5, using: &generator))
                    let begun = era.value
                    let count: Int? = generator.chance(0.5) ? .max : nil
                    let outcome: Outcome
                    do {
                        let resolution = try await user.resolve(pool, count: count)
                        outcome = .members(
                            resolution.members.map(\.id), registrar: resolution.registrar,
                            isFromCache: resolution.isFromCache)
                    } catch let error as PoolError {
                        outcome = .failed(error.code)
                    }
                    resolved.value.append(Resolved(pool: pool, outcome: outcome, era: begun))
                }
            }
        }
    }

    func inspect<Result: Sendable>(_ body: @Sendable (isolated PoolUser) -> Result) -> Result? {
        guard let node = self.node, let user = self.user, node.isAlive else { return nil }
        return node.inspect { user.assumeIsolated { body($0) } }
    }
}

extension Kept where Value == [PoolHandle: UserSlot.View] {
    fileprivate func note(_ change: PoolChange, _ pool: PoolHandle) {
        var view = self.value[pool] ?? UserSlot.View()
        switch change {
        case .snapshot(let members):
            view.members = Dictionary(members.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        case .joined(let member), .updated(let member): view.members?[member.id] = member
        case .left(let member):
            view.members?[member.id] = nil
            view.left.append(member.id)
            if view.left.count > 100 { view.left.removeFirst() }
        case .interrupted: view.isInterrupted = true
        case .resumed: view.isInterrupted = false
        }
        self.value[pool] = view
    }
}

/// A value that a process keeps for the test to look at.
final class Kept<Value: Sendable>: Sendable {
    private let state: Locked<Value>

    init(_ value: Value) {
        self.state = Locked(value)
    }

    var value: Value {
        get { self.state.withLock { $0 } }
        set { self.state.withLock { $0 = newValue } }
    }
}
