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
/// elsewhere (``ElementWatch``).
package struct Handlespace: Sendable {
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
    private var pools: [PoolHandle: PoolRoll] = [:]
    package private(set) var elementCount = 0
    private var ledgers: [RegistrarID: OwnerLedger] = [:]
    /// How far away other registrars are, in milliseconds, and how many elements want to know that.
    var homeDistances: [RegistrarID: UInt32] = [:]
    private(set) var elementsWithDistance = 0
    /// Whose ledgers there are, in order.
    private var owners: [RegistrarID] = []

    /// - Parameter policies: those that elements may register with here.
    package init(limits: Limits = Limits(), policies: PolicyCatalogue = .standard) {
        self.limits = limits
        self.policies = policies
    }

    package var poolCount: Int { self.pools.count }

    /// The handles of all pools, in order.
    package var handles: [PoolHandle] { self.pools.keys.sorted() }

    package subscript(_ handle: PoolHandle) -> PoolRoll? { self.pools[handle] }

    package func member(_ key: ElementKey) -> PoolMember? { self.pools[key.pool]?[key.id] }

    /// All elements.
    package var members: [ElementKey: PoolMember] {
        var members: [ElementKey: PoolMember] = [:]
        for (handle, pool) in self.pools {
            for id in pool.ids { members[ElementKey(pool: handle, id: id)] = pool[id] }
        }
        return members
    }

    /// The PE checksum over the elements that `registrar` owns (RFC 5353 §3.6.2).
    package func checksum(of registrar: RegistrarID) -> UInt16 {
        (self.ledgers[registrar]?.checksum ?? PEChecksum()).value
    }

    /// The same as rsplib sums it up.
    package func rsplibChecksum(of registrar: RegistrarID) -> UInt16 {
        (self.ledgers[registrar]?.checksum ?? PEChecksum()).rsplibValue
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
        let known = self.pools[handle]?[member.id]
        let encoded = member.encodedParameter(for: .asap)
        if encoded.count > Limits.maxMemberLength {
            return .rejected([ErrorCause(.invalidValues)])
        }
        if known == nil, self.elementCount >= self.limits.maxElements {
            return .rejected([ErrorCause(.lackOfResources)])
        }
        let isNewPool = self.pools[handle] == nil
        if let rejection = self.pools[handle]?.inconsistencies(of: member) {
            guard rejection.isEmpty else { return .rejected(rejection) }
        } else if let rejection = self.create(handle, for: member, isReplica: isReplica) {
            return .rejected([rejection])
        }
        let changed = self.put(member, encoded: encoded, in: handle)
        return known == nil ? .added(createdPool: isNewPool) : .updated(changed: changed)
    }

    /// Removes an element; with its last one the pool goes (ASAP-099).
    /// - Returns: what was removed, nil for an unknown one.
    @discardableResult
    package mutating func remove(_ key: ElementKey) -> PoolMember? {
        guard let (member, place) = self.pools[key.pool]?.remove(key.id) else { return nil }
        self.elementCount -= 1
        if member.policy.distance != nil { self.elementsWithDistance -= 1 }
        self.disown(member.home, at: place)
        if self.pools[key.pool]?.isEmpty == true { self.pools[key.pool] = nil }
        return member
    }

    /// Chooses members for an answer by the pool's policy, and moves the policy's state on (RFC 5356).
    ///
    /// - Parameter visit: takes a member by its encoded parameter; false if it does not fit any more.
    /// - Returns: how many were taken; nil for an unknown pool.
    package mutating func select(
        from handle: PoolHandle, upTo count: Int, using generator: inout some RandomNumberGenerator,
        _ visit: (_ encoded: [UInt8]) -> Bool
    ) -> Int? {
        self.pools[handle]?.select(upTo: count, using: &generator, visit)
    }

    /// Makes an empty pool for `first` to join.
    /// - Returns: why not.
    private mutating func create(
        _ handle: PoolHandle, for first: PoolMember, isReplica: Bool
    ) -> ErrorCause? {
        guard handle.octets.count <= self.limits.maxHandleLength else { return ErrorCause(.invalidValues) }
        guard self.pools.count < self.limits.maxPools else { return ErrorCause(.lackOfResources) }
        guard let pool = PoolRoll(handle: handle, first: first, isReplica: isReplica, policies: self.policies)
        else {
            return ErrorCause(.invalidValues, data: first.policy.encodedParameter())
        }
        self.pools[handle] = pool
        return nil
    }

    // MARK: Owners

    /// The order of its pool goes by these values of an element from now on.
    mutating func rank(_ key: ElementKey, by policy: PoolPolicy) {
        self.pools[key.pool]?.rank(key.id, by: policy)
    }

    func ledger(of registrar: RegistrarID) -> OwnerLedger? { self.ledgers[registrar] }

    mutating func withLedger(of registrar: RegistrarID, _ body: (inout OwnerLedger) -> Void) {
        if self.ledgers[registrar] != nil { body(&self.ledgers[registrar, default: OwnerLedger()]) }
    }

    /// The next owner by ID; nil: the first.
    func owner(after registrar: RegistrarID?) -> RegistrarID? {
        let index = registrar.map { last in self.ownerIndex { $0 <= last } } ?? 0
        return index < self.owners.count ? self.owners[index] : nil
    }

    /// How many owners precede, which is true of the first ones and of no other.
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
    private mutating func enter(_ key: ElementKey, of home: RegistrarID, isMove: Bool = false) -> Int {
        if self.ledgers[home] == nil { self.owners.insert(home, at: self.ownerIndex { $0 < home }) }
        return self.ledgers[home, default: OwnerLedger()].add(key, isMove: isMove)
    }

    func whereabouts(of key: ElementKey) -> (home: RegistrarID, place: Int)? {
        self.pools[key.pool]?.whereabouts(of: key.id)
    }

    mutating func move(_ key: ElementKey, from old: RegistrarID, at place: Int, to home: RegistrarID) {
        self.disown(old, at: place)
        let place = self.enter(key, of: home, isMove: true)
        self.pools[key.pool]?.changeHome(of: key.id, to: home, place: place)
        if self.hasDistances { self.rank(key) }
    }

    /// Stores a member that is known to fit, and enters it in its home's ledger.
    /// - Returns: whether others see a difference.
    private mutating func put(_ member: PoolMember, encoded: [UInt8], in handle: PoolHandle) -> Bool {
        let key = ElementKey(pool: handle, id: member.id)
        let place: Int
        if let (home, old) = self.pools[handle]?.whereabouts(of: member.id) {
            if home == member.home {
                place = old
                self.ledgers[home]?.confirm(at: old)
            } else {
                self.disown(home, at: old)
                place = self.enter(key, of: member.home, isMove: true)
            }
        } else {
            self.elementCount += 1
            if member.policy.distance != nil { self.elementsWithDistance += 1 }
            place = self.enter(key, of: member.home)
        }
        let policy = self.ranked(member)
        return self.pools[handle]?.put(member, ranked: policy, encoded: encoded, place: place) ?? false
    }

    private mutating func disown(_ home: RegistrarID, at place: Int) {
        self.ledgers[home]?.remove(at: place)
        guard self.ledgers[home]?.isEmpty == true else { return }
        self.ledgers[home] = nil
        self.owners.remove(at: self.ownerIndex { $0 < home })
    }
}
