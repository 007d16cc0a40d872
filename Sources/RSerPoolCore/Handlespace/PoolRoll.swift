// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// The members of one pool, and what they have in common.
///
/// Each member's Pool Element parameter is encoded once, when it registers; answers and updates are put together from
/// those octets.
package struct PoolRoll: Sendable {
    private struct Entry: Sendable {
        var member: PoolMember
        /// Its Pool Element parameter for ASAP, without padding.
        var encoded: [UInt8]
        /// Where it stands in its home's ledger.
        var place: Int
    }

    package let handle: PoolHandle
    /// Set by the first member; members that differ are rejected (RFC 5352 §3.1).
    package let policyType: PolicyType
    package let transportKind: UserTransport.Kind
    package let transportUse: TransportUse
    /// The Pool Handle parameter.
    package let encodedHandle: [UInt8]
    private let first: PoolMember

    private var entries: [Entry?] = []
    private var freeSlots: [Int] = []
    private var slots: [PoolElementID: Int] = [:]
    private var order: any MemberOrder

    /// An empty pool for members like `first`; nil if its policy is not one that this registrar has.
    /// - Parameter isReplica: another registrar has let them in: what is not known here is served in turn.
    init?(handle: PoolHandle, first: PoolMember, isReplica: Bool, policies: PolicyCatalogue) {
        let policy = policies[first.policy.type]
        guard let order = policy?.makeOrder() ?? (isReplica ? RoundRobinOrder() : nil) else {
            return nil
        }
        self.order = order
        self.handle = handle
        self.policyType = first.policy.type
        self.transportKind = first.transport.kind
        self.transportUse = first.transport.use
        var writer = WireWriter(capacity: handle.octets.count + 4)
        handle.encode(into: &writer)
        self.encodedHandle = writer.bytes
        self.first = first
    }

    package var isEmpty: Bool { self.slots.isEmpty }
    package var count: Int { self.slots.count }

    package subscript(_ id: PoolElementID) -> PoolMember? {
        guard let slot = self.slots[id] else { return nil }
        return self.entries[slot]?.member
    }

    /// The Pool Element parameter of a member, as others will see it in ASAP.
    package func encoded(_ id: PoolElementID) -> [UInt8]? {
        guard let slot = self.slots[id] else { return nil }
        return self.entries[slot]?.encoded
    }

    /// All identifiers, ascending: the order of updates (ASAP-143).
    package var ids: [PoolElementID] { self.slots.keys.sorted() }

    /// The pool's policy parameter. Its values have no meaning (POL-018): they are those of the first member.
    package var policy: PoolPolicy { self.first.policy }

    /// What its members have in common, as something to compare; see ``PoolShape``.
    package var shape: PoolShape {
        PoolShape(policyType: self.policyType, transportKind: self.transportKind, transportUse: self.transportUse)
    }

    /// Why `member` cannot be in this pool (RFC 5352 §3.1 rule 2): causes 0005, 0007, 0008, as they apply.
    package func inconsistencies(of member: PoolMember) -> [ErrorCause] {
        var causes: [ErrorCause] = []
        if member.policy.type != self.policyType {
            causes.append(ErrorCause(.inconsistentPolicy, data: self.policy.encodedParameter()))
        }
        if member.transport.kind != self.transportKind {
            causes.append(ErrorCause(.inconsistentTransport, data: self.first.transport.encodedParameter()))
        }
        if member.transport.use != self.transportUse { causes.append(ErrorCause(.inconsistentTransportUse)) }
        return causes
    }

    /// A member's home, and its place in that one's ledger.
    func whereabouts(of id: PoolElementID) -> (home: RegistrarID, place: Int)? {
        guard let slot = self.slots[id], let entry = self.entries[slot] else { return nil }
        return (entry.member.home, entry.place)
    }

    /// Adds or replaces a member.
    ///
    /// - Parameter ranked: the policy values that the order goes by: the member's own, or those with our distance to its
    ///   home on top.
    /// - Returns: whether others see a difference.
    mutating func put(_ member: PoolMember, ranked policy: PoolPolicy, encoded: [UInt8], place: Int) -> Bool {
        if let slot = self.slots[member.id] {
            let changed = self.entries[slot]?.encoded != encoded
            self.entries[slot] = Entry(member: member, encoded: encoded, place: place)
            self.order.update(Slot(slot), policy)
            return changed
        }
        let slot = self.freeSlots.popLast() ?? self.entries.count
        if slot == self.entries.count { self.entries.append(nil) }
        self.entries[slot] = Entry(member: member, encoded: encoded, place: place)
        self.slots[member.id] = slot
        self.order.insert(Slot(slot), member.id, policy)
        return true
    }

    /// The order goes by these values from now on.
    mutating func rank(_ id: PoolElementID, by policy: PoolPolicy) {
        if let slot = self.slots[id] { self.order.update(Slot(slot), policy) }
    }

    mutating func changeHome(of id: PoolElementID, to home: RegistrarID, place: Int) {
        guard let slot = self.slots[id] else { return }
        self.entries[slot]?.member.home = home
        self.entries[slot]?.place = place
        if var encoded = self.entries[slot]?.encoded {
            self.entries[slot]?.encoded = []
            PoolMember.changeHome(to: home, inParameter: &encoded)
            self.entries[slot]?.encoded = encoded
        }
    }

    mutating func remove(_ id: PoolElementID) -> (member: PoolMember, place: Int)? {
        guard let slot = self.slots.removeValue(forKey: id), let entry = self.entries[slot] else { return nil }
        self.order.remove(Slot(slot))
        self.freeSlots.append(slot)
        self.entries[slot] = nil
        return (entry.member, entry.place)
    }

    mutating func select(
        upTo count: Int, using generator: inout some RandomNumberGenerator, _ visit: (_ encoded: [UInt8]) -> Bool
    ) -> Int {
        let entries = self.entries
        return self.order.select(upTo: count, using: &generator) { slot in
            guard let entry = entries[slot.index] else { return false }
            return visit(entry.encoded)
        }
    }
}
