// SPDX-License-Identifier: Apache-2.0

/// Where a member stands next on the line of ``WeightedRoundRobinOrder``: at (2c + 1)/(2 · weight).
///
/// Compared exactly: with weights of 32 bits two positions are equal or more than 2⁻⁶⁶ apart, so they are kept in such units,
/// rounded down. The rounds that all have behind them are taken off before the numbers get too large.
struct Occurrence: Sendable {
    /// The position, and in the lower 32 bits the identifier: less comes first.
    var rank: UInt128
    /// What was lost by rounding the position down: as many parts of a unit, each 1/weight.
    var rest: UInt32

    /// From one occurrence of a member to the next: 1/weight, the whole units and the parts of one.
    struct Stride: Sendable {
        let whole: UInt128
        let rest: UInt32
        let weight: UInt32

        /// - Parameter weight: not 0.
        init(_ weight: UInt32) {
            // 2⁶⁶/weight, in two steps that fit 64 bits.
            let (high, left) = (UInt64(1) << 63).quotientAndRemainder(dividingBy: UInt64(weight))
            let (low, rest) = (left << 3).quotientAndRemainder(dividingBy: UInt64(weight))
            self.whole = UInt128(high) << 3 + UInt128(low)
            self.rest = UInt32(rest)
            self.weight = weight
        }
    }

    private static var fractionBits: UInt128 { 66 }

    var id: UInt32 { UInt32(truncatingIfNeeded: self.rank) }

    private var position: UInt128 { self.rank >> 32 }

    /// A member's first one that is not before the head.
    /// - Parameter weight: not 0.
    static func first(of id: UInt32, _ weight: UInt32, notBefore head: UInt128) -> Occurrence {
        // The least c with (2c + 1)·2⁶⁵/w ≥ head: 2c + 1 is at least this, rounded up.
        let half = Self.fractionBits - 1
        let least = ((head >> 32) * UInt128(weight) + (1 << half - 1)) >> half
        let number = least / 2 * 2 + 1
        let (position, rest) = Self.divide(number << half, by: UInt64(weight))
        let first = Occurrence(rank: position << 32 | UInt128(id), rest: UInt32(rest))
        return first.rank < head ? first.next(of: id, Stride(weight)) : first
    }

    /// The member's next one, so far away.
    func next(of id: UInt32, _ stride: Stride) -> Occurrence {
        let sum = UInt64(self.rest) + UInt64(stride.rest)
        let carries = sum >= UInt64(stride.weight)
        let position = self.position + stride.whole + (carries ? 1 : 0)
        return Occurrence(
            rank: position << 32 | UInt128(id), rest: UInt32(carries ? sum - UInt64(stride.weight) : sum))
    }

    /// The member's one before; nil for the first of all.
    func previous(of id: UInt32, _ stride: Stride) -> Occurrence? {
        let borrows = self.rest < stride.rest
        let distance = stride.whole + (borrows ? 1 : 0)
        guard self.position >= distance else { return nil }
        let rest = UInt64(self.rest) + (borrows ? UInt64(stride.weight) : 0) - UInt64(stride.rest)
        return Occurrence(rank: (self.position - distance) << 32 | UInt128(id), rest: UInt32(rest))
    }

    /// One of another member with the same weight, at the same position.
    func beside(_ id: UInt32) -> Occurrence {
        Occurrence(rank: self.position << 32 | UInt128(id), rest: self.rest)
    }

    /// How many rounds lie before a rank.
    static func rounds(before rank: UInt128) -> UInt32 { UInt32(truncatingIfNeeded: rank >> (Self.fractionBits + 32)) }

    /// What whole rounds up to there are on a rank.
    static func wholeRounds(in rank: UInt128) -> UInt128 {
        let shift = Self.fractionBits + 32
        return (rank >> shift) << shift
    }

    private static func divide(_ number: UInt128, by divisor: UInt64) -> (UInt128, UInt64) {
        let (high, left) = UInt64(truncatingIfNeeded: number >> 64).quotientAndRemainder(dividingBy: divisor)
        let (low, rest) = divisor.dividingFullWidth((left, UInt64(truncatingIfNeeded: number)))
        return (UInt128(high) << 64 | UInt128(low), rest)
    }
}
