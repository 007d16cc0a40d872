// SPDX-License-Identifier: Apache-2.0

/// Slots in the order of their ranks; those with equal ranks stand in a ring, and take turns.
///
/// Ranks lie in a B+ tree, whose leaves are chained: finding a rank's place takes O(log n), the first k slots take O(k), from
/// memory that lies together. Each slot knows its leaf, so that most of them leave without a way down from the root. Turning
/// the first ring takes O(1). A small tree is one leaf, which takes as much room as it needs.
struct RankedRings<Rank: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    /// Where a ring lies, until something is inserted or removed.
    struct Place: Hashable, Sendable {
        fileprivate var cell: Int

        static var first: Place { Place(cell: 1) }
    }

    /// An entry of a node. The first cell of each node is no entry: there, `rank` is 0, and `child` is the next leaf.
    private struct Cell: Sendable {
        /// Ascending within a node. In a leaf, a ring's; above, no greater than any rank in the node below. The greatest where
        /// there is no entry.
        var rank: Rank
        /// In a leaf, the head of the ring; above, the node below.
        var child: UInt32
        /// In the first cell: how many entries follow.
        var count: UInt32 = 0

        static var empty: Cell { Cell(rank: .max, child: .max) }
        static var first: Cell { Cell(rank: 0, child: .max) }
    }

    private struct Member: Sendable {
        var rank: Rank = 0
        /// Its neighbours in its ring.
        var previous: UInt32 = .max
        /// None: the slot is not in here.
        var next: UInt32 = .max
        /// Where it is the head of a ring; none: it is not.
        var leaf: UInt32 = .max
    }

    private static var none: UInt32 { .max }
    /// A node has as many cells as a power of two, whose exponent is this at least and at most.
    private static var leastNodeBits: Int { 3 }
    private static var greatestNodeBits: Int { 6 }
    /// Where all rings begin. It is made first, and nodes only ever join those before them.
    private static var firstLeaf: UInt32 { 0 }

    private var nodeBits = Self.leastNodeBits
    private var cells: [Cell] = []
    private var freeNodes: [UInt32] = []
    private var root = Self.firstLeaf
    /// Levels of nodes; 0: there is none.
    private var height = 0
    /// Indexed by slot.
    private var members: [Member] = []

    func rank(of slot: Int) -> Rank? {
        slot < self.members.count && self.members[slot].next != Self.none ? self.members[slot].rank : nil
    }

    /// The slot that comes first.
    var first: Int? { self.firstPlace.map(self.slot(at:)) }

    /// Lists slots in order until the list is full.
    func list(_ list: inout OutputSpan<Slot>) {
        guard self.height > 0 else { return }
        self.cells.withUnsafeBufferPointer { cells in
            self.members.withUnsafeBufferPointer { members in
                var leaf = Self.firstLeaf
                while leaf != Self.none {
                    let start = self.start(of: leaf)
                    for index in start + 1..<start + 1 + Int(cells[start].count) {
                        let head = cells[index].child
                        var slot = head
                        repeat {
                            if list.isFull { return }
                            list.append(Slot(Int(slot)))
                            slot = members[Int(slot)].next
                        } while slot != head
                    }
                    leaf = cells[start].child
                }
            }
        }
    }

    /// The first slot goes behind its equals.
    mutating func turn() {
        guard let index = self.firstPlace?.cell else { return }
        let head = Int(self.cells[index].child)
        let next = self.members[head].next
        guard next != UInt32(head) else { return }
        self.cells[index].child = next
        self.members[head].leaf = Self.none
        self.members[Int(next)].leaf = Self.firstLeaf
    }

    /// A slot that is not in here enters behind its equals.
    mutating func insert(_ slot: Int, _ rank: Rank) {
        self.members.reach(slot, filledWith: Member())
        if self.height == 0 {
            self.root = self.makeNode()
            self.height = 1
        }
        self.enter(UInt32(slot), rank)
    }

    /// A slot leaves, if it is in here.
    mutating func remove(_ slot: Int) {
        guard self.rank(of: slot) != nil else { return }
        self.leave(UInt32(slot))
        // One that was large gives its room back.
        if self.height == 1, self.count(of: self.root) == 0, self.cells.count > 1 << self.nodeBits {
            self = RankedRings()
        }
    }

    /// A slot that is in here goes behind those that have another rank.
    mutating func move(_ slot: Int, to rank: Rank) {
        self.leave(UInt32(slot))
        self.enter(UInt32(slot), rank)
    }

    /// The first slot, which is alone in its ring, gets a rank that is not less and that no other has.
    @inline(__always)
    mutating func moveFirst(to rank: Rank) {
        guard let first = self.firstPlace else { return }
        let slot = self.slot(at: first)
        if let second = self.place(after: first), self.cells[second.cell].rank < rank {
            self.move(slot, to: rank)
        } else {
            self.cells[first.cell].rank = rank
            self.members[slot].rank = rank
        }
    }

    // MARK: Going from ring to ring

    @inline(__always)
    var firstPlace: Place? {
        self.height > 0 && self.count(of: Self.firstLeaf) > 0 ? .first : nil
    }

    @inline(__always)
    func slot(at place: Place) -> Int { Int(self.cells[place.cell].child) }

    @inline(__always)
    func rank(at place: Place) -> Rank { self.cells[place.cell].rank }

    @inline(__always)
    func place(after place: Place) -> Place? {
        let start = place.cell & ~self.capacity
        return self.place(behind: place.cell - start, of: start)
    }

    /// Where the first ring lies whose rank is not below `rank`.
    func place(notBelow rank: Rank) -> Place? {
        guard self.height > 0 else { return nil }
        guard rank > 0 else { return self.firstPlace }
        let leaf = self.leaf(of: rank - 1)
        return self.place(behind: self.countNotAbove(rank - 1, in: leaf), of: self.start(of: leaf))
    }

    @inline(__always)
    private func place(behind position: Int, of start: Int) -> Place? {
        if position < Int(self.cells[start].count) { return Place(cell: start + position + 1) }
        let next = self.cells[start].child
        return next == Self.none ? nil : Place(cell: self.start(of: next) + 1)
    }

    /// Lists the heads of rings from `place` on, with ranks up to `last`, until the list is full.
    /// - Returns: the place of the first one that is not listed; nil: there is none.
    func list(_ list: inout OutputSpan<Slot>, from place: Place, through last: Rank) -> Place? {
        self.cells.withUnsafeBufferPointer { cells in
            var start = place.cell & ~self.capacity
            var index = place.cell
            while true {
                let end = start + 1 + Int(cells[start].count)
                while index < end {
                    if list.isFull || cells[index].rank > last { return Place(cell: index) }
                    list.append(Slot(Int(cells[index].child)))
                    index += 1
                }
                guard cells[start].child != Self.none else { return nil }
                start = self.start(of: cells[start].child)
                index = start + 1
            }
        }
    }

    // MARK: Coming and going

    private mutating func enter(_ slot: UInt32, _ rank: Rank) {
        var node = self.root
        for _ in 1..<self.height {
            let position = self.countNotAbove(rank, in: node)
            let index = self.start(of: node) + max(1, position)
            if position == 0 { self.cells[index].rank = rank }
            node = self.cells[index].child
        }
        let position = self.countNotAbove(rank, in: node)
        let index = self.start(of: node) + position
        self.members[Int(slot)] = Member(rank: rank, previous: slot, next: slot, leaf: node)
        if position > 0, self.cells[index].rank == rank {
            self.join(slot, self.cells[index].child)
        } else if self.hasRoom(node) {
            self.put(rank, slot, at: position, of: node)
        } else if let sibling = self.insert(slot, rank, into: self.root, level: self.height - 1) {
            // The root has been split: there is a new one above.
            let old = self.root
            self.root = self.makeNode()
            self.height += 1
            self.put(self.lowest(of: old), old, at: 0, of: self.root)
            self.put(self.lowest(of: sibling), sibling, at: 1, of: self.root)
        }
    }

    private mutating func join(_ slot: UInt32, _ head: UInt32) {
        let last = self.members[Int(head)].previous
        self.members[Int(slot)].previous = last
        self.members[Int(slot)].next = head
        self.members[Int(slot)].leaf = Self.none
        self.members[Int(last)].next = slot
        self.members[Int(head)].previous = slot
    }

    private mutating func leave(_ slot: UInt32) {
        let member = self.members[Int(slot)]
        self.members[Int(slot)].next = Self.none
        if member.next != slot {
            self.members[Int(member.previous)].next = member.next
            self.members[Int(member.next)].previous = member.previous
            guard member.leaf != Self.none else { return }
            let position = self.countNotAbove(member.rank, in: member.leaf)
            self.cells[self.start(of: member.leaf) + position].child = member.next
            self.members[Int(member.next)].leaf = member.leaf
            return
        }
        self.take(at: self.countNotAbove(member.rank, in: member.leaf) - 1, of: member.leaf)
        guard self.height > 1, self.isSmall(member.leaf) else { return }
        self.mend(member.rank, from: self.root, level: self.height - 1)
        // A root with one node below is none.
        while self.height > 1, self.count(of: self.root) == 1 {
            let old = self.root
            self.root = self.cells[self.start(of: old) + 1].child
            self.height -= 1
            self.take(at: 0, of: old)
            self.freeNodes.append(old)
        }
    }

    // MARK: The tree

    /// Where a node's cells begin.
    @inline(__always)
    private func start(of node: UInt32) -> Int { Int(node) &<< self.nodeBits }

    @inline(__always)
    private func count(of node: UInt32) -> Int { Int(self.cells[self.start(of: node)].count) }

    @inline(__always)
    private mutating func grow(_ node: UInt32, by difference: Int) {
        let count = self.count(of: node) + difference
        self.cells[self.start(of: node)].count = UInt32(count)
    }

    /// Entries of a node.
    @inline(__always)
    private var capacity: Int { 1 &<< self.nodeBits &- 1 }

    private func isSmall(_ node: UInt32) -> Bool { self.count(of: node) < self.capacity / 4 }

    private func lowest(of node: UInt32) -> Rank { self.cells[self.start(of: node) + 1].rank }

    /// How many ranks of a node are no greater than `rank`.
    @inline(__always)
    private func countNotAbove(_ rank: Rank, in node: UInt32) -> Int {
        self.cells.withUnsafeBufferPointer { cells in
            // Which way a comparison goes is anybody's guess: so they are counted, without a branch. First those of the last
            // cell of each eight, then the eight cells where it is.
            let start = self.start(of: node)
            let length = 1 &<< self.nodeBits
            precondition(start &+ length <= cells.count, "a node of a tree is not there")
            let end = start &+ length &- 8
            var eights = 0
            var last = start &+ 7
            while last < end {
                eights &+= cells[last].rank <= rank ? 1 : 0
                last &+= 8
            }
            // Not as a loop: the compiler would leave that as soon as one is above, by a branch.
            let first = start &+ eights &* 8
            @inline(__always) func one(_ index: Int) -> Int { cells[first &+ index].rank <= rank ? 1 : 0 }
            let lower = one(0) &+ one(1) &+ one(2) &+ one(3)
            let upper = one(4) &+ one(5) &+ one(6) &+ one(7)
            let count = eights &* 8 &+ lower &+ upper
            // Without the first cell; and what is not there is not above the greatest rank.
            return min(count &- 1, Int(cells[start].count))
        }
    }

    /// The leaf where a rank is, or would be.
    private func leaf(of rank: Rank) -> UInt32 {
        var node = self.root
        for _ in 1..<self.height {
            node = self.cells[self.start(of: node) + max(1, self.countNotAbove(rank, in: node))].child
        }
        return node
    }

    /// Whether there is room for one more, or can be made in the node itself.
    private mutating func hasRoom(_ node: UInt32) -> Bool {
        guard self.count(of: node) == self.capacity else { return true }
        guard self.height == 1, self.nodeBits < Self.greatestNodeBits else { return false }
        self.cells.append(contentsOf: repeatElement(.empty, count: 1 << self.nodeBits))
        self.nodeBits += 1
        return true
    }

    /// Inserts where the leaf is full.
    /// - Returns: the node that had to be split off, which comes right behind this one.
    private mutating func insert(_ slot: UInt32, _ rank: Rank, into node: UInt32, level: Int) -> UInt32? {
        let position = self.countNotAbove(rank, in: node)
        guard level > 0 else { return self.split(node, toPut: rank, slot, at: position, isLeaf: true) }
        let index = max(0, position - 1)
        let child = self.cells[self.start(of: node) + 1 + index].child
        guard let sibling = self.insert(slot, rank, into: child, level: level - 1) else { return nil }
        let lowest = self.lowest(of: sibling)
        guard self.count(of: node) == self.capacity else {
            self.put(lowest, sibling, at: index + 1, of: node)
            return nil
        }
        return self.split(node, toPut: lowest, sibling, at: index + 1, isLeaf: false)
    }

    private mutating func split(
        _ node: UInt32, toPut rank: Rank, _ child: UInt32, at position: Int, isLeaf: Bool
    ) -> UInt32 {
        let count = self.capacity
        let next = self.cells[self.start(of: node)].child
        // At the very end everything stays but the new one: ranks often come in ascending order.
        let kept = isLeaf && position == count && next == Self.none ? count : count / 2
        let sibling = self.makeNode()
        self.move(from: node, kept..<count, to: sibling, at: 0, areLeaves: isLeaf)
        if isLeaf {
            self.cells[self.start(of: sibling)].child = next
            self.cells[self.start(of: node)].child = sibling
        }
        if position < kept || position == kept && kept < count {
            self.put(rank, child, at: position, of: node)
        } else {
            self.put(rank, child, at: position - kept, of: sibling)
            if isLeaf { self.members[Int(child)].leaf = sibling }
        }
        return sibling
    }

    /// Joins nodes that have become small, on the way down to where a rank was, with those beside them.
    private mutating func mend(_ rank: Rank, from node: UInt32, level: Int) {
        let position = max(0, self.countNotAbove(rank, in: node) - 1)
        let child = self.cells[self.start(of: node) + 1 + position].child
        if level > 1 { self.mend(rank, from: child, level: level - 1) }
        if self.isSmall(child) { self.fill(position, of: node, areLeaves: level == 1) }
    }

    /// Joins a node with the one beside it, or shares with that one what does not fit one node.
    private mutating func fill(_ position: Int, of node: UInt32, areLeaves: Bool) {
        let count = self.count(of: node)
        guard count > 1 else { return }
        let left = position + 1 < count ? position : position - 1
        let start = self.start(of: node) + 1
        let (first, second) = (self.cells[start + left].child, self.cells[start + left + 1].child)
        let (here, there) = (self.count(of: first), self.count(of: second))
        guard here + there > self.capacity * 3 / 4 else {
            self.move(from: second, 0..<there, to: first, at: here, areLeaves: areLeaves)
            if areLeaves {
                self.cells[self.start(of: first)].child = self.cells[self.start(of: second)].child
            }
            self.take(at: left + 1, of: node)
            self.freeNodes.append(second)
            return
        }
        let half = (here + there) / 2
        if here > half {
            self.shift(second, 0..<there, by: here - half)
            self.move(from: first, half..<here, to: second, at: 0, areLeaves: areLeaves)
        } else {
            self.move(from: second, 0..<half - here, to: first, at: here, areLeaves: areLeaves)
            self.shift(second, half - here..<there, by: here - half)
            for position in there - (half - here)..<there { self.cells[self.start(of: second) + 1 + position] = .empty }
        }
        self.cells[start + left + 1].rank = self.lowest(of: second)
    }

    // MARK: Nodes

    private mutating func makeNode() -> UInt32 {
        if let node = self.freeNodes.popLast() {
            self.cells[self.start(of: node)] = .first
            return node
        }
        let node = self.cells.count >> self.nodeBits
        self.cells.append(.first)
        self.cells.append(contentsOf: repeatElement(.empty, count: self.capacity))
        return UInt32(node)
    }

    @inline(__always)
    private mutating func put(_ rank: Rank, _ child: UInt32, at position: Int, of node: UInt32) {
        self.shift(node, position..<self.count(of: node), by: 1)
        self.cells[self.start(of: node) + 1 + position] = Cell(rank: rank, child: child)
        self.grow(node, by: 1)
    }

    @inline(__always)
    private mutating func take(at position: Int, of node: UInt32) {
        let count = self.count(of: node)
        self.shift(node, position + 1..<count, by: -1)
        self.cells[self.start(of: node) + count] = .empty
        self.grow(node, by: -1)
    }

    /// Moves entries of a node up or down.
    @inline(__always)
    private mutating func shift(_ node: UInt32, _ entries: Range<Int>, by distance: Int) {
        guard !entries.isEmpty else { return }
        let start = self.start(of: node) + 1
        precondition(
            entries.lowerBound + distance >= 0 && entries.upperBound + distance <= self.capacity
                && start + self.capacity <= self.cells.count, "a node of a tree overflows")
        let source = start + entries.lowerBound
        self.cells.withUnsafeMutableBufferPointer { cells in
            guard let base = cells.baseAddress else { return }
            (base + source + distance).update(from: base + source, count: entries.count)
        }
    }

    private mutating func move(
        from source: UInt32, _ range: Range<Int>, to target: UInt32, at position: Int, areLeaves: Bool
    ) {
        let (from, to) = (self.start(of: source) + 1, self.start(of: target) + 1 + position)
        for (offset, index) in range.enumerated() {
            let cell = self.cells[from + index]
            self.cells[to + offset] = cell
            self.cells[from + index] = .empty
            if areLeaves { self.members[Int(cell.child)].leaf = target }
        }
        self.grow(source, by: -range.count)
        self.grow(target, by: range.count)
    }
}
