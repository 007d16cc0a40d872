// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
internal import RSerPoolTransport
internal import SocketLoop

/// A process that sends raw octets to a multicast group, and hears what others send there.
package actor ScriptedAnnouncer: DatagramReceiver {
    package struct Heard: Sendable {
        package var bytes: [UInt8]
        package var source: SocketAddress
        /// Since the world began.
        package var time: Duration
    }

    package nonisolated let node: Node
    private nonisolated let host: Host
    private nonisolated let epoch: ContinuousClock.Instant
    private var port: (any DatagramPort)?
    private var heard: [Heard] = []

    fileprivate init(node: Node, epoch: ContinuousClock.Instant) {
        self.node = node
        self.host = node.host
        self.epoch = epoch
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.node.asUnownedSerialExecutor() }

    fileprivate func join(_ group: SocketAddress) async throws {
        self.port = try await self.host.transport.open(DatagramOptions(group: group, joins: true), receiver: self)
    }

    package nonisolated func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { announcer in
            let time = announcer.epoch.duration(to: announcer.host.clock.now)
            announcer.heard.append(Heard(bytes: bytes, source: source, time: time))
        }
    }

    package nonisolated func send(_ bytes: [UInt8]) {
        self.node.inspect { self.assumeIsolated { $0.port?.send(bytes) } }
    }

    package nonisolated var allHeard: [Heard] { self.node.inspect { self.assumeIsolated { $0.heard } } }
}

extension World {
    /// - Parameter addresses: those of a peer, to speak for its machine.
    package func startAnnouncer(
        _ name: String, _ group: SocketAddress, addresses: [IPAddress] = []
    ) throws -> ScriptedAnnouncer {
        let node = self.startNode(name, addresses: addresses)
        let announcer = ScriptedAnnouncer(node: node, epoch: node.host.clock.now - self.now)
        node.start { try await announcer.join(group) }
        try self.settle()
        if let failure = node.failures.first { throw failure }
        return announcer
    }
}
