// SPDX-License-Identifier: Apache-2.0

package import RSerPoolTransport

/// Turns one number into many unrelated ones (SplitMix64 by Steele, Lea and Flood, public domain).
struct SeedSequence {
    private var state: UInt64

    init(_ seed: UInt64) {
        self.state = seed
    }

    /// A sequence for one purpose or one node, independent of how far the others have been used.
    init(_ seed: UInt64, for name: String, _ number: UInt64 = 0) {
        var hash = TraceHash()
        hash.mix(seed)
        hash.mix(name)
        hash.mix(number)
        self.init(hash.value)
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var value = self.state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    mutating func makeGenerator() -> HostGenerator {
        HostGenerator(seed: (self.next(), self.next(), self.next(), self.next()))
    }
}

extension HostGenerator {
    /// A number in `0..<bound`; `bound` is at least 1. The bias, below `bound` / 2^64, does not matter here.
    package mutating func below(_ bound: UInt64) -> UInt64 {
        self.next().multipliedFullWidth(by: bound).high
    }

    /// True with the given probability.
    package mutating func chance(_ probability: Double) -> Bool {
        probability > 0 && Double(self.next() >> 11) * 0x1p-53 < probability
    }
}

extension Duration {
    /// Whole nanoseconds, rounded up, and held within what 64 bits can say (292 years).
    var inNanoseconds: Int64 {
        let (seconds, attoseconds) = self.components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let part = attoseconds / 1_000_000_000 + (attoseconds % 1_000_000_000 > 0 ? 1 : 0)
        let (sum, carry) = whole.addingReportingOverflow(part)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }
}
