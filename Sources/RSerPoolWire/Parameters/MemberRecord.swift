// SPDX-License-Identifier: Apache-2.0

/// A pool element as a registrar keeps it: its Pool Element parameter as ASAP has it, padded, and behind that its ASAP
/// transport, which only other registrars are told.
///
/// So the first octets are what answers are put together from, and all of them, with another length in the header, are what
/// goes to other registrars. A view: valid as long as the octets are.
package struct MemberRecord {
    package let octets: UnsafeRawBufferPointer
    /// Octets of the Pool Element parameter for ASAP, without its padding.
    package let parameterLength: Int

    package init(octets: UnsafeRawBufferPointer, parameterLength: Int) {
        self.octets = octets
        self.parameterLength = parameterLength
    }

    /// The Pool Element parameter for ASAP, without padding.
    package var parameter: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.octets[..<self.parameterLength])
    }

    /// The length of the Pool Element parameter for registrars.
    package var replicaLength: Int {
        let padded = (self.parameterLength + 3) & ~3
        return self.octets.count > padded ? self.octets.count : self.parameterLength
    }

    /// Its fields; nil for octets that no member was encoded to.
    package var member: PoolMember? {
        let length = self.replicaLength
        var parameter = Array(self.octets[..<length])
        parameter[2] = UInt8(truncatingIfNeeded: length >> 8)
        parameter[3] = UInt8(truncatingIfNeeded: length)
        var cursor = ParameterCursor(WireReader(parameter[...]))
        guard let parameter = try? cursor.next() else { return nil }
        return try? PoolMember(from: parameter, into: &cursor)
    }

    /// Writes another home registrar into the octets of a record.
    package static func changeHome(to home: RegistrarID, in octets: UnsafeMutableRawBufferPointer) {
        // Behind the parameter's header and the PE identifier.
        octets.storeBytes(of: home.rawValue.bigEndian, toByteOffset: 8, as: UInt32.self)
    }
}

extension PoolMember {
    /// Writes the octets of a ``MemberRecord`` into an empty writer.
    /// - Returns: its `parameterLength`, and how many octets the Pool Element parameter for registrars would have.
    package func encodeRecord(into writer: inout WireWriter) -> (parameterLength: Int, replicaLength: Int) {
        self.encode(into: &writer, for: .asap)
        let parameterLength = writer.lengthSoFar - writer.dueOctets
        guard let transport = self.asapTransport else {
            writer.pad()
            return (parameterLength, parameterLength)
        }
        transport.encode(into: &writer)
        return (parameterLength, writer.lengthSoFar)
    }
}

extension WireWriter {
    /// A Pool Element parameter for registrars, put together from a record.
    package mutating func write(replica record: MemberRecord) {
        let length = record.replicaLength
        let start = self.lengthSoFar
        self.write(UnsafeRawBufferPointer(rebasing: record.octets[..<length]))
        self.closeLength(from: start)
    }
}
