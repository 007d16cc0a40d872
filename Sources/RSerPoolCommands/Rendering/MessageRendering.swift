// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// One message as `rserpool decode` shows it.
package struct MessageRendering: Sendable {
    /// Which protocol octets are read as; on the wire the payload protocol identifier or the port says so.
    package enum Dialect: String, Sendable, CaseIterable {
        case asap, enrp
    }

    private let name: String
    private let header: [(String, JSON)]
    private let fields: [(String, JSON)]

    /// - Throws: why, and at which octet, this is no message: see ``RSerPoolWire/WireError/json``.
    package init(decoding octets: [UInt8], as dialect: Dialect) throws(WireError) {
        switch dialect {
        case .asap:
            let decoded = try ASAPMessage.decode(octets[...])
            self.name = "ASAP_" + decoded.message.type.name
            self.fields = decoded.message.members + Self.unrecognized(decoded.unrecognized)
        case .enrp:
            let decoded = try ENRPMessage.decode(octets[...])
            self.name = "ENRP_" + decoded.message.body.type.name
            self.fields = decoded.message.members + Self.unrecognized(decoded.unrecognized)
        }
        // What could be decoded has a header.
        self.header = [
            ("type", .integer(octets[0])), ("flags", .integer(octets[1])),
            ("length", .integer(Int(octets[2]) << 8 | Int(octets[3]))),
        ]
    }

    /// `{"message":"ASAP_REGISTRATION","type":1,"flags":0,"length":56,…}`, then the fields; `"unrecognized"` lists the
    /// parameters that were skipped and whose type asks for a report.
    package var json: JSON { .object([("message", .string(self.name))] + self.header + self.fields) }

    /// The same for people, several lines.
    package var text: String {
        let header = self.header.map { "\($0) \($1)" }.joined(separator: ", ")
        let fields = JSON.object(self.fields).outline
        return "\(self.name) (\(header))" + fields.split(separator: "\n").map { "\n  " + $0 }.joined()
    }

    private static func unrecognized(_ causes: [ErrorCause]) -> [(String, JSON)] {
        causes.isEmpty ? [] : [("unrecognized", .array(causes.map { .hexadecimal($0.data) }))]
    }
}
