// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Round Robin (RFC 5356 §4.1): a circular list with a head that each answer moves on by one, however long the answer was.
///
/// Newcomers enter just before the head, so they come last for now.
package struct RoundRobinOrder: MemberOrder {
    private struct Neighbours: Sendable {
        var previous: UInt32
        var next: UInt32
    }

    /// Indexed by slot.
    private var links: [Neighbours] = []
    private var head: UInt32?
    private var count = 0

    package init() {}

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        let new = UInt32(slot.index)
        self.links.reach(slot.index, filledWith: Neighbours(previous: new, next: new))
        if let head {
            let last = self.links[Int(head)].previous
            self.links[slot.index] = Neighbours(previous: last, next: head)
            self.links[Int(last)].next = new
            self.links[Int(head)].previous = new
        } else {
            self.links[slot.index] = Neighbours(previous: new, next: new)
            self.head = new
        }
        self.count += 1
    }

    /// Keeps its place.
    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {}
    package var heedsRenewals: Bool { false }

    package mutating func remove(_ slot: Slot) {
        let gone = self.links[slot.index]
        self.links[Int(gone.previous)].next = gone.next
        self.links[Int(gone.next)].previous = gone.previous
        self.count -= 1
        if self.count == 0 {
            self.head = nil
        } else if self.head == UInt32(slot.index) {
            self.head = gone.next
        }
    }

    package mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        guard let head else { return }
        let count = min(members.freeCapacity, self.count)
        self.links.withUnsafeBufferPointer { links in
            var current = Int(head)
            for _ in 0..<count {
                members.append(Slot(current))
                current = Int(links[current].next)
            }
        }
    }

    package mutating func choose(_ members: Span<Slot>) {
        if let head { self.head = self.links[Int(head)].next }
    }
}
