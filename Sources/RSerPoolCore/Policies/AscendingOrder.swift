// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// The policies that list members by a number, ascending, and let members with equal numbers take turns: Priority (RFC 5356
/// §4.5), Least Used (§5.1), Least Used with Degradation (§5.2) and Priority Least Used (§5.3).
///
/// Turns: whoever led an answer goes behind its equals; newcomers go there too, and so does whoever gets another number
/// (POL-064, POL-071, POL-075). With degradation the number of each member in an answer grows until it registers again
/// (POL-081, POL-082, POL-087).
package struct AscendingOrder: MemberOrder {
    /// How a member stands by its own values.
    package struct Standing: Equatable, Sendable {
        /// Less is better.
        package var number: UInt64
        /// What one answer adds to it, until the member registers again.
        package var degradation: UInt32 = 0

        package init(_ number: UInt64, degradation: UInt32 = 0) {
            self.number = number
            self.degradation = degradation
        }
    }

    /// What the number is. All are computed in 64 bits, where nothing wraps around (POL-086, POL-097).
    package struct Key: Sendable {
        /// Nil for values of another policy.
        package let standing: @Sendable (PoolPolicy) -> Standing?

        package init(_ standing: @escaping @Sendable (PoolPolicy) -> Standing?) {
            self.standing = standing
        }
    }

    private let key: Key
    private var members = RankedRings<UInt64>()
    /// Indexed by slot: what one answer adds to a member's number. Empty while that is nothing for everybody.
    private var degradations: [UInt32] = []

    package init(_ key: Key) {
        self.key = key
    }

    package mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        let standing = self.standing(of: policy)
        self.setDegradation(of: slot.index, standing.degradation)
        self.members.insert(slot.index, standing.number)
    }

    package mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        let standing = self.standing(of: policy)
        self.setDegradation(of: slot.index, standing.degradation)
        if self.members.rank(of: slot.index) != standing.number {
            self.members.move(slot.index, to: standing.number)
        }
    }

    /// A renewal takes degradations back.
    package var heedsRenewals: Bool { !self.degradations.isEmpty }

    package mutating func remove(_ slot: Slot) {
        self.members.remove(slot.index)
    }

    package mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        self.members.list(&members)
    }

    package mutating func choose(_ members: Span<Slot>) {
        guard !self.degradations.isEmpty else { return self.members.turn() }
        // The one that led comes last, so that it is behind the others where they are equals again.
        for index in members.indices.dropFirst() {
            let slot = members[index].index
            if self.degradation(of: slot) > 0 { self.add(self.degradation(of: slot), slot) }
        }
        self.add(self.degradation(of: members[0].index), members[0].index)
    }

    private mutating func add(_ degradation: UInt32, _ slot: Int) {
        guard let number = self.members.rank(of: slot) else { return }
        self.members.move(slot, to: number.addingSaturating(UInt64(degradation)))
    }

    private func degradation(of slot: Int) -> UInt32 {
        slot < self.degradations.count ? self.degradations[slot] : 0
    }

    private mutating func setDegradation(of slot: Int, _ degradation: UInt32) {
        guard degradation != self.degradation(of: slot) else { return }
        self.degradations.reach(slot, filledWith: 0)
        self.degradations[slot] = degradation
    }

    /// A member whose values are of another policy comes last; the handlespace lets none in.
    private func standing(of policy: PoolPolicy) -> Standing { self.key.standing(policy) ?? Standing(.max) }
}

extension AscendingOrder.Key {
    /// The greatest priority first.
    package static let priority = Self {
        if case .priority(let priority) = $0 { .init(UInt64(UInt32.max - priority)) } else { nil }
    }

    package static let load = Self {
        if case .leastUsed(let load) = $0 { .init(UInt64(load.rawValue)) } else { nil }
    }

    /// The load, and as many degradations as there were answers with the member in it.
    package static let degradingLoad = Self {
        guard case .leastUsedDegradation(let load, let degradation) = $0 else { return nil }
        return .init(UInt64(load.rawValue), degradation: degradation.rawValue)
    }

    /// The load that there would be with one request more.
    package static let loadAfterwards = Self {
        guard case .priorityLeastUsed(let load, let degradation) = $0 else { return nil }
        return .init(UInt64(load.rawValue) + UInt64(degradation.rawValue))
    }
}

extension UInt64 {
    func addingSaturating(_ other: UInt64) -> UInt64 {
        let (sum, isOver) = self.addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}
