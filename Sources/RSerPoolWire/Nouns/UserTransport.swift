// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress

/// What an SCTP transport carries (RFC 5354 §3.4): application data alone, or ASAP's control channel on PPID 11 besides.
public enum TransportUse: UInt16, Hashable, Sendable {
    case dataOnly = 0
    case dataAndControl = 1
}

/// An SCTP endpoint as RSerPool names it: one port and one or more addresses of either family (RFC 5354 §3.4).
public struct SCTPTransport: Hashable, Sendable {
    public var port: UInt16
    public var use: TransportUse
    public var addresses: [IPAddress]

    public init(port: UInt16, use: TransportUse = .dataOnly, addresses: [IPAddress]) {
        self.port = port
        self.use = use
        self.addresses = addresses
    }
}

/// Where the users of a pool reach one of its elements (RFC 5354 §3.3–3.7, §3.16).
public enum UserTransport: Hashable, Sendable {
    case sctp(SCTPTransport)
    case tcp(SocketAddress)
    case udp(SocketAddress)
    case udpLite(SocketAddress)
    case dccp(SocketAddress, serviceCode: UInt32)
    /// Octets that only the application understands.
    case opaque([UInt8])

    /// Its kind; all elements of a pool have the same one (RFC 5352 §3.1).
    public var kind: Kind {
        switch self {
        case .sctp: .sctp
        case .tcp: .tcp
        case .udp: .udp
        case .udpLite: .udpLite
        case .dccp: .dccp
        case .opaque: .opaque
        }
    }

    /// The raw value is the parameter type (RFC 5354 §3, table 1).
    public enum Kind: UInt16, Hashable, Sendable {
        case dccp = 0x0003
        case sctp = 0x0004
        case tcp = 0x0005
        case udp = 0x0006
        case udpLite = 0x0007
        case opaque = 0x0010
    }

    /// Only SCTP can carry the control channel; everything else counts as data only (RFC 5354 §3.3, §3.5–3.7).
    public var use: TransportUse {
        if case .sctp(let transport) = self { transport.use } else { .dataOnly }
    }

    /// The addresses it names; none for an opaque one.
    public var addresses: [IPAddress] {
        switch self {
        case .sctp(let transport): transport.addresses
        case .tcp(let address), .udp(let address), .udpLite(let address), .dccp(let address, _): [address.ip]
        case .opaque: []
        }
    }

    /// Nil for an opaque one.
    public var port: UInt16? {
        switch self {
        case .sctp(let transport): transport.port
        case .tcp(let address), .udp(let address), .udpLite(let address), .dccp(let address, _): address.port
        case .opaque: nil
        }
    }
}
