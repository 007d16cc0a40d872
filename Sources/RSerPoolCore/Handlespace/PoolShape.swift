// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// What all members of a pool have in common: policy type, transport type, transport use (RFC 5352 §3.1).
///
/// Halves of a network that were cut apart may have made one pool with two shapes. All registrars then have to keep the
/// same one, whoever hears of the other first: the smaller, compared by the numbers on the wire in this order.
package struct PoolShape: Hashable, Sendable, Comparable {
    package var policyType: PolicyType
    package var transportKind: UserTransport.Kind
    package var transportUse: TransportUse

    package init(policyType: PolicyType, transportKind: UserTransport.Kind, transportUse: TransportUse) {
        self.policyType = policyType
        self.transportKind = transportKind
        self.transportUse = transportUse
    }

    package init(of member: PoolMember) {
        self.init(
            policyType: member.policy.type, transportKind: member.transport.kind, transportUse: member.transport.use)
    }

    package static func < (left: PoolShape, right: PoolShape) -> Bool {
        (left.policyType.rawValue, left.transportKind.rawValue, left.transportUse.rawValue)
            < (right.policyType.rawValue, right.transportKind.rawValue, right.transportUse.rawValue)
    }
}
