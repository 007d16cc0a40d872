// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress
public import RSerPoolCore
public import RSerPoolTransport
public import RSerPoolWire

/// How a registrar is set up.
public struct RegistrarConfiguration: Sendable {
    /// Its identifier; nil: a random one, which stays until it ends.
    public var id: RegistrarID?
    /// Where it listens for pool elements and pool users. Default: SCTP and TCP on port 3863 of every local address.
    public var asapEndpoints: [Endpoint] = [.sctp("*"), .tcp("*")]
    /// Where it listens for other registrars. Default: SCTP on port 9901 of every local address.
    public var enrpEndpoints: [Endpoint] = [.sctp("*", port: 9901)]
    /// Registrars to meet, in order of preference; they are tried for ever.
    public var peers: [Endpoint] = []
    /// Which of them bend the RFCs, and how; also such that come by themselves.
    public var dialects: [Endpoint: Dialect] = [:]
    /// The multicast group and port at which registrars find one another (RFC 5353 assigns port 9901, but no group). Nil: none.
    public var discoverGroup: SocketAddress?
    /// The multicast group and port of announcements, 224.0.1.185:3863 by the RFC. Nil: no announcements.
    public var announceGroup: SocketAddress?
    public var timers: ASAPTimers = .rfc
    public var enrpTimers: ENRPTimers = .rfc
    /// Heartbeats and retransmissions of SCTP tuned for a local network, so that a dead association is noticed in a tenth of a second.
    public var fastFailureDetection = false
    /// Whether the addresses that an element registers have to be addresses of its association (ASAP-023). Off only for
    /// test beds and address translators.
    public var checksAddresses = true
    /// Whether keep-alives name the element that is meant, as rsplib's do too (a deviation that RFC 5352 allows).
    public var namesElementInKeepAlive = true
    /// The policies that elements may register with; another one is refused with cause 3 (POL-005).
    public var policies = PolicyCatalogue.standard
    public var limits = RegistrarLimits()

    public init() {}
}
