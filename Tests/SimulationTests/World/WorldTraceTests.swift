// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import RSerPoolTransport
import SocketLoop
import Testing

@Suite("The simulated network: transcripts")
struct WorldTraceTests {
    @Test("An observer sees who sent what, and what became of it")
    func transcript() throws {
        let world = World(seed: 1)
        let lines = Locked<[String]>([])
        world.observer = { event in
            let text: String? =
                switch event.kind {
                case .started: "starts"
                case .crashed: "is killed"
                case .sent(let message, _, let other): "sends \(message.bytes) to \(other)"
                case .received(let message, _): "gets \(message.bytes)"
                case .up: "has a link"
                case .down(_, let reason): "hears of the end: \(reason.rawValue)"
                case .path(let other, let fault): "cannot speak to \(other): \(fault?.rawValue ?? "healed")"
                default: nil
                }
            if let text { lines.withLock { $0.append("\(event.node) \(text)") } }
        }
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        try a.send([1], on: link)
        try world.run(for: .seconds(1))
        world.partition(a.node, b.node, .back)
        try world.crash(b.node)
        try world.run(for: .seconds(10))
        #expect(
            lines.withLock { $0 } == [
                "a starts", "b starts", "b has a link", "a has a link", "a sends [1] to b", "b gets [1]",
                "b cannot speak to a: cut", "b is killed", "a hears of the end: lost",
            ])
    }

    @Test("One octet more or less is another history")
    func fingerprintSeesBytes() throws {
        func fingerprint(_ bytes: [UInt8]) throws -> UInt64 {
            let world = World(seed: 1)
            let (a, b) = try world.pair()
            let link = try world.connect(a, to: b)
            try a.send(bytes, on: link)
            try world.run(for: .seconds(1))
            return world.fingerprint
        }
        let variants: [[UInt8]] = [[], [0], [0, 0], [1], [1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 10]]
        #expect(try Set(variants.map(fingerprint)).count == variants.count)
        #expect(try fingerprint([1, 2]) == fingerprint([1, 2]))
    }
}
