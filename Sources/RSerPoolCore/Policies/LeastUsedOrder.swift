// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Least Used (RFC 5356 §5.1): ascending load; elements of equal load take turns.
///
/// Turns: whoever led an answer goes behind its equals, newcomers go there too (POL-075).
package struct LeastUsedOrder: MemberOrder {
    private struct Rank: Comparable, Sendable {
        var load: Load
        /// Rises with each joining, each change of load and each answer led: lower means longer ago.
        var turn: UInt64
        var slot: Int

        static func < (left: Rank, right: Rank) -> Bool { (left.load, left.turn) < (right.load, right.turn) }
    }

    /// Ascending.
    private var ranks: [Rank] = []
    /// Indexed by slot: where to look for it in `ranks`.
    private var current: [Rank?] = []
    private var lastTurn: UInt64 = 0

    package init() {}

    package mutating func insert(_ slot: Slot, _ policy: PoolPolicy) {
        if self.current.count <= slot.index {
            self.current.append(contentsOf: repeatElement(nil, count: slot.index + 1 - self.current.count))
        }
        self.place(slot.index, Self.load(of: policy))
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        guard self.current[slot.index]?.load != Self.load(of: policy) else { return }
        self.remove(slot)
        self.place(slot.index, Self.load(of: policy))
    }

    package mutating func remove(_ slot: Slot) {
        guard let rank = self.current[slot.index] else { return }
        self.ranks.remove(at: self.position(of: rank))
        self.current[slot.index] = nil
    }

    package mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int {
        var taken = 0
        while taken < min(count, self.ranks.count), visit(Slot(self.ranks[taken].slot)) { taken += 1 }
        if taken > 0, let first = self.ranks.first {
            self.ranks.removeFirst()
            self.place(first.slot, first.load)
        }
        return taken
    }

    private mutating func place(_ slot: Int, _ load: Load) {
        self.lastTurn += 1
        let rank = Rank(load: load, turn: self.lastTurn, slot: slot)
        self.current[slot] = rank
        self.ranks.insert(rank, at: self.position(of: rank))
    }

    /// Where `rank` stands or has to stand.
    private func position(of rank: Rank) -> Int {
        var low = 0
        var high = self.ranks.count
        while low < high {
            let middle = (low + high) / 2
            if self.ranks[middle] < rank { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func load(of policy: PoolPolicy) -> Load {
        if case .leastUsed(let load) = policy { load } else { .full }
    }
}
