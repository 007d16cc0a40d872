// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop

/// What usrsctp takes for a peer's address: a number that stands for a UDP socket of ours and a remote UDP address.
///
/// usrsctp never looks behind it, so the number may outlive the handle: then a lookup fails and the packet is dropped.
final class PeerHandle {
    typealias ID = UInt

    let id: ID
    /// The UDP socket owns its handles.
    unowned let channel: UDPChannel
    /// Where its packets go: the address the last authentic packet came from.
    var remote: csl_address
    /// The local address the peer used; ours to answer from. Family 0: let the system choose.
    var local: csl_address
    /// Other addresses whose packets carried a verification tag of this handle's associations.
    var aliases: [csl_address] = []
    /// The associations that run over it.
    var associations: Set<AssociationID> = []
    /// When something last arrived or was sent, in the stack's milliseconds.
    var lastUse: UInt64
    /// ICMP errors since the last packet from the peer.
    var refusals = 0
    /// The stack's turn of the last one counted.
    var lastRefusal: UInt64 = 0

    init(id: ID, channel: UDPChannel, remote: csl_address, local: csl_address, now: UInt64) {
        self.id = id
        self.channel = channel
        self.remote = remote
        self.local = local
        self.lastUse = now
    }
}

/// A remote UDP address as a dictionary key.
struct RemoteKey: Hashable {
    var high: UInt64
    var low: UInt64
    /// Port and family.
    var rest: UInt32

    init(_ address: csl_address) {
        self.high = address.high
        self.low = address.low
        self.rest = UInt32(address.port) << 8 | UInt32(address.family)
    }
}
