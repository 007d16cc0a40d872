// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool user's choice among the members of one answer, message by message or session by session (RFC 5356, the parts
/// "Pool User Considerations").
///
/// Members known to be unreachable are left out until the next answer (POL-022). How the others are used is the policy's
/// ``ListUse``; policies that the catalogue does not have are served in the order in which the registrar listed the members.
package struct MemberChooser: Sendable {
    package let members: [PoolMember]
    /// The answer's overall policy; its values have no meaning.
    package let overallPolicy: PoolPolicy
    private let use: ListUse
    private var cursor = 0
    private var unreachable: Set<PoolElementID> = []

    /// - Parameter policy: the answer's overall policy; its type rules whatever the members carry (ASAP-131). Nil is round
    ///   robin (ASAP-130).
    package init(members: [PoolMember], policy: PoolPolicy?, policies: PolicyCatalogue = .standard) {
        let policy = policy ?? .roundRobin
        self.members = members
        self.overallPolicy = policy
        self.use = policies[policy.type]?.listUse ?? .inOrder
    }

    /// The member for the next message; nil when none is left.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> PoolMember? {
        switch self.use.way {
        case .inTurn: self.nextInTurn()
        case .random: self.reachable.randomElement(using: &generator)
        case .weighted(let weight): self.drawn(by: weight, using: &generator)
        case .greatest(let key): self.greatest(by: key)
        case .inOrder: self.members.first { !self.unreachable.contains($0.id) }
        }
    }

    private var reachable: [PoolMember] { self.members.filter { !self.unreachable.contains($0.id) } }

    private func greatest(by key: (PoolPolicy) -> UInt64) -> PoolMember? {
        var greatest: (member: PoolMember, key: UInt64)?
        for member in self.members where !self.unreachable.contains(member.id) {
            let key = key(member.policy)
            if let best = greatest?.key, best >= key { continue }
            greatest = (member, key)
        }
        return greatest?.member
    }

    private func drawn(
        by weight: (PoolPolicy) -> UInt64, using generator: inout some RandomNumberGenerator
    ) -> PoolMember? {
        let reachable = self.reachable
        let total = reachable.reduce(UInt64(0)) { $0.addingSaturating(weight($1.policy)) }
        // Nobody has capacity left: that is no inability (POL-106).
        guard total > 0 else { return reachable.randomElement(using: &generator) }
        var point = UInt64.random(in: 0..<total, using: &generator)
        return reachable.first { member in
            let weight = weight(member.policy)
            if point < weight { return true }
            point -= weight
            return false
        }
    }

    package mutating func markUnreachable(_ id: PoolElementID) {
        self.unreachable.insert(id)
    }

    package var isExhausted: Bool { self.members.allSatisfy { self.unreachable.contains($0.id) } }

    private mutating func nextInTurn() -> PoolMember? {
        for _ in self.members.indices {
            let member = self.members[self.cursor]
            self.cursor = (self.cursor + 1) % self.members.count
            if !self.unreachable.contains(member.id) { return member }
        }
        return nil
    }
}
