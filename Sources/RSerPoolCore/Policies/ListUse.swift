// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// What a pool user makes of the list that a registrar has chosen and ordered, message by message or session by session
/// (RFC 5356, the parts "Pool User Considerations").
///
/// Whatever it is, members known to be unreachable are left out.
public struct ListUse: Sendable {
    package enum Way: Sendable {
        case inTurn
        case inOrder
        case random
        case weighted(@Sendable (PoolPolicy) -> UInt64)
        case greatest(@Sendable (PoolPolicy) -> UInt64)
    }

    package let way: Way

    /// One after the other, and from the beginning again.
    public static let inTurn = ListUse(way: .inTurn)
    /// The first that can be reached, each time: the registrar has put the best one there.
    public static let inOrder = ListUse(way: .inOrder)
    /// A uniform draw.
    public static let random = ListUse(way: .random)

    /// A draw in proportion to the members' own values. Where all weights are 0 it is uniform; their sum is cut at the
    /// greatest number of 64 bits.
    public static func random(weight: @escaping @Sendable (PoolPolicy) -> UInt64) -> ListUse {
        ListUse(way: .weighted(weight))
    }

    /// The member with the greatest key, however the list is ordered; the first of several.
    public static func greatest(key: @escaping @Sendable (PoolPolicy) -> UInt64) -> ListUse {
        ListUse(way: .greatest(key))
    }
}
