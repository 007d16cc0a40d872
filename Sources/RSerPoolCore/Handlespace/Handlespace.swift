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
    private var pools: [PoolHandle: PoolRoll] = [:]
    package private(set) var elementCount = 0
    private var checksums: [RegistrarID: PEChecksum] = [:]

    package init(limits: Limits = Limits()) {
        self.limits = limits
    }

    package var poolCount: Int { self.pools.count }

    /// The handles of all pools, in order.
    package var handles: [PoolHandle] { self.pools.keys.sorted() }

    package subscript(_ handle: PoolHandle) -> PoolRoll? { self.pools[handle] }

    package func member(_ key: ElementKey) -> PoolMember? { self.pools[key.pool]?[key.id] }

    /// The PE checksum over the elements that `registrar` owns (RFC 5353 §3.6.2).
    package func checksum(of registrar: RegistrarID) -> UInt16 { (self.checksums[registrar] ?? PEChecksum()).value }

    /// Registers a new element or renews a known one (RFC 5352 §3.1, rules 1 to 3).
    ///
    /// Policy type, transport type and transport use have to be the pool's, in a re-registration too; each that differs
    /// is a cause, in the order 0005, 0007, 0008 (ASAP-068).
    package mutating func register(_ member: PoolMember, in handle: PoolHandle) -> RegistrationOutcome {
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
        } else if let rejection = self.create(handle, for: member) {
            return .rejected([rejection])
        }
        let changed = self.pools[handle]?.put(member, encoded: encoded) ?? false
        if let known {
            self.disown(handle, known)
        } else {
            self.elementCount += 1
        }
        self.checksums[member.home, default: PEChecksum()].add(handle, member.id)
        return known == nil ? .added(createdPool: isNewPool) : .updated(changed: changed)
    }

    /// Removes an element; with its last one the pool goes (ASAP-099).
    /// - Returns: what was removed, nil for an unknown one.
    @discardableResult
    package mutating func remove(_ key: ElementKey) -> PoolMember? {
        guard let member = self.pools[key.pool]?.remove(key.id) else { return nil }
        self.elementCount -= 1
        self.disown(key.pool, member)
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
    private mutating func create(_ handle: PoolHandle, for first: PoolMember) -> ErrorCause? {
        guard handle.octets.count <= self.limits.maxHandleLength else { return ErrorCause(.invalidValues) }
        guard self.pools.count < self.limits.maxPools else { return ErrorCause(.lackOfResources) }
        guard let pool = PoolRoll(handle: handle, first: first) else {
            return ErrorCause(.invalidValues, data: first.policy.encodedParameter())
        }
        self.pools[handle] = pool
        return nil
    }

    private mutating func disown(_ handle: PoolHandle, _ member: PoolMember) {
        self.checksums[member.home]?.remove(handle, member.id)
        if self.checksums[member.home] == PEChecksum() { self.checksums[member.home] = nil }
    }
}
