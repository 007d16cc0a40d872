// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import SocketLoop
import Testing

@testable import RSerPoolTransport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite("TCP ports (RFC 5352 §3.3)", .serialized, .timeLimit(.minutes(3)))
struct TCPPortTests {
    @Test("Two messages in one segment and one octet by octet are all served [WIRE-012]")
    func framing() async throws {
        let server = try await TestPort.tcp(reaction: TestPort.echo)
        let client = try RawConnection(to: server.port.local.port)
        // Lengths 14 and 17 take 16 and 20 octets.
        var first = message(1, length: 14)
        first += [0, 0]
        var second = message(2, length: 17)
        second += [0, 0, 0]
        try client.write(first + second)
        #expect(try client.read(36) == first + second)
        for octet in second { try client.write([octet]) }
        #expect(try client.read(20) == second)
        // A whole one together with the beginning of the next, cut at each octet.
        for cut in 1..<second.count {
            try client.write(first + second[..<cut])
            #expect(try client.read(16) == first)
            try client.write(Array(second[cut...]))
            #expect(try client.read(20) == second)
        }
        await server.close(within: .zero)
    }

    @Test("The longest message comes through octet by octet as well, between others")
    func longestInPieces() async throws {
        let server = try await TestPort.tcp(reaction: TestPort.echo)
        let client = try RawConnection(to: server.port.local.port)
        let long = message(3, length: 65_535) + [0]
        try client.write(message(1))
        for start in stride(from: 0, to: long.count, by: 999) {
            try client.write(Array(long[start..<min(start + 999, long.count)]))
        }
        try client.write(message(2))
        #expect(try client.read(16 + 65_536 + 16) == message(1) + long + message(2))
        await server.close(within: .zero)
    }

    @Test("A socket that has connected to itself, as it may where nobody listens, is not taken for a service")
    func connectedToItself() async throws {
        let service = try await TestPort.tcp()
        let remote = SocketAddress(ip: .loopbackIPv4, port: service.port.local.port)
        let socket = try StreamSocket.connecting(to: remote, from: nil)
        defer { socket.close() }
        #expect(!socket.isConnectedToItself(at: remote))
        await service.close(within: .zero)

        let itself = StreamSocket(descriptor: try RawConnection.descriptorToItself())
        defer { itself.close() }
        #expect(itself.isConnectedToItself(at: try #require(itself.localAddress)))
    }

    @Test("What is no framing ends the connection, and no other one", arguments: [0, 1, 2, 3])
    func badLength(_ length: UInt8) async throws {
        let server = try await TestPort.tcp(reaction: TestPort.echo)
        let good = try RawConnection(to: server.port.local.port)
        let goodID = try await server.up().id
        let bad = try RawConnection(to: server.port.local.port)
        let badID = try await server.up().id
        try bad.write(message(1) + [0, 0, 0, length, 0, 0, 0, 0])
        #expect(try await server.down(badID) == .protocolViolation)
        _ = try? bad.read(16)
        #expect(bad.isEnded())
        try good.write(message(2))
        let answer = try good.read(16)
        #expect(answer == message(2))
        #expect(goodID != badID)
        let port = try #require(server.port as? TCPPort)
        let errors = await port.counters.framingErrors
        #expect(errors == 1)
        await server.close(within: .zero)
    }

    @Test("A message that takes too long to arrive ends the connection; silence between messages does not")
    func slowSender() async throws {
        let server = try await TestPort.tcp(limits: { $0.partialMessage = .milliseconds(100) }, reaction: TestPort.echo)
        let patient = try RawConnection(to: server.port.local.port)
        _ = try await server.up()
        try patient.write(message(1))
        #expect(try patient.read(16) == message(1))
        let slow = try RawConnection(to: server.port.local.port)
        let slowID = try await server.up().id
        let begin = ContinuousClock.now
        try slow.write(Array(message(1)[..<5]))
        #expect(try await server.down(slowID) == .protocolViolation)
        #expect(begin.duration(to: .now) >= .milliseconds(100))
        #expect(slow.isEnded())
        try patient.write(message(2))
        #expect(try patient.read(16) == message(2))
        await server.close(within: .zero)
    }

    @Test("Who finishes after asking still gets the answers")
    func halfClose() async throws {
        let server = try await TestPort.tcp(reaction: TestPort.echo)
        let client = try RawConnection(to: server.port.local.port)
        let requests = (0..<50).flatMap { message($0, length: 4000) }
        try client.write(requests)
        client.finish()
        #expect(try client.read(requests.count + 1) == requests)
        #expect(try await server.down() == .shutdown)
        await server.close(within: .zero)
    }

    @Test("The end in the midst of a message is no good order")
    func truncated() async throws {
        let server = try await TestPort.tcp()
        let client = try RawConnection(to: server.port.local.port)
        try client.write(message(1) + message(2)[..<7])
        client.finish()
        #expect(number(of: try await server.message().message) == 1)
        #expect(try await server.down() == .protocolViolation)
        await server.close(within: .zero)
    }

    @Test("A reset is told as an abort")
    func reset() async throws {
        let server = try await TestPort.tcp()
        let client = try RawConnection(to: server.port.local.port)
        _ = try await server.up()
        client.reset()
        #expect(try await server.down() == .aborted)
        await server.close(within: .zero)
    }

    @Test("A far end that does not read holds up nobody else, and is cut off after a shutdown")
    func stuckReader() async throws {
        let server = try await TestPort.tcp(
            limits: { $0.finish = .milliseconds(200) }, options: { $0.sendBufferLimit = 200_000 },
            reaction: TestPort.echo)
        let stuck = try RawConnection(to: server.port.local.port, receiveBuffer: 4096)
        let stuckID = try await server.up().id
        // Turn by turn, so that the system's buffers fill up as well.
        var taken = 0
        filling: while true {
            do {
                try await server.send(message(taken, length: 50_000), on: stuckID)
                taken += 1
            } catch let error as TransportError {
                #expect(error.code == .bufferFull)
                break filling
            }
            try #require(taken < 2000, "there is no bound")
        }
        let other = try RawConnection(to: server.port.local.port)
        try other.write(message(1))
        #expect(try other.read(16) == message(1))
        try await server.shutdown(stuckID)
        #expect(try await server.down(stuckID) == .closed)
        // What the system had taken may still be read, then comes the end.
        withExtendedLifetime(stuck) {}
        await server.close(within: .zero)
    }

    @Test("There is room again when the far end has read, and everything comes in order")
    func slowReader() async throws {
        let server = try await TestPort.tcp(options: { $0.sendBufferLimit = 100_000 })
        let client = try RawConnection(to: server.port.local.port, receiveBuffer: 4096)
        let id = try await server.up().id
        var taken = 0
        while (try? await server.send(message(taken, length: 10_000), on: id)) != nil { taken += 1 }
        for index in 0..<taken { #expect(try client.read(10_000) == message(index, length: 10_000)) }
        #expect(try await server.writable() == id)
        try await server.send(message(taken, length: 10_000), on: id)
        #expect(try client.read(10_000) == message(taken, length: 10_000))
        await server.close(within: .zero)
    }

    @Test("Without an answer a connection attempt ends after its limit")
    func connectTimeout() async throws {
        let mute = try MuteListener()
        let client = try await TestPort.tcp(acceptsLinks: false, limits: { $0.connect = .milliseconds(200) })
        let begin = ContinuousClock.now
        let id = try await client.connect(to: RemoteEndpoint(addresses: [.loopbackIPv4], port: mute.port))
        #expect(try await client.down(id) == .refused)
        #expect(begin.duration(to: .now) >= .milliseconds(200))
        await client.close(within: .zero)
        withExtendedLifetime(mute) {}
    }

    @Test("Of several addresses the first that answers is taken")
    func severalAddresses() async throws {
        let server = try await TestPort.tcp(reaction: TestPort.echo)
        let client = try await TestPort.tcp(acceptsLinks: false, options: { $0.localAddresses = [] })
        // Nobody listens at the first two.
        let remote = RemoteEndpoint(
            addresses: [.ipv4(0x7f00_0005), .loopbackIPv6, .loopbackIPv4], port: server.port.local.port)
        let id = try await client.connect(to: remote)
        let link = try await client.up()
        #expect(link.id == id && link.remote.addresses == [.loopbackIPv4])
        try await client.send(message(4), on: id)
        #expect(number(of: try await client.message().message) == 4)
        await client.close(within: .zero)
        await server.close(within: .zero)
    }

    @Test("The wildcard takes both families")
    func dualStack() async throws {
        let server = try await TestPort.tcp(options: { $0.localAddresses = [] }, reaction: TestPort.echo)
        for address in [IPAddress.loopbackIPv4, .loopbackIPv6] {
            let client = try await TestPort.tcp(acceptsLinks: false, options: { $0.localAddresses = [] })
            let id = try await client.connect(
                to: RemoteEndpoint(addresses: [address], port: server.port.local.port))
            #expect(try await client.up().id == id)
            #expect(try await server.up().remote.addresses == [address])
            await client.close()
        }
        await server.close()
    }

    @Test("Several addresses share one free port")
    func severalListeners() async throws {
        let addresses = [IPAddress.loopbackIPv4, .ipv4(0x7f00_0002), .loopbackIPv6]
        let server = try await TestPort.tcp(options: { $0.localAddresses = addresses }, reaction: TestPort.echo)
        #expect(server.port.local.addresses == addresses && server.port.local.port != 0)
        for address in addresses {
            let client = try await TestPort.tcp(acceptsLinks: false, options: { $0.localAddresses = [] })
            _ = try await client.connect(to: RemoteEndpoint(addresses: [address], port: server.port.local.port))
            #expect(try await client.up().remote.addresses == [address])
            await client.close()
        }
        await server.close()
    }

    @Test("A receiver may end or answer a link from inside any event")
    func reentrance() async throws {
        let server = try await TestPort.tcp(reaction: { event, port in
            switch event {
            case .up(let link): try? port.send(OutboundMessage(message(1)), on: link.id)
            // The first of two in one segment: the second must not be told any more.
            case .message(_, let link): port.abort(link)
            case .writable, .unsent, .down: break
            }
            return true
        })
        let client = try RawConnection(to: server.port.local.port)
        #expect(try client.read(16) == message(1))
        try client.write(message(2) + message(3))
        let id = try await server.up().id
        #expect(number(of: try await server.message().message) == 2)
        let next = try await server.next("down") { $0 }
        guard case .down(id, .closed) = next else {
            Issue.record("\(next) instead of the end")
            return
        }
        #expect(client.isEnded())
        await server.close(within: .zero)
    }

    @Test("Without a descriptor for newcomers a port goes on with those it has, without spinning, and recovers")
    func noDescriptorLeft() async throws {
        await #expect(processExitsWith: .success) {
            let server = try await TestPort.tcp(limits: { $0.acceptPause = .milliseconds(20) }, reaction: TestPort.echo)
            let port = try #require(server.port as? TCPPort)
            let early = try RawConnection(to: server.port.local.port)
            _ = try await server.up()
            let late = try RawConnection(to: server.port.local.port)
            _ = try await server.up()
            // The next descriptor has this number: the limit allows none from there on.
            let next = dup(0)
            close(next)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let normal = limit
            // One for the client, none for the server.
            limit.rlim_cur = rlim_t(next + 1)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let waiting = try RawConnection(to: server.port.local.port)
            try waiting.write(message(3))
            while await port.counters.acceptPauses < 3 {}
            let begin = ContinuousClock.now
            let pauses = await port.counters.acceptPauses
            for index in 0..<10 {
                try early.write(message(index))
                #expect(try early.read(16) == message(index))
            }
            let most = begin.duration(to: .now) / .milliseconds(20) + 2
            #expect(Double(await port.counters.acceptPauses - pauses) <= most)
            await #expect(throws: TransportError.self) { _ = try await server.connect(to: server.endpoint) }
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), [normal])
            #expect(try waiting.read(16) == message(3))
            late.close()
            await server.close(within: .zero)
        }
    }
}
