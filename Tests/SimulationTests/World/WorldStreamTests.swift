// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("The simulated network: byte streams")
struct WorldStreamTests {
    @Test("Messages are cut out of the stream however it arrives", arguments: 0..<5)
    func framing(seed: UInt64) throws {
        let world = World(seed: seed)
        let (a, b) = try world.pair(.tcp)
        let link = try world.connect(a, to: b)
        var expected: [[UInt8]] = []
        var stream: [UInt8] = []
        for number in 0..<200 {
            let length = 2 + Int(world.generator.below(number % 20 == 0 ? 60_000 : 50))
            let content = Array(repeating: UInt8(number), count: length - 2)
            let message = [UInt8(length >> 8), UInt8(length & 0xff)] + content
            expected.append(message)
            stream += message
        }
        var rest = stream[...]
        while !rest.isEmpty {
            let count = min(rest.count, 1 + Int(world.generator.below(world.generator.below(4) == 0 ? 3 : 3000)))
            do {
                try a.send(Array(rest.prefix(count)), on: link)
                rest.removeFirst(count)
            } catch let error as TransportError where error.code == .bufferFull {
                try world.run(for: .milliseconds(5))
            }
        }
        try world.run(for: .seconds(1))
        let messages = try b.act { $0.messages }
        #expect(messages.map(\.bytes) == expected)
        #expect(messages.allSatisfy { $0.payloadProtocol == 0 && $0.stream == 0 })
    }

    @Test("What is no framing, or more than a message can be, ends the connection", arguments: [false, true])
    func violation(isTooLong: Bool) throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair(.tcp) { options in
            if isTooLong { options.scheme = .tcp(framing: { _ in 65_537 }) }
        }
        let link = try world.connect(a, to: b)
        try a.send(isTooLong ? [1] : [0, 3, 1, 0, 1], on: link)
        try world.run(for: .seconds(1))
        #expect(try b.heard == (isTooLong ? ["up in"] : ["up in", "1"]) + ["down protocolViolation"])
        #expect(try a.heard == ["up out", "down aborted"])
    }

    @Test("What was sent arrives before the end of the connection")
    func ending() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair(.tcp)
        let link = try world.connect(a, to: b)
        for number in 1...5 { try a.send([0, 3, UInt8(number)], on: link) }
        try a.onPort { $0.shutdown(link) }
        try world.run(for: .seconds(1))
        #expect(try b.heard == ["up in", "1", "2", "3", "4", "5", "down shutdown"])
        #expect(try a.heard == ["up out", "down closed"])
    }
}
