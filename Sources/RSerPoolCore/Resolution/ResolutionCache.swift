// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// What a pool user remembers of the pools it asked for (RFC 5352 §3.3, C1 to C4), as ``Caching`` says.
package struct ResolutionCache: Sendable {
    private struct Entry: Sendable {
        var chooser: MemberChooser
        var staleAt: ContinuousClock.Instant
        /// From then on a use of it asks for a new answer.
        var refreshAt: ContinuousClock.Instant
        /// Until then it may still be used while the new one is awaited.
        var usableUntil: ContinuousClock.Instant
        var lastUsed: UInt64
    }

    /// What the cache gives for a choice.
    package struct Choice: Hashable, Sendable {
        package let member: PoolMember
        /// A new answer has to be asked for beside.
        package let isRefreshDue: Bool
    }

    /// Pools remembered; the one that was used longest ago makes room.
    package static let maxPools = 1_024

    private let staleCacheValue: Duration
    private let caching: Caching
    private var entries: [PoolHandle: Entry] = [:]
    private var uses: UInt64 = 0

    /// - Parameter staleCacheValue: how long an answer is fresh; zero: nothing is cached.
    package init(staleCacheValue: Duration, caching: Caching = Caching()) {
        self.staleCacheValue = staleCacheValue
        self.caching = caching
    }

    package mutating func store(_ chooser: MemberChooser, for pool: PoolHandle, now: ContinuousClock.Instant) {
        self.uses += 1
        if self.entries[pool] == nil, self.entries.count >= Self.maxPools,
            let oldest = self.entries.min(by: { $0.value.lastUsed < $1.value.lastUsed })
        {
            self.entries[oldest.key] = nil
        }
        let policy = chooser.overallPolicy
        let fresh = self.caching.freshTime(for: policy, staleCacheValue: self.staleCacheValue)
        var entry = Entry(
            chooser: chooser, staleAt: now + fresh, refreshAt: now + fresh, usableUntil: now + fresh,
            lastUsed: self.uses)
        if policy.load == nil {
            switch self.caching.refresh {
            case .whenStale: break
            case .behind: entry.usableUntil = now + fresh * 2
            case .ahead: entry.refreshAt = now + fresh * 3 / 4
            }
        }
        self.entries[pool] = entry
    }

    /// The policy of a pool, as it was last told.
    package func policy(of pool: PoolHandle) -> PolicyType? { self.entries[pool]?.chooser.overallPolicy.type }

    /// The members of a fresh entry.
    package func members(of pool: PoolHandle, now: ContinuousClock.Instant) -> MemberChooser? {
        guard let entry = self.entries[pool], now < entry.staleAt else { return nil }
        return entry.chooser
    }

    /// Chooses from an entry that is fresh, or may still be used.
    /// - Returns: nil without one, or when all of its members are unreachable: a resolution is due.
    package mutating func choose(
        from pool: PoolHandle, now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> Choice? {
        guard let entry = self.entries[pool], now < entry.usableUntil else { return nil }
        self.uses += 1
        self.entries[pool]?.lastUsed = self.uses
        guard let member = self.entries[pool]?.chooser.next(using: &generator) else { return nil }
        return Choice(member: member, isRefreshDue: now >= entry.refreshAt)
    }

    package mutating func markUnreachable(_ key: ElementKey) {
        self.entries[key.pool]?.chooser.markUnreachable(key.id)
    }

    /// Forgets who is in a pool.
    package mutating func purge(_ pool: PoolHandle) {
        self.entries[pool] = nil
    }
}
