// SPDX-License-Identifier: Apache-2.0

/// Slots in the order of their ranks: a treap, whose nodes lie in an array indexed by slot.
///
/// Inserting and removing take O(log n), the first k take O(log n + k), on average over the nodes' priorities. Those follow
/// from the slots' numbers, which nobody outside can choose. Ranks have to be unique.
struct RankedSlots<Rank: Comparable & Sendable>: Sendable {
    private struct Node: Sendable {
        var rank: Rank
        /// Each lower than that of the parent.
        let priority: UInt64
        var left: Int?
        var right: Int?
    }

    private var nodes: [Node?] = []
    private var root: Int?
    private(set) var count = 0

    func rank(of slot: Int) -> Rank? { slot < self.nodes.count ? self.nodes[slot]?.rank : nil }

    /// The slot with the lowest rank.
    var first: Int? {
        guard var slot = self.root else { return nil }
        while let left = self.nodes[slot]?.left { slot = left }
        return slot
    }

    mutating func insert(_ slot: Int, _ rank: Rank) {
        self.nodes.reach(slot, filledWith: nil)
        let (before, after) = self.split(self.root, at: rank)
        self.nodes[slot] = Node(rank: rank, priority: Self.priority(of: slot))
        self.root = self.merge(self.merge(before, slot), after)
        self.count += 1
    }

    mutating func remove(_ slot: Int) {
        guard slot < self.nodes.count, let node = self.nodes[slot] else { return }
        let merged = self.merge(node.left, node.right)
        var parent: Int?
        var current = self.root
        while let here = current, here != slot, let there = self.nodes[here] {
            parent = here
            current = node.rank < there.rank ? there.left : there.right
        }
        if let parent, let there = self.nodes[parent] {
            if there.left == slot { self.nodes[parent]?.left = merged } else { self.nodes[parent]?.right = merged }
        } else {
            self.root = merged
        }
        self.nodes[slot] = nil
        self.count -= 1
    }

    /// Visits slots in the order of their ranks until `visit` returns false.
    func walk(_ visit: (Int) -> Bool) {
        var path: [Int] = []
        var current = self.root
        while true {
            while let slot = current {
                path.append(slot)
                current = self.nodes[slot]?.left
            }
            guard let slot = path.popLast(), visit(slot) else { return }
            current = self.nodes[slot]?.right
        }
    }

    /// Those with lower ranks, and the others.
    private mutating func split(_ slot: Int?, at rank: Rank) -> (before: Int?, after: Int?) {
        guard let slot, let node = self.nodes[slot] else { return (nil, nil) }
        if node.rank < rank {
            let (before, after) = self.split(node.right, at: rank)
            self.nodes[slot]?.right = before
            return (slot, after)
        }
        let (before, after) = self.split(node.left, at: rank)
        self.nodes[slot]?.left = after
        return (before, slot)
    }

    private mutating func merge(_ before: Int?, _ after: Int?) -> Int? {
        guard let before, let first = self.nodes[before] else { return after }
        guard let after, let second = self.nodes[after] else { return before }
        if first.priority >= second.priority {
            let merged = self.merge(first.right, after)
            self.nodes[before]?.right = merged
            return before
        }
        let merged = self.merge(before, second.left)
        self.nodes[after]?.left = merged
        return after
    }

    /// SplitMix64 of the slot's number.
    private static func priority(of slot: Int) -> UInt64 {
        var value = UInt64(truncatingIfNeeded: slot) &+ 0x9e37_79b9_7f4a_7c15
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
