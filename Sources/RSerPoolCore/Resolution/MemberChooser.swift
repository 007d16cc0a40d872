// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// A pool user's choice among the members of one answer, message by message or session by session (RFC 5356, the parts
/// "Pool User Considerations").
///
/// Members known to be unreachable are left out until the next answer (POL-022). Policies that this library does not have
/// are served in the order in which the registrar listed the members.
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
        case .roundRobin: self.nextInTurn()
        case .random: self.members.filter { !self.unreachable.contains($0.id) }.randomElement(using: &generator)
        default: self.members.first { !self.unreachable.contains($0.id) }
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
