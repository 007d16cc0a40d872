// SPDX-License-Identifier: Apache-2.0

extension ServerInformation {
    /// Server Information (RFC 5354 §3.11): the server ID and one SCTP Transport, [0xa951] behind it.
    init(from parameter: Parameter, into outer: inout ParameterCursor) throws(WireError) {
        let (id, reader) = try parameter.blaming { (reader) throws(WireError) in
            (RegistrarID(rawValue: try reader.readUInt32("server ID")), reader)
        }
        var cursor = ParameterCursor(reader, inside: parameter, of: outer)
        let transport = try cursor.mandatory(.sctpTransport, "the SCTP transport")
        self.init(id: id, transport: try SCTPTransport(from: transport, into: &cursor))
        while let extra = try cursor.next() {
            if extra.type == .encapsulationPort { self.encapsulationPort = try readEncapsulationPort(extra) }
        }
        outer.adopt(cursor)
    }

    package func encodedParameter(for audience: Audience) -> [UInt8] {
        var writer = WireWriter()
        self.encode(into: &writer, for: audience)
        return writer.bytes
    }

    package func encode(into writer: inout WireWriter, for audience: Audience) {
        writer.parameter(.serverInformation) { writer in
            writer.write(self.id.rawValue)
            self.transport.encode(into: &writer)
            if audience.readsExtensions, let port = self.encapsulationPort {
                encodeEncapsulationPort(port, into: &writer)
            }
        }
    }
}
