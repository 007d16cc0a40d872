// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

/// Says by multicast where a registrar is (RFC 5352 §2.2.10, type 0x0a): Server ID, SCTP and TCP Transports, any number.
package struct ServerAnnounce: Hashable, Sendable {
    package enum Transport: Hashable, Sendable {
        case sctp(SCTPTransport)
        case tcp(SocketAddress)
    }

    package var registrar: RegistrarID
    /// None: SCTP at the announcement's source address, port 3863 (RFC 5352 §3.6).
    package var transports: [Transport]
    /// The UDP port of its SCTP transports, our private parameter 0xa951.
    package var encapsulationPort: UInt16?

    package init(registrar: RegistrarID, transports: [Transport], encapsulationPort: UInt16? = nil) {
        self.registrar = registrar
        self.transports = transports
        self.encapsulationPort = encapsulationPort
    }

    /// Transports of other types are skipped (WIRE-050).
    init(from value: WireReader, _ cursor: inout ParameterCursor) throws(WireError) {
        var value = value
        self.init(registrar: RegistrarID(rawValue: try value.readUInt32("server ID")), transports: [])
        cursor = ParameterCursor(value)
        while let parameter = try cursor.next() {
            switch parameter.type {
            case .sctpTransport: self.transports.append(.sctp(try SCTPTransport(from: parameter, into: &cursor)))
            case .tcpTransport: self.transports.append(.tcp(try readSingleAddress(parameter, &cursor)))
            case .encapsulationPort: self.encapsulationPort = try readEncapsulationPort(parameter)
            default: break
            }
        }
    }

    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        try WireWriter.asap(.serverAnnounce) { writer in
            writer.write(self.registrar.rawValue)
            for transport in self.transports {
                switch transport {
                case .sctp(let transport): transport.encode(into: &writer)
                case .tcp(let address): UserTransport.encode(address, .tcpTransport, into: &writer)
                }
            }
            if audience.readsExtensions, let port = self.encapsulationPort {
                encodeEncapsulationPort(port, into: &writer)
            }
        }
    }
}
