// SPDX-License-Identifier: Apache-2.0

import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

@Suite("What a pool element tells of its load (RFC 5356 §3.1, §5)")
struct PoolElementLoadTests {
    private let lab = ClientWorld()

    /// The loads in the registrations that a registrar has heard.
    private func loads(_ registrar: ScriptedPeer) -> [Double] {
        registrar.allHeard.compactMap { heard in
            guard case .registration(let message)? = decoded(heard.bytes) else { return nil }
            return message.member.policy.load.map { ($0.fraction * 1_000).rounded() / 1_000 }
        }
    }

    @Test("By a closure: asked each second, told when it has changed enough [POL-006, POL-011, POL-012]")
    func closure() throws {
        let registrar = try self.lab.registrar()
        let load = Locked(Load(fraction: 0.5))
        _ = try self.lab.element(registrars: [registrar.endpoint]) {
            $0.policy = .priorityLeastUsed(load: .idle, degradation: Load(fraction: 0.25))
            $0.load = { load.withLock { $0 } }
        }
        try self.lab.world.run(for: .seconds(3))
        #expect(self.loads(registrar).last == 0.5)
        let before = self.loads(registrar).count
        // Less than the tolerance.
        load.withLock { $0 = Load(fraction: 0.505) }
        try self.lab.world.run(for: .seconds(5))
        #expect(self.loads(registrar).count == before)
        for step in 1...50 {
            load.withLock { $0 = Load(fraction: 0.5 + Double(step) / 100) }
            try self.lab.world.run(for: .milliseconds(100))
        }
        try self.lab.world.run(for: .seconds(2))
        #expect(self.loads(registrar).last == 1)
        #expect(self.loads(registrar).count <= before + 8, "at most one a second, the newest value")
    }

    @Test("A value or a closure where the pool does not go by load: a word on what to change")
    func withoutLoad() throws {
        let registrar = try self.lab.registrar()
        let element = try self.lab.element(registrars: [registrar.endpoint])
        let pending = element.node.call { [element = element.element] in try await element.setLoad(.full) }
        #expect(try self.lab.failure(pending).code == .configurationInvalid)
        let wrong = try self.lab.element("wrong", registrars: [registrar.endpoint]) { $0.load = { .full } }
        #expect(try self.lab.failure(wrong.end).code == .configurationInvalid)
    }
}
