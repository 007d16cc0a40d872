// SPDX-License-Identifier: Apache-2.0

import Benchmark
import BenchmarkSettings
import RSerPoolWire

/// What it costs to parse and to serialise one message of each kind, and to keep a checksum. The messages are the fuzzer's
/// corpus: they have all parameters that their kind may have.
let benchmarks: @Sendable () -> Void = {
    func measure(_ name: String, _ body: @escaping @Sendable () -> Void) {
        Benchmark(
            name,
            configuration: .init(
                metrics: [.wallClock], warmupIterations: 1, scalingFactor: .kilo, maxDuration: .milliseconds(300),
                maxIterations: 400, thresholds: [.wallClock: .twiceAsSlow])
        ) { benchmark in
            for _ in benchmark.scaledIterations { body() }
        }
    }
    for (name, bytes, message) in Samples.asap {
        measure("asap.\(name).parse") { blackHole(try? ASAPMessage.decode(bytes[...])) }
        measure("asap.\(name).serialise") { blackHole(try? message.encoded()) }
    }
    for (name, bytes, message) in Samples.enrp {
        measure("enrp.\(name).parse") { blackHole(try? ENRPMessage.decode(bytes[...])) }
        measure("enrp.\(name).serialise") { blackHole(try? message.encoded()) }
    }
    let pool = PoolHandle("a pool whose name is of usual length")
    measure("checksum.element") {
        var checksum = PEChecksum()
        checksum.add(pool, PoolElementID(rawValue: 0x1234_5678))
        blackHole(checksum.value)
    }
    let share = PEChecksum.Share(of: pool)
    measure("checksum.element-of-known-pool") {
        var checksum = PEChecksum()
        checksum.add(share, PoolElementID(rawValue: 0x1234_5678))
        blackHole(checksum.value)
    }
}
