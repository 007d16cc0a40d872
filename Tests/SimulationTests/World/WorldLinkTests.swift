// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("The simulated network: links")
struct WorldLinkTests {
    @Test("Both ends hear of a link, with all addresses of the far end, its port and its UDP port")
    func up() throws {
        let world = World(seed: 1)
        let addresses: [IPAddress] = [.ipv4(0x0a01_0001), .ipv4(0x0a02_0001), .ipv6(0x2001_0db8_0000_0000, 1)]
        let b = try world.station("b", Station.sctp(port: 3863), addresses: addresses, encapsulationPort: 9900)
        let a = try world.station("a", Station.sctp(port: 0), encapsulationPort: 0)
        let link = try world.connect(a, to: b, udp: 9900)
        let local = try a.onPort { $0.local }
        let incoming = try #require(try b.act { $0.links.first })
        #expect(incoming.isIncoming)
        #expect(incoming.scheme == .sctp)
        #expect(
            incoming.remote
                == RemoteEndpoint(
                    addresses: a.node.addresses, port: local.port, encapsulationPort: local.encapsulationPort))
        #expect(local.port >= 49_152)
        #expect(try #require(local.encapsulationPort) >= 49_152)
        #expect(local.addresses == [.anyIPv4])
        let outgoing = try #require(try a.act { $0.links.first })
        #expect(outgoing.id == link)
        #expect(!outgoing.isIncoming)
        #expect(outgoing.remote == RemoteEndpoint(addresses: addresses, port: 3863, encapsulationPort: 9900))
        #expect(try a.onPort { $0.localAddresses(of: link) } == a.node.addresses)
        #expect(try b.onPort { $0.local.addresses } == [.anyIPv4, .anyIPv6])
        try a.onPort { $0.abort(link) }
        #expect(try a.onPort { $0.localAddresses(of: link) } == [])
    }

    @Test("A TCP connection joins one address of each end, the opener's with a port of its own")
    func upTCP() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair(.tcp)
        let first = try world.connect(a, to: b)
        let second = try world.connect(a, to: b)
        #expect(first != second)
        let remotes = try b.act { $0.links.map(\.remote) }
        #expect(remotes.map(\.addresses) == [a.node.addresses, a.node.addresses])
        #expect(Set(remotes.map(\.port)).count == 2)
        #expect(try a.act { $0.links.map(\.remote.port) } == [3863, 3863])
    }

    @Test("A message arrives whole, with protocol and stream, after the latency of the way")
    func message() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        let conditions = PathConditions(latency: .milliseconds(20), jitter: .zero)
        world.setConditions(conditions, between: a.node, and: b.node, .forth)
        let bytes = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let sent = world.now
        try a.send(bytes, stream: 3, on: link)
        try world.run(atMost: .seconds(1), until: { try b.heard.count == 2 })
        #expect(world.now - sent == .milliseconds(20))
        let message = try #require(try b.act { $0.messages.first })
        #expect(message.bytes == bytes)
        #expect(message.payloadProtocol == 11)
        #expect(message.stream == 3)
        let error = #expect(throws: TransportError.self) { try a.send(bytes + [0], on: link) }
        #expect(error?.code == .messageTooLong)
    }

    @Test("Messages of a stream keep their order, other streams and unordered ones overtake", arguments: 0..<5)
    func ordering(seed: UInt64) throws {
        let world = World(seed: seed)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        world.setConditions(PathConditions(loss: 0.3), between: a.node, and: b.node)
        for number in 0..<100 {
            try a.send([0, UInt8(number)], stream: UInt16(number % 3), on: link)
            try a.send([1, UInt8(number)], unordered: true, on: link)
        }
        try world.run(for: .seconds(30))
        let messages = try b.act { $0.messages }
        #expect(messages.count == 200, "nothing is lost on a link")
        let ordered = messages.filter { $0.bytes[0] == 0 }
        for stream in 0..<3 {
            let numbers = ordered.filter { $0.stream == stream }.map { $0.bytes[1] }
            #expect(numbers == numbers.sorted() && numbers.count > 30)
        }
        #expect(ordered.map { $0.bytes[1] } != (0..<100).map { UInt8($0) })
        #expect(messages.filter { $0.bytes[0] == 1 }.map { $0.bytes[1] } != (0..<100).map { UInt8($0) })
    }

    @Test("Where nobody listens, or not for others, or not at that UDP port, connecting is refused after a round trip")
    func refused() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        try world.connect(a, to: b, port: 3864)
        try world.connect(b, to: a, port: try a.onPort { $0.local.port })
        try world.connect(a, to: b, udp: 9899)
        #expect(try a.heard == ["down refused", "down refused"])
        #expect(try b.heard == ["down refused"])
        #expect(world.now < .milliseconds(7))
        let c = try world.station("c", Station.sctp(port: 3863), encapsulationPort: 9899)
        try world.connect(a, to: c, udp: 9900)
        #expect(try a.heard.last == "down refused")
        try world.connect(a, to: c)
        #expect(try a.heard.last == "up out", "9899 is where to look first")
        #expect(try b.heard == ["down refused"])
        #expect(world.counters.linksRefused == 4)
    }

    @Test("Not more links than allowed come in")
    func incomingLimit() throws {
        let world = World(seed: 1)
        let (first, server) = try world.pair { $0.maxIncomingLinks = 2 }
        let others = try (0..<2).map { try world.station("more-\($0)", Station.sctp(port: 0)) }
        let link = try world.connect(first, to: server)
        try world.connect(others[0], to: server)
        try world.connect(others[1], to: server)
        #expect(try others[1].heard == ["down refused"])
        try first.onPort { $0.shutdown(link) }
        try world.run(for: .seconds(1))
        try world.connect(others[1], to: server)
        #expect(try others[1].heard == ["down refused", "up out"])
    }

    @Test("Shutting down lets arrive what was sent, aborting may not; both ends hear how it ended")
    func endings() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let first = try world.connect(a, to: b)
        for number in 1...9 { try a.send([UInt8(number)], stream: UInt16(number), on: first) }
        try a.onPort { $0.shutdown(first) }
        #expect(throws: TransportError.self) { try a.send([10], on: first) }
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down closed"])
        let heard = try b.heard
        #expect(heard.count == 11 && heard.last == "down shutdown")
        #expect(Set(heard[1...9]) == Set((1...9).map { "\($0)" }))

        let second = try world.connect(a, to: b)
        #expect(first != second)
        try b.send([1], on: try #require(try b.act { $0.links.last?.id }))
        try a.onPort { $0.abort(second) }
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down closed", "up out", "down closed"])
        #expect(try b.heard.suffix(2) == ["up in", "down aborted"])
        let error = #expect(throws: TransportError.self) { try a.send([10], on: second) }
        #expect(error?.code == .noSuchLink)
    }

    @Test("Both ends may shut down at once")
    func endingTwice() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        try a.onPort { $0.shutdown(link) }
        let back = try b.act { $0.links[0].id }
        try b.onPort { $0.shutdown(back) }
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down closed"])
        #expect(try b.heard == ["up in", "down closed"])
        #expect(world.pendingEvents <= 1, "only the time limit of connecting may be left")
    }

    @Test("Closing a port ends its links in good order, within its limit, and frees its number")
    func close() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let c = try world.station("c", Station.sctp(port: 0))
        try world.connect(a, to: b)
        try world.connect(c, to: b)
        world.clog(b.node, c.node)
        let began = world.now
        let port = try #require(try b.act { $0.port })
        b.node.start { await port.close(within: .seconds(2)) }
        try world.run(atMost: .seconds(5), until: { b.node.liveRoots == 0 })
        #expect(world.now - began == .seconds(2), "one of them could not answer")
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down shutdown"])
        #expect(try c.heard == ["up out", "down aborted"])
        #expect(try b.heard == ["up in", "up in", "down closed"])
        try world.connect(a, to: b)
        #expect(try a.heard.last == "down refused")
        let again = try world.station(on: b.node, Station.sctp(port: 3863))
        try world.connect(a, to: again)
        #expect(try a.heard.last == "up out")
    }

    @Test("Two endpoints that connect to one another at once have one association")
    func collision() throws {
        let world = World(seed: 1)
        let a = try world.station("a", Station.sctp(port: 3863))
        let b = try world.station("b", Station.sctp(port: 3863))
        let fromA = try a.onPort { try $0.connect(to: RemoteEndpoint(addresses: b.node.addresses, port: 3863)) }
        let fromB = try b.onPort { try $0.connect(to: RemoteEndpoint(addresses: a.node.addresses, port: 3863)) }
        try b.send([1], on: fromB)
        try world.run(for: .seconds(1))
        try a.send([2], on: fromA)
        try world.run(for: .seconds(10))
        #expect(try a.heard == ["up out", "1"])
        #expect(try b.heard == ["up out", "2"])
        #expect(throws: TransportError.self) {
            try a.onPort { _ = try $0.connect(to: RemoteEndpoint(addresses: b.node.addresses, port: 3863)) }
        }
    }

    @Test("A port in use and a foreign address are errors; SCTP and TCP do not share numbers")
    func binding() throws {
        let world = World(seed: 1)
        let a = try world.station("a", Station.sctp(port: 3863))
        func code(_ options: PortOptions) -> TransportError.Code? {
            let error = #expect(throws: TransportError.self) { try world.station(on: a.node, options) }
            return error?.code
        }
        #expect(code(Station.sctp(port: 3863)) == .addressInUse)
        var foreign = Station.sctp(port: 0)
        foreign.localAddresses = [.ipv4(0x7f00_0001), .ipv4(0x0909_0909)]
        #expect(code(foreign) == .addressNotAvailable)
        let tcp = try world.station(on: a.node, Station.tcp(port: 3863))
        #expect(try tcp.onPort { $0.local.port } == 3863)
        // Another process of the same machine.
        let other = world.startNode("b", addresses: a.node.addresses)
        #expect(throws: TransportError.self) { try world.station(on: other, Station.sctp(port: 3863)) }
        let free = try world.station(on: other, Station.sctp(port: 3864))
        try world.connect(free, to: a)
        #expect(try free.heard == ["up out"])
    }

    @Test("A full buffer refuses, holds not more than its bound, and says when there is room")
    func backPressure() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair { $0.sendBufferLimit = 10_000 }
        let link = try world.connect(a, to: b)
        world.clog(a.node, b.node, .forth)
        var taken = 0
        let error = #expect(throws: TransportError.self) {
            while taken < 1000 {
                try a.send(Array(repeating: UInt8(taken), count: 1000), on: link)
                taken += 1
            }
        }
        #expect(error?.code == .bufferFull)
        #expect(taken == 10)
        try world.run(for: .seconds(60))
        #expect(try a.heard == ["up out"], "clogged, but alive")
        #expect(try b.heard == ["up in"])
        world.heal(a.node, b.node)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "writable"])
        #expect(try b.heard == ["up in"] + (0..<10).map { "\($0)" })
        // One message may be larger than the bound, if it is alone.
        try a.send(Array(repeating: 77, count: 20_000), on: link)
        #expect(throws: TransportError.self) { try a.send([1], on: link) }
        try world.run(for: .seconds(1))
        #expect(try b.heard.last == "77")
    }

    @Test("A process that does not take its mail holds up who sends to it, within the bound")
    func slowReader() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let world = World(seed: 1, options: options)
        let (a, b) = try world.pair { $0.sendBufferLimit = 1000 }
        let link = try world.connect(a, to: b)
        world.freeze(b.node)
        for number in 0..<10 { try a.send(Array(repeating: UInt8(number), count: 100), on: link) }
        try world.run(for: .seconds(100))
        #expect(throws: TransportError.self) { try a.send([1], on: link) }
        world.thaw(b.node)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "writable"])
        #expect(try b.heard.count == 11)
    }

    @Test("What is sent before the link is up is sent when it is")
    func earlySending() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try a.onPort { try $0.connect(to: RemoteEndpoint(addresses: b.node.addresses, port: 3863)) }
        try a.send([5], on: link)
        try world.run(for: .seconds(1))
        #expect(try b.heard == ["up in", "5"])
    }
}
