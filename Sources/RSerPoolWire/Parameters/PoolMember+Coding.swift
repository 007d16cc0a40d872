// SPDX-License-Identifier: Apache-2.0

extension PoolMember {
    /// Pool Element (RFC 5354 §3.10):
    ///
    ///     +-------------------------------+-------------------------------+
    ///     |         Type = 0xa            |      Length = variable        |
    ///     +-------------------------------+-------------------------------+
    ///     |                        PE Identifier                          |
    ///     +---------------------------------------------------------------+
    ///     |                Home ENRP Server Identifier                    |
    ///     +---------------------------------------------------------------+
    ///     |                      Registration Life                        |
    ///     +---------------------------------------------------------------+
    ///     :                   User Transport, exactly one                 :
    ///     +---------------------------------------------------------------+
    ///     :                Member Selection Policy                        :
    ///     +---------------------------------------------------------------+
    ///     :  [0xa951]      [ASAP Transport (SCTP), between registrars]    :
    ///     +---------------------------------------------------------------+
    ///
    /// The value of Registration Life is not judged here: see ``RegistrationLife/isValid``.
    package init(from parameter: Parameter, into outer: inout ParameterCursor) throws(WireError) {
        let (id, home, life, reader) = try parameter.blaming { (reader) throws(WireError) in
            (
                PoolElementID(rawValue: try reader.readUInt32("PE identifier")),
                RegistrarID(rawValue: try reader.readUInt32("home registrar")),
                RegistrationLife(rawValue: Int32(bitPattern: try reader.readUInt32("registration life"))),
                reader
            )
        }
        var cursor = ParameterCursor(reader, inside: parameter, of: outer)
        let transport = try cursor.mandatory("the user transport", where: UserTransport.isTransport)
        self.init(
            id: id, home: home, life: life, transport: try UserTransport(from: transport, into: &cursor),
            policy: try PoolPolicy(from: try cursor.mandatory(.policy, "the policy")))
        while let extra = try cursor.next() {
            switch extra.type {
            case .sctpTransport where self.asapTransport == nil:
                self.asapTransport = try SCTPTransport(from: extra, into: &cursor)
            case .encapsulationPort:
                self.encapsulationPort = try readEncapsulationPort(extra)
            default:
                if UserTransport.isTransport(extra.type) {
                    throw extra.invalid("a transport behind the policy that is no ASAP transport", .unexpectedParameter)
                }
            }
        }
        outer.adopt(cursor)
    }

    /// - Parameter audience: who will read it: what it does not know is left out.
    package func encode(into writer: inout WireWriter, for audience: Audience) {
        writer.parameter(.poolElement) { writer in
            writer.write(UInt64(self.id.rawValue) << 32 | UInt64(self.home.rawValue))
            writer.write(UInt32(bitPattern: self.life.rawValue))
            self.transport.encode(into: &writer)
            self.policy.encode(into: &writer)
            if audience.readsExtensions, let port = self.encapsulationPort {
                encodeEncapsulationPort(port, into: &writer)
            }
            if audience.readsASAPTransport { self.asapTransport?.encode(into: &writer) }
        }
    }

    /// The parameter alone, without padding: encoded once, written into many answers.
    package func encodedParameter(for audience: Audience) -> [UInt8] {
        var writer = WireWriter()
        self.encode(into: &writer, for: audience)
        return writer.bytes
    }
}

/// Who will read a message; it decides which optional parameters are in it.
package struct Audience: Hashable, Sendable {
    /// ASAP Transport stands in Pool Elements between registrars only.
    package var readsASAPTransport: Bool
    /// Our private parameters; never sent to a peer of dialect `rsplib`.
    package var readsExtensions: Bool

    package static let asap = Audience(readsASAPTransport: false, readsExtensions: true)
    package static let enrp = Audience(readsASAPTransport: true, readsExtensions: true)
    package static let rsplibASAP = Audience(readsASAPTransport: false, readsExtensions: false)
    package static let rsplibENRP = Audience(readsASAPTransport: true, readsExtensions: false)
}
