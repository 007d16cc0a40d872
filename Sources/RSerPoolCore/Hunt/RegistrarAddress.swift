// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

/// Where a registrar can be reached by ASAP.
package struct RegistrarAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Scheme: String, Hashable, Sendable {
        case sctp
        case tcp
    }

    package var scheme: Scheme
    /// Several only with SCTP.
    package var addresses: [IPAddress]
    package var port: UInt16
    /// The UDP port of SCTP in UDP, where it is known.
    package var encapsulationPort: UInt16?

    /// How it bends the RFCs.
    package var dialect: Dialect

    package init(
        scheme: Scheme, addresses: [IPAddress], port: UInt16, encapsulationPort: UInt16? = nil, dialect: Dialect = .rfc
    ) {
        self.dialect = dialect
        self.scheme = scheme
        self.addresses = addresses
        self.port = port
        self.encapsulationPort = encapsulationPort
    }

    package var description: String {
        let hosts = self.addresses.map { $0.family == .ipv6 ? "[\($0)]" : "\($0)" }.joined(separator: ",")
        return "\(self.scheme.rawValue):\(hosts):\(self.port)" + (self.encapsulationPort.map { "/udp=\($0)" } ?? "")
    }
}
