// SPDX-License-Identifier: Apache-2.0

import Benchmark
import BenchmarkSettings

/// What a registrar does between a message in and its answers out, in a pool of a thousand, on a network that carries nothing.
/// Times are for one message; of fan-out for one change and all its subscribers.
let benchmarks: @Sendable () -> Void = {
    func measure(
        _ name: String, subscribers: Int = 0, scale: BenchmarkScalingFactor = .kilo,
        _ body: @escaping @Sendable (BusyRegistrar, Int) async throws -> Void
    ) {
        Benchmark(
            name,
            configuration: .init(
                metrics: [.wallClock], warmupIterations: 0, scalingFactor: scale, maxDuration: .seconds(2),
                maxIterations: 400, thresholds: [.wallClock: .twiceAsSlow])
        ) { benchmark in
            try await BusyRegistrar.with(members: 1_000, subscribers: subscribers) { busy in
                // Each iteration has a registrar of its own: package-benchmark keeps nothing of an actor between two.
                try await body(busy, 10)
                benchmark.startMeasurement()
                try await body(busy, benchmark.scaledIterations.count)
                benchmark.stopMeasurement()
            }
        }
    }
    measure("resolve-1") { try await $0.resolve($1, upTo: 1) }
    measure("resolve-10") { try await $0.resolve($1, upTo: 10) }
    measure("register-again") { await $0.registerAgain($1) }
    for subscribers in [1, 1_000, 10_000] {
        measure("fan-out.\(subscribers)", subscribers: subscribers, scale: subscribers == 1 ? .kilo : .one) {
            await $0.registerAgain($1)
        }
    }
}
