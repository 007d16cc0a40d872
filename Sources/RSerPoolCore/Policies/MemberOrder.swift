// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// Where a member is stored in its pool: dense, reused after the member is gone.
public struct Slot: Hashable, Sendable {
    /// From 0: something to index arrays by.
    public let index: Int

    public init(_ index: Int) {
        self.index = index
    }
}

/// How a registrar chooses and orders the elements of one pool for an answer: one type per policy (RFC 5356).
///
/// It knows members by slot, by identifier and by their own policy values, nothing else. It is local to one registrar and
/// lost when the pool ends (POL-020); updates and table transfers do not move it (POL-021). It is called on the registrar's
/// thread for each answer: with a hundred thousand members each method should be done in O(log n).
public protocol MemberOrder: Sendable {
    /// A member joins. Its slot is free: no member has it, though one that has left may have had it.
    mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy)
    /// A member registered again, maybe with other values.
    mutating func update(_ slot: Slot, _ policy: PoolPolicy)
    /// Whether ``update(_:_:)`` has to be called where a member registered again with the values that it had. It is asked after
    /// each change. True unless said otherwise.
    var heedsRenewals: Bool { get }
    /// A member leaves.
    mutating func remove(_ slot: Slot)

    /// Lists members in the order of the answer, each once, until the list is full or has all of them.
    ///
    /// Members that can give no service, like those of weight 0, are not listed; if nobody is, the answer is negative
    /// (POL-010). Nothing has been chosen by that: ``choose(_:)`` says who was.
    ///
    /// - Parameter generator: where all chance comes from, so that simulations repeat.
    mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator)

    /// Moves on for the next answer: these members, the first ones of the list, are in this one. Those behind them did not
    /// fit the message and do not count. It is called right after ``list(_:using:)``, and not if nobody is in the answer.
    mutating func choose(_ members: Span<Slot>)
}

extension MemberOrder {
    public var heedsRenewals: Bool { true }
}

extension Array {
    /// Makes room for a slot's element.
    mutating func reach(_ slot: Int, filledWith filler: Element) {
        guard self.count <= slot else { return }
        self.reserve(slot + 1)
        repeat { self.append(filler) } while self.count <= slot
    }

    /// Makes room for as many elements, and a quarter more: with as much again as there is, half of it would often lie idle.
    mutating func reserve(_ count: Int) {
        if self.capacity < count { self.reserveCapacity(Swift.max(8, count + count / 4)) }
    }
}
