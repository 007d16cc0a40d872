// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport

/// A process with one port, which writes down what it hears.
actor Station: PortReceiver {
    nonisolated let node: Node
    nonisolated let host: Host
    /// "up in", "up out", a message's first octet, "down reason", "writable".
    private(set) var log: [String] = []
    private(set) var messages: [InboundMessage] = []
    private(set) var links: [Link] = []
    private(set) var port: (any Port)?

    init(node: Node) {
        self.node = node
        self.host = node.host
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.node.asUnownedSerialExecutor() }

    static func sctp(port: UInt16) -> PortOptions {
        PortOptions(scheme: .sctp, port: port, acceptsLinks: true)
    }

    /// Messages whose first two octets are their length.
    static func tcp(port: UInt16) -> PortOptions {
        let framing: MessageCutter = { bytes in
            guard bytes.count >= 2 else { return nil }
            let length = Int(bytes[bytes.startIndex]) << 8 | Int(bytes[bytes.startIndex + 1])
            guard length >= 2 else { throw TransportError(.failed, "a message of \(length) octets") }
            return length
        }
        return PortOptions(scheme: .tcp(framing: framing), port: port, acceptsLinks: true)
    }

    func open(_ options: PortOptions) async throws {
        self.port = try await self.host.transport.open(options, receiver: self)
    }

    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.take(event) }
    }

    private func take(_ event: LinkEvent) {
        switch event {
        case .up(let link):
            self.links.append(link)
            self.log.append(link.isIncoming ? "up in" : "up out")
        case .message(let message, _):
            self.messages.append(message)
            self.log.append("\(message.bytes.last ?? 0)")
        case .writable:
            self.log.append("writable")
        case .unsent: break
        case .down(_, let reason):
            self.log.append("down \(reason.rawValue)")
        }
    }

    /// From the test, as if the process did it.
    nonisolated func act<Result: Sendable>(_ body: @Sendable (isolated Station) throws -> Result) throws -> Result {
        try self.node.inspect { try self.assumeIsolated(body) }
    }

    nonisolated func onPort<Result: Sendable>(_ body: @Sendable (any Port) throws -> Result) throws -> Result {
        try self.act { station in
            guard let port = station.port else { throw TransportError(.failed, "no port") }
            return try body(port)
        }
    }

    nonisolated func send(_ bytes: [UInt8], stream: UInt16 = 0, unordered: Bool = false, on link: LinkID) throws {
        let message = OutboundMessage(bytes: bytes, payloadProtocol: 11, stream: stream, unordered: unordered)
        try self.onPort { try $0.send(message, on: link) }
    }

    nonisolated var heard: [String] {
        get throws { try self.act { $0.log } }
    }
}

extension World {
    /// Two stations; the second one listens at port 3863.
    func pair(
        _ scheme: LinkScheme = .sctp, _ adjust: (inout PortOptions) -> Void = { _ in }
    ) throws -> (Station, Station) {
        var client = scheme == .sctp ? Station.sctp(port: 0) : Station.tcp(port: 0)
        client.acceptsLinks = false
        var server = scheme == .sctp ? Station.sctp(port: 3863) : Station.tcp(port: 3863)
        adjust(&client)
        adjust(&server)
        return (try self.station("a", client), try self.station("b", server))
    }

    /// A new node with one open port.
    func station(
        _ name: String, _ options: PortOptions, addresses: [IPAddress] = [], encapsulationPort: UInt16? = nil
    ) throws -> Station {
        let node = self.startNode(name, addresses: addresses, encapsulationPort: encapsulationPort)
        return try self.station(on: node, options)
    }

    func station(on node: Node, _ options: PortOptions) throws -> Station {
        let station = Station(node: node)
        let failures = node.failures.count
        node.start { try await station.open(options) }
        try self.settle()
        if node.failures.count > failures, let failure = node.failures.last { throw failure }
        return station
    }

    /// Connects, and waits for the outcome at `station`.
    @discardableResult
    func connect(
        _ station: Station, to other: Station, port: UInt16 = 3863, udp: UInt16? = nil
    ) throws -> LinkID {
        // TCP has one address for one far end.
        let addresses = try station.onPort { port in
            port.local.scheme == .tcp ? Array(other.node.addresses.prefix(1)) : other.node.addresses
        }
        let remote = RemoteEndpoint(addresses: addresses, port: port, encapsulationPort: udp)
        let before = try station.heard.count
        let link = try station.onPort { try $0.connect(to: remote) }
        try self.run(atMost: .seconds(60), until: { try station.heard.count > before })
        return link
    }
}
