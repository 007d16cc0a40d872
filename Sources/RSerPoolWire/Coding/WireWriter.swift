// SPDX-License-Identifier: Apache-2.0

/// Writes messages: big-endian fields, parameters padded with zeros, lengths that count the padding between nested
/// parameters but not the padding behind the last one (RFC 5354 §2, §4).
// Proof of @unchecked Sendable: the memory is this value's alone, and there is one copy of it.
package struct WireWriter: ~Copyable, @unchecked Sendable {
    /// The greatest value of a length field.
    package static let maximumLength = 65_535

    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    private var count = 0
    /// Whether a length field could not hold its length; `finish` then throws.
    private var overflow: Int?
    /// Zero octets due before the next parameter, or at the end.
    private var padding = 0

    package init(capacity: Int = 128) {
        self.capacity = max(16, capacity)
        self.storage = .allocate(byteCount: self.capacity, alignment: 8)
    }

    deinit {
        self.storage.deallocate()
    }

    /// What was written so far, without the padding behind it.
    package var bytes: [UInt8] { self.withBytes { Array($0) } }

    /// What was written so far, to be read where it lies.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(UnsafeRawBufferPointer(start: self.storage, count: self.count))
    }

    /// Begins anew, in the room that there is.
    package mutating func removeAll() {
        self.count = 0
        self.overflow = nil
        self.padding = 0
    }

    @inline(__always)
    package mutating func write(_ value: UInt8) {
        self.claim(1).storeBytes(of: value, as: UInt8.self)
    }

    @inline(__always)
    package mutating func write(_ value: UInt16) {
        self.claim(2).storeBytes(of: value.bigEndian, as: UInt16.self)
    }

    @inline(__always)
    package mutating func write(_ value: UInt32) {
        self.claim(4).storeBytes(of: value.bigEndian, as: UInt32.self)
    }

    @inline(__always)
    package mutating func write(_ value: UInt64) {
        self.claim(8).storeBytes(of: value.bigEndian, as: UInt64.self)
    }

    package mutating func write(_ octets: some Collection<UInt8>) {
        UnsafeMutableRawBufferPointer(start: self.claim(octets.count), count: octets.count).copyBytes(from: octets)
    }

    package mutating func write(_ octets: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(start: self.claim(octets.count), count: octets.count).copyMemory(from: octets)
    }

    /// A parameter, its value written by `body`.
    @inline(__always)
    package mutating func parameter(_ type: ParameterType, _ body: (inout WireWriter) -> Void) {
        let start = self.lengthSoFar
        self.write(UInt32(type.rawValue) << 16)
        body(&self)
        self.closeLength(from: start)
    }

    /// A parameter that was encoded before, header included, padding not.
    package mutating func encodedParameter(_ tlv: some Collection<UInt8>) {
        self.write(tlv)
        self.padding = -self.count & 3
    }

    package mutating func encodedParameter(_ tlv: UnsafeRawBufferPointer) {
        self.write(tlv)
        self.padding = -self.count & 3
    }

    /// An error cause, laid out like a parameter.
    package mutating func cause(_ cause: ErrorCause) {
        let start = self.lengthSoFar
        self.write(cause.code.rawValue)
        self.write(0 as UInt16)
        self.write(cause.data)
        self.closeLength(from: start)
    }

    /// A message, its value written by `body`.
    package mutating func message(type: UInt8, flags: UInt8, _ body: (inout WireWriter) -> Void) {
        let start = self.lengthSoFar
        self.write(UInt32(type) << 24 | UInt32(flags) << 16)
        body(&self)
        self.closeLength(from: start)
    }

    /// Octets a message would have by its length field if it ended here.
    package var lengthSoFar: Int { self.count + self.padding }

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
        let length = self.count - start
        if let fitting = UInt16(exactly: length) {
            self.storage.storeBytes(of: fitting.bigEndian, toByteOffset: start + 2, as: UInt16.self)
        } else {
            self.tooLong(length)
        }
        self.padding = -length & 3
    }

    /// What was to be written is too long for its length field: `finish` will throw.
    package mutating func tooLong(_ length: Int) {
        self.overflow = max(self.overflow ?? 0, length)
    }

    /// Zero octets that are due, and not written yet.
    package var dueOctets: Int { self.padding }

    /// Writes them.
    package mutating func pad() {
        _ = self.claim(0)
    }

    /// Writes the padding that is due, and makes room for as many octets.
    /// - Returns: where they begin.
    @inline(__always)
    private mutating func claim(_ octets: Int) -> UnsafeMutableRawPointer {
        let start = self.count
        if self.padding == 0, start + octets <= self.capacity {
            self.count = start + octets
            return self.storage + start
        }
        return self.claimBehindPadding(octets)
    }

    @inline(never)
    private mutating func claimBehindPadding(_ octets: Int) -> UnsafeMutableRawPointer {
        let start = self.count + self.padding
        if start + octets > self.capacity {
            self.capacity = max(start + octets, self.capacity * 2)
            let larger = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 8)
            larger.copyMemory(from: self.storage, byteCount: self.count)
            self.storage.deallocate()
            self.storage = larger
        }
        (self.storage + self.count).initializeMemory(as: UInt8.self, repeating: 0, count: self.padding)
        self.padding = 0
        self.count = start + octets
        return self.storage + start
    }
}
