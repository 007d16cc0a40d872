// SPDX-License-Identifier: Apache-2.0

/// What an endpoint refused, dropped or noticed since it was opened; datagram counters are those of the UDP sockets it
/// uses, which endpoints of one process may share.
public struct SCTPStatistics: Hashable, Sendable {
    /// Associations that came up, by either side.
    public var associationsUp: UInt64 = 0
    /// Incoming associations aborted because `maxAssociations` were up.
    public var associationsRejected: UInt64 = 0
    /// Associations aborted because the peer sent more than `maxMessageLength`.
    public var messagesTooLong: UInt64 = 0
    /// Calls refused with `SCTPError.Code.bufferFull`.
    public var sendsRefused: UInt64 = 0
    /// Kernel stack: associations which filled the send buffer they shared with others and got a socket of their own.
    public var associationsPeeledOff: UInt64 = 0
    /// Datagrams that cannot be SCTP: too short, or a first chunk that does not fit.
    public var datagramsMalformed: UInt64 = 0
    /// Datagrams of unknown senders with a wrong CRC32C.
    public var datagramsWithWrongChecksum: UInt64 = 0
    /// Packets for no association and no endpoint (RFC 9260 §8.4); answered with ABORT within a rate limit.
    public var datagramsOutOfTheBlue: UInt64 = 0
    /// Datagrams of new senders dropped because the table of senders is full.
    public var sendersRejected: UInt64 = 0
    /// Outgoing datagrams dropped because the UDP socket did not take them; SCTP sends them again.
    public var datagramsNotSent: UInt64 = 0
    /// ICMP errors that named one of our peers.
    public var unreachableReports: UInt64 = 0
    /// Peers whose UDP address changed during an association (RFC 6951 §5.4).
    public var peersMoved: UInt64 = 0

    public init() {}
}
