// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// What a pool user remembers of the pools it asked for (RFC 5352 §3.3, C1 to C4).
package struct ResolutionCache: Sendable {
    private struct Entry: Sendable {
        var chooser: MemberChooser
        var staleAt: ContinuousClock.Instant
        var lastUsed: UInt64
    }

    /// Pools remembered; the one that was used longest ago makes room.
    package static let maxPools = 1_024

    private let staleCacheValue: Duration
    private var entries: [PoolHandle: Entry] = [:]
    private var uses: UInt64 = 0

    /// - Parameter staleCacheValue: how long an answer is fresh; zero: nothing is cached.
    package init(staleCacheValue: Duration) {
        self.staleCacheValue = staleCacheValue
    }

    package mutating func store(_ chooser: MemberChooser, for pool: PoolHandle, now: ContinuousClock.Instant) {
        self.uses += 1
        if self.entries[pool] == nil, self.entries.count >= Self.maxPools,
            let oldest = self.entries.min(by: { $0.value.lastUsed < $1.value.lastUsed })
        {
            self.entries[oldest.key] = nil
        }
        self.entries[pool] = Entry(chooser: chooser, staleAt: now + self.staleCacheValue, lastUsed: self.uses)
    }

    /// The members of a fresh entry.
    package func members(of pool: PoolHandle, now: ContinuousClock.Instant) -> MemberChooser? {
        guard let entry = self.entries[pool], now < entry.staleAt else { return nil }
        return entry.chooser
    }

    /// Chooses from a fresh entry.
    /// - Returns: nil without one, or when all of its members are unreachable: a resolution is due.
    package mutating func choose(
        from pool: PoolHandle, now: ContinuousClock.Instant, using generator: inout some RandomNumberGenerator
    ) -> PoolMember? {
        guard let entry = self.entries[pool], now < entry.staleAt else { return nil }
        self.uses += 1
        self.entries[pool]?.lastUsed = self.uses
        return self.entries[pool]?.chooser.next(using: &generator)
    }

    package mutating func markUnreachable(_ key: ElementKey) {
        self.entries[key.pool]?.chooser.markUnreachable(key.id)
    }

    package mutating func purge(_ pool: PoolHandle) {
        self.entries[pool] = nil
    }
}
