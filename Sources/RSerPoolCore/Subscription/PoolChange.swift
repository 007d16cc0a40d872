// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// What happened to a pool that somebody watches.
public enum PoolChange: Hashable, Sendable {
    /// Everybody who is in the pool, by identifier: the first change of all, after each interruption, and whenever a slow
    /// reader has missed some changes.
    case snapshot([PoolMember])
    case joined(PoolMember)
    /// It registered again with other values, or has another home.
    case updated(PoolMember)
    /// It deregistered, was found dead, or its life ended.
    case left(PoolMember)
    /// The registrar that told us is gone or silent. What was known stays known, and grows old.
    case interrupted
    /// A registrar tells us again; a snapshot follows.
    case resumed
}
