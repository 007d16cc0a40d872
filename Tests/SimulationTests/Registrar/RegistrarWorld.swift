// SPDX-License-Identifier: Apache-2.0

import Logging
import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire

/// A registrar in a world, and peers that talk to it with raw octets.
final class RegistrarWorld {
    let world: World
    private(set) var node: Node
    private(set) var registrar: Registrar
    private let configuration: RegistrarConfiguration
    let transcript: ScriptedTranscript
    /// What the registrar has logged.
    let log = Gathered<String>()
    private var peerCount = 0

    /// Its server ID in all tests.
    static let id: UInt32 = 0xcafe_0001

    /// - Parameter adjust: periodic keep-alives are off unless it says otherwise.
    init(
        seed: UInt64 = 1, options: WorldOptions = WorldOptions(),
        _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws {
        self.world = World(seed: seed, options: options)
        self.transcript = ScriptedTranscript(of: self.world)
        var configuration = RegistrarConfiguration()
        configuration.id = RegistrarID(rawValue: Self.id)
        configuration.timers.keepAliveInterval = .zero
        adjust(&configuration)
        self.configuration = configuration
        self.node = self.world.startNode("registrar")
        self.registrar = Registrar(
            configuration: configuration, host: self.node.host, logger: .gathering(into: self.log))
        try self.start()
    }

    private func start() throws {
        let registrar = self.registrar
        self.node.start { try await registrar.run() }
        try self.world.settle()
        if let failure = self.node.failures.first { throw failure }
    }

    /// Another process in its place, which knows nothing.
    func restart() throws {
        self.node = self.world.restart(self.node)
        self.registrar = Registrar(
            configuration: self.configuration, host: self.node.host, logger: .gathering(into: self.log))
        try self.start()
    }

    /// A peer with a link to the registrar.
    func peer(
        _ name: String? = nil, _ scheme: LinkScheme = .sctp, addresses: [IPAddress] = [], sendBufferLimit: Int = 1 << 20
    ) throws -> ScriptedPeer {
        self.peerCount += 1
        let peer = try self.world.startPeer(
            name ?? "peer-\(self.peerCount)", scheme, addresses: addresses, sendBufferLimit: sendBufferLimit)
        try self.world.connect(peer, to: self.node)
        return peer
    }

    /// Sends, lets 20 ms pass, and gives back what came.
    func exchange(_ peer: ScriptedPeer, _ messages: [UInt8]..., payloadProtocol: UInt32 = 11) throws -> [[UInt8]] {
        _ = peer.newlyHeard()
        for message in messages { try peer.send(message, payloadProtocol: payloadProtocol) }
        try self.world.run(for: .milliseconds(20))
        return peer.newlyHeard().map(\.bytes)
    }

    /// Registers an element at port 7 of the peer's address, which has to succeed.
    func register(
        _ peer: ScriptedPeer, _ id: UInt32, in pool: String = "EchoPool", policy: [UInt8] = roundRobinTLV,
        life: UInt32 = 300, port: UInt16 = 7
    ) throws {
        let element = elementTLV(id, life: life, sctpTLV(port: port, peer.address), policy)
        let answers = try self.exchange(peer, Say.register(pool, element))
        guard answers.contains(Say.registered(pool, id)) else {
            throw Unexpected("registration answered by \(answers.map(\.hex))")
        }
    }

    /// The identifiers in the answer to a resolution, in order; nil for a negative one.
    func resolve(_ peer: ScriptedPeer, _ pool: String = "EchoPool", count: UInt32? = nil) throws -> [UInt32]? {
        let answers = try self.exchange(peer, Say.resolve(pool, count.map { Say.count($0) } ?? []))
        guard answers.count == 1, case .handleResolutionResponse(let response)? = decoded(answers[0]) else {
            throw Unexpected("resolution answered by \(answers.map(\.hex))")
        }
        guard case .members(_, let members) = response.outcome else { return nil }
        return members.map(\.id.rawValue)
    }

    func statistics(_ counter: RegistrarCounter) -> UInt64 {
        self.node.inspect { self.registrar.assumeIsolated { $0.statistics[counter] ?? 0 } }
    }

    var size: (pools: Int, elements: Int) { self.node.inspect { self.registrar.assumeIsolated { $0.size } } }
}

struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension Logger {
    static var quiet: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    static func gathering(into lines: Gathered<String>) -> Logger {
        Logger(label: "test") { _ in LogGatherer(into: lines) }
    }
}

/// Keeps what is logged, one line each.
private struct LogGatherer: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug
    private let lines: Gathered<String>

    init(into lines: Gathered<String>) {
        self.lines = lines
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        self.lines.append("\(event.level): \(event.message) \(event.metadata ?? [:])")
    }
}
