// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import SCTP
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension SCTPSuite {
    /// What only the userland stack has: UDP encapsulation, ICMP, strangers at the port.
    @Suite("Userland stack over UDP (RFC 6951)", .timeLimit(.minutes(3)))
    struct Userland {
        /// A client and an echo server with a relay between them.
        private struct Wire {
            let server: LoggedEndpoint
            let client: LoggedEndpoint
            let relay: Relay
            var id: AssociationID
            var incoming: AssociationID

            init(_ options: SCTPEndpointOptions = .loopback) async throws {
                // Own UDP ports: the relay tells the sides apart by them.
                let port: UInt16
                (self.server, port) = try await endpointOfItsOwn(options, reaction: echo)
                self.client = try await LoggedEndpoint(.userland, options)
                self.relay = try await Relay(to: port)
                self.id = try await self.client.endpoint.connect(
                    to: SCTPPeer(
                        addresses: [.loopbackIPv4], port: self.server.endpoint.port, encapsulationPort: self.relay.port)
                ).id
                self.incoming = try await self.server.up().id
            }

            func exchange(_ bytes: [UInt8]) async throws {
                try await self.client.endpoint.send(SCTPMessage(bytes: bytes), on: self.id)
                #expect(try await self.client.message().0.bytes == bytes)
            }

            func close() async {
                await self.client.close()
                await self.server.close()
                await self.relay.kill()
            }
        }

        /// An endpoint with a UDP port that no other has. Somebody may take a free one before it does, or still hold it: then
        /// it is another one.
        private static func endpointOfItsOwn(
            _ options: SCTPEndpointOptions,
            reaction: @escaping @Sendable (SCTPEvent, isolated SCTPEndpoint) -> Void = { _, _ in }
        ) async throws -> (endpoint: LoggedEndpoint, port: UInt16) {
            var options = options
            for attempt in 1... {
                options.encapsulationPort = try await self.freeUDPPort()
                do {
                    let endpoint = try await LoggedEndpoint(.userland, options, reaction: reaction)
                    return (endpoint, options.encapsulationPort)
                } catch let error as SCTPError where error.code == .addressInUse && attempt < 20 {}
            }
            preconditionFailure("the loop ends by returning or throwing")
        }

        private static func freeUDPPort() async throws -> UInt16 {
            let socket = try await RawUDP.make()
            await socket.close()
            return socket.port
        }

        @Test("The smoothed round-trip time is that of the path, in milliseconds (RFC 6458 §8.2.2)")
        func roundTrip() async throws {
            let wire = try await Wire()
            wire.relay.change(toServer: { bytes in
                // The way is 40 ms long, for the server's acknowledgements too.
                usleep(40_000)
                return [bytes]
            })
            for _ in 0..<12 { try await wire.exchange([1, 2, 3]) }
            let time = try #require(await wire.client.endpoint.smoothedRoundTripTime(of: wire.id))
            #expect(.milliseconds(20) ... .milliseconds(250) ~= time, "\(time)")
            await wire.client.endpoint.abort(wire.id)
            #expect(await wire.client.endpoint.smoothedRoundTripTime(of: wire.id) == nil)
            await wire.close()
        }

        @Test("With port and UDP port 0 the SCTP port is the UDP port, and a peer finds it without being told")
        func portsAgree() async throws {
            var options = SCTPEndpointOptions.loopback
            options.localAddresses = [.ipv4(0x7f00_0009)]
            let server = try await LoggedEndpoint(.userland, options)
            #expect(server.endpoint.port == server.endpoint.encapsulationPort)
            let client = try await LoggedEndpoint(.userland)
            // Nobody is at 9899 there (ICMP says so), then UDP port = SCTP port.
            let peer = SCTPPeer(addresses: [.ipv4(0x7f00_0009)], port: server.endpoint.port)
            let association = try await client.endpoint.connect(to: peer)
            #expect(association.peer.encapsulationPort == server.endpoint.encapsulationPort)
            #expect(association.peer.addresses == [.ipv4(0x7f00_0009)])
            await client.close()
            await server.close()
        }

        @Test("Endpoints that ask for any UDP port share one; a given one is shared by address and port")
        func sharing() async throws {
            let one = try await LoggedEndpoint(.userland)
            let two = try await LoggedEndpoint(.userland)
            #expect(one.endpoint.encapsulationPort == two.endpoint.encapsulationPort)
            #expect(one.endpoint.port != two.endpoint.port)
            var options = SCTPEndpointOptions.loopback
            let three: LoggedEndpoint
            (three, options.encapsulationPort) = try await Self.endpointOfItsOwn(options)
            let four = try await LoggedEndpoint(.userland, options)
            #expect(three.endpoint.encapsulationPort == options.encapsulationPort)
            #expect(four.endpoint.encapsulationPort == options.encapsulationPort)
            for endpoint in [one, two, three, four] { await endpoint.close() }
        }

        @Test("A UDP port that another process has is an error that names it")
        func udpPortInUse() async throws {
            let socket = try await RawUDP.make()
            var options = SCTPEndpointOptions.loopback
            options.encapsulationPort = socket.port
            let error = await #expect(throws: SCTPError.self) { _ = try await LoggedEndpoint(.userland, options) }
            #expect(error?.code == .addressInUse)
            #expect(error?.message.contains("127.0.0.1:\(socket.port)") == true)
            await socket.close()
        }

        @Test("A UDP port that this process has at other addresses is an error that says what to do")
        func udpPortInUseByItself() async throws {
            var (endpoint, options) = (nil as LoggedEndpoint?, SCTPEndpointOptions.loopback)
            (endpoint, options.encapsulationPort) = try await Self.endpointOfItsOwn(options)
            let port = options.encapsulationPort
            options.localAddresses = []
            let error = await #expect(throws: SCTPError.self) { _ = try await LoggedEndpoint(.userland, options) }
            #expect(error?.code == .addressInUse)
            #expect(error?.message.contains("which has 127.0.0.1:\(port); endpoints that share") == true)
            await endpoint?.close()
        }

        @Test("One stack per process: another loop is refused")
        func oneStack() throws {
            let loop = try SocketLoop(name: "other")
            _ = try SCTPStack.userland(on: sharedLoop)
            let error = #expect(throws: SCTPError.self) { _ = try SCTPStack.userland(on: loop) }
            #expect(error?.code == .stackUnavailable)
            loop.stop()
        }

        @Test("A closed UDP port refuses within milliseconds; the next address is tried")
        func closedPort() async throws {
            let server = try await LoggedEndpoint(.userland)
            let client = try await LoggedEndpoint(.userland)
            let free = try await Self.freeUDPPort()
            let start = ContinuousClock.now
            let nobody = SCTPPeer(addresses: [.loopbackIPv4], port: 7, encapsulationPort: free)
            let error = await #expect(throws: SCTPError.self) { _ = try await client.endpoint.connect(to: nobody) }
            #expect(error?.code == .refused)
            // Milliseconds on an idle machine; what gives up by itself takes many times as long.
            #expect(start.duration(to: .now) < .seconds(1))
            #expect(await client.endpoint.statistics.unreachableReports > 0)
            // 127.0.0.2 has no such UDP port (the server is bound to 127.0.0.1): the second address answers.
            var peer = server.endpoint.peer
            peer.addresses = [.ipv4(0x7f00_0002), .loopbackIPv4]
            let association = try await client.endpoint.connect(to: peer)
            #expect(association.peer.addresses == [.loopbackIPv4])
            await client.close()
            await server.close()
        }

        @Test("A peer whose process was killed is known to be gone within a heartbeat plus milliseconds")
        func killed() async throws {
            for _ in 0..<5 {
                let wire = try await Wire()
                try await wire.exchange([1])
                let start = ContinuousClock.now
                await wire.relay.kill()
                #expect(try await wire.client.down(of: wire.id) == .lost)
                // HB.interval 100 ms + RTO 50 ms ± 50 %, and two probes: 300 ms on an idle machine.
                #expect(start.duration(to: .now) < .seconds(1))
                #expect(await wire.client.endpoint.statistics.unreachableReports >= 3)
                #expect(try await wire.server.down(of: wire.incoming) == .lost)
                await wire.close()
            }
        }

        @Test("A sender learns at once; asking is enough for one that is silent")
        func killedWhileBusy() async throws {
            var options = SCTPEndpointOptions.loopback
            options.heartbeatInterval = .seconds(60)
            for probing in [true, false] {
                let wire = try await Wire(options)
                try await wire.exchange([1])
                await wire.relay.kill()
                let start = ContinuousClock.now
                if probing {
                    await wire.client.endpoint.probe(wire.id)
                } else {
                    do {
                        try await wire.client.endpoint.send(SCTPMessage(bytes: [2]), on: wire.id)
                    } catch {
                        // An acknowledgement that was due has found out before.
                        #expect(error.code == .unknownAssociation)
                    }
                }
                #expect(try await wire.client.down(of: wire.id) == .lost)
                #expect(start.duration(to: .now) < .milliseconds(500))
                await wire.close()
            }
        }

        @Test("One ICMP error is a cue, not proof: a peer that answers the probe stays")
        func icmpIsACue() async throws {
            let wire = try await Wire()
            try await wire.exchange([1])
            // The datagram of one turn is refused, the probe that follows is not.
            let before = await wire.client.endpoint.statistics.unreachableReports
            await wire.relay.blink {
                let endpoint = wire.client.endpoint
                let id = wire.id
                endpoint.assumeIsolated { $0.probe(id) }
            }
            try await wire.exchange([2])
            #expect(await wire.client.endpoint.statistics.unreachableReports > before)
            await wire.close()
        }

        @Test(
            "A peer that falls silent is lost after its retransmissions, also to one endpoint of many",
            arguments: [0, 200])
        func silence(others: Int) async throws {
            var idle: [SCTPEndpoint] = []
            for _ in 0..<others { idle.append(try await SCTPEndpoint(on: .shared(.userland), options: .loopback)) }
            let wire = try await Wire()
            try await wire.exchange([1])
            wire.relay.change(toServer: { _ in [] }, toClient: { _ in [] })
            let start = ContinuousClock.now
            #expect(try await wire.client.down(of: wire.id) == .lost)
            // Four retransmissions, RTO 50 ms doubling to 500 ms, with heartbeats of 100 ms: about a second and a half.
            #expect(start.duration(to: .now) < .seconds(4))
            await wire.close()
            for endpoint in idle { await endpoint.close(gracefulWithin: .zero) }
        }

        @Test("Loss is repaired: messages arrive in order through a network that drops a fifth")
        func loss() async throws {
            // Quick timers, but the patience for several losses in a row.
            var options = SCTPEndpointOptions.loopback
            options.pathMaxRetransmissions = 30
            options.associationMaxRetransmissions = 30
            let wire = try await Wire(options)
            let generator = Locked(SplitMix(state: 7))
            let drop: Relay.Change = { datagram in
                generator.withLock { Int.random(in: 0..<5, using: &$0) == 0 } ? [] : [datagram]
            }
            wire.relay.change(toServer: drop, toClient: drop)
            for number in 0..<UInt8(20) {
                try await wire.client.endpoint.send(
                    SCTPMessage(bytes: [UInt8](repeating: number, count: 4_000)), on: wire.id)
            }
            for number in 0..<UInt8(20) { #expect(try await wire.client.message().0.bytes.first == number) }
            await wire.close()
        }

        @Test("Bit flips and cut packets do no harm")
        func mangled() async throws {
            let wire = try await Wire()
            let count = Locked(UInt64(0))
            // Every packet goes through whole, with a flipped and a cut copy before it.
            let mangle: Relay.Change = { datagram in
                let number = count.withLock { count in
                    count += 1
                    return count
                }
                var flipped = datagram
                let bit = Int(number &* 2_654_435_761 % UInt64(datagram.count * 8))
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                return [flipped, Array(datagram.prefix(Int(number) % datagram.count)), datagram]
            }
            wire.relay.change(toServer: mangle, toClient: mangle)
            for number in 0..<UInt8(200) { try await wire.exchange([number, 1, 2, 3]) }
            #expect(await wire.server.endpoint.statistics.datagramsMalformed > 0)
            await wire.close()
        }

        @Test("An association survives a new UDP address of its peer (RFC 6951 §5.4)")
        func rebinding() async throws {
            let wire = try await Wire()
            try await wire.exchange([1])
            let before = await wire.server.endpoint.peer(of: wire.incoming)?.encapsulationPort
            try await wire.relay.renew()
            try await wire.exchange([2])
            #expect(await wire.server.endpoint.statistics.peersMoved > 0)
            #expect(await wire.server.endpoint.peer(of: wire.incoming)?.encapsulationPort != before)
            await wire.close()
        }

        @Test("A peer that has restarted is a new association; the old one is lost")
        func restart() async throws {
            let wire = try await Wire()
            // The client's process dies without a word and comes back on the same ports.
            var options = SCTPEndpointOptions.loopback
            options.port = wire.client.endpoint.port
            let abort: UInt8 = 6
            wire.relay.change(toServer: { $0[12] == abort ? [] : [$0] })
            await wire.client.close()
            let again = try await LoggedEndpoint(.userland, options)
            let id = try await again.endpoint.connect(
                to: SCTPPeer(
                    addresses: [.loopbackIPv4], port: wire.server.endpoint.port, encapsulationPort: wire.relay.port)
            ).id
            let reason = try await wire.server.down(of: wire.incoming)
            #expect(reason == .lost)
            let new = try await wire.server.up()
            #expect(new.id != wire.incoming)
            try await again.endpoint.send(SCTPMessage(bytes: [3]), on: id)
            #expect(try await again.message().0.bytes == [3])
            await again.close()
            await wire.close()
        }

        @Test("Packets out of the blue are answered as RFC 9260 §8.4 says")
        func outOfTheBlue() async throws {
            let server = try await LoggedEndpoint(.userland)
            let answers = Answers()
            let stranger = try await RawUDP.make { bytes, _ in answers.add(bytes) }
            let udp = try #require(server.endpoint.encapsulationPort)
            let port = server.endpoint.port
            let from: UInt16 = 4000
            let tag: UInt32 = 0x0102_0304

            // DATA of an association that nobody here knows: ABORT, T bit, the tag reflected.
            let data: [UInt8] = [0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]
            await stranger.send([packet(from: from, to: port, tag: tag, chunk: data)], to: udp)
            #expect(try await answers.next() == packet(from: port, to: from, tag: tag, chunk: [6, 1, 0, 4]))
            // SHUTDOWN ACK: SHUTDOWN COMPLETE.
            await stranger.send([packet(from: from, to: port, tag: tag, chunk: [8, 0, 0, 4])], to: udp)
            #expect(try await answers.next() == packet(from: port, to: from, tag: tag, chunk: [14, 1, 0, 4]))
            // INIT to a port without an endpoint: ABORT with the initiate tag.
            let initiation: [UInt8] = [1, 0, 0, 20, 0xaa, 0xbb, 0xcc, 0xdd, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
            await stranger.send([packet(from: from, to: 1, tag: 0, chunk: initiation)], to: udp)
            #expect(try await answers.next() == packet(from: 1, to: from, tag: 0xaabb_ccdd, chunk: [6, 0, 0, 4]))
            // ABORT and SHUTDOWN COMPLETE: silence. The INIT after them is answered first.
            await stranger.send(
                [
                    packet(from: from, to: port, tag: tag, chunk: [6, 0, 0, 4]),
                    packet(from: from, to: port, tag: tag, chunk: [14, 0, 0, 4]),
                    packet(from: from, to: port, tag: 0, chunk: initiation),
                ], to: udp)
            // INIT ACK, to the tag of the INIT.
            let answer = try await answers.next()
            #expect(answer.count > 36)
            #expect(Array(answer[4..<8]) == [0xaa, 0xbb, 0xcc, 0xdd])
            #expect(answer[12] == 2)
            await stranger.close()
            await server.close()
        }

        @Test("Garbage and floods at the UDP port are dropped and counted, and bounded in what they cost")
        func garbage() async throws {
            // Patient timers: the flood may hold a slow machine for longer than a local network's patience.
            var options = SCTPEndpointOptions.default
            options.localAddresses = [.loopbackIPv4]
            let server = try await LoggedEndpoint(.userland, options, reaction: echo)
            let client = try await LoggedEndpoint(.userland, options)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            let udp = try #require(server.endpoint.encapsulationPort)
            let before = await server.endpoint.statistics
            let stranger = try await RawUDP.make()
            var generator = SplitMix(state: 42)
            let noise = (0..<2000).map { _ in
                (0..<Int.random(in: 0..<200, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator)
                }
            }
            await stranger.send(noise, to: udp)
            // INITs with a wrong checksum, and with a right one (whole handshakes are never finished).
            var broken = Self.initiation(from: 5, to: server.endpoint.port, tag: 9)
            broken[20] ^= 1
            await stranger.send([[UInt8]](repeating: broken, count: 500), to: udp)
            for round in 0..<20 {
                let flood = (0..<100).map {
                    Self.initiation(
                        from: UInt16(1000 + $0), to: server.endpoint.port, tag: UInt32(round * 100 + $0 + 1))
                }
                await stranger.send(flood, to: udp)
            }
            for number in 0..<UInt8(20) {
                try await client.endpoint.send(SCTPMessage(bytes: [number]), on: id)
                #expect(try await client.message().0.bytes == [number])
            }
            let after = await server.endpoint.statistics
            #expect(after.datagramsMalformed > before.datagramsMalformed)
            #expect(after.datagramsWithWrongChecksum >= before.datagramsWithWrongChecksum + 500)
            #expect(await server.endpoint.upAssociations.count == 1)
            await stranger.close()
            await client.close()
            await server.close()
        }

        @Test("New senders beyond the table's bound push out the idle ones, not those with an association")
        func handleBound() async throws {
            let server = try await LoggedEndpoint(.userland, reaction: echo)
            let client = try await LoggedEndpoint(.userland)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            let udp = try #require(server.endpoint.encapsulationPort)
            let before = await server.endpoint.statistics.sendersRejected
            // 5000 UDP addresses with one INIT each; the bound is 4096.
            for number in 0..<5000 {
                let stranger = try await RawUDP.make()
                await stranger.send(
                    [Self.initiation(from: 1000, to: server.endpoint.port, tag: UInt32(number + 1))], to: udp)
                await stranger.close()
            }
            try await client.endpoint.send(SCTPMessage(bytes: [1]), on: id)
            #expect(try await client.message().0.bytes == [1])
            #expect(await server.endpoint.statistics.sendersRejected > before)
            await client.close()
            await server.close()
        }

        private static func initiation(from source: UInt16, to destination: UInt16, tag: UInt32) -> [UInt8] {
            let tagBytes = (0..<4).map { UInt8(truncatingIfNeeded: tag >> (24 - 8 * $0)) }
            return packet(
                from: source, to: destination, tag: 0,
                chunk: [1, 0, 0, 20] + tagBytes + [0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1])
        }
    }
}

/// Datagrams that came back, one by one.
private final class Answers: Sendable {
    private struct State {
        var waiting: [[UInt8]] = []
        var reader: Waiter<[UInt8]>?
    }

    private let state = Locked(State())

    func add(_ bytes: [UInt8]) {
        let reader = self.state.withLock { state -> Waiter<[UInt8]>? in
            if let reader = state.reader {
                state.reader = nil
                return reader
            }
            state.waiting.append(bytes)
            return nil
        }
        reader?.end(.success(bytes))
    }

    func next() async throws -> [UInt8] {
        let waiter = Waiter<[UInt8]>()
        self.state.withLock { state in
            if state.waiting.isEmpty {
                state.reader = waiter
            } else {
                waiter.end(.success(state.waiting.removeFirst()))
            }
        }
        let timer = sharedLoop.clock.schedule(at: .now.advanced(by: .seconds(10))) {
            waiter.end(.failure(LoggedEndpoint.Missing(what: "an answer")))
        }
        defer { sharedLoop.clock.cancel(timer) }
        return try await waiter.value()
    }
}

/// A seeded generator, so that a failing run can be repeated.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
