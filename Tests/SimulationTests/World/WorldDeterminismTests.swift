// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("The simulated world: one seed, one history")
struct WorldDeterminismTests {
    @Test("A seed gives the same history twice", arguments: [0, 1, 2, 7, 99] as [UInt64])
    func sameTwice(seed: UInt64) throws {
        let first = try Village.simulate(seed: seed, for: .seconds(20))
        let second = try Village.simulate(seed: seed, for: .seconds(20))
        #expect(first.fingerprint == second.fingerprint, "seed \(seed)")
        #expect(first == second, "seed \(seed)")
        #expect(first.counters.messagesReceived > 500)
        #expect(first.counters.faults > 10)
        #expect(first.problems == [])
    }

    @Test("Other seeds give other histories")
    func othersDiffer() throws {
        let fingerprints = try (100..<130).map { try Village.simulate(seed: $0, for: .seconds(3)).fingerprint }
        #expect(Set(fingerprints).count >= 29)
    }

    @Test("Speed, for information")
    func speed() throws {
        let began = ContinuousClock.now
        let report = try Village.simulate(seed: 5, for: .seconds(300))
        let real = (ContinuousClock.now - began) / .seconds(1)
        let jobs = Int(Double(report.counters.jobs) / real)
        let fingerprint = String(report.fingerprint, radix: 16)
        print("simulation: \(report.counters.jobs) jobs, \(jobs)/s, \(Int(300 / real)) times real time, \(fingerprint)")
        #expect(report.counters.jobs > 10_000)
    }
}
