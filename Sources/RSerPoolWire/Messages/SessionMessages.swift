// SPDX-License-Identifier: Apache-2.0

/// State that an element gives its user to keep (RFC 5352 §2.2.11, type 0x0b).
package struct Cookie: Hashable, Sendable {
    package var octets: [UInt8]

    package init(octets: [UInt8]) {
        self.octets = octets
    }

    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.octets = readCookie(try cursor.mandatory(.cookie, "the cookie"))
        try cursor.rest()
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.cookie) { $0.parameter(.cookie) { $0.write(self.octets) } }
    }
}

/// The newest cookie, given to another element after a failover (RFC 5352 §2.2.12, type 0x0c).
package struct CookieEcho: Hashable, Sendable {
    package var octets: [UInt8]

    package init(octets: [UInt8]) {
        self.octets = octets
    }

    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.octets = readCookie(try cursor.mandatory(.cookie, "the cookie"))
        try cursor.rest()
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.cookieEcho) { $0.parameter(.cookie) { $0.write(self.octets) } }
    }
}

/// Who its sender is, and whom it wants to be replaced by (RFC 5352 §2.2.13, type 0x0d): Pool Handle, Pool Elements.
public struct BusinessCard: Hashable, Sendable {
    public var pool: PoolHandle
    /// In the order of preference.
    public var members: [PoolMember]
    /// The sender leaves its pool: it finishes what it is at, and wants new requests to go elsewhere. Our private parameter
    /// 0xa953 behind the members; who does not know it skips it.
    public var isLeaving: Bool

    public init(pool: PoolHandle, members: [PoolMember], isLeaving: Bool = false) {
        self.pool = pool
        self.members = members
        self.isLeaving = isLeaving
    }

    /// A policy between handle and elements is skipped: rsplib's idea.
    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        _ = try cursor.optional(.policy)
        let first = try cursor.mandatory(.poolElement, "a pool element")
        var members = [try PoolMember(from: first, into: &cursor)]
        self.isLeaving = false
        while let parameter = try cursor.next() {
            switch parameter.type {
            case .poolElement: members.append(try PoolMember(from: parameter, into: &cursor))
            case .leaving: self.isLeaving = true
            default: break
            }
        }
        self.members = members
    }

    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        try WireWriter.asap(.businessCard) { writer in
            self.pool.encode(into: &writer)
            for member in self.members { member.encode(into: &writer, for: audience) }
            if self.isLeaving, audience.readsExtensions { writer.parameter(.leaving) { _ in } }
        }
    }
}

/// Reports what could not be understood (RFC 5352 §2.2.14, type 0x0e): Operation Error. Never answered (WIRE-053).
package struct ASAPError: Hashable, Sendable {
    package var causes: [ErrorCause]

    package init(causes: [ErrorCause]) {
        self.causes = causes
    }

    init(from cursor: inout ParameterCursor) throws(WireError) {
        self.causes = try [ErrorCause](from: try cursor.mandatory(.operationError, "the operation error"))
        try cursor.rest()
    }

    package func encoded() throws(WireError) -> [UInt8] {
        try WireWriter.asap(.error) { $0.write(self.causes) }
    }
}

extension WireWriter {
    /// The Operation Error that a message has to have, cut to what fits; never without a cause (RFC 5354 §3.12), so where
    /// there is no room for one the message is too long.
    mutating func write(_ causes: [ErrorCause]) {
        let fitting = causes.fitting(overhead: self.lengthSoFar + 4)
        (fitting.isEmpty ? [ErrorCause(causes.first?.code ?? .unspecified)] : fitting).encode(into: &self)
    }
}
