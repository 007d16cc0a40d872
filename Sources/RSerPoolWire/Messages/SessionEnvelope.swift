// SPDX-License-Identifier: Apache-2.0

/// What goes around each message of a session in a byte stream, where SCTP would carry message bounds and protocol by itself:
///
///     +---------------------------------------------------------------+
///     |              Payload Protocol Identifier (11: ASAP)           |
///     +---------------------------------------------------------------+
///     |                      Length of the data                       |
///     +---------------------------------------------------------------+
///     :                             Data                              :
///
/// Ours; no RFC says how a control channel runs beside data over TCP. No padding.
package enum SessionEnvelope {
    package static let headerLength = 8
    /// The most octets of data: envelope and data fit the longest message of any transport here.
    package static let maximumData = 65_536 - headerLength

    /// The octets of the envelope that `bytes` begins with, data included; nil while its header is not there yet.
    /// - Throws: `.badLength` for more data than allowed: the stream cannot be read on.
    package static func frameLength(_ bytes: ArraySlice<UInt8>) throws(WireError) -> Int? {
        guard bytes.count >= self.headerLength else { return nil }
        let length = self.word(bytes, at: 4)
        guard length <= self.maximumData else {
            throw WireError(.badLength, at: 4, "\(length) octets in one envelope, \(self.maximumData) are the most")
        }
        return self.headerLength + Int(length)
    }

    package static func wrap(_ data: [UInt8], payloadProtocol: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.headerLength + data.count)
        for word in [payloadProtocol, UInt32(truncatingIfNeeded: data.count)] {
            for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift))) }
        }
        bytes += data
        return bytes
    }

    /// - Parameter bytes: one envelope, as ``frameLength(_:)`` has cut it.
    package static func unwrap(_ bytes: [UInt8]) -> (data: [UInt8], payloadProtocol: UInt32) {
        (Array(bytes.dropFirst(self.headerLength)), self.word(bytes[...], at: 0))
    }

    private static func word(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt32 {
        bytes.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }
}
