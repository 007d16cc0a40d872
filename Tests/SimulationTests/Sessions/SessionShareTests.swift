// SPDX-License-Identifier: Apache-2.0

import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("What share of one user's sessions each element gets (RFC 5356)")
struct SessionShareTests {
    @Test(
        "As the policy promises, with the user's cache [POL-008, ARC-049]",
        arguments: [
            ([.roundRobin, .roundRobin, .roundRobin] as [PoolPolicy], [1, 1, 1], true),
            ([1, 2, 4].map { .weightedRoundRobin(weight: $0) }, [1, 2, 4], true),
            ([1, 2, 4].map { .weightedRandom(weight: $0) }, [1, 2, 4], false),
            ([1, 5, 9].map { .priority($0) }, [0, 0, 1], true),
        ])
    func shares(policies: [PoolPolicy], promised: [Int], isExact: Bool) throws {
        var lab = try SessionLab()
        try lab.addEchoes(3) { $0.policy = policies[$1 - 1] }
        let count = 700
        var counts = [0, 0, 0]
        for _ in 0..<count {
            counts[Int(try lab.lab.value(lab.user.session { try await $0.request([0]).bytes[0] })) - 1] += 1
        }
        let total = promised.reduce(0, +)
        for (found, share) in zip(counts, promised) {
            let p = Double(share) / Double(total)
            let expected = Double(count) * p
            let bound = isExact ? 1 : 6 * (Double(count) * p * (1 - p)).squareRoot()
            #expect(abs(Double(found) - expected) <= bound, "\(counts) for \(promised)")
        }
    }
}
