// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import SocketLoop
import Testing

@Suite("UDP multicast (RFC 5352 §3.6)", .serialized, .timeLimit(.minutes(1)))
struct MulticastPortTests {
    /// What came, as it came.
    final class Listener: DatagramReceiver {
        private struct State {
            var datagrams: [(bytes: [UInt8], source: SocketAddress)] = []
            var reader: Waiter<Void>?
        }

        private let state = Locked(State())

        func received(datagram bytes: [UInt8], from source: SocketAddress) {
            let reader = self.state.withLock { state in
                state.datagrams.append((bytes, source))
                return state.reader.take()
            }
            reader?.end()
        }

        func next(_ clock: any MonotonicClock) async throws -> (bytes: [UInt8], source: SocketAddress) {
            let deadline = clock.now.advanced(by: .seconds(10))
            while true {
                let (found, waiter) = self.state.withLock { state in
                    let waiter = Waiter<Void>()
                    guard state.datagrams.isEmpty else { return (Optional(state.datagrams.removeFirst()), waiter) }
                    state.reader = waiter
                    return (nil, waiter)
                }
                if let found { return found }
                let timer = clock.schedule(at: deadline) { waiter.end(.failure(TestPort.Missing(what: "datagram"))) }
                defer { clock.cancel(timer) }
                try await waiter.value()
            }
        }
    }

    struct Ears {
        let listener: Listener
        let port: any DatagramPort
        let host: Host

        /// The next datagram; there may be a copy from each interface.
        func next() async throws -> [UInt8] { try await self.listener.next(self.host.clock).bytes }

        func send(_ bytes: [UInt8]) async {
            await self.host.loop.run { [port] in port.send(bytes) }
        }

        func close() async {
            await self.host.loop.run { [port] in port.close() }
        }
    }

    func open(_ group: SocketAddress, joins: Bool = true) async throws -> Ears {
        let host = try Carrier.tcp.host()
        let listener = Listener()
        let port = try await host.transport.open(DatagramOptions(group: group, joins: joins), receiver: listener)
        return Ears(listener: listener, port: port, host: host)
    }

    /// A group of the test's own; ports from below the range that the system gives out.
    static let port = UInt16.random(in: 20_000...29_999)

    static let groups = ["239.255.83.17", "ff15::5268:1", "ff12::5268:2"]

    @Test("Everybody who has joined hears what somebody sends", arguments: Self.groups)
    func roundTrip(_ text: String) async throws {
        let group = SocketAddress(ip: try #require(IPAddress(text)), port: Self.port)
        let first = try await self.open(group)
        let second = try await self.open(group)
        let sender = try await self.open(group, joins: false)
        await sender.send([1, 2, 3])
        #expect(try await first.next() == [1, 2, 3])
        #expect(try await second.next() == [1, 2, 3])
        // Who has joined may send as well, and hears itself.
        await first.send([4])
        for ears in [first, second] {
            var datagram = try await ears.next()
            while datagram == [1, 2, 3] { datagram = try await ears.next() }
            #expect(datagram == [4])
        }
        for ears in [first, second, sender] { await ears.close() }
    }

    @Test("What is for another group or for the host itself is not heard", arguments: Self.groups)
    func others(_ text: String) async throws {
        let ip = try #require(IPAddress(text))
        let group = SocketAddress(ip: ip, port: Self.port &+ 1)
        var octets = ip.octets
        octets[octets.count - 1] ^= 1
        let other = SocketAddress(ip: try #require(IPAddress(octets: octets)), port: group.port)
        let ears = try await self.open(group)
        let elsewhere = try await self.open(other)
        let host = try Carrier.tcp.host()
        await elsewhere.send([9])
        #expect(try await elsewhere.next() == [9])
        await ears.send([1])
        #expect(try await ears.next() == [1])
        withExtendedLifetime(host) {}
        await ears.close()
        await elsewhere.close()
    }

    @Test("The largest datagram comes through, too large a one is counted as lost")
    func sizes() async throws {
        let group = SocketAddress(ip: try #require(IPAddress(Self.groups[0])), port: Self.port &+ 2)
        let ears = try await self.open(group)
        let large = [UInt8](repeating: 7, count: 60_000)
        await ears.send(large)
        #expect(try await ears.next() == large)
        let port = try #require(ears.port as? MulticastPort)
        let before = await port.counters.unsent
        await ears.send([UInt8](repeating: 7, count: 70_000))
        #expect(await port.counters.unsent > before)
        await ears.close()
        // Closed, it does nothing any more.
        await ears.send([1])
        await ears.close()
    }

    @Test("What is no group is refused in one line", arguments: ["192.0.2.1", "::1", "0.0.0.0"])
    func noGroup(_ text: String) async throws {
        let error = await #expect(throws: TransportError.self) {
            _ = try await self.open(SocketAddress(ip: #require(IPAddress(text)), port: 3863))
        }
        #expect(error?.message.contains("239.0.0.50:3863") == true)
    }
}
