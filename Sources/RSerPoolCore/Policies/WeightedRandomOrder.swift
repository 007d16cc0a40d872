// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Weighted Random (RFC 5356 §4.4) and Randomized Least Used (§5.4): members are drawn with a probability in proportion to
/// their weight among those that are left; no memory of earlier answers.
///
/// A member of weight 0 is never selected. With Randomized Least Used the weight is the capacity that is left; where nobody
/// has any, all are equal, as full load is no inability (POL-106).
package struct WeightedRandomOrder: MemberOrder {
    /// How a member stands by its own values.
    package struct Standing: Equatable, Sendable {
        package var weight: UInt64
        /// What one answer with the member in it takes off, down to a weight of 1, until it registers again.
        package var degradation: UInt32

        package init(_ weight: UInt64, degradation: UInt32 = 0) {
            self.weight = weight
            self.degradation = degradation
        }
    }

    /// What the weight is: at most 32 bits, so that their sum fits 64.
    package struct Weight: Sendable {
        /// Whether members without any are served where nobody has any.
        package let isCapacity: Bool
        /// Nil for values of another policy.
        package let standing: @Sendable (PoolPolicy) -> Standing?

        package init(isCapacity: Bool = false, _ standing: @escaping @Sendable (PoolPolicy) -> Standing?) {
            self.isCapacity = isCapacity
            self.standing = standing
        }
    }

    private let kind: Weight
    /// Indexed by slot.
    private var weights: [UInt64] = []
    /// Indexed by slot: what one answer takes off. Empty while that is nothing for everybody.
    private var degradations: [UInt32] = []
    /// Room for what one answer takes.
    private var drawn: [(slot: Int, weight: UInt64)] = []
    /// A Fenwick tree over them: element i, from 1, has the sum of as many weights as i's lowest bit says, up to slot i − 1.
    private var sums: [UInt64] = [0]
    private var total: UInt64 = 0
    /// Everybody, where nobody has capacity.
    private var everybody = RandomOrder()

    package init(_ kind: Weight) {
        self.kind = kind
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        while self.weights.count <= slot.index {
            self.weights.append(0)
            // The sum of those before it that its range covers; its own weight is nothing yet.
            let index = self.sums.count
            self.sums.append(self.sum(before: index - 1) - self.sum(before: index - index.lowestBit))
        }
        if self.kind.isCapacity { self.everybody.insert(slot, id, policy) }
        self.update(slot, policy)
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let standing = self.kind.standing(policy) ?? Standing(0)
        if standing.degradation != self.degradation(of: slot.index) {
            self.degradations.reach(slot.index, filledWith: 0)
            self.degradations[slot.index] = standing.degradation
        }
        self.change(slot.index, to: standing.weight)
    }

    /// A renewal takes degradations back.
    package var heedsRenewals: Bool { !self.degradations.isEmpty }

    package mutating func remove(_ slot: Slot) {
        if self.kind.isCapacity { self.everybody.remove(slot) }
        self.change(slot.index, to: 0)
    }

    package mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        if self.total == 0, self.kind.isCapacity { return self.everybody.list(&members, using: &generator) }
        // Moved out, so that it is not copied when it grows.
        var drawn = self.drawn
        self.drawn = []
        while !members.isFull, self.total > 0 {
            let slot = self.slot(at: UInt64.random(in: 0..<self.total, using: &generator))
            members.append(Slot(slot))
            // The last one is not drawn again: nothing has to change for that.
            if members.isFull { break }
            drawn.append((slot, self.weights[slot]))
            self.change(slot, to: 0)
        }
        for (slot, weight) in drawn { self.change(slot, to: weight) }
        drawn.removeAll(keepingCapacity: true)
        self.drawn = drawn
    }

    package mutating func choose(_ members: Span<Slot>) {
        guard !self.degradations.isEmpty else { return }
        for index in members.indices {
            let slot = members[index].index
            let weight = self.weights[slot]
            self.change(slot, to: weight - min(max(1, weight) - 1, UInt64(self.degradation(of: slot))))
        }
    }

    private func degradation(of slot: Int) -> UInt32 {
        slot < self.degradations.count ? self.degradations[slot] : 0
    }

    private mutating func change(_ slot: Int, to weight: UInt64) {
        let old = self.weights[slot]
        self.weights[slot] = weight
        self.total = self.total - old + weight
        self.sums.withUnsafeMutableBufferPointer { sums in
            var index = slot + 1
            while index < sums.count {
                sums[index] = sums[index] - old + weight
                index += index.lowestBit
            }
        }
    }

    private func sum(before slot: Int) -> UInt64 {
        var (index, sum) = (slot, UInt64(0))
        while index > 0 {
            sum += self.sums[index]
            index -= index.lowestBit
        }
        return sum
    }

    /// Where `point` falls when all weights are laid end to end.
    private func slot(at point: UInt64) -> Int {
        self.sums.withUnsafeBufferPointer { sums in
            var (position, rest) = (0, point)
            var step = 1 << (Int.bitWidth - 1 - max(1, self.weights.count).leadingZeroBitCount)
            while step > 0 {
                if position + step < sums.count, sums[position + step] <= rest {
                    position += step
                    rest -= sums[position]
                }
                step /= 2
            }
            return position
        }
    }
}

extension WeightedRandomOrder.Weight {
    package static let weight = Self {
        if case .weightedRandom(let weight) = $0 { .init(UInt64(weight)) } else { nil }
    }

    package static let freeCapacity = Self(isCapacity: true) {
        if case .randomizedLeastUsed(let load) = $0 { .init(UInt64(UInt32.max - load.rawValue)) } else { nil }
    }
}

extension Int {
    fileprivate var lowestBit: Int { self & -self }
}
