// SPDX-License-Identifier: Apache-2.0

/// Asks an element whether it lives (RFC 5352 §2.2.7, type 0x07): Server ID, Pool Handle; H = I want to be its home.
///
/// Deviation (rsplib does it too, WIRE-054 allows it): a PE Identifier behind the pool handle names the element
/// that is meant, so that a process with a thousand elements in one pool does not answer a thousand times.
package struct EndpointKeepAlive: Hashable, Sendable {
    package var registrar: RegistrarID
    package var pool: PoolHandle
    package var wantsToBeHome: Bool
    package var id: PoolElementID?

    package init(registrar: RegistrarID, pool: PoolHandle, wantsToBeHome: Bool, id: PoolElementID?) {
        self.registrar = registrar
        self.pool = pool
        self.wantsToBeHome = wantsToBeHome
        self.id = id
    }

    init(from value: WireReader, _ cursor: inout ParameterCursor, flag: Bool) throws(WireError) {
        var value = value
        self.registrar = RegistrarID(rawValue: try value.readUInt32("server ID"))
        cursor = ParameterCursor(value)
        self.pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        self.wantsToBeHome = flag
        self.id = nil
        while let parameter = try cursor.next() {
            if parameter.type == .poolElementID { self.id = try PoolElementID(from: parameter) }
        }
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.endpointKeepAlive, flag: self.wantsToBeHome) { writer in
            writer.write(self.registrar.rawValue)
            self.pool.encode(into: &writer)
            self.id?.encode(into: &writer)
        }
    }
}

/// I live (RFC 5352 §2.2.8, type 0x08): Pool Handle, PE Identifier.
package struct EndpointKeepAliveAck: Hashable, Sendable {
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
        try WireWriter.asap(.endpointKeepAliveAck) { encodeAnswer(self.pool, self.id, [], into: &$0) }
    }
}

/// I cannot reach that element (RFC 5352 §2.2.9, type 0x09): Pool Handle, PE Identifier.
package struct EndpointUnreachable: Hashable, Sendable {
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
        try WireWriter.asap(.endpointUnreachable) { encodeAnswer(self.pool, self.id, [], into: &$0) }
    }
}
