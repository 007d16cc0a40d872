// SPDX-License-Identifier: Apache-2.0

import Logging
import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire

/// Registrars in a world, of ours and fake ones, with scripted elements.
final class PeerWorld {
    let world: World
    let transcript: ScriptedTranscript
    /// What registrars of ours have written into their log.
    let log = Gathered<String>()

    /// The server ID of the registrar under test, unless a test gives it another one.
    static let id: UInt32 = 0xcafe_0001

    init(seed: UInt64 = 1, options: WorldOptions = WorldOptions()) {
        self.world = World(seed: seed, options: options)
        self.transcript = ScriptedTranscript(of: self.world)
    }

    /// A fake registrar with an ENRP endpoint on port 9901.
    func fake(_ id: UInt32, _ name: String? = nil, addresses: [IPAddress] = []) throws -> FakePeer {
        FakePeer(
            id: id,
            peer: try self.world.startPeer(
                name ?? "fake-\(RegistrarID(rawValue: id))", port: ENRPMessage.port, addresses: addresses,
                payloadProtocol: ENRPMessage.payloadProtocol))
    }

    /// Starts the registrar under test. Periodic keep-alives are off unless `adjust` says otherwise.
    func start(
        _ name: String = "registrar", id: UInt32? = PeerWorld.id, peers: [Endpoint] = [], addresses: [IPAddress] = [],
        _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws -> TestRegistrar {
        var configuration = RegistrarConfiguration()
        configuration.id = id.map { RegistrarID(rawValue: $0) }
        configuration.peers = peers
        configuration.timers.keepAliveInterval = .zero
        adjust(&configuration)
        let node = self.world.startNode(name, addresses: addresses)
        let registrar = Registrar(configuration: configuration, host: node.host, logger: .gathering(into: self.log))
        node.start { try await registrar.run() }
        try self.world.settle()
        if let failure = node.failures.first { throw failure }
        return TestRegistrar(node: node, registrar: registrar)
    }

    /// Connects fake registrars, which say where they are, and are met.
    func meet(_ registrar: TestRegistrar, _ peers: FakePeer...) throws {
        for peer in peers {
            try self.world.connect(peer.peer, to: registrar.node, port: ENRPMessage.port)
            try peer.sayPresence()
        }
        try self.pass()
    }

    /// A scripted element or user with an association to a registrar; it acknowledges keep-alives for "EchoPool" by the
    /// PE identifier in them.
    func element(_ registrar: TestRegistrar, _ name: String, addresses: [IPAddress] = []) throws -> ScriptedPeer {
        let peer = try self.world.startPeer(name, addresses: addresses)
        peer.follow { heard, _ in
            heard.type == 0x07 ? [Say.alive("EchoPool", number(heard.bytes, at: heard.bytes.count - 4))] : []
        }
        try self.world.connect(peer, to: registrar.node)
        return peer
    }

    /// Registers an element at port 7 of the peer's address, which has to succeed.
    func register(
        _ peer: ScriptedPeer, _ id: UInt32, in pool: String = "EchoPool", policy: [UInt8] = roundRobinTLV,
        life: UInt32 = 300, on link: LinkID? = nil
    ) throws {
        _ = peer.newlyHeard()
        try peer.send(Say.register(pool, elementTLV(id, life: life, sctpTLV(peer.address), policy)), on: link)
        try self.pass()
        let answers = peer.newlyHeard().map(\.bytes)
        guard answers.contains(Say.registered(pool, id)) else {
            throw Unexpected("registration answered by \(answers.map(\.hex))\(self.transcript)")
        }
    }

    /// Lets what was said be heard and answered: 20 ms.
    func pass() throws { try self.world.run(for: .milliseconds(20)) }

    /// The members in the answer to a resolution; nil for a negative one.
    func resolve(
        _ user: ScriptedPeer, _ pool: String = "EchoPool"
    ) throws -> (policy: PoolPolicy?, members: [PoolMember])? {
        _ = user.newlyHeard()
        try user.send(Say.resolve(pool))
        try self.pass()
        let answers = user.newlyHeard().map(\.bytes).filter { $0.first == 0x06 }
        guard answers.count == 1, case .handleResolutionResponse(let response)? = decoded(answers[0]) else {
            throw Unexpected("resolution answered by \(answers.map(\.hex))\(self.transcript)")
        }
        guard case .members(let policy, let members) = response.outcome else { return nil }
        return (policy, members.sorted { $0.id < $1.id })
    }

    func ids(_ user: ScriptedPeer, _ pool: String = "EchoPool") throws -> [UInt32]? {
        try self.resolve(user, pool)?.members.map(\.id.rawValue)
    }
}

extension TestRegistrar {
    var enrpEndpoint: Endpoint { .sctp("\(self.node.addresses[0])", port: ENRPMessage.port) }

    var figures: RegistrarFigures { self.node.inspect { self.registrar.assumeIsolated { $0.figures } } }
    var peers: [RegistrarPeer] { self.node.inspect { self.registrar.assumeIsolated { $0.peerList } } }
    func peer(_ id: UInt32) -> RegistrarPeer? { self.peers.first { $0.id.rawValue == id } }
    var activePeers: [UInt32] { self.peers.filter { $0.status == .active }.map(\.id.rawValue) }

    var members: [ElementKey: PoolMember] { self.node.inspect { self.registrar.assumeIsolated { $0.members } } }
    func member(_ id: UInt32, _ pool: PoolHandle = "EchoPool") -> PoolMember? {
        self.members[ElementKey(pool: pool, id: PoolElementID(rawValue: id))]
    }
    func home(_ id: UInt32, _ pool: PoolHandle = "EchoPool") -> UInt32? { self.member(id, pool)?.home.rawValue }
    var homes: [ElementKey: UInt32] { self.members.mapValues(\.home.rawValue) }
}
