// SPDX-License-Identifier: Apache-2.0

import RSerPoolTransport
import SocketLoop
import Testing

@Suite("Hosts on sockets", .serialized, .timeLimit(.minutes(1)))
struct SocketHostTests {
    @Test("Hosts with the userland stack share its thread, which outlives each of them")
    func userlandIsShared() async throws {
        let first = try SocketHost.open(SocketHostOptions(stack: .userland))
        let second = try SocketHost.open(SocketHostOptions(stack: .userland))
        #expect(first.loop === second.loop)
        SocketHost.close(first)
        try await second.clock.sleep(for: .milliseconds(1))
        #expect(await second.loop.run { true })
    }

    @Test("A process has one shared host, with one set of options")
    func shared() throws {
        let options = SocketHostOptions(stack: .userland)
        let first = try SocketHost.shared(options)
        #expect(try SocketHost.shared(options).loop === first.loop)
        let error = #expect(throws: SocketHostError.self) {
            try SocketHost.shared(SocketHostOptions(stack: .userland, encapsulationPort: 9899))
        }
        #expect(error?.message.contains("userland") == true)
    }

    @Test("Chance differs from host to host and from actor to actor")
    func chance() throws {
        let host = try Carrier.tcp.host()
        var draws: Set<UInt64> = []
        for _ in 0..<100 {
            var generator = host.makeGenerator()
            for _ in 0..<10 { draws.insert(generator.next()) }
        }
        #expect(draws.count == 1000)
    }

    @Test("A generator repeats itself from its seed, and the seed of zeroes is no trap")
    func generator() {
        var first = HostGenerator(seed: (1, 2, 3, 4))
        // Computed by hand from the algorithm: rotl(1 + 4, 23) + 1, then the state is (7, 0, 131074, 3 << 45 rotated).
        #expect(first.next() == 41_943_041)
        var again = HostGenerator(seed: (1, 2, 3, 4))
        _ = again.next()
        #expect((0..<100).allSatisfy { _ in first.next() == again.next() })
        var zero = HostGenerator(seed: (0, 0, 0, 0))
        #expect(Set((0..<100).map { _ in zero.next() }).count == 100)
    }
}
