// SPDX-License-Identifier: Apache-2.0

// The parameters that hold one number or one string: Pool Handle, PE Identifier, PE Checksum, Cookie, and the extensions.

extension PoolHandle {
    /// - Throws: `.invalidValue` for an empty one.
    init(from parameter: Parameter) throws(WireError) {
        var reader = parameter.value
        let octets = reader.readRest()
        guard !octets.isEmpty else { throw parameter.invalid("an empty pool handle") }
        self.init(octets: Array(octets))
    }

    package func encode(into writer: inout WireWriter) {
        writer.parameter(.poolHandle) { $0.write(self.octets) }
    }
}

extension PoolElementID {
    init(from parameter: Parameter) throws(WireError) {
        self.init(
            rawValue: try parameter.blaming { (reader) throws(WireError) in try reader.readUInt32("PE identifier") })
    }

    package func encode(into writer: inout WireWriter) {
        writer.parameter(.poolElementID) { $0.write(self.rawValue) }
    }
}

func readChecksum(_ parameter: Parameter) throws(WireError) -> UInt16 {
    try parameter.blaming { (reader) throws(WireError) in try reader.readUInt16("PE checksum") }
}

func readCookie(_ parameter: Parameter) -> [UInt8] {
    var reader = parameter.value
    return Array(reader.readRest())
}

func readEncapsulationPort(_ parameter: Parameter) throws(WireError) -> UInt16 {
    try parameter.blaming { (reader) throws(WireError) in try reader.readUInt16("UDP encapsulation port") }
}

func encodeEncapsulationPort(_ port: UInt16, into writer: inout WireWriter) {
    writer.parameter(.encapsulationPort) { writer in
        writer.write(port)
        writer.write(0 as UInt16)
    }
}

/// Where a message stands in a subscription with incremental updates: our private parameter 0xa952.
///
///     +-------------------------------+-------------------------------+
///     |        Type = 0xa952          |          Length = 12          |
///     +-------------------------------+-----------------------+---+---+
///     |                       reserved, 0                     | S | M |
///     +-------------------------------------------------------+---+---+
///     |                       Sequence Number                         |
///     +---------------------------------------------------------------+
///
/// In a request it asks for incremental updates (flags and number 0). In what the registrar sends, S marks a part of a
/// snapshot, M that more parts of it follow; without S the message holds what changed. The number is the pool's version at
/// this registrar: all parts of a snapshot carry the same one, each increment the next one, wrapping from 2³²−1 to 0.
/// After a gap the subscriber asks again.
package struct IncrementalUpdate: Hashable, Sendable {
    package var isSnapshot: Bool
    package var moreFollows: Bool
    package var sequence: UInt32

    package init(isSnapshot: Bool, moreFollows: Bool, sequence: UInt32) {
        self.isSnapshot = isSnapshot
        self.moreFollows = moreFollows
        self.sequence = sequence
    }

    /// What a request carries.
    package static let wanted = IncrementalUpdate(isSnapshot: false, moreFollows: false, sequence: 0)

    init(from parameter: Parameter) throws(WireError) {
        self = try parameter.blaming { (reader) throws(WireError) in
            let flags = try reader.readUInt32("update flags")
            return IncrementalUpdate(
                isSnapshot: flags & 2 != 0, moreFollows: flags & 1 != 0,
                sequence: try reader.readUInt32("update sequence number"))
        }
    }

    package func encode(into writer: inout WireWriter) {
        writer.parameter(.incrementalUpdates) { writer in
            writer.write((self.isSnapshot ? 2 : 0) | (self.moreFollows ? 1 : 0) as UInt32)
            writer.write(self.sequence)
        }
    }
}
