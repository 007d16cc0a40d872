// SPDX-License-Identifier: Apache-2.0

/// Composes a HANDLE_TABLE_RESPONSE (RFC 5353 §2.3) element by element, up to a length.
package struct HandleTableComposer: ~Copyable, Sendable {
    /// Octets of one response; an element that is longer than this stands alone in one, which the handlespace's bounds for
    /// elements and handles make fit.
    package static let partLength = 16_384

    private var writer: WireWriter
    private let audience: Audience
    /// Of the last element.
    private var pool: PoolHandle?
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
    ///
    /// - Parameters:
    ///   - life: what is told of its life, where that is not what the record says.
    /// - Returns: false where it does not fit any more; nothing is added then.
    package mutating func add(_ record: MemberRecord, of pool: PoolHandle, life: RegistrationLife? = nil) -> Bool {
        let isSamePool = pool == self.pool
        let length = self.writer.lengthSoFar + (isSamePool ? 0 : pool.octets.count + 7) + record.octets.count + 3
        guard length <= Self.partLength || self.isEmpty && length <= WireWriter.maximumLength else { return false }
        if !isSamePool { pool.encode(into: &self.writer) }
        self.pool = pool
        self.isEmpty = false
        if self.audience.readsExtensions, life == nil {
            self.writer.write(replica: record)
        } else if var member = record.member {
            member.life = life ?? member.life
            member.encode(into: &self.writer, for: self.audience)
        }
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
