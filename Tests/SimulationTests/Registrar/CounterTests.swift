// SPDX-License-Identifier: Apache-2.0

import RSerPoolRegistrar
import RSerPoolTestKit
import Testing

@Suite("What a registrar counts")
struct CounterTests {
    @Test("Each counter has a name of its own in snake case, by which operators know it")
    func names() {
        #expect(RegistrarCounter.messagesReceived.name == "messages_received")
        #expect(RegistrarCounter.keepAlivesAcknowledged.name == "keep_alives_acknowledged")
        #expect(RegistrarCounter.deregistrations.name == "deregistrations")
        #expect(RegistrarCounter.elementsToldGone.name == "elements_told_gone")
        #expect(Set(RegistrarCounter.allCases.map(\.name)).count == RegistrarCounter.allCases.count)
    }

    @Test("The statistics have what has been counted, and nothing else")
    func statistics() throws {
        let lab = try RegistrarWorld()
        let peer = try lab.peer()
        try lab.register(peer, 1)
        for _ in 0..<3 { _ = try lab.resolve(peer) }
        _ = try lab.resolve(peer, "Nobody")
        let statistics = lab.node.inspect { lab.registrar.assumeIsolated { $0.statistics } }
        #expect(
            statistics == [.messagesReceived: 5, .registrationsAccepted: 1, .resolutions: 4, .resolutionsFailed: 1])
    }
}
