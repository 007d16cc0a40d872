// SPDX-License-Identifier: Apache-2.0

/// What can be told about an SCTP packet without an association: its common header and first chunk (RFC 9260 §3).
///
///     0        7 8     15 16    23 24    31
///     +-----------------+-----------------+
///     |   source port   |destination port |
///     |         verification tag          |
///     |             CRC32C                |
///     +--------+--------+-----------------+
///     |  type  | flags  |     length      |
struct SCTPPacket {
    enum Chunk: UInt8 {
        case initiation = 1
        case abort = 6
        case shutdownAck = 8
        case error = 9
        case cookieEcho = 10
        case cookieAck = 11
        case shutdownComplete = 14
    }

    let sourcePort: UInt16
    let destinationPort: UInt16
    let verificationTag: UInt32
    let chunkType: UInt8
    let chunkFlags: UInt8
    /// Of an INIT: the tag the sender wants to see in answers.
    let initiateTag: UInt32?

    var chunk: Chunk? { Chunk(rawValue: self.chunkType) }

    /// Nil for what cannot be SCTP: no room for a chunk, a length that leads beyond the end, an INIT with a tag or not
    /// alone.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 16 else { return nil }
        func word(_ offset: Int) -> UInt32 {
            UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        self.sourcePort = UInt16(word(0) >> 16)
        self.destinationPort = UInt16(truncatingIfNeeded: word(0))
        self.verificationTag = word(4)
        self.chunkType = bytes[12]
        self.chunkFlags = bytes[13]
        let length = Int(word(12) & 0xffff)
        guard length >= 4, 12 + length <= bytes.count, self.sourcePort != 0, self.destinationPort != 0 else {
            return nil
        }
        if self.chunkType == Chunk.initiation.rawValue {
            guard length >= 20, self.verificationTag == 0, word(16) != 0, 12 + length + 3 >= bytes.count else {
                return nil
            }
            self.initiateTag = word(16)
        } else {
            self.initiateTag = nil
        }
    }

    /// What RFC 9260 §8.4 wants as the answer to a packet that belongs to no association; nil: silence.
    func outOfTheBlueAnswer() -> [UInt8]? {
        // T bit: the tag is the other side's own, as we have none for it.
        let reflected: UInt8 = 1
        switch self.chunk {
        case .abort, .shutdownComplete, .cookieAck, .error: return nil
        case .initiation:
            return self.initiateTag.map { self.answer(.abort, flags: 0, tag: $0) }
        case .shutdownAck:
            return self.answer(.shutdownComplete, flags: reflected, tag: self.verificationTag)
        case .cookieEcho, nil:
            return self.answer(.abort, flags: reflected, tag: self.verificationTag)
        }
    }

    private func answer(_ chunk: Chunk, flags: UInt8, tag: UInt32) -> [UInt8] {
        Self.packet(chunk, flags: flags, from: self.destinationPort, to: self.sourcePort, tag: tag)
    }

    /// A packet of one chunk without a body, its checksum still zero.
    static func packet(
        _ chunk: Chunk, flags: UInt8, from source: UInt16, to destination: UInt16, tag: UInt32
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16)
        for port in [source, destination] { bytes += [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)] }
        for shift in stride(from: UInt32(24), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: tag >> shift))
        }
        bytes += [0, 0, 0, 0, chunk.rawValue, flags, 0, 4]
        return bytes
    }
}
