// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Round Robin (RFC 5356 §4.1): a circular list with a head that each answer moves on by one, however long the answer was.
///
/// Newcomers enter just before the head, so they come last for now.
package struct RoundRobinOrder: MemberOrder {
    private struct Neighbours: Sendable {
        var previous: Int
        var next: Int
    }

    /// Indexed by slot.
    private var links: [Neighbours] = []
    private var head: Int?
    private var count = 0

    package init() {}

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        let new = slot.index
        self.links.reach(new, filledWith: Neighbours(previous: -1, next: -1))
        if let head {
            let last = self.links[head].previous
            self.links[new] = Neighbours(previous: last, next: head)
            self.links[last].next = new
            self.links[head].previous = new
        } else {
            self.links[new] = Neighbours(previous: new, next: new)
            self.head = new
        }
        self.count += 1
    }

    /// Keeps its place.
    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {}

    package mutating func remove(_ slot: Slot) {
        let gone = self.links[slot.index]
        self.links[gone.previous].next = gone.next
        self.links[gone.next].previous = gone.previous
        self.count -= 1
        if self.count == 0 {
            self.head = nil
        } else if self.head == slot.index {
            self.head = gone.next
        }
    }

    package mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (Slot) -> Bool
    ) -> Int {
        guard let head else { return 0 }
        var taken = 0
        var current = head
        while taken < min(count, self.count), visit(Slot(current)) {
            taken += 1
            current = self.links[current].next
        }
        if taken > 0 { self.head = self.links[head].next }
        return taken
    }
}
