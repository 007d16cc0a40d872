// SPDX-License-Identifier: Apache-2.0

/// Joins a pool, or renews what was registered (RFC 5352 §2.2.1, type 0x01): Pool Handle, Pool Element.
package struct Registration: Hashable, Sendable {
    package var pool: PoolHandle
    package var member: PoolMember

    package init(pool: PoolHandle, member: PoolMember) {
        self.pool = pool
        self.member = member
    }

    /// What turns out wrong behind the PE identifier names the registrant, so that it gets a response.
    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        let element = try cursor.mandatory(.poolElement, "the pool element")
        do throws(WireError) {
            self.member = try PoolMember(from: element, into: &cursor)
            guard self.member.life.isValid else {
                throw element.invalid("a registration life of \(self.member.life.rawValue) s")
            }
            try cursor.rest()
        } catch {
            var error = error
            var value = element.value
            if error.code != .unrecognizedParameter, let id = try? value.readUInt32("PE identifier") {
                error.registrant = .init(pool: self.pool, id: PoolElementID(rawValue: id))
            }
            throw error
        }
    }

    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        try WireWriter.asap(.registration) { writer in
            self.pool.encode(into: &writer)
            self.member.encode(into: &writer, for: audience)
        }
    }
}

/// The answer to a registration (RFC 5352 §2.2.3, type 0x03): Pool Handle, PE Identifier, [Operation Error]; R = rejected.
package struct RegistrationResponse: Hashable, Sendable {
    package var pool: PoolHandle
    package var id: PoolElementID
    package var isRejected: Bool
    /// Why it was rejected; where it was granted: warnings, what was changed.
    package var causes: [ErrorCause]

    package init(pool: PoolHandle, id: PoolElementID, isRejected: Bool, causes: [ErrorCause] = []) {
        self.pool = pool
        self.id = id
        self.isRejected = isRejected
        self.causes = causes
    }

    init(from cursor: inout ParameterCursor, flag: Bool) throws(WireError) {
        self.pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        self.id = try PoolElementID(from: try cursor.mandatory(.poolElementID, "the PE identifier"))
        self.isRejected = flag
        self.causes = try readOptionalCauses(&cursor)
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.registrationResponse, flag: self.isRejected) { writer in
            encodeAnswer(self.pool, self.id, self.causes, into: &writer)
        }
    }
}

/// Leaves a pool (RFC 5352 §2.2.2, type 0x02): Pool Handle, PE Identifier.
package struct Deregistration: Hashable, Sendable {
    package var pool: PoolHandle
    package var id: PoolElementID

    package init(pool: PoolHandle, id: PoolElementID) {
        self.pool = pool
        self.id = id
    }

    init(from cursor: inout ParameterCursor) throws(WireError) {
        (self.pool, self.id) = try readPoolElementName(&cursor)
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.deregistration) { encodeAnswer(self.pool, self.id, [], into: &$0) }
    }
}

/// Says that an element has left, asked for or not (RFC 5352 §2.2.4, type 0x04): Pool Handle, PE Identifier,
/// [Operation Error]. There is no reject flag: an Operation Error means that it failed.
package struct DeregistrationResponse: Hashable, Sendable {
    package var pool: PoolHandle
    package var id: PoolElementID
    package var causes: [ErrorCause]

    package init(pool: PoolHandle, id: PoolElementID, causes: [ErrorCause] = []) {
        self.pool = pool
        self.id = id
        self.causes = causes
    }

    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        self.id = try PoolElementID(from: try cursor.mandatory(.poolElementID, "the PE identifier"))
        self.causes = try readOptionalCauses(&cursor)
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.deregistrationResponse) { encodeAnswer(self.pool, self.id, self.causes, into: &$0) }
    }
}

/// Pool Handle and PE Identifier, and nothing else that is known.
func readPoolElementName(_ cursor: inout ParameterCursor) throws(WireError) -> (PoolHandle, PoolElementID) {
    let pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
    let id = try PoolElementID(from: try cursor.mandatory(.poolElementID, "the PE identifier"))
    try cursor.rest()
    return (pool, id)
}

/// The causes of an Operation Error that may stand among the remaining parameters.
func readOptionalCauses(_ cursor: inout ParameterCursor) throws(WireError) -> [ErrorCause] {
    var causes: [ErrorCause] = []
    try cursor.rest { (parameter) throws(WireError) in
        if parameter.type == .operationError { causes += try [ErrorCause](from: parameter) }
    }
    return causes
}

func encodeAnswer(_ pool: PoolHandle, _ id: PoolElementID, _ causes: [ErrorCause], into writer: inout WireWriter) {
    pool.encode(into: &writer)
    id.encode(into: &writer)
    let causes = causes.fitting(overhead: writer.lengthSoFar + 4)
    if !causes.isEmpty { causes.encode(into: &writer) }
}
