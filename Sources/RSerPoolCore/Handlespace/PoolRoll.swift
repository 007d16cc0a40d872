// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The members of one pool, and what they have in common.
///
/// Each member is kept as the octets that it was encoded to once, when it registered (``MemberRecord``); answers, updates and
/// tables are put together from those. There is one copy of a pool, in the handlespace; see ``PoolSnapshot`` for another one.
package struct PoolRoll: ~Copyable, Sendable {
    private struct Entry: Sendable {
        var id: PoolElementID
        var home: RegistrarID
        /// Where it stands in its home's ledger.
        var place: UInt32
        var record: RecordStore.Place
        /// Octets of its Pool Element parameter for ASAP; 0: nobody has this slot.
        var parameterLength: UInt32

        var isFree: Bool { self.parameterLength == 0 }
    }

    package let handle: PoolHandle
    /// Set by the first member; members that differ are rejected (RFC 5352 §3.1).
    package let policyType: PolicyType
    package let transportKind: UserTransport.Kind
    package let transportUse: TransportUse
    /// The Pool Handle parameter and the pool's policy parameter, as answers begin with them.
    package let head: [UInt8]
    /// Where the second begins.
    private let policyStart: Int
    let checksumShare: PEChecksum.Share

    private var entries: [Entry] = []
    private var freeSlots: [UInt32] = []
    package private(set) var count = 0
    /// Slots by identifiers. Empty in a pool that has always been small: there all entries are looked through.
    private var slots: PlaceTable
    private static let countWithoutTable = 16
    private var records = RecordStore()
    private var order: any MemberOrder
    private var heedsRenewals = false

    /// An empty pool for members like `first`; nil if its policy is not one that this registrar has.
    /// - Parameter isReplica: another registrar has let them in: what is not known here is served in turn.
    init?(handle: PoolHandle, first: PoolMember, isReplica: Bool, policies: PolicyCatalogue, key: TableKey) {
        let policy = policies[first.policy.type]
        guard let order = policy?.makeOrder() ?? (isReplica ? RoundRobinOrder() : nil) else {
            return nil
        }
        self.order = order
        self.handle = handle
        self.policyType = first.policy.type
        self.transportKind = first.transport.kind
        self.transportUse = first.transport.use
        self.slots = PlaceTable(key)
        self.checksumShare = PEChecksum.Share(of: handle)
        var writer = WireWriter(capacity: handle.octets.count + 24)
        handle.encode(into: &writer)
        self.policyStart = writer.lengthSoFar
        first.policy.encode(into: &writer)
        self.head = writer.bytes
    }

    package var isEmpty: Bool { self.count == 0 }

    package subscript(_ id: PoolElementID) -> PoolMember? { self.withRecord(of: id, \.member) ?? nil }

    /// The record of a member, while `body` runs.
    package func withRecord<Result>(of id: PoolElementID, _ body: (MemberRecord) -> Result) -> Result? {
        self.slot(of: id).map { self.withRecord(at: $0, body) }
    }

    func withRecord<Result>(at slot: Int, _ body: (MemberRecord) -> Result) -> Result {
        let entry = self.entries[slot]
        return self.records.octets.withUnsafeBytes { octets in
            body(
                MemberRecord(
                    octets: UnsafeRawBufferPointer(rebasing: octets[entry.record.range]),
                    parameterLength: Int(entry.parameterLength)))
        }
    }

    /// All identifiers, ascending: the order of updates (ASAP-143).
    package var ids: [PoolElementID] {
        self.entries.lazy.filter { !$0.isFree }.map(\.id).sorted { $0.rawValue < $1.rawValue }
    }

    /// All members as they are now.
    package func snapshot() -> PoolSnapshot {
        let ids = self.ids
        let parameters = ids.compactMap { id in
            self.slot(of: id).map { slot in
                let entry = self.entries[slot]
                return entry.record.range.prefix(Int(entry.parameterLength))
            }
        }
        return PoolSnapshot(head: self.head, parameters: parameters, octets: self.records.octets)
    }

    /// The pool's policy parameter. Its values have no meaning (POL-018): they are those of the first member.
    package var encodedPolicy: [UInt8] { Array(self.head[self.policyStart...]) }

    /// What its members have in common, as something to compare; see ``PoolShape``.
    package var shape: PoolShape {
        PoolShape(policyType: self.policyType, transportKind: self.transportKind, transportUse: self.transportUse)
    }

    /// Why `member` cannot be in this pool (RFC 5352 §3.1 rule 2): causes 0005, 0007, 0008, as they apply. With the first
    /// two goes what one of the members there has.
    package func inconsistencies(of member: PoolMember) -> [ErrorCause] {
        guard self.shape != PoolShape(of: member) else { return [] }
        var causes: [ErrorCause] = []
        if member.policy.type != self.policyType {
            causes.append(ErrorCause(.inconsistentPolicy, data: self.encodedPolicy))
        }
        if member.transport.kind != self.transportKind {
            let one = self.ids.first.flatMap { self[$0] }
            causes.append(ErrorCause(.inconsistentTransport, data: one?.transport.encodedParameter() ?? []))
        }
        if member.transport.use != self.transportUse { causes.append(ErrorCause(.inconsistentTransportUse)) }
        return causes
    }

    func slot(of id: PoolElementID) -> Int? {
        guard self.slots.count == 0 else { return self.slots.find(id.rawValue) }
        return self.entries.withUnsafeBufferPointer { entries in
            for slot in entries.indices where entries[slot].id == id && !entries[slot].isFree { return slot }
            return nil
        }
    }

    func id(at slot: Int) -> PoolElementID { self.entries[slot].id }

    /// A member's home, and its place in that one's ledger.
    func whereabouts(at slot: Int) -> (home: RegistrarID, place: Int) {
        (self.entries[slot].home, Int(self.entries[slot].place))
    }

    /// Where the next newcomer will stand.
    var nextSlot: Int { self.freeSlots.last.map(Int.init) ?? self.entries.count }

    /// Adds a member, at ``nextSlot``.
    ///
    /// - Parameter ranked: the policy values that the order goes by: the member's own, or those with our distance to its
    ///   home on top.
    mutating func add(
        _ id: PoolElementID, home: RegistrarID, place: Int, ranked policy: PoolPolicy, _ record: MemberRecord
    ) {
        let slot = self.nextSlot
        let entry = Entry(
            id: id, home: home, place: UInt32(place), record: self.records.add(record.octets),
            parameterLength: UInt32(record.parameterLength))
        if self.freeSlots.popLast() == nil {
            self.entries.reserve(slot + 1)
            self.entries.append(entry)
        } else {
            self.entries[slot] = entry
        }
        self.count += 1
        if self.slots.count > 0 {
            self.slots.insert(id.rawValue, slot)
        } else if self.count > Self.countWithoutTable {
            for slot in self.entries.indices where !self.entries[slot].isFree {
                self.slots.insert(self.entries[slot].id.rawValue, slot)
            }
        }
        self.order.insert(Slot(slot), id, policy)
        self.heedsRenewals = self.order.heedsRenewals
    }

    /// Replaces a member.
    /// - Returns: whether pool users see a difference.
    mutating func replace(
        at slot: Int, home: RegistrarID, place: Int, ranked policy: PoolPolicy, _ record: MemberRecord
    ) -> Bool {
        let changed = self.withRecord(at: slot) { old in
            old.parameterLength != record.parameterLength || old.parameter.differs(from: record.parameter)
        }
        self.entries[slot].home = home
        self.entries[slot].place = UInt32(place)
        self.entries[slot].record = self.records.replace(self.entries[slot].record, with: record.octets)
        self.entries[slot].parameterLength = UInt32(record.parameterLength)
        if self.records.isSparse { self.moveTogether() }
        // What it is ranked by has not changed either, but for distances, which others say.
        if changed || self.heedsRenewals || policy.distance != nil {
            self.order.update(Slot(slot), policy)
            self.heedsRenewals = self.order.heedsRenewals
        }
        return changed
    }

    /// The order goes by these values from now on.
    mutating func rank(at slot: Int, by policy: PoolPolicy) {
        self.order.update(Slot(slot), policy)
    }

    mutating func changeHome(at slot: Int, to home: RegistrarID, place: Int) {
        self.entries[slot].home = home
        self.entries[slot].place = UInt32(place)
        self.records.withOctets(self.entries[slot].record) { MemberRecord.changeHome(to: home, in: $0) }
    }

    mutating func remove(at slot: Int) {
        self.order.remove(Slot(slot))
        self.count -= 1
        if self.slots.count > 0 { self.slots.remove(self.entries[slot].id.rawValue, slot) }
        self.records.remove(self.entries[slot].record)
        // A policy that lists the slot all the same finds nothing there.
        self.entries[slot].record = .none
        self.entries[slot].parameterLength = 0
        self.freeSlots.append(UInt32(slot))
        if self.records.isSparse { self.moveTogether() }
    }

    private mutating func moveTogether() {
        var together = self.records.emptied
        for slot in self.entries.indices where !self.entries[slot].isFree {
            let range = self.entries[slot].record.range
            self.entries[slot].record = self.records.octets.withUnsafeBytes { octets in
                together.add(UnsafeRawBufferPointer(rebasing: octets[range]))
            }
        }
        self.records = together
    }

    /// Chooses members by the policy, and moves its state on (RFC 5356).
    ///
    /// - Parameters:
    ///   - room: for as many as are wanted.
    ///   - take: of those that were listed, how many are in the answer: all that fit.
    /// - Returns: how many.
    mutating func choose(
        in room: UnsafeMutableBufferPointer<Slot>, using generator: inout ChoiceGenerator,
        _ take: (borrowing PoolRoll, UnsafeBufferPointer<Slot>) -> Int
    ) -> Int {
        var list = OutputSpan(buffer: room, initializedCount: 0)
        self.order.list(&list, using: &generator)
        let listed = UnsafeBufferPointer(rebasing: room[..<list.finalize(for: room)])
        let taken = take(self, listed)
        if taken > 0 { self.order.choose(UnsafeBufferPointer(rebasing: listed[..<taken]).span) }
        return taken
    }
}

extension UnsafeRawBufferPointer {
    /// For as many octets.
    fileprivate func differs(from other: UnsafeRawBufferPointer) -> Bool {
        guard let here = self.baseAddress, let there = other.baseAddress else { return false }
        return memcmp(here, there, self.count) != 0
    }
}
