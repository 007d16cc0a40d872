// SPDX-License-Identifier: Apache-2.0

package import Benchmark

extension BenchmarkThresholds {
    /// Times are stored, and machines differ: what takes more than twice as long is a finding.
    package static var twiceAsSlow: BenchmarkThresholds { BenchmarkThresholds(relative: [.p50: 100, .p90: 100]) }
}
