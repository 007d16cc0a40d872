// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool user's choice among the members of one answer, message by message or session by session (RFC 5356, the parts
/// "Pool User Considerations").
///
/// Members known to be unreachable are left out until the next answer (POL-022). Round robin policies go through the list in
/// turn, as the registrar has weighed it; random ones draw, by the members' own values where there are weights (POL-059,
/// POL-108); priority takes the greatest, however the list is ordered (POL-067). All others, and policies that this library
/// does not have, are served in the order in which the registrar listed the members.
package struct MemberChooser: Sendable {
    package let members: [PoolMember]
    /// The answer's overall policy; its values have no meaning.
    package let overallPolicy: PoolPolicy
    private var cursor = 0
    private var unreachable: Set<PoolElementID> = []

    /// - Parameter policy: the answer's overall policy; its type rules whatever the members carry (ASAP-131). Nil is round
    ///   robin (ASAP-130).
    package init(members: [PoolMember], policy: PoolPolicy?) {
        self.members = members
        self.overallPolicy = policy ?? .roundRobin
    }

    /// The member for the next message; nil when none is left.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> PoolMember? {
        switch self.overallPolicy.type {
        case .roundRobin, .weightedRoundRobin: self.nextInTurn()
        case .random: self.reachable.randomElement(using: &generator)
        case .weightedRandom, .randomizedLeastUsed: self.drawn(using: &generator)
        // The first of several with one priority, as the registrar lets them take turns.
        case .priority: self.greatest
        default: self.members.first { !self.unreachable.contains($0.id) }
        }
    }

    private var reachable: [PoolMember] { self.members.filter { !self.unreachable.contains($0.id) } }

    private var greatest: PoolMember? {
        var greatest: PoolMember?
        for member in self.members where !self.unreachable.contains(member.id) {
            guard let best = greatest, Self.priority(of: best) >= Self.priority(of: member) else {
                greatest = member
                continue
            }
        }
        return greatest
    }

    private func drawn(using generator: inout some RandomNumberGenerator) -> PoolMember? {
        let reachable = self.reachable
        let total = reachable.reduce(UInt64(0)) { $0 + Self.weight(of: $1) }
        // Nobody has capacity left: that is no inability (POL-106).
        guard total > 0 else { return reachable.randomElement(using: &generator) }
        var point = UInt64.random(in: 0..<total, using: &generator)
        return reachable.first { member in
            let weight = Self.weight(of: member)
            if point < weight { return true }
            point -= weight
            return false
        }
    }

    private static func priority(of member: PoolMember) -> UInt32 {
        if case .priority(let priority) = member.policy { priority } else { 0 }
    }

    private static func weight(of member: PoolMember) -> UInt64 {
        switch member.policy {
        case .weightedRandom(let weight): UInt64(weight)
        case .randomizedLeastUsed(let load): UInt64(UInt32.max - load.rawValue)
        default: 1
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
