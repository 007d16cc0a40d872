// SPDX-License-Identifier: Apache-2.0

/// What is known about an association when it comes up.
public struct SCTPAssociation: Hashable, Sendable {
    public let id: AssociationID
    /// All of the peer's addresses, its SCTP port, and the UDP port its packets really come from.
    public let peer: SCTPPeer
    /// The peer began it.
    public let isIncoming: Bool
    /// Streams we may send on, and the peer may.
    public let outboundStreams: UInt16
    public let inboundStreams: UInt16
}
