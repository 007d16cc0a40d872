// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport
import SocketLoop
import Testing

@Suite("The simulated network: multicast")
struct WorldMulticastTests {
    private static let group = SocketAddress(ip: .ipv4(0xef00_0001), port: 3863)

    /// Hears a group, and keeps the octets it hears with their source.
    private final class Listener: DatagramReceiver {
        let heard = Locked<[(UInt8, SocketAddress)]>([])
        let port = Locked<(any DatagramPort)?>(nil)

        func received(datagram bytes: [UInt8], from source: SocketAddress) {
            self.heard.withLock { $0.append((bytes[0], source)) }
        }

        var octets: [UInt8] { self.heard.withLock { $0.map(\.0) } }
    }

    private func listener(on node: Node, in world: World, joins: Bool = true) throws -> Listener {
        let listener = Listener()
        node.start { [transport = node.host.transport] in
            let port = try await transport.open(DatagramOptions(group: Self.group, joins: joins), receiver: listener)
            listener.port.withLock { $0 = port }
        }
        try world.settle()
        return listener
    }

    private func send(_ octet: UInt8, count: Int = 1, from listener: Listener, on node: Node) {
        let port = listener.port.withLock { $0 }
        node.inspect { port?.send(Array(repeating: octet, count: count)) }
    }

    @Test("All members hear it, the sender's machine too, others do not")
    func heardByMembers() throws {
        let world = World(seed: 1)
        let nodes = ["a", "b", "c"].map { world.startNode($0) }
        let a = try self.listener(on: nodes[0], in: world)
        let b = try self.listener(on: nodes[1], in: world)
        let c = try self.listener(on: nodes[2], in: world, joins: false)
        self.send(1, from: a, on: nodes[0])
        self.send(2, from: c, on: nodes[2])
        try world.run(for: .seconds(1))
        #expect(Set(a.octets) == [1, 2])
        #expect(Set(b.octets) == [1, 2])
        #expect(c.octets == [])
        let source = try #require(b.heard.withLock { $0.first { $0.0 == 1 } }).1
        #expect(source == SocketAddress(ip: nodes[0].addresses[0], port: 3863))
        let port = b.port.withLock { $0 }
        nodes[1].inspect { port?.close() }
        self.send(3, from: a, on: nodes[0])
        try world.run(for: .seconds(1))
        #expect(Set(a.octets) == [1, 2, 3])
        #expect(Set(b.octets) == [1, 2])
    }

    @Test("Datagrams are lost, doubled and overtaken, and never cross a cut")
    func unreliable() throws {
        let world = World(seed: 1)
        let nodes = ["a", "b"].map { world.startNode($0) }
        let a = try self.listener(on: nodes[0], in: world)
        let b = try self.listener(on: nodes[1], in: world)
        let conditions = PathConditions(loss: 0.2, duplication: 0.2)
        world.setConditions(conditions, between: nodes[0], and: nodes[1], .forth)
        for octet in 0..<200 { self.send(UInt8(octet), from: a, on: nodes[0]) }
        try world.run(for: .seconds(1))
        let heard = b.octets
        #expect((120..<190).contains(Set(heard).count))
        #expect(heard.count > Set(heard).count)
        #expect(heard != heard.sorted())
        #expect(world.counters.datagramsLost == 200 - Set(heard).count)
        world.partition(nodes[0], nodes[1], .forth)
        self.send(255, from: a, on: nodes[0])
        self.send(254, from: b, on: nodes[1])
        try world.run(for: .seconds(1))
        #expect(!b.octets.contains(255))
        #expect(a.octets.contains(254))
    }

    @Test("A frozen process keeps as many as its buffer holds")
    func buffer() throws {
        var options = WorldOptions()
        options.datagramBuffer = 1000
        let world = World(seed: 1, options: options)
        let nodes = ["a", "b"].map { world.startNode($0) }
        let a = try self.listener(on: nodes[0], in: world)
        let b = try self.listener(on: nodes[1], in: world)
        world.freeze(nodes[1])
        for octet in 0..<20 {
            self.send(UInt8(octet), count: 100, from: a, on: nodes[0])
            try world.run(for: .milliseconds(10))
        }
        #expect(b.octets == [])
        world.thaw(nodes[1])
        try world.settle()
        #expect(b.octets == (0..<10).map { UInt8($0) })
        #expect(a.octets.count == 20)
        #expect(world.counters.datagramsLost == 10)
    }
}
