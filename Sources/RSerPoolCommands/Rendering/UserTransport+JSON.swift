// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension UserTransport.Kind {
    package var name: String {
        switch self {
        case .dccp: "dccp"
        case .sctp: "sctp"
        case .tcp: "tcp"
        case .udp: "udp"
        case .udpLite: "udp-lite"
        case .opaque: "opaque"
        }
    }
}

extension TransportUse {
    package var name: String {
        switch self {
        case .dataOnly: "data"
        case .dataAndControl: "data+control"
        }
    }
}

extension UserTransport {
    /// `"transport"`, `"addresses"`, `"port"`, `"use"`; a DCCP one has `"service-code"` besides, an opaque one its `"data"`
    /// instead of addresses and port.
    package var members: [(String, JSON)] {
        var members: [(String, JSON)] = [("transport", .string(self.kind.name))]
        if let port = self.port {
            members.append(("addresses", .array(self.addresses.map(\.json))))
            members.append(("port", .integer(port)))
        }
        if case .dccp(_, let serviceCode) = self {
            members.append(("service-code", RegistrarID(rawValue: serviceCode).json))
        }
        if case .opaque(let octets) = self { members.append(("data", .hexadecimal(octets))) }
        members.append(("use", .string(self.use.name)))
        return members
    }

    /// As an endpoint on a command line: `sctp:192.0.2.1,[2001:db8::1]:7/udp=9899`.
    package func endpointText(encapsulationPort: UInt16? = nil) -> String {
        if case .opaque(let octets) = self { return "opaque:" + hexadecimal(octets) }
        let hosts = self.addresses.map(\.hostText).joined(separator: ",")
        let port = self.port.map(String.init) ?? ""
        return "\(self.kind.name):\(hosts):\(port)" + (encapsulationPort.map { "/udp=\($0)" } ?? "")
    }
}

extension SCTPTransport {
    package var json: JSON { .object(UserTransport.sctp(self).members) }
}

extension ServerInformation {
    /// As an endpoint on a command line.
    private var endpoint: String {
        UserTransport.sctp(self.transport).endpointText(encapsulationPort: self.encapsulationPort)
    }

    /// One line for people.
    package var line: String { "\(self.id)  \(self.endpoint)" }

    /// `{"id","endpoint","addresses"}`, and `"udp"` behind an encapsulation port.
    package var json: JSON {
        var members: [(String, JSON)] = [
            ("id", self.id.json),
            ("endpoint", .string(self.endpoint)),
            ("addresses", .array(self.transport.addresses.map(\.json))),
        ]
        if let port = self.encapsulationPort { members.append(("udp", .integer(port))) }
        return .object(members)
    }
}
