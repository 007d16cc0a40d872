// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolTransport
package import RSerPoolWire
internal import SocketLoop

/// A process that sends and hears raw octets over one port: a fake registrar, element or user.
///
/// All that a test calls here runs as if the process did it, and returns at once; the world has to run for anything to
/// happen. Answers that have to come at once are given by a ``Script``.
package actor ScriptedPeer: PortReceiver {
    /// One message as it came.
    package struct Heard: Sendable {
        package var bytes: [UInt8]
        package var payloadProtocol: UInt32
        package var link: LinkID
        /// Since the world began.
        package var time: Duration

        /// Its first octet.
        package var type: UInt8 { self.bytes.first ?? 0 }
        package var flags: UInt8 { self.bytes.dropFirst().first ?? 0 }
    }

    /// What is sent back on the same link for a message, in order, with the peer's PPID. `count` is how many of that type have come, this one included.
    package typealias Script = @Sendable (_ heard: Heard, _ count: Int) -> [[UInt8]]

    package nonisolated let node: Node
    /// The payload protocol of all that it sends, unless the test says otherwise: 11 for ASAP, 12 for ENRP.
    package nonisolated let payloadProtocol: UInt32
    private nonisolated let host: Host
    private nonisolated let epoch: ContinuousClock.Instant
    private var port: (any Port)?
    private var script: Script?
    private var heard: [Heard] = []
    private var taken = 0
    private var counts: [UInt8: Int] = [:]
    /// Those that are up, in the order in which they came up.
    private var links: [Link] = []
    private var ends: [LinkID: LinkDownReason] = [:]
    private var linksSeen = 0

    fileprivate init(node: Node, payloadProtocol: UInt32, epoch: ContinuousClock.Instant) {
        self.node = node
        self.payloadProtocol = payloadProtocol
        self.host = node.host
        self.epoch = epoch
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.node.asUnownedSerialExecutor() }

    fileprivate func open(_ options: PortOptions) async throws {
        self.port = try await self.host.transport.open(options, receiver: self)
    }

    package nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.take(event, port) }
    }

    private func take(_ event: LinkEvent, _ port: any Port) {
        switch event {
        case .up(let link):
            self.links.append(link)
            self.linksSeen += 1
        case .message(let message, let link):
            let heard = Heard(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, link: link,
                time: self.epoch.duration(to: self.host.clock.now))
            self.heard.append(heard)
            self.counts[heard.type, default: 0] += 1
            guard let script = self.script else { return }
            for answer in script(heard, self.counts[heard.type] ?? 0) {
                try? port.send(OutboundMessage(bytes: answer, payloadProtocol: self.payloadProtocol), on: link)
            }
        case .writable, .unsent: break
        case .down(let link, let reason):
            self.links.removeAll { $0.id == link }
            self.ends[link] = reason
        }
    }

    private nonisolated func act<Result: Sendable>(_ body: (isolated ScriptedPeer) throws -> Result) rethrows -> Result
    {
        try self.node.inspect { try self.assumeIsolated(body) }
    }

    // MARK: For tests

    package nonisolated var address: IPAddress { self.node.addresses[0] }
    package nonisolated var number: UInt16 { self.act { $0.port?.local.port ?? 0 } }

    /// From now on these are the answers.
    package nonisolated func follow(_ script: Script?) { self.act { $0.script = script } }

    /// Starts to open a link; it is the last of ``openLinks`` when it is up.
    @discardableResult
    package nonisolated func connect(to addresses: [IPAddress], port: UInt16 = 3863) throws -> LinkID {
        let remote = RemoteEndpoint(addresses: addresses, port: port)
        return try self.act { peer in
            guard let port = peer.port else { throw TransportError(.failed, "\(peer.node.name) has no port") }
            return try port.connect(to: remote)
        }
    }

    /// - Parameters:
    ///   - payloadProtocol: nil: its own.
    ///   - link: nil: the one that came up last.
    package nonisolated func send(_ bytes: [UInt8], payloadProtocol: UInt32? = nil, on link: LinkID? = nil) throws {
        try self.act { peer in
            guard let port = peer.port, let link = link ?? peer.links.last?.id else {
                throw TransportError(.noSuchLink, "\(peer.node.name) has no link")
            }
            try port.send(
                OutboundMessage(bytes: bytes, payloadProtocol: payloadProtocol ?? peer.payloadProtocol), on: link)
        }
    }

    package nonisolated func abort(_ link: LinkID? = nil) {
        self.act { peer in if let link = link ?? peer.links.last?.id { peer.port?.abort(link) } }
    }

    package nonisolated func shutdown(_ link: LinkID? = nil) {
        self.act { peer in if let link = link ?? peer.links.last?.id { peer.port?.shutdown(link) } }
    }

    /// Nobody listens at its port any more.
    package nonisolated func close() {
        let port = self.act { peer in
            defer { peer.port = nil }
            return peer.port
        }
        self.node.start { [self] in await self.close(port) }
    }

    private func close(_ port: (any Port)?) async { await port?.close(within: .seconds(1)) }

    /// All that has come.
    package nonisolated var allHeard: [Heard] { self.act { $0.heard } }

    /// What has come since this was last asked for.
    package nonisolated func newlyHeard() -> [Heard] {
        self.act { peer in
            defer { peer.taken = peer.heard.count }
            return Array(peer.heard[peer.taken...])
        }
    }

    package nonisolated var openLinks: [Link] { self.act { $0.links } }
    /// How many links have ever come up.
    package nonisolated var linkCount: Int { self.act { $0.linksSeen } }
    package nonisolated func end(of link: LinkID) -> LinkDownReason? { self.act { $0.ends[link] } }
}

extension ScriptedPeer {
    /// Type and count of messages of one kind among all that has come.
    package nonisolated func heard(_ type: ASAPMessage.MessageType) -> [Heard] {
        self.allHeard.filter { $0.type == type.rawValue }
    }

    package nonisolated func heard(_ type: ENRPMessage.MessageType) -> [Heard] {
        self.allHeard.filter { $0.type == type.rawValue && $0.payloadProtocol == ENRPMessage.payloadProtocol }
    }
}

extension World {
    /// A peer on a node of its own.
    /// - Parameters:
    ///   - port: 0: any free one.
    ///   - listens: whether others may connect to it.
    ///   - payloadProtocol: of what it sends: 11 for ASAP, 12 for ENRP.
    package func startPeer(
        _ name: String, _ scheme: LinkScheme = .sctp, port: UInt16 = 0, listens: Bool = true,
        addresses: [IPAddress] = [],
        payloadProtocol: UInt32 = ASAPMessage.payloadProtocol, sendBufferLimit: Int = 1 << 20
    ) throws -> ScriptedPeer {
        let node = self.startNode(name, addresses: addresses)
        let peer = ScriptedPeer(
            node: node, payloadProtocol: payloadProtocol, epoch: node.host.clock.now - self.now)
        let options = PortOptions(
            scheme: scheme == .sctp ? .sctp : .tcp(framing: { try MessageFraming.frameLength($0) }), port: port,
            acceptsLinks: listens, sendBufferLimit: sendBufferLimit, fastFailureDetection: true)
        node.start { try await peer.open(options) }
        try self.settle()
        if let failure = node.failures.first { throw failure }
        return peer
    }

    /// Connects a peer and waits for the outcome.
    /// - Throws: where nobody takes it.
    @discardableResult
    package func connect(_ peer: ScriptedPeer, to node: Node, port: UInt16 = 3863) throws -> LinkID {
        let before = peer.linkCount
        let link = try peer.connect(to: Array(node.addresses.prefix(1)), port: port)
        try self.run(atMost: .seconds(30), until: { peer.linkCount > before || peer.end(of: link) != nil })
        guard peer.linkCount > before else {
            throw TransportError(.failed, "\(peer.node.name) could not connect to \(node.name):\(port)")
        }
        return link
    }
}
