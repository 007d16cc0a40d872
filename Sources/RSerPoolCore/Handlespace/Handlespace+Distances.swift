// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

// What distance-sensitive policies need (draft-dreibholz-rserpool-delay).
extension Handlespace {
    /// Whether there are elements with distance-sensitive policies: without, distances concern nobody.
    package var hasDistances: Bool { self.elementsWithDistance > 0 }

    /// How far away another registrar is. Its elements are as much farther from those who ask us than from those who ask it
    /// (draft-dreibholz-rserpool-delay): choices go by that, entries are passed on as they came.
    package mutating func setDistance(_ distance: UInt32, to registrar: RegistrarID) {
        guard self.homeDistances[registrar, default: 0] != distance else { return }
        self.homeDistances[registrar] = distance == 0 ? nil : distance
        guard self.hasDistances else { return }
        for key in self.keys(ownedBy: registrar) { self.rank(key) }
    }

    mutating func rank(_ key: ElementKey) {
        guard let member = self.member(key), member.policy.distance != nil else { return }
        let policy = self.ranked(member)
        self.rank(key, by: policy)
    }

    /// The values that its pool's order goes by.
    @inline(__always)
    func ranked(_ member: PoolMember) -> PoolPolicy {
        guard let distance = member.policy.distance, let more = self.homeDistances[member.home] else {
            return member.policy
        }
        return member.policy.at(distance: UInt32(clamping: UInt64(distance) + UInt64(more)))
    }
}
