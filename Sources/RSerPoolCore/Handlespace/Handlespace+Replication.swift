// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

// What other registrars tell (RFC 5353 §3.2.3, §3.3, §3.5.2, §3.6.3).
extension Handlespace {
    package enum ReplicationOutcome: Hashable, Sendable {
        case added(createdPool: Bool)
        /// `formerHome`: who was its home until now, if it was somebody else.
        case updated(changed: Bool, formerHome: RegistrarID?)
        /// The pool here has another shape, and that one stays: nothing happened.
        case refused([ErrorCause])
        /// The pool here has another shape, which has to give way: nothing happened yet. Once ``conflicting`` members are
        /// removed, it can be tried again.
        case poolGivesWay(conflicting: [PoolElementID])
    }

    /// Stores an element as its home registrar tells of it.
    ///
    /// Who its home is, and whether that may be changed, is decided by the caller.
    package mutating func replicate(_ member: PoolMember, in handle: PoolHandle) -> ReplicationOutcome {
        let shape = PoolShape(of: member)
        let conflict: ReplicationOutcome? =
            self.withPool(handle) { pool in
                guard pool.shape != shape, pool.count > 1 || pool.slot(of: member.id) == nil else { return nil }
                return shape < pool.shape
                    ? .poolGivesWay(conflicting: pool.ids) : .refused(pool.inconsistencies(of: member))
            } ?? nil
        if let conflict { return conflict }
        let key = ElementKey(pool: handle, id: member.id)
        let formerHome = self.home(of: key)
        // So that what follows cannot fail half way, and the element fits a message between registrars.
        guard member.encodedParameter(for: .enrp).count <= Limits.maxReplicaLength else {
            return .refused([ErrorCause(.invalidValues)])
        }
        // Its only member may change the pool's shape: then it is another pool.
        if let known = self.withPool(handle, { $0.shape }), known != shape { self.remove(key) }
        switch self.register(member, in: handle, isReplica: true) {
        case .added(let createdPool):
            return formerHome == nil
                ? .added(createdPool: createdPool) : .updated(changed: true, formerHome: formerHome)
        case .updated(let changed):
            return .updated(changed: changed, formerHome: formerHome == member.home ? nil : formerHome)
        case .rejected(let causes): return .refused(causes)
        }
    }

    /// Gives an element another home; nothing else about it changes.
    package mutating func changeHome(of key: ElementKey, to home: RegistrarID) {
        guard let (old, place) = self.whereabouts(of: key), old != home else { return }
        self.move(key, from: old, at: place, to: home)
    }

    /// Marks all elements of `registrar` (§3.6.3 step 1). What is stored from now on is not marked.
    package mutating func mark(ownedBy registrar: RegistrarID) {
        self.withLedger(of: registrar) { $0.mark() }
    }

    /// The elements of `registrar` that are still marked.
    package func marked(ownedBy registrar: RegistrarID) -> [ElementKey] {
        self.ledger(of: registrar)?.unconfirmed.compactMap { self.key(of: $0) } ?? []
    }

    /// Those of them that have to leave it, now that the registrar's table is complete (§3.6.3 step 5), each with the
    /// registrar that claims it otherwise: not those which have moved to it since it was last asked; they are spared once.
    ///
    /// - Parameters:
    ///   - isKnownToBeLost: of such a one, that it need not be spared.
    ///   - heeds: whose claims count.
    package mutating func takeUnlisted(
        ownedBy registrar: RegistrarID, unsparing isKnownToBeLost: (ElementKey) -> Bool = { _ in false },
        heeding heeds: (RegistrarID) -> Bool = { _ in true }
    ) -> [(key: ElementKey, claimant: RegistrarID?)] {
        guard var ledger = self.ledger(of: registrar) else { return [] }
        let unlisted = ledger.takeUnconfirmed(
            { self.key(of: $0).map(isKnownToBeLost) ?? true }, heeding: heeds)
        self.withLedger(of: registrar) { $0 = ledger }
        return unlisted.compactMap { standing, claimant in self.key(of: standing).map { ($0, claimant) } }
    }

    /// The table of `registrar` lists an element that another registrar is home of here.
    ///
    /// - Returns: whether it stays with that one for now: it has just moved there, and the table may be older than that. The
    ///   next table of either registrar settles it.
    package mutating func deferClaim(of registrar: RegistrarID, on key: ElementKey) -> Bool {
        guard let (home, place) = self.whereabouts(of: key), home != registrar else { return false }
        var stays = false
        self.withLedger(of: home) { stays = $0.deferClaim(of: registrar, at: place) }
        return stays
    }

    /// All elements of `registrar`.
    package func keys(ownedBy registrar: RegistrarID) -> [ElementKey] {
        self.ledger(of: registrar)?.standings.compactMap { self.key(of: $0) } ?? []
    }

    package func count(ownedBy registrar: RegistrarID) -> Int {
        self.ledger(of: registrar)?.count ?? 0
    }
}

/// Where a download of the handlespace stands (RFC 5353 §3.2.3): every element that stays where it is while it lasts is
/// seen once.
package struct TableCursor: Hashable, Sendable {
    /// Whose elements only; nil: everybody's.
    package let owner: RegistrarID?
    fileprivate var registrar: RegistrarID?
    fileprivate var place = 0

    package init(ownedBy owner: RegistrarID?) {
        self.owner = owner
        self.registrar = owner
    }
}

extension Handlespace {
    /// Hands out the next elements of a download.
    ///
    /// - Parameter visit: takes an element; false where it does not fit any more, then it is the first of the next part.
    /// - Returns: whether there is more.
    package func continueTable(
        _ cursor: inout TableCursor, _ visit: (_ pool: PoolHandle, _ member: MemberRecord) -> Bool
    ) -> Bool {
        while let registrar = cursor.registrar ?? self.owner(after: nil) {
            cursor.registrar = registrar
            if let ledger = self.ledger(of: registrar) {
                while cursor.place < ledger.end {
                    if let standing = ledger[cursor.place] {
                        guard self.withRecord(at: standing, visit) ?? true else { return true }
                    }
                    cursor.place += 1
                }
            }
            guard cursor.owner == nil, let next = self.owner(after: registrar) else { return false }
            cursor.registrar = next
            cursor.place = 0
        }
        return false
    }
}
