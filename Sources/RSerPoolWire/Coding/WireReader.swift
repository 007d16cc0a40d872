// SPDX-License-Identifier: Apache-2.0

/// Reads fixed fields and parameters from a stretch of a message; never copies, never reads beyond its end.
///
/// `bytes` is the whole message, so that offsets in errors count from its start and nested readers share its storage.
package struct WireReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int
    private let end: Int

    /// A reader of all of `bytes`.
    package init(_ bytes: ArraySlice<UInt8>) {
        self.init(bytes, bytes.startIndex..<bytes.endIndex)
    }

    private init(_ bytes: ArraySlice<UInt8>, _ range: Range<Int>) {
        self.bytes = bytes
        self.position = range.lowerBound
        self.end = range.upperBound
    }

    /// Octets from the start of the message to the next one read.
    package var offset: Int { self.position - self.bytes.startIndex }
    package var remaining: Int { self.end - self.position }

    package mutating func readUInt8(_ field: StaticString) throws(WireError) -> UInt8 {
        try self.require(1, field)
        defer { self.position += 1 }
        return self.bytes[self.position]
    }

    package mutating func readUInt16(_ field: StaticString) throws(WireError) -> UInt16 {
        try self.require(2, field)
        defer { self.position += 2 }
        return UInt16(self.bytes[self.position]) << 8 | UInt16(self.bytes[self.position + 1])
    }

    package mutating func readUInt32(_ field: StaticString) throws(WireError) -> UInt32 {
        let high = try self.readUInt16(field)
        let low = try self.readUInt16(field)
        return UInt32(high) << 16 | UInt32(low)
    }

    package mutating func readUInt64(_ field: StaticString) throws(WireError) -> UInt64 {
        let high = try self.readUInt32(field)
        let low = try self.readUInt32(field)
        return UInt64(high) << 32 | UInt64(low)
    }

    /// All that is left, without copying.
    package mutating func readRest() -> ArraySlice<UInt8> {
        defer { self.position = self.end }
        return self.bytes[self.position..<self.end]
    }

    private func require(_ count: Int, _ field: StaticString) throws(WireError) {
        guard self.remaining >= count else {
            throw WireError(.truncated, at: self.offset, "\(field) needs \(count) octets, \(self.remaining) are left")
        }
    }

    /// The next parameter, type known or not; nil at the end.
    ///
    /// The padding behind a parameter is skipped unread (WIRE-016). It may be missing at the very end, and up to three
    /// zero octets may be left over there: both readings of an enclosing length field come out right.
    package mutating func nextTLV() throws(WireError) -> Parameter? {
        guard self.remaining > 0 else { return nil }
        let start = self.position
        if self.remaining < 4 {
            guard self.bytes[start..<self.end].allSatisfy({ $0 == 0 }) else {
                throw WireError(
                    .truncated, at: self.offset, "\(self.remaining) octets are too few for a parameter",
                    causes: [ErrorCause(.invalidValues, data: Array(self.bytes[start..<self.end]))])
            }
            self.position = self.end
            return nil
        }
        let type = ParameterType(rawValue: try self.readUInt16("parameter type"))
        let length = Int(try self.readUInt16("parameter length"))
        guard length >= 4, length <= self.end - start else {
            throw WireError(
                .badLength, at: start - self.bytes.startIndex + 2,
                "parameter 0x\(String(type.rawValue, radix: 16)) has length \(length), \(self.end - start) octets are there",
                causes: [ErrorCause(.invalidValues, data: Array(self.bytes[start..<self.end]))])
        }
        self.position = min(start + (length + 3) & ~3, self.end)
        return Parameter(
            type: type, offset: start - self.bytes.startIndex, tlv: self.bytes[start..<start + length],
            value: WireReader(self.bytes, start + 4..<start + length))
    }
}

/// One parameter of a message: its type, and a reader of its value.
package struct Parameter: Sendable {
    package let type: ParameterType
    /// Octets from the start of the message to its type field.
    package let offset: Int
    /// The whole of it by its own length: header and value, no padding.
    package let tlv: ArraySlice<UInt8>
    package var value: WireReader

    /// The error that this parameter's value is wrong, with the parameter as the cause that goes back (RFC 5354 §3.12.4).
    package func invalid(_ reason: String, _ code: WireError.Code = .invalidValue) -> WireError {
        WireError(code, at: self.offset, reason, causes: [ErrorCause(.invalidValues, data: Array(self.tlv))])
    }

    /// Runs `body`; what it finds truncated is this parameter's fault.
    package func blaming<Result>(
        _ body: (inout WireReader) throws(WireError) -> Result
    ) throws(WireError) -> Result {
        var reader = self.value
        do {
            return try body(&reader)
        } catch {
            var error = error
            if error.causes.isEmpty, error.code == .truncated {
                error.causes = [ErrorCause(.invalidValues, data: Array(self.tlv))]
            }
            throw error
        }
    }
}
