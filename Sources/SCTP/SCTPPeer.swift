// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress

/// The other end of an association, or whom to associate with.
public struct SCTPPeer: Hashable, Sendable, CustomStringConvertible {
    /// Its addresses in order of preference. The kernel's stack uses all of them; the userland stack one, the first
    /// that answers.
    public var addresses: [IPAddress]
    /// Its SCTP port.
    public var port: UInt16
    /// The UDP port its packets are encapsulated to (RFC 6951); nil: not known, or not encapsulated.
    ///
    /// Connecting without one, the userland stack tries 9899 and then the UDP port with the SCTP port's number.
    public var encapsulationPort: UInt16?

    public init(addresses: [IPAddress], port: UInt16, encapsulationPort: UInt16? = nil) {
        self.addresses = addresses
        self.port = port
        self.encapsulationPort = encapsulationPort
    }

    /// `192.0.2.1,192.0.2.2:3863` and `/udp=9899` when that port is known.
    public var description: String {
        let hosts = self.addresses.map { $0.family == .ipv6 ? "[\($0)]" : "\($0)" }.joined(separator: ",")
        return "\(hosts):\(self.port)" + (self.encapsulationPort.map { "/udp=\($0)" } ?? "")
    }
}
