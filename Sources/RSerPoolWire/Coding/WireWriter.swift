// SPDX-License-Identifier: Apache-2.0

/// Writes messages: big-endian fields, parameters padded with zeros, lengths that count the padding between nested
/// parameters but not the padding behind the last one (RFC 5354 §2, §4).
package struct WireWriter: Sendable {
    /// The greatest value of a length field.
    package static let maximumLength = 65_535

    package private(set) var bytes: [UInt8] = []
    /// Whether a length field could not hold its length; `finish` then throws.
    private var overflow: Int?
    /// Zero octets due before the next parameter, or at the end.
    private var padding = 0

    package init(capacity: Int = 128) {
        self.bytes.reserveCapacity(capacity)
    }

    package mutating func write(_ value: UInt8) {
        self.pad()
        self.bytes.append(value)
    }

    package mutating func write(_ value: UInt16) {
        self.pad()
        self.bytes.append(UInt8(truncatingIfNeeded: value >> 8))
        self.bytes.append(UInt8(truncatingIfNeeded: value))
    }

    package mutating func write(_ value: UInt32) {
        self.write(UInt16(truncatingIfNeeded: value >> 16))
        self.write(UInt16(truncatingIfNeeded: value))
    }

    package mutating func write(_ octets: some Collection<UInt8>) {
        self.pad()
        self.bytes.append(contentsOf: octets)
    }

    /// A parameter, its value written by `body`.
    package mutating func parameter(_ type: ParameterType, _ body: (inout WireWriter) -> Void) {
        self.pad()
        let start = self.bytes.count
        self.write(type.rawValue)
        self.write(0 as UInt16)
        body(&self)
        self.closeLength(from: start)
    }

    /// A parameter that was encoded before, header included, padding not.
    package mutating func encodedParameter(_ tlv: some Collection<UInt8>) {
        self.write(tlv)
        self.padding = -self.bytes.count & 3
    }

    /// An error cause, laid out like a parameter.
    package mutating func cause(_ cause: ErrorCause) {
        self.pad()
        let start = self.bytes.count
        self.write(cause.code.rawValue)
        self.write(0 as UInt16)
        self.write(cause.data)
        self.closeLength(from: start)
    }

    /// A message, its value written by `body`.
    package mutating func message(type: UInt8, flags: UInt8, _ body: (inout WireWriter) -> Void) {
        let start = self.bytes.count
        self.write(type)
        self.write(flags)
        self.write(0 as UInt16)
        body(&self)
        self.closeLength(from: start)
    }

    /// Octets a message would have by its length field if it ended here.
    package var lengthSoFar: Int { self.bytes.count + self.padding }

    /// The padded octets.
    /// - Throws: `.tooLong` where a length field would not hold its value.
    package consuming func finish() throws(WireError) -> [UInt8] {
        self.pad()
        if let length = self.overflow {
            throw WireError(.tooLong, at: 0, "\(length) octets do not fit a length field")
        }
        return self.bytes
    }

    /// Writes the length of what began at `start`, a header of four octets included, into that header.
    package mutating func closeLength(from start: Int) {
        let length = self.bytes.count - start
        if let fitting = UInt16(exactly: length) {
            self.bytes[start + 2] = UInt8(truncatingIfNeeded: fitting >> 8)
            self.bytes[start + 3] = UInt8(truncatingIfNeeded: fitting)
        } else {
            self.overflow = max(self.overflow ?? 0, length)
        }
        self.padding = -length & 3
    }

    private mutating func pad() {
        while self.padding > 0 {
            self.bytes.append(0)
            self.padding -= 1
        }
    }
}
