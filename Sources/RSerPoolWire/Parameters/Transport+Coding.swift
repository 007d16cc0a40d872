// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

extension IPAddress {
    /// IPv4 Address (Length 8) or IPv6 Address (Length 20), RFC 5354 §3.1 and §3.2.
    init?(from parameter: Parameter) {
        var reader = parameter.value
        switch (parameter.type, parameter.tlv.count) {
        case (.ipv4Address, 8):
            guard let value = try? reader.readUInt32("address") else { return nil }
            self = .ipv4(value)
        case (.ipv6Address, 20):
            guard let high = try? reader.readUInt64("address"), let low = try? reader.readUInt64("address") else {
                return nil
            }
            self = .ipv6(high, low)
        default: return nil
        }
    }

    package func encode(into writer: inout WireWriter) {
        if let value = self.ipv4Value {
            writer.write(UInt64(ParameterType.ipv4Address.rawValue) << 48 | 8 << 32 | UInt64(value))
        } else if let (high, low) = self.ipv6Value {
            writer.write(UInt32(ParameterType.ipv6Address.rawValue) << 16 | 20)
            writer.write(high)
            writer.write(low)
        }
    }

    /// Octets of its parameter.
    fileprivate var encodedLength: Int { 4 + Int(self.family.rawValue) }
}

extension SCTPTransport {
    /// RFC 5354 §3.4:
    ///
    ///      0                   1                   2                   3
    ///     +-------------------------------+-------------------------------+
    ///     |         Type = 0x4            |      Length = variable        |
    ///     +-------------------------------+-------------------------------+
    ///     |           SCTP port           |         Transport Use         |
    ///     +-------------------------------+-------------------------------+
    ///     :        IPv4 or IPv6 Address, one or more                      :
    ///     +---------------------------------------------------------------+
    package init(from parameter: Parameter, into outer: inout ParameterCursor) throws(WireError) {
        let (port, use, addresses) = try readTransport(parameter, skippingFixed: 0, &outer)
        guard let use = TransportUse(rawValue: use) else {
            throw parameter.invalid("transport use \(use) is neither 0 nor 1")
        }
        guard !addresses.isEmpty else { throw parameter.invalid("an SCTP transport without an address") }
        self.init(port: port, use: use, addresses: addresses)
    }

    package func encode(into writer: inout WireWriter) {
        let length = self.addresses.reduce(8) { $0 + $1.encodedLength }
        guard length <= WireWriter.maximumLength else { return writer.tooLong(length) }
        writer.write(
            UInt64(ParameterType.sctpTransport.rawValue) << 48 | UInt64(length) << 32 | UInt64(self.port) << 16
                | UInt64(self.use.rawValue))
        for address in self.addresses { address.encode(into: &writer) }
    }
}

extension UserTransport {
    static func isTransport(_ type: ParameterType) -> Bool { Kind(rawValue: type.rawValue) != nil }

    /// Any of the transport parameters 0x0003 to 0x0007 and 0x0010.
    package init(from parameter: Parameter, into outer: inout ParameterCursor) throws(WireError) {
        switch Kind(rawValue: parameter.type.rawValue) {
        case .sctp: self = .sctp(try SCTPTransport(from: parameter, into: &outer))
        case .tcp: self = .tcp(try readSingleAddress(parameter, &outer))
        case .udp: self = .udp(try readSingleAddress(parameter, &outer))
        case .udpLite: self = .udpLite(try readSingleAddress(parameter, &outer))
        case .dccp:
            let code = try parameter.blaming { (reader) throws(WireError) in
                _ = try reader.readUInt32("DCCP port")
                return try reader.readUInt32("service code")
            }
            self = .dccp(try readSingleAddress(parameter, skippingFixed: 4, &outer), serviceCode: code)
        case .opaque:
            var reader = parameter.value
            self = .opaque(Array(reader.readRest()))
        case nil:
            throw parameter.invalid("not a transport", .unexpectedParameter)
        }
    }

    package func encode(into writer: inout WireWriter) {
        switch self {
        case .sctp(let transport): transport.encode(into: &writer)
        case .tcp(let address): Self.encode(address, .tcpTransport, into: &writer)
        case .udp(let address): Self.encode(address, .udpTransport, into: &writer)
        case .udpLite(let address): Self.encode(address, .udpLiteTransport, into: &writer)
        case .dccp(let address, let serviceCode): Self.encode(address, .dccpTransport, serviceCode, into: &writer)
        case .opaque(let octets): writer.parameter(.opaqueTransport) { $0.write(octets) }
        }
    }

    /// The parameter alone, as cause 0x0007 carries it.
    package func encodedParameter() -> [UInt8] {
        var writer = WireWriter()
        self.encode(into: &writer)
        return writer.bytes
    }

    static func encode(
        _ address: SocketAddress, _ type: ParameterType, _ serviceCode: UInt32? = nil, into writer: inout WireWriter
    ) {
        writer.parameter(type) { writer in
            writer.write(address.port)
            writer.write(0 as UInt16)
            if let serviceCode { writer.write(serviceCode) }
            address.ip.encode(into: &writer)
        }
    }
}

/// Port, the 16 bits behind it, and the addresses of any transport parameter.
private func readTransport(
    _ parameter: Parameter, skippingFixed fixed: Int, _ outer: inout ParameterCursor
) throws(WireError) -> (port: UInt16, use: UInt16, addresses: [IPAddress]) {
    let (port, use, reader) = try parameter.blaming { (reader) throws(WireError) in
        let port = try reader.readUInt16("transport port")
        let use = try reader.readUInt16("transport use")
        if fixed == 4 { _ = try reader.readUInt32("service code") }
        return (port, use, reader)
    }
    var cursor = ParameterCursor(reader, inside: parameter, of: outer)
    var addresses: [IPAddress] = []
    while let nested = try cursor.next() {
        guard nested.type == .ipv4Address || nested.type == .ipv6Address else { continue }
        guard let address = IPAddress(from: nested) else {
            throw nested.invalid("an address parameter of \(nested.tlv.count) octets", .badLength)
        }
        addresses.append(address)
    }
    outer.adopt(cursor)
    return (port, use, addresses)
}

/// DCCP, TCP, UDP and UDP-Lite have exactly one address (RFC 5354 §3.3, §3.5–3.7); the reserved field is ignored.
func readSingleAddress(
    _ parameter: Parameter, skippingFixed fixed: Int = 0, _ outer: inout ParameterCursor
) throws(WireError) -> SocketAddress {
    let (port, _, addresses) = try readTransport(parameter, skippingFixed: fixed, &outer)
    guard addresses.count == 1 else {
        throw parameter.invalid("a transport with \(addresses.count) addresses where there has to be one")
    }
    return SocketAddress(ip: addresses[0], port: port)
}
