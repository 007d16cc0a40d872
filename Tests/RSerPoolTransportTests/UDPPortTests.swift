// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import Testing

@Suite("Services on UDP")
struct UDPPortTests {
    private func open() async throws -> TestPort {
        try await TestPort.open(.tcp, acceptsLinks: false, options: { $0.scheme = .udp })
    }

    @Test("A datagram is a message, both ways; a link is up at once")
    func datagrams() async throws {
        let service = try RawDatagrams()
        let client = try await self.open()
        let link = try await client.connect(to: RemoteEndpoint(addresses: [.loopbackIPv4], port: service.port))
        let up = try await client.up()
        #expect(up.id == link)
        #expect(up.scheme == .udp)
        #expect(try await client.onLoop { $0.localAddresses(of: link) } == [.loopbackIPv4])
        for length in [1, 1_000, 65_507] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
            try await client.send(bytes, on: link)
            #expect(try service.answerOne() == bytes)
            #expect(try await client.message().message.bytes == bytes.reversed())
        }
        await #expect(throws: TransportError.self) {
            try await client.send([UInt8](repeating: 0, count: 65_508), on: link)
        }
        try await client.shutdown(link)
        #expect(try await client.down(link) == .closed)
        await client.close()
    }

    @Test("Nobody there: the system's word ends the link as refused")
    func refused() async throws {
        let gone = try RawDatagrams().port
        let client = try await self.open()
        let link = try await client.connect(to: RemoteEndpoint(addresses: [.loopbackIPv4], port: gone))
        _ = try await client.up()
        try await client.send([1], on: link)
        #expect(try await client.down(link) == .refused)
        await #expect(throws: TransportError.self) { try await client.send([1], on: link) }
        await client.close()
    }

    @Test("What is not read waits with the system")
    func paused() async throws {
        let service = try RawDatagrams()
        let client = try await self.open()
        let link = try await client.connect(to: RemoteEndpoint(addresses: [.loopbackIPv4], port: service.port))
        _ = try await client.up()
        try await client.onLoop { $0.setReading(false, on: link) }
        try await client.send([1, 2], on: link)
        _ = try service.answerOne()
        try await client.onLoop { _ in }
        #expect(client.pending.isEmpty)
        try await client.onLoop { $0.setReading(true, on: link) }
        #expect(try await client.message().message.bytes == [2, 1])
        await client.close()
    }
}
