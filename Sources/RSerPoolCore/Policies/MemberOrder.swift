// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Where a member is stored in its pool: dense, reused after the member is gone.
package struct Slot: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) {
        self.index = index
    }
}

/// How a registrar chooses and orders the elements of one pool for an answer: one type per policy (RFC 5356).
///
/// It knows members by slot, by identifier and by their own policy values, nothing else. It is local to one registrar and lost when the
/// pool ends (POL-020); updates and table transfers do not move it (POL-021).
package protocol MemberOrder: Sendable {
    /// A member joins.
    mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy)
    /// A member re-registered, maybe with other values.
    mutating func update(_ slot: Slot, _ policy: PoolPolicy)
    mutating func remove(_ slot: Slot)

    /// Hands out members in the order of the answer, at most `count`, each once, until `visit` returns false; then moves
    /// on for the next answer. `visit` returns false for a member that it did not take.
    /// - Returns: how many were taken.
    mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int
}

extension Array {
    /// Makes room for a slot's element.
    mutating func reach(_ slot: Int, filledWith filler: Element) {
        if self.count <= slot { self.append(contentsOf: repeatElement(filler, count: slot + 1 - self.count)) }
    }
}

extension PolicyType {
    /// A new, empty order for a pool of this policy; nil where this registrar does not have the policy (POL-005).
    package func makeMemberOrder() -> (any MemberOrder)? {
        switch self {
        case .roundRobin: RoundRobinOrder()
        case .weightedRoundRobin: WeightedRoundRobinOrder()
        case .random: RandomOrder()
        case .weightedRandom: WeightedRandomOrder(.weight)
        case .priority: AscendingOrder(.priority)
        case .leastUsed: AscendingOrder(.load)
        case .leastUsedDegradation: AscendingOrder(.degradingLoad)
        case .priorityLeastUsed: AscendingOrder(.loadAfterwards)
        case .randomizedLeastUsed: WeightedRandomOrder(.freeCapacity)
        default: nil
        }
    }
}
