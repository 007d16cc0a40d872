// SPDX-License-Identifier: Apache-2.0

/// A fast generator with 256 bits of state (xoshiro256++ by Blackman and Vigna, public domain).
///
/// Statistically sound, not secret: whoever sees enough of its output can continue it. No protection rests on it.
package struct HostGenerator: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    package init(seed: (UInt64, UInt64, UInt64, UInt64)) {
        // The all-zero state is the only one it never leaves.
        self.state = seed == (0, 0, 0, 0) ? (0x9e37_79b9_7f4a_7c15, 1, 2, 3) : seed
    }

    package mutating func next() -> UInt64 {
        let sum = self.state.0 &+ self.state.3
        let result = (sum << 23 | sum >> 41) &+ self.state.0
        let shifted = self.state.1 << 17
        self.state.2 ^= self.state.0
        self.state.3 ^= self.state.1
        self.state.1 ^= self.state.2
        self.state.0 ^= self.state.3
        self.state.2 ^= shifted
        self.state.3 = self.state.3 << 45 | self.state.3 >> 19
        return result
    }
}
