// SPDX-License-Identifier: Apache-2.0

import Benchmark
import BenchmarkSettings
import RSerPoolCore
import RSerPoolWire

/// What each policy costs a registrar, in small and in large pools: an answer with one element, an answer with ten, an element
/// that joins and leaves, and one that registers again with another value. Times are for one of these.
let benchmarks: @Sendable () -> Void = {
    for policy in PolicyCatalogue.standard.all {
        for size in [1_000, 100_000] {
            func measure(_ what: String, _ body: @escaping @Sendable (FullPool) -> Void) {
                Benchmark(
                    "\(policy.name).\(size).\(what)",
                    configuration: .init(
                        metrics: [.wallClock], warmupIterations: 1, scalingFactor: .kilo,
                        maxDuration: .milliseconds(50),
                        maxIterations: 200, thresholds: [.wallClock: .twiceAsSlow]),
                    closure: { (benchmark: Benchmark, pool: FullPool) in
                        for _ in benchmark.scaledIterations { body(pool) }
                    },
                    setup: { FullPool(policy, size: size) })
            }
            measure("select-1") { $0.select(1) }
            measure("select-10") { $0.select(10) }
            measure("join-and-leave") { $0.joinAndLeave() }
            measure("renew") { $0.renew() }
        }
    }
}
