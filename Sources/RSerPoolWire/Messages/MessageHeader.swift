// SPDX-License-Identifier: Apache-2.0

/// The first four octets of every ASAP and ENRP message (RFC 5354 §4):
///
///     +---------------+---------------+-------------------------------+
///     |     Type      |     Flags     |        Message Length         |
///     +---------------+---------------+-------------------------------+
///
/// The length counts header and value, not the padding behind them.
package struct MessageHeader: Sendable {
    package let type: UInt8
    package let flags: UInt8
    package let length: Int
    /// A reader of the value. Its offsets count from the start of the message.
    package let value: WireReader

    package init(from bytes: ArraySlice<UInt8>) throws(WireError) {
        var header = WireReader(bytes)
        self.type = try header.readUInt8("message type")
        self.flags = try header.readUInt8("message flags")
        self.length = Int(try header.readUInt16("message length"))
        guard self.length >= 4, self.length <= bytes.count else {
            throw WireError(
                .badLength, at: 2, "message length \(self.length), \(bytes.count) octets are there",
                causes: [ErrorCause(.invalidValues)])
        }
        var value = WireReader(bytes.prefix(self.length))
        _ = try value.readUInt32("message header")
        self.value = value
    }

    /// The only flag that most messages have is the least significant bit; others are ignored (WIRE-006).
    package var flag: Bool { self.flags & 1 != 0 }

    /// The error for a type that is not assigned: its two top bits say whether the sender is told (WIRE-007 to WIRE-009).
    package func unknownType(_ bytes: ArraySlice<UInt8>) -> WireError {
        let causes =
            self.type >> 6 == 1
            ? [ErrorCause(.unrecognizedMessage, data: Array(bytes.prefix(self.length)))] : []
        return WireError(.unrecognizedMessage, at: 0, "message type \(self.type) is not known", causes: causes)
    }
}

/// Where one message ends and the next begins in a byte stream (RFC 5352 over TCP, WIRE-012).
///
/// A value for the transports below, which know nothing of messages.
package enum MessageFraming {
    /// The octets, padding included, of the message that `bytes` begins with; nil while the header is not there yet.
    /// - Throws: `.badLength` below 4: the stream cannot be read on.
    package static func frameLength(_ bytes: ArraySlice<UInt8>) throws(WireError) -> Int? {
        guard bytes.count >= 4 else { return nil }
        let length = Int(bytes[bytes.startIndex + 2]) << 8 | Int(bytes[bytes.startIndex + 3])
        guard length >= 4 else { throw WireError(.badLength, at: 2, "message length \(length) in a byte stream") }
        return (length + 3) & ~3
    }
}
