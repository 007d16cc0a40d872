// SPDX-License-Identifier: Apache-2.0

import Logging
import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop

/// Elements and users of ours in a world, among fake registrars.
final class ClientWorld {
    let world: World
    let transcript: ScriptedTranscript

    init(seed: UInt64 = 1, options: WorldOptions = WorldOptions()) {
        self.world = World(seed: seed, options: options)
        self.transcript = ScriptedTranscript(of: self.world)
    }

    /// A fake registrar at port 3863.
    func registrar(
        _ name: String = "registrar", _ scheme: LinkScheme = .sctp, addresses: [IPAddress] = [],
        script: ScriptedPeer.Script? = FakeRegistrar.granting
    ) throws -> ScriptedPeer {
        let peer = try self.world.startPeer(name, scheme, port: 3863, addresses: addresses)
        peer.follow(script)
        return peer
    }

    func element(
        _ name: String = "element", registrars: [Endpoint], announceGroup: SocketAddress? = nil,
        addresses: [IPAddress] = [], _ adjust: (inout PoolElement.Configuration) -> Void = { _ in },
        handler: @escaping PoolElement.Handler = { $0.bytes }
    ) throws -> TestElement {
        var configuration = PoolElement.Configuration(
            registrars: RegistrarDiscovery(registrars: registrars, announceGroup: announceGroup))
        adjust(&configuration)
        let element = TestElement(
            node: self.world.startNode(name, addresses: addresses), configuration: configuration, handler: handler)
        try self.world.settle()
        return element
    }

    /// An element that serves sessions.
    func server(
        _ name: String = "server", registrars: [Endpoint], addresses: [IPAddress] = [],
        _ adjust: (inout PoolElement.Configuration) -> Void = { _ in }, session: @escaping PoolElement.SessionHandler
    ) throws -> TestElement {
        var configuration = PoolElement.Configuration(registrars: RegistrarDiscovery(registrars: registrars))
        adjust(&configuration)
        let element = TestElement(
            node: self.world.startNode(name, addresses: addresses), configuration: configuration, session: session)
        try self.world.settle()
        return element
    }

    func user(
        _ name: String = "user", registrars: [Endpoint], announceGroup: SocketAddress? = nil,
        _ adjust: (inout PoolUser.Configuration) -> Void = { _ in }
    ) throws -> TestUser {
        var configuration = PoolUser.Configuration(
            registrars: RegistrarDiscovery(registrars: registrars, announceGroup: announceGroup))
        adjust(&configuration)
        let user = TestUser(node: self.world.startNode(name), configuration: configuration)
        try self.world.settle()
        return user
    }

    /// Waits for an outcome in virtual time.
    func value<Value>(_ pending: Pending<Value>, within limit: Duration = .seconds(120)) throws -> Value {
        try self.world.run(atMost: limit, until: { pending.result != nil })
        guard let result = pending.result else { throw Unexpected("nothing came within \(limit)\(self.transcript)") }
        return try result.get()
    }

    /// The error of a call that has to fail.
    func failure<Value>(_ pending: Pending<Value>, within limit: Duration = .seconds(120)) throws -> PoolError {
        do {
            throw Unexpected("it succeeded: \(try self.value(pending, within: limit))")
        } catch let error as PoolError { return error }
    }
}

/// An outcome that comes in virtual time.
final class Pending<Value: Sendable>: Sendable {
    private let state = Locked<Result<Value, any Error>?>(nil)

    var result: Result<Value, any Error>? { self.state.withLock { $0 } }
    func resolve(_ result: Result<Value, any Error>) { self.state.withLock { $0 = result } }
}

extension Node {
    /// Calls something of the product as a task of this process.
    func call<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) -> Pending<Value> {
        let pending = Pending<Value>()
        self.start {
            do {
                pending.resolve(.success(try await body()))
            } catch {
                pending.resolve(.failure(error))
            }
        }
        return pending
    }
}

/// What has been gathered in a process so far.
final class Gathered<Value: Sendable>: Sendable {
    private let state = Locked<[Value]>([])

    var all: [Value] { self.state.withLock { $0 } }
    func append(_ value: Value) { self.state.withLock { $0.append(value) } }
}

struct TestElement {
    let node: Node
    let element: PoolElement
    let events = Gathered<PoolElement.Event>()
    /// The end of `run()`.
    let end: Pending<Void>

    init(
        node: Node, configuration: PoolElement.Configuration, pool: PoolHandle = "EchoPool",
        handler: @escaping PoolElement.Handler
    ) {
        self.init(
            node: node,
            element: PoolElement(
                pool: pool, configuration: configuration, host: node.host, logger: .quiet, handler: handler))
    }

    init(
        node: Node, configuration: PoolElement.Configuration, pool: PoolHandle = "EchoPool",
        session: @escaping PoolElement.SessionHandler
    ) {
        let server = PoolElementServer(
            pool: pool, configuration: configuration, host: node.host, logger: .quiet, session: session)
        self.init(node: node, element: server.element)
    }

    private init(node: Node, element: PoolElement) {
        self.node = node
        self.element = element
        self.end = node.call { try await element.run() }
        node.start { [events] in for await event in element.events { events.append(event) } }
    }

    var id: UInt32 { self.node.inspect { self.element.assumeIsolated { $0.id.rawValue } } }
    var address: IPAddress { self.node.addresses[0] }

    func setLoad(_ load: UInt32) {
        self.node.inspect { self.element.assumeIsolated { $0.setPolicy(.leastUsed(load: Load(rawValue: load))) } }
    }

    func deregister() { self.node.inspect { self.element.assumeIsolated { $0.deregister() } } }

    var isRegistered: Bool {
        if case .registered? = self.events.all.last { true } else { false }
    }
}

struct TestUser {
    let node: Node
    let user: PoolUser
    let end: Pending<Void>

    init(node: Node, configuration: PoolUser.Configuration) {
        self.node = node
        let user = PoolUser(configuration: configuration, host: node.host, logger: .quiet)
        self.user = user
        self.end = node.call { try await user.run() }
    }

    func resolve(_ pool: PoolHandle = "EchoPool", count: Int? = nil) -> Pending<Resolution> {
        self.node.call { [user] in try await user.resolve(pool, count: count) }
    }

    func choose(_ pool: PoolHandle = "EchoPool") -> Pending<PoolMember> {
        self.node.call { [user] in try await user.choose(from: pool) }
    }

    func report(_ id: UInt32, in pool: PoolHandle = "EchoPool") {
        self.node.inspect { self.user.assumeIsolated { $0.reportUnreachable(PoolElementID(rawValue: id), in: pool) } }
    }

    func purge(_ pool: PoolHandle = "EchoPool") {
        self.node.inspect { self.user.assumeIsolated { $0.purge(pool) } }
    }

    /// Runs a session as a task of this process.
    func session<Value: Sendable>(
        with pool: PoolHandle = "EchoPool", element: UInt32? = nil,
        _ adjust: (inout Session.Configuration) -> Void = { _ in },
        _ body: @escaping @Sendable (Session) async throws -> Value
    ) -> Pending<Value> {
        var configuration = Session.Configuration()
        adjust(&configuration)
        return self.node.call { [user, configuration] in
            try await user.withSession(
                with: pool, element: element.map { PoolElementID(rawValue: $0) }, configuration: configuration, body)
        }
    }

    /// What happens to a pool from now on.
    func watch(_ pool: PoolHandle = "EchoPool") -> Gathered<PoolChange> {
        let changes = Gathered<PoolChange>()
        self.node.start { [user] in for await change in user.pool(pool).changes { changes.append(change) } }
        return changes
    }
}

extension ScriptedPeer {
    /// Where clients find it.
    nonisolated var endpoint: Endpoint { .sctp("\(self.address)", port: self.number) }
    nonisolated var tcpEndpoint: Endpoint { .tcp("\(self.address)", port: self.number) }

    /// When messages of a type came, in whole seconds.
    nonisolated func seconds(_ type: ASAPMessage.MessageType) -> [Int] {
        self.heard(type).map { Int($0.time / .seconds(1)) }
    }
}

extension Node {
    var registrarEndpoint: Endpoint { .sctp("\(self.addresses[0])") }
}

enum FakeRegistrar {
    /// Grants registrations and deregistrations, knows no pool.
    static let granting: ScriptedPeer.Script = { heard, _ in
        switch decoded(heard.bytes) {
        case .registration(let message): [Say.registered(message.pool.description, message.member.id.rawValue)]
        case .deregistration(let message): [Say.left(message.pool.description, message.id.rawValue)]
        case .handleResolution(let message): [Say.unknown(message.pool.description)]
        default: []
        }
    }

    /// Says nothing.
    static let silent: ScriptedPeer.Script = { _, _ in [] }

    /// Answers resolutions with this.
    static func answering(_ answer: [UInt8]...) -> ScriptedPeer.Script {
        { heard, _ in heard.type == 0x05 ? answer : [] }
    }

    /// Answers resolutions with elements of these identifiers.
    static func listing(_ ids: [UInt32], a: Bool = false, policy: [UInt8] = roundRobinTLV) -> ScriptedPeer.Script {
        { heard, _ in heard.type == 0x05 ? [self.list(ids, a: a, policy: policy)] : [] }
    }

    static func list(_ ids: [UInt32], a: Bool = false, policy: [UInt8] = roundRobinTLV) -> [UInt8] {
        Say.members("EchoPool", a: a, policy: policy, ids.map { self.element($0, policy) })
    }

    static func element(_ id: UInt32, _ policy: [UInt8] = roundRobinTLV) -> [UInt8] {
        elementTLV(id, home: 0xcafe_0001, sctpTLV(.ipv4(0xc000_0200 + id & 0xff)), policy)
    }
}

/// A registrar of ours.
struct TestRegistrar {
    let node: Node
    let registrar: Registrar

    var endpoint: Endpoint { self.node.registrarEndpoint }
    var tcpEndpoint: Endpoint { .tcp("\(self.node.addresses[0])") }

    func statistics(_ counter: RegistrarCounter) -> UInt64 {
        self.node.inspect { self.registrar.assumeIsolated { $0.statistics[counter] ?? 0 } }
    }

    var size: (pools: Int, elements: Int) { self.node.inspect { self.registrar.assumeIsolated { $0.size } } }
}

extension ClientWorld {
    func startRegistrar(
        _ name: String = "registrar", id: UInt32 = 0xcafe_0001, addresses: [IPAddress] = [],
        _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws -> TestRegistrar {
        var configuration = RegistrarConfiguration()
        configuration.id = RegistrarID(rawValue: id)
        adjust(&configuration)
        let node = self.world.startNode(name, addresses: addresses)
        let registrar = Registrar(configuration: configuration, host: node.host, logger: .quiet)
        node.start { try await registrar.run() }
        try self.world.settle()
        if let failure = node.failures.first { throw failure }
        return TestRegistrar(node: node, registrar: registrar)
    }
}
