// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// One pool member selection policy: its number, its name, what a registrar does by it, and what a pool user does.
///
/// All of RFC 5356, and some more, are in ``PolicyCatalogue/standard``. One of your own is such a value too, under a number with bit 31 set
/// (RFC 5356 §7.1), in the catalogues of those registrars and pool users that are to know it:
///
///     let mostUsed = SelectionPolicy(
///         type: PolicyType(rawValue: 0x8000_0101), name: "most-used", listUse: .inOrder, makeOrder: { MostUsedOrder() })
///     configuration.policies.add(mostUsed)
///
/// Its elements register with ``PoolPolicy/custom(_:words:)``, and ``PoolPolicy/words`` reads their values.
public struct SelectionPolicy: Sendable {
    public let type: PolicyType
    /// What it is called on a command line and in JSON: `least-used`. Lower-case words with hyphens, no colon.
    public let name: String
    /// What a pool user makes of the list in an answer.
    public let listUse: ListUse
    /// Makes an empty order for a new pool at a registrar. It is called once for each pool, not for each answer.
    public let makeOrder: @Sendable () -> any MemberOrder

    public init(
        type: PolicyType, name: String, listUse: ListUse, makeOrder: @escaping @Sendable () -> any MemberOrder
    ) {
        self.type = type
        self.name = name
        self.listUse = listUse
        self.makeOrder = makeOrder
    }
}
