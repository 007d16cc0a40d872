// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

extension InteropTests {
    @Test(
        "rspserver registers with our registrar by policies beyond RFC 5356, and with the values that it has",
        arguments: [
            ("LeastUsedDPF:0.5", #""policy":{"type":"least-used-dpf","load":0,"dpf":0.5,"distance":0}"#),
            (
                "WeightedRandomDPF:7:0.001",
                #""policy":{"type":"weighted-random-dpf","weight":7,"dpf":0.001,"distance":0}"#
            ),
            (
                "PriorityLeastUsedDegradation:0.25",
                #""policy":{"type":"priority-least-used-degradation","load":0,"degradation":0.25}"#
            ),
            (
                "RandomizedPriorityLeastUsed",
                #""policy":{"type":"randomized-priority-least-used","load":0,"degradation":0}"#
            ),
        ])
    func extensionPolicies(_ policy: String, _ json: String) async throws {
        let registrar = try await ReferencePeer.startOurs()
        let server = try ReferencePeer.startServer(policy: policy)
        let resolved = try await ReferencePeer.resolve(1)
        #expect(resolved.output.contains(json), "\(resolved)")
        server.signal(SIGKILL)
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }
}
