// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// A registrar's answer to who is in a pool.
public struct Resolution: Hashable, Sendable {
    public let pool: PoolHandle
    /// The pool's policy; its values have no meaning.
    public let policy: PoolPolicy
    /// In the order of the policy. At least one.
    public let members: [PoolMember]
    /// The registrar's endpoint.
    public let registrar: String
    /// Whether it was remembered rather than asked for.
    public let isFromCache: Bool
}
