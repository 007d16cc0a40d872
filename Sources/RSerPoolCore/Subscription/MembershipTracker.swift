// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// Turns whole lists and increments into changes.
package struct MembershipTracker: Sendable {
    private var known: [PoolElementID: PoolMember] = [:]
    private var wantsSnapshot = true

    package init() {}

    /// By identifier.
    package var members: [PoolMember] { self.known.values.sorted { $0.id < $1.id } }
    package var isEmpty: Bool { self.known.isEmpty }
    package var hasSnapshot: Bool { !self.wantsSnapshot }

    /// The next whole list is told as a snapshot.
    package mutating func demandSnapshot() {
        self.wantsSnapshot = true
    }

    /// A whole list has come.
    /// - Parameter isPartial: there may be members that are not in it: absence says nothing.
    package mutating func replace(with members: [PoolMember], isPartial: Bool = false) -> [PoolChange] {
        let new = Dictionary(members.map { ($0.id, $0) }) { first, _ in first }
        if self.wantsSnapshot {
            self.wantsSnapshot = false
            self.known = isPartial ? self.known.merging(new) { $1 } : new
            return [.snapshot(self.members)]
        }
        var changes: [PoolChange] = []
        if !isPartial {
            changes += self.remove(self.known.keys.filter { new[$0] == nil }.sorted())
        }
        return changes + self.add(members)
    }

    /// An increment has come.
    package mutating func apply(_ members: [PoolMember], gone: [PoolElementID]) -> [PoolChange] {
        self.remove(gone) + self.add(members)
    }

    private mutating func add(_ members: [PoolMember]) -> [PoolChange] {
        members.compactMap { member in
            switch self.known.updateValue(member, forKey: member.id) {
            case nil: .joined(member)
            case member: nil
            default: .updated(member)
            }
        }
    }

    private mutating func remove(_ ids: [PoolElementID]) -> [PoolChange] {
        ids.compactMap { self.known.removeValue(forKey: $0).map { .left($0) } }
    }
}
