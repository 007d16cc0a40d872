// SPDX-License-Identifier: Apache-2.0

/// Where somebody listens, or shall, as people write it:
///
///     sctp:HOST[,HOST…][:PORT][/udp=PORT]    stls:HOST[,HOST…][:PORT][/udp=PORT]
///     tcp:HOST[:PORT]                        tls:HOST[:PORT]
///
/// A host is an IPv4 address, an IPv6 address in brackets, a name, or `*` for every local address. Several hosts are one
/// multi-homed SCTP endpoint. A missing port is the one of the protocol meant. Port 0 asks for a free one when listening.
/// `/udp` is the far end's UDP port where SCTP is carried in UDP (RFC 6951).
public struct Endpoint: Hashable, Sendable {
    public enum Scheme: String, Hashable, Sendable, CaseIterable {
        case sctp
        case tcp
        /// TLS over TCP.
        case tls
        /// TLS over SCTP (RFC 3436).
        case stls
    }

    /// The most hosts that one endpoint may have; more than any stack binds.
    public static let maxHosts = 32

    public var scheme: Scheme
    /// Addresses without brackets, names, or `*` alone.
    public var hosts: [String]
    /// Nil: the one of the protocol meant.
    public var port: UInt16?
    /// The UDP port of SCTP in UDP (RFC 6951); nil: not said.
    public var encapsulationPort: UInt16?

    public init(scheme: Scheme, hosts: [String], port: UInt16? = nil, encapsulationPort: UInt16? = nil) {
        self.scheme = scheme
        self.hosts = hosts.map(Self.withoutBrackets)
        self.port = port
        self.encapsulationPort = encapsulationPort
    }

    public static func sctp(_ hosts: String..., port: UInt16 = 3863, udp: UInt16? = nil) -> Endpoint {
        Endpoint(scheme: .sctp, hosts: hosts, port: port, encapsulationPort: udp)
    }

    public static func tcp(_ host: String, port: UInt16 = 3863) -> Endpoint {
        Endpoint(scheme: .tcp, hosts: [host], port: port)
    }

    /// Whether messages shall travel inside TLS.
    public var isSecured: Bool { self.scheme == .tls || self.scheme == .stls }

    /// Whether it stands for every local address: good to listen on, not to connect to.
    public var isEveryLocalAddress: Bool { self.hosts == ["*"] }

    private static func withoutBrackets(_ host: String) -> String {
        host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2 ? String(host.dropFirst().dropLast()) : host
    }
}

extension Endpoint: CustomStringConvertible {
    /// The text that `init(parsing:)` reads back as this endpoint.
    public var description: String {
        let hosts = self.hosts.map { $0.contains(":") ? "[\($0)]" : $0 }.joined(separator: ",")
        let port = self.port.map { ":\($0)" } ?? ""
        let udp = self.encapsulationPort.map { "/udp=\($0)" } ?? ""
        return "\(self.scheme.rawValue):\(hosts)\(port)\(udp)"
    }
}
