// SPDX-License-Identifier: Apache-2.0

/// Composes a HANDLE_TABLE_RESPONSE (RFC 5353 §2.3) element by element, up to a length.
package struct HandleTableComposer: Sendable {
    /// Octets of one response; an element that is longer than this stands alone in one, which the handlespace's bounds for
    /// elements and handles make fit.
    package static let partLength = 16_384

    private var writer: WireWriter
    private let audience: Audience
    private var pool: [UInt8] = []
    private var isEmpty = true

    package init(sender: RegistrarID, receiver: RegistrarID, audience: Audience) {
        self.audience = audience
        self.writer = WireWriter(capacity: 2_048)
        self.writer.write(ENRPMessage.MessageType.handleTableResponse.rawValue)
        self.writer.write(0 as UInt8)
        self.writer.write(0 as UInt16)
        self.writer.write(sender.rawValue)
        self.writer.write(receiver.rawValue)
    }

    /// Adds an element behind those of the same pool, or with its pool handle.
    /// - Parameter pool: the encoded Pool Handle parameter.
    /// - Returns: false where it does not fit any more; nothing is added then.
    package mutating func add(_ member: PoolMember, pool: [UInt8]) -> Bool {
        let tlv = member.encodedParameter(for: self.audience)
        let isSamePool = pool == self.pool
        let length = self.writer.lengthSoFar + (isSamePool ? 0 : pool.count + 3) + tlv.count + 3
        guard length <= Self.partLength || self.isEmpty && length <= WireWriter.maximumLength else { return false }
        if !isSamePool { self.writer.encodedParameter(pool) }
        self.pool = pool
        self.writer.encodedParameter(tlv)
        self.isEmpty = false
        return true
    }

    /// The message, padded.
    package consuming func finish(moreFollows: Bool) throws(WireError) -> [UInt8] {
        self.writer.closeLength(from: 0)
        var bytes = try self.writer.finish()
        if moreFollows { bytes[1] = 2 }
        return bytes
    }
}
