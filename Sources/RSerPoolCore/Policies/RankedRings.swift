// SPDX-License-Identifier: Apache-2.0

/// Slots in the order of their ranks; those with equal ranks stand in a ring, and take turns.
///
/// Ranks lie in a B+ tree, whose leaves are chained: finding a rank's place takes O(log n), the first k slots take O(k), from
/// memory that lies together. Turning the first ring takes O(1).
struct RankedRings<Rank: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    /// Entries of a node, in a row with those of all other nodes.
    private static var capacity: Int { 32 }
    private static var none: UInt32 { .max }

    private struct Node: Sendable {
        var count: UInt32 = 0
        /// The next leaf.
        var next: UInt32 = .max
    }

    /// Where a slot stands in its ring.
    private struct Neighbours: Sendable {
        var previous: UInt32
        /// None: the slot is not in here.
        var next: UInt32
    }

    private var nodes: [Node] = []
    /// Of each node: ascending, in a leaf those of its rings; above, no greater than any rank in the node below.
    private var ranks: [Rank] = []
    /// Of each node: in a leaf, the head of each ring; above, the nodes below.
    private var children: [UInt32] = []
    private var freeNodes: [UInt32] = []
    private var root = none
    /// Levels of nodes.
    private var height = 0
    private var firstLeaf = none

    /// Indexed by slot.
    private var links: [Neighbours] = []
    /// Indexed by slot.
    private var rankOf: [Rank] = []

    func rank(of slot: Int) -> Rank? {
        slot < self.links.count && self.links[slot].next != Self.none ? self.rankOf[slot] : nil
    }

    /// The slot that comes first.
    var first: Int? {
        self.firstLeaf == Self.none ? nil : Int(self.children[Int(self.firstLeaf) * Self.capacity])
    }

    /// Lists slots in order until the list is full.
    func list(_ members: inout OutputSpan<Slot>) {
        var leaf = self.firstLeaf
        while leaf != Self.none {
            let start = Int(leaf) * Self.capacity
            for index in start..<start + Int(self.nodes[Int(leaf)].count) {
                let head = self.children[index]
                var slot = head
                repeat {
                    if members.isFull { return }
                    members.append(Slot(Int(slot)))
                    slot = self.links[Int(slot)].next
                } while slot != head
            }
            leaf = self.nodes[Int(leaf)].next
        }
    }

    /// The first slot goes behind its equals.
    mutating func turn() {
        guard self.firstLeaf != Self.none else { return }
        let index = Int(self.firstLeaf) * Self.capacity
        let head = self.children[index]
        let next = self.links[Int(head)].next
        if next != head { self.children[index] = next }
    }

    /// A slot that is not in here enters behind its equals.
    mutating func insert(_ slot: Int, _ rank: Rank) {
        self.links.reach(slot, filledWith: Neighbours(previous: Self.none, next: Self.none))
        self.rankOf.reach(slot, filledWith: 0)
        let new = UInt32(slot)
        self.links[slot] = Neighbours(previous: new, next: new)
        self.rankOf[slot] = rank
        guard self.root != Self.none else {
            self.root = self.makeNode()
            self.firstLeaf = self.root
            self.height = 1
            self.put(rank, new, at: 0, of: self.root)
            return
        }
        guard let sibling = self.insert(new, rank, into: self.root, level: self.height - 1) else { return }
        // The root has been split: there is a new one above.
        let old = self.root
        self.root = self.makeNode()
        self.height += 1
        self.put(self.lowest(of: old), old, at: 0, of: self.root)
        self.put(self.lowest(of: sibling), sibling, at: 1, of: self.root)
    }

    /// A slot leaves, if it is in here.
    mutating func remove(_ slot: Int) {
        guard let rank = self.rank(of: slot) else { return }
        let link = self.links[slot]
        self.links[slot].next = Self.none
        let isAlone = link.next == UInt32(slot)
        if !isAlone {
            self.links[Int(link.previous)].next = link.next
            self.links[Int(link.next)].previous = link.previous
        }
        self.remove(UInt32(slot), rank, successor: isAlone ? nil : link.next, from: self.root, level: self.height - 1)
        // A root with one node below is none.
        while self.height > 1, self.nodes[Int(self.root)].count == 1 {
            let old = self.root
            self.root = self.children[Int(old) * Self.capacity]
            self.height -= 1
            self.freeNodes.append(old)
        }
        if self.nodes[Int(self.root)].count == 0 { self = RankedRings() }
    }

    // MARK: The tree

    private func lowest(of node: UInt32) -> Rank { self.ranks[Int(node) * Self.capacity] }

    /// How many ranks of a node are no greater than `rank`.
    @inline(__always)
    private func countNotAbove(_ rank: Rank, in node: UInt32) -> Int {
        self.ranks.withUnsafeBufferPointer { ranks in
            // Without a branch on what is compared: which way it goes is anybody's guess.
            var base = Int(node) * Self.capacity
            let start = base
            var count = Int(self.nodes[Int(node)].count)
            while count > 0 {
                let half = (count + 1) / 2
                base = ranks[base + half - 1] <= rank ? base + half : base
                count -= half
            }
            return base - start
        }
    }

    /// - Returns: the node that had to be split off, which comes right behind this one.
    private mutating func insert(_ slot: UInt32, _ rank: Rank, into node: UInt32, level: Int) -> UInt32? {
        guard level > 0 else { return self.insertIntoLeaf(slot, rank, node) }
        let position = self.countNotAbove(rank, in: node)
        let start = Int(node) * Self.capacity
        let index = max(0, position - 1)
        if position == 0 { self.ranks[start] = rank }
        guard let sibling = self.insert(slot, rank, into: self.children[start + index], level: level - 1) else {
            return nil
        }
        return self.insert(self.lowest(of: sibling), sibling, at: index + 1, of: node, isLeaf: false)
    }

    private mutating func insertIntoLeaf(_ slot: UInt32, _ rank: Rank, _ leaf: UInt32) -> UInt32? {
        let position = self.countNotAbove(rank, in: leaf)
        let start = Int(leaf) * Self.capacity
        if position > 0, self.ranks[start + position - 1] == rank {
            self.join(slot, self.children[start + position - 1])
            return nil
        }
        return self.insert(rank, slot, at: position, of: leaf, isLeaf: true)
    }

    private mutating func join(_ slot: UInt32, _ head: UInt32) {
        let last = self.links[Int(head)].previous
        self.links[Int(slot)] = Neighbours(previous: last, next: head)
        self.links[Int(last)].next = slot
        self.links[Int(head)].previous = slot
    }

    private mutating func insert(
        _ rank: Rank, _ child: UInt32, at position: Int, of node: UInt32, isLeaf: Bool
    ) -> UInt32? {
        let count = Int(self.nodes[Int(node)].count)
        guard count == Self.capacity else {
            self.put(rank, child, at: position, of: node)
            return nil
        }
        return self.split(node, toPut: rank, child, at: position, isLeaf: isLeaf)
    }

    @inline(never)
    private mutating func split(
        _ node: UInt32, toPut rank: Rank, _ child: UInt32, at position: Int, isLeaf: Bool
    ) -> UInt32 {
        let count = Self.capacity
        // At the very end everything stays but the new one: ranks often come in ascending order.
        let kept = isLeaf && position == count && self.nodes[Int(node)].next == Self.none ? count : count / 2
        let sibling = self.makeNode()
        self.move(from: node, kept..<count, to: sibling, at: 0)
        if isLeaf {
            self.nodes[Int(sibling)].next = self.nodes[Int(node)].next
            self.nodes[Int(node)].next = sibling
        }
        if position < kept || position == kept && kept < count {
            self.put(rank, child, at: position, of: node)
        } else {
            self.put(rank, child, at: position - kept, of: sibling)
        }
        return sibling
    }

    private mutating func remove(
        _ slot: UInt32, _ rank: Rank, successor: UInt32?, from node: UInt32, level: Int
    ) {
        let position = max(0, self.countNotAbove(rank, in: node) - 1)
        let index = Int(node) * Self.capacity + position
        guard level > 0 else {
            if let successor {
                if self.children[index] == slot { self.children[index] = successor }
            } else {
                self.take(at: position, of: node)
            }
            return
        }
        let child = self.children[index]
        self.remove(slot, rank, successor: successor, from: child, level: level - 1)
        if successor == nil, self.nodes[Int(child)].count < Self.capacity / 4 {
            self.fill(position, of: node, areLeaves: level == 1)
        }
    }

    /// Joins a node that has become small with the one beside it, or shares with that one what does not fit one node.
    @inline(never)
    private mutating func fill(_ position: Int, of node: UInt32, areLeaves: Bool) {
        let count = Int(self.nodes[Int(node)].count)
        guard count > 1 else { return }
        let left = position + 1 < count ? position : position - 1
        let start = Int(node) * Self.capacity
        let (first, second) = (self.children[start + left], self.children[start + left + 1])
        let (here, there) = (Int(self.nodes[Int(first)].count), Int(self.nodes[Int(second)].count))
        guard here + there > Self.capacity * 3 / 4 else {
            self.move(from: second, 0..<there, to: first, at: here)
            if areLeaves { self.nodes[Int(first)].next = self.nodes[Int(second)].next }
            self.take(at: left + 1, of: node)
            self.freeNodes.append(second)
            return
        }
        let half = (here + there) / 2
        if here > half {
            self.shift(second, 0..<there, by: here - half)
            self.move(from: first, half..<here, to: second, at: 0)
        } else {
            self.move(from: second, 0..<half - here, to: first, at: here)
            self.shift(second, half - here..<there, by: here - half)
        }
        self.ranks[start + left + 1] = self.lowest(of: second)
    }

    // MARK: Nodes

    private mutating func makeNode() -> UInt32 {
        if let node = self.freeNodes.popLast() {
            self.nodes[Int(node)] = Node()
            return node
        }
        self.nodes.append(Node())
        self.ranks.append(contentsOf: repeatElement(0, count: Self.capacity))
        self.children.append(contentsOf: repeatElement(0, count: Self.capacity))
        return UInt32(self.nodes.count - 1)
    }

    private mutating func put(_ rank: Rank, _ child: UInt32, at position: Int, of node: UInt32) {
        let count = Int(self.nodes[Int(node)].count)
        self.shift(node, position..<count, by: 1)
        let index = Int(node) * Self.capacity + position
        self.ranks[index] = rank
        self.children[index] = child
        self.nodes[Int(node)].count += 1
    }

    private mutating func take(at position: Int, of node: UInt32) {
        self.shift(node, position + 1..<Int(self.nodes[Int(node)].count), by: -1)
        self.nodes[Int(node)].count -= 1
    }

    /// Moves entries of a node up or down.
    @inline(__always)
    private mutating func shift(_ node: UInt32, _ entries: Range<Int>, by distance: Int) {
        guard !entries.isEmpty else { return }
        let source = Int(node) * Self.capacity + entries.lowerBound
        let end = Int(node + 1) * Self.capacity
        precondition(source + distance >= 0 && source + distance + entries.count <= end, "a node of a tree overflows")
        self.ranks.withUnsafeMutableBufferPointer { ranks in
            guard let base = ranks.baseAddress else { return }
            (base + source + distance).update(from: base + source, count: entries.count)
        }
        self.children.withUnsafeMutableBufferPointer { children in
            guard let base = children.baseAddress else { return }
            (base + source + distance).update(from: base + source, count: entries.count)
        }
    }

    private mutating func move(from source: UInt32, _ range: Range<Int>, to target: UInt32, at position: Int) {
        let (from, to) = (Int(source) * Self.capacity, Int(target) * Self.capacity + position)
        for (offset, index) in range.enumerated() {
            self.ranks[to + offset] = self.ranks[from + index]
            self.children[to + offset] = self.children[from + index]
        }
        self.nodes[Int(source)].count -= UInt32(range.count)
        self.nodes[Int(target)].count += UInt32(range.count)
    }
}
