// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// One element of one pool, by name.
package struct ElementKey: Hashable, Sendable {
    package var pool: PoolHandle
    package var id: PoolElementID

    package init(pool: PoolHandle, id: PoolElementID) {
        self.pool = pool
        self.id = id
    }
}

/// All pools and their elements as one registrar knows them (RFC 5353 §1.1): the only truth about members.
///
/// A plain value: no time in it, nothing waits. How long a registration holds and whether its element lives is watched
/// elsewhere (``ElementWatch``). Members are kept as the octets of their parameters, in dense arrays, and found by hash
/// tables: to choose some of them for an answer allocates nothing and counts no references.
///
/// There is one copy only, and it owns its pools: they lie where they were made, and are changed there.
// Proof of @unchecked Sendable: the pointers lead to pools that this value alone owns; whoever has it has it exclusively.
package struct Handlespace: ~Copyable, @unchecked Sendable {
    package struct Limits: Hashable, Sendable {
        /// Pools; a registration that would create one more is rejected with cause 0006.
        package var maxPools = 1_000_000
        /// Elements of all pools; a further registration is rejected with cause 0006.
        package var maxElements = 2_000_000
        /// Octets of a pool handle; a longer one is rejected with cause 0003.
        package var maxHandleLength = 1_024
        /// Octets of a Pool Element parameter; a longer one is rejected with cause 0003. With a handle of full length it
        /// still fits an answer.
        package static let maxMemberLength = 32_768
        /// Octets of a Pool Element parameter between registrars, which has the element's ASAP transport too; a longer one
        /// is refused. With a handle of full length it still fits a part of a table.
        package static let maxReplicaLength = 40_960

        package init() {}
    }

    package enum RegistrationOutcome: Hashable, Sendable {
        /// A new element, in a new pool if so said.
        case added(createdPool: Bool)
        /// A known one; `changed` if others will see a difference.
        case updated(changed: Bool)
        /// Nothing happened; why.
        case rejected([ErrorCause])
    }

    package let limits: Limits
    private let policies: PolicyCatalogue
    private let key = TableKey()
    /// Indices of pools, by their handles.
    private var table: PlaceTable
    /// Nil: that index is free.
    private var rolls: [UnsafeMutablePointer<PoolRoll>?] = []
    private var freeIndices: [Int] = []
    package private(set) var elementCount = 0
    /// Who is home of elements, ascending; and the ledger of each.
    private var owners: [RegistrarID] = []
    private var ledgers: [OwnerLedger] = []
    /// How far away other registrars are, in milliseconds, and how many elements want to know that.
    var homeDistances: [RegistrarID: UInt32] = [:]
    private(set) var elementsWithDistance = 0
    /// Where those are listed that may be in an answer: no message holds more, with 28 octets for a Pool Element and a pool
    /// handle in front.
    private let room = UnsafeMutableBufferPointer<Slot>.allocate(capacity: 65_535 / 28)
    /// Where records are encoded.
    private var writer = WireWriter(capacity: 256)

    /// - Parameter policies: those that elements may register with here.
    package init(limits: Limits = Limits(), policies: PolicyCatalogue = .standard) {
        self.limits = limits
        self.policies = policies
        self.table = PlaceTable(self.key)
    }

    deinit {
        self.room.deallocate()
        for case let roll? in self.rolls {
            roll.deinitialize(count: 1)
            roll.deallocate()
        }
    }

    /// As many elements as there may be.
    package var isFull: Bool { self.elementCount >= self.limits.maxElements }

    package var poolCount: Int { self.table.count }

    /// The handles of all pools, in order.
    package var handles: [PoolHandle] { self.rolls.compactMap { $0?.pointee.handle }.sorted() }

    /// - Returns: what `body` makes of a pool; nil for an unknown one.
    package func withPool<Result>(_ handle: PoolHandle, _ body: (borrowing PoolRoll) -> Result) -> Result? {
        self.index(of: handle).map { body(self.roll($0).pointee) }
    }

    package func has(_ handle: PoolHandle) -> Bool { self.index(of: handle) != nil }

    package func member(_ key: ElementKey) -> PoolMember? { self.withRecord(of: key, \.member) ?? nil }

    /// The record of a member, while `body` runs.
    package func withRecord<Result>(of key: ElementKey, _ body: (MemberRecord) -> Result) -> Result? {
        self.standing(of: key).map { self.roll(Int($0.pool)).pointee.withRecord(at: Int($0.slot), body) }
    }

    /// Who is home of an element.
    package func home(of key: ElementKey) -> RegistrarID? { self.whereabouts(of: key)?.home }

    /// All elements.
    package var members: [ElementKey: PoolMember] {
        var members: [ElementKey: PoolMember] = [:]
        for case let pool? in self.rolls {
            for id in pool.pointee.ids { members[ElementKey(pool: pool.pointee.handle, id: id)] = pool.pointee[id] }
        }
        return members
    }

    /// The PE checksum over the elements that `registrar` owns (RFC 5353 §3.6.2).
    package func checksum(of registrar: RegistrarID) -> UInt16 {
        (self.ledger(of: registrar)?.checksum ?? PEChecksum()).value
    }

    /// The same as rsplib sums it up.
    package func rsplibChecksum(of registrar: RegistrarID) -> UInt16 {
        (self.ledger(of: registrar)?.checksum ?? PEChecksum()).rsplibValue
    }

    /// Registers a new element or renews a known one (RFC 5352 §3.1, rules 1 to 3).
    ///
    /// Policy type, transport type and transport use have to be the pool's, in a re-registration too; each that differs
    /// is a cause, in the order 0005, 0007, 0008 (ASAP-068).
    ///
    /// - Parameter isReplica: another registrar has granted it: then the pool's policy may be one that is not known here.
    package mutating func register(
        _ member: PoolMember, in handle: PoolHandle, isReplica: Bool = false
    ) -> RegistrationOutcome {
        self.writer.removeAll()
        let lengths = member.encodeRecord(into: &self.writer)
        guard lengths.parameterLength <= Limits.maxMemberLength, lengths.replicaLength <= Limits.maxReplicaLength else {
            return .rejected([ErrorCause(.invalidValues)])
        }
        let known = self.index(of: handle)
        if let index = known, let slot = self.roll(index).pointee.slot(of: member.id) {
            let rejection = self.roll(index).pointee.inconsistencies(of: member)
            guard rejection.isEmpty else { return .rejected(rejection) }
            return .updated(changed: self.replace(at: index, slot, with: member, lengths.parameterLength))
        }
        guard !self.isFull else { return .rejected([ErrorCause(.lackOfResources)]) }
        let index: Int
        if let known {
            let rejection = self.roll(known).pointee.inconsistencies(of: member)
            guard rejection.isEmpty else { return .rejected(rejection) }
            index = known
        } else {
            switch self.create(handle, for: member, isReplica: isReplica) {
            case .made(let new): index = new
            case .refused(let cause): return .rejected([cause])
            }
        }
        self.add(member, lengths.parameterLength, at: index)
        return .added(createdPool: known == nil)
    }

    /// Removes an element; with its last one the pool goes (ASAP-099).
    /// - Returns: who was its home, nil for an unknown one.
    @discardableResult
    package mutating func remove(_ key: ElementKey) -> RegistrarID? {
        guard let standing = self.standing(of: key) else { return nil }
        let (index, slot) = (Int(standing.pool), Int(standing.slot))
        let (home, place) = self.roll(index).pointee.whereabouts(at: slot)
        if self.elementsWithDistance > 0, self.member(key)?.policy.distance != nil { self.elementsWithDistance -= 1 }
        self.elementCount -= 1
        self.disown(home, standing, at: place)
        self.roll(index).pointee.remove(at: slot)
        if self.roll(index).pointee.isEmpty {
            self.roll(index).deinitialize(count: 1)
            self.roll(index).deallocate()
            self.rolls[index] = nil
            self.table.remove(self.key.hash(key.pool), index)
            self.freeIndices.append(index)
        }
        return home
    }

    /// Chooses members by the pool's policy, and moves its state on (RFC 5356).
    ///
    /// - Returns: how many were chosen; nil for an unknown pool.
    package mutating func choose(
        from handle: PoolHandle, upTo count: Int, using generator: inout ChoiceGenerator,
        _ visit: ((MemberRecord) -> Void)? = nil
    ) -> Int? {
        guard let index = self.index(of: handle) else { return nil }
        return self.roll(index).pointee.choose(in: self.room(for: count), using: &generator) { roll, listed in
            if let visit { for slot in listed { roll.withRecord(at: slot.index, visit) } }
            return listed.count
        }
    }

    package enum Answer: Sendable {
        case unknownPool
        /// Nobody in the pool can be chosen, or fits the message.
        case nobody
        /// The message.
        case positive([UInt8])
    }

    /// Composes a positive HANDLE_RESOLUTION_RESPONSE with the members that are chosen (RFC 5352 §2.2.6).
    package mutating func answer(
        from handle: PoolHandle, upTo count: Int, updatesFollow: Bool, using generator: inout ChoiceGenerator
    ) -> Answer {
        guard let index = self.index(of: handle) else { return .unknownPool }
        let roll = self.roll(index)
        var composer = HandleResolutionResponseComposer(head: roll.pointee.head, updatesFollow: updatesFollow)
        let taken = roll.pointee.choose(in: self.room(for: count), using: &generator) { roll, listed in
            listed.firstIndex { slot in
                !roll.withRecord(at: slot.index) { composer.add(member: $0.parameter) }
            } ?? listed.count
        }
        guard taken > 0, let message = try? composer.finish() else { return .nobody }
        return .positive(message)
    }

    private func room(for count: Int) -> UnsafeMutableBufferPointer<Slot> {
        UnsafeMutableBufferPointer(rebasing: self.room[..<max(0, min(count, self.room.count))])
    }

    private enum Creation {
        case made(at: Int)
        case refused(ErrorCause)
    }

    /// Makes an empty pool for `first` to join.
    private mutating func create(
        _ handle: PoolHandle, for first: PoolMember, isReplica: Bool
    ) -> Creation {
        guard handle.octets.count <= self.limits.maxHandleLength else { return .refused(ErrorCause(.invalidValues)) }
        guard self.table.count < self.limits.maxPools else { return .refused(ErrorCause(.lackOfResources)) }
        let pool = PoolRoll(
            handle: handle, first: first, isReplica: isReplica, policies: self.policies, key: self.key)
        guard let pool else {
            return .refused(ErrorCause(.invalidValues, data: first.policy.encodedParameter()))
        }
        let index = self.freeIndices.popLast() ?? self.rolls.count
        if index == self.rolls.count { self.rolls.append(nil) }
        let place = UnsafeMutablePointer<PoolRoll>.allocate(capacity: 1)
        place.initialize(to: pool)
        self.rolls[index] = place
        self.table.insert(self.key.hash(handle), index)
        return .made(at: index)
    }

    // MARK: Where things stand

    /// A pool that is there.
    private func roll(_ index: Int) -> UnsafeMutablePointer<PoolRoll> {
        guard let roll = self.rolls[index] else { preconditionFailure("no pool has the index \(index)") }
        return roll
    }

    // Inlined, here and below: who changes the handlespace would copy all of it to have something to ask.
    @inline(__always)
    private func index(of handle: PoolHandle) -> Int? {
        self.rolls.withUnsafeBufferPointer { rolls in
            self.table.find(self.key.hash(handle)) { rolls[$0]?.pointee.handle == handle }
        }
    }

    @inline(__always)
    private func standing(of key: ElementKey) -> OwnerLedger.Standing? {
        guard let index = self.index(of: key.pool), let slot = self.roll(index).pointee.slot(of: key.id) else {
            return nil
        }
        return OwnerLedger.Standing(pool: UInt32(index), slot: UInt32(slot))
    }

    func key(of standing: OwnerLedger.Standing) -> ElementKey? {
        guard let roll = self.rolls[Int(standing.pool)] else { return nil }
        return ElementKey(pool: roll.pointee.handle, id: roll.pointee.id(at: Int(standing.slot)))
    }

    /// - Returns: what `body` did; nil if nobody stands there.
    func withRecord<Result>(
        at standing: OwnerLedger.Standing, _ body: (PoolHandle, MemberRecord) -> Result
    ) -> Result? {
        guard let roll = self.rolls[Int(standing.pool)] else { return nil }
        return roll.pointee.withRecord(at: Int(standing.slot)) { body(roll.pointee.handle, $0) }
    }

    // MARK: Owners

    /// The order of its pool goes by these values of an element from now on.
    mutating func rank(_ key: ElementKey, by policy: PoolPolicy) {
        guard let standing = self.standing(of: key) else { return }
        self.roll(Int(standing.pool)).pointee.rank(at: Int(standing.slot), by: policy)
    }

    func ledger(of registrar: RegistrarID) -> OwnerLedger? {
        self.ownerIndex(of: registrar).map { self.ledgers[$0] }
    }

    mutating func withLedger(of registrar: RegistrarID, _ body: (inout OwnerLedger) -> Void) {
        if let index = self.ownerIndex(of: registrar) { body(&self.ledgers[index]) }
    }

    @inline(__always)
    private func ownerIndex(of registrar: RegistrarID) -> Int? {
        let index = self.ownerIndex { $0 < registrar }
        return index < self.owners.count && self.owners[index] == registrar ? index : nil
    }

    /// The next owner by ID; nil: the first.
    func owner(after registrar: RegistrarID?) -> RegistrarID? {
        let index = registrar.map { last in self.ownerIndex { $0 <= last } } ?? 0
        return index < self.owners.count ? self.owners[index] : nil
    }

    /// How many owners precede, which is true of the first ones and of no other.
    @inline(__always)
    private func ownerIndex(_ precedes: (RegistrarID) -> Bool) -> Int {
        var (low, high) = (0, self.owners.count)
        while low < high {
            let middle = (low + high) / 2
            if precedes(self.owners[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Enters an element in its home's ledger.
    /// - Returns: its place there.
    private mutating func enter(
        _ standing: OwnerLedger.Standing, _ share: PEChecksum.Share, _ id: PoolElementID, of home: RegistrarID,
        isMove: Bool = false
    ) -> Int {
        let index = self.ownerIndex { $0 < home }
        if index == self.owners.count || self.owners[index] != home {
            self.owners.insert(home, at: index)
            self.ledgers.insert(OwnerLedger(), at: index)
        }
        return self.ledgers[index].add(standing, share, id, isMove: isMove)
    }

    @inline(__always)
    func whereabouts(of key: ElementKey) -> (home: RegistrarID, place: Int)? {
        self.standing(of: key).map { self.roll(Int($0.pool)).pointee.whereabouts(at: Int($0.slot)) }
    }

    mutating func move(_ key: ElementKey, from old: RegistrarID, at place: Int, to home: RegistrarID) {
        guard let standing = self.standing(of: key) else { return }
        let share = self.roll(Int(standing.pool)).pointee.checksumShare
        self.disown(old, standing, at: place)
        let place = self.enter(standing, share, key.id, of: home, isMove: true)
        self.roll(Int(standing.pool)).pointee.changeHome(at: Int(standing.slot), to: home, place: place)
        if self.hasDistances { self.rank(key) }
    }

    /// Stores a newcomer, whose record has been written, and enters it in its home's ledger.
    private mutating func add(_ member: PoolMember, _ parameterLength: Int, at index: Int) {
        let roll = self.roll(index)
        let (slot, share) = (roll.pointee.nextSlot, roll.pointee.checksumShare)
        self.elementCount += 1
        if member.policy.distance != nil { self.elementsWithDistance += 1 }
        let standing = OwnerLedger.Standing(pool: UInt32(index), slot: UInt32(slot))
        let place = self.enter(standing, share, member.id, of: member.home)
        let policy = self.ranked(member)
        Self.withRecord(self.writer, parameterLength) { record in
            roll.pointee.add(member.id, home: member.home, place: place, ranked: policy, record)
        }
    }

    /// Stores a member anew, whose record has been written.
    /// - Returns: whether pool users see a difference.
    private mutating func replace(
        at index: Int, _ slot: Int, with member: PoolMember, _ parameterLength: Int
    ) -> Bool {
        let roll = self.roll(index)
        let (home, old) = roll.pointee.whereabouts(at: slot)
        var place = old
        if home == member.home {
            if let owner = self.ownerIndex(of: home) { self.ledgers[owner].confirm(at: old) }
        } else {
            let standing = OwnerLedger.Standing(pool: UInt32(index), slot: UInt32(slot))
            self.disown(home, standing, at: old)
            place = self.enter(standing, roll.pointee.checksumShare, member.id, of: member.home, isMove: true)
        }
        let policy = self.ranked(member)
        var changed = false
        Self.withRecord(self.writer, parameterLength) { record in
            changed = roll.pointee.replace(at: slot, home: member.home, place: place, ranked: policy, record)
        }
        return changed
    }

    private static func withRecord(
        _ writer: borrowing WireWriter, _ parameterLength: Int, _ body: (MemberRecord) -> Void
    ) {
        writer.withBytes { body(MemberRecord(octets: $0, parameterLength: parameterLength)) }
    }

    private mutating func disown(_ home: RegistrarID, _ standing: OwnerLedger.Standing, at place: Int) {
        let roll = self.roll(Int(standing.pool))
        let (share, id) = (roll.pointee.checksumShare, roll.pointee.id(at: Int(standing.slot)))
        guard let owner = self.ownerIndex(of: home) else { return }
        self.ledgers[owner].remove(at: place, share, id)
        guard self.ledgers[owner].isEmpty else { return }
        self.ledgers.remove(at: owner)
        self.owners.remove(at: owner)
    }
}
