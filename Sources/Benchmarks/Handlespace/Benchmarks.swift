// SPDX-License-Identifier: Apache-2.0

import Benchmark
import BenchmarkSettings
import FilledHandlespace

/// What a registrar's handlespace costs, without sockets and messages: in one small pool, in one large pool, and in many pools.
/// Times are for one operation; each sample is the mean of a thousand.
let benchmarks: @Sendable () -> Void = {
    let shapes = [(pools: 1, members: 1_000), (1, 100_000), (10_000, 10)]
    for policy in FilledSpace.Policy.allCases {
        for (pools, members) in shapes {
            func measure(
                _ what: String, _ prepare: @escaping @Sendable (FilledSpace) -> Void,
                _ body: @escaping @Sendable (FilledSpace, Int) -> Void
            ) {
                Benchmark(
                    "\(policy.rawValue).\(pools)x\(members).\(what)",
                    configuration: .init(
                        metrics: [.wallClock], warmupIterations: 0, scalingFactor: .kilo,
                        maxDuration: .seconds(2), maxIterations: 400, thresholds: [.wallClock: .twiceAsSlow]),
                    closure: { (benchmark: Benchmark, space: FilledSpace) in
                        prepare(space)
                        benchmark.startMeasurement()
                        body(space, benchmark.scaledIterations.count)
                        benchmark.stopMeasurement()
                    },
                    setup: { FilledSpace(policy, pools: pools, members: members) })
            }
            measure("register", { $0.beginAnewWhereFull() }, { $0.register($1) })
            measure("register-again", { $0.shuffle() }, { $0.registerAgain($1) })
            measure("resolve-1", { $0.shuffle() }, { $0.resolve($1, upTo: 1) })
            measure("resolve-10", { $0.shuffle() }, { $0.resolve($1, upTo: 10) })
            measure("deregister", { $0.fillWhereEmpty() }, { $0.deregister($1) })
        }
    }

    // How costs grow: one pool of more and more elements, and more and more pools of ten.
    let sizes = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
    for policy in [FilledSpace.Policy.roundRobin, .leastUsed, .weightedRandom] {
        for (pools, members) in sizes.map({ (1, $0) }) + sizes.map({ ($0 / 10, 10) }).dropFirst() {
            func measure(_ what: String, _ body: @escaping @Sendable (FilledSpace, Int) -> Void) {
                Benchmark(
                    "growth.\(policy.rawValue).\(pools)x\(members).\(what)",
                    configuration: .init(
                        metrics: [.wallClock], warmupIterations: 1, scalingFactor: .kilo,
                        maxDuration: .milliseconds(300), maxIterations: 200, thresholds: [.wallClock: .twiceAsSlow]),
                    closure: { (benchmark: Benchmark, space: FilledSpace) in
                        space.shuffle()
                        benchmark.startMeasurement()
                        body(space, benchmark.scaledIterations.count)
                        benchmark.stopMeasurement()
                    },
                    setup: { FilledSpace(policy, pools: pools, members: members) })
            }
            measure("register-again") { $0.registerAgain($1) }
            measure("resolve-1") { $0.resolve($1, upTo: 1) }
            measure("leave-and-join") { $0.leaveAndJoin($1) }
            if policy == .roundRobin { measure("checksum") { $0.compareChecksum($1) } }
        }
    }
}
