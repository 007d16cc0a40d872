// SPDX-License-Identifier: Apache-2.0

/// The checksum over all pool elements that one registrar owns (RFC 5353 §3.6.2, RFC 1071).
///
/// Each element counts as its pool handle, zero-padded to a multiple of four octets, and its identifier, all read as
/// big-endian 16-bit words. The sum is kept unfolded in 64 bits: elements come and go by adding and subtracting there,
/// which folded one's complement arithmetic would not survive (an empty set could end at 0x0000 instead of 0xffff).
package struct PEChecksum: Hashable, Sendable {
    private var sum: UInt64 = 0
    /// rsplib's: little-endian words in 32 bits, whose carries are lost (AMB-34).
    private var rsplibSum: UInt32 = 0

    package init() {}

    package mutating func add(_ pool: PoolHandle, _ id: PoolElementID) {
        self.sum &+= Self.block(pool, id)
        self.rsplibSum &+= Self.rsplibBlock(pool, id)
    }

    package mutating func remove(_ pool: PoolHandle, _ id: PoolElementID) {
        let block = Self.block(pool, id)
        precondition(self.sum >= block, "PE checksum: \(id) of \(pool) was never added")
        self.sum -= block
        self.rsplibSum &-= Self.rsplibBlock(pool, id)
    }

    /// What goes on the wire: folded to 16 bits and complemented; 0xffff for no element.
    package var value: UInt16 {
        var folded = self.sum
        while folded > 0xffff { folded = (folded & 0xffff) + (folded >> 16) }
        return ~UInt16(truncatingIfNeeded: folded)
    }

    /// What rsplib puts on the wire for the same elements: the same up to about 25 000 of them.
    package var rsplibValue: UInt16 {
        var folded = self.rsplibSum
        while folded > 0xffff { folded = (folded & 0xffff) + (folded >> 16) }
        return (~UInt16(truncatingIfNeeded: folded)).byteSwapped
    }

    private static func rsplibBlock(_ pool: PoolHandle, _ id: PoolElementID) -> UInt32 {
        var sum = UInt32(UInt16(truncatingIfNeeded: id.rawValue >> 16).byteSwapped)
        sum &+= UInt32(UInt16(truncatingIfNeeded: id.rawValue).byteSwapped)
        for (index, octet) in pool.octets.enumerated() {
            sum &+= index & 1 == 0 ? UInt32(octet) : UInt32(octet) << 8
        }
        return sum
    }

    private static func block(_ pool: PoolHandle, _ id: PoolElementID) -> UInt64 {
        var sum = UInt64(id.rawValue >> 16) + UInt64(id.rawValue & 0xffff)
        for (index, octet) in pool.octets.enumerated() {
            sum += index & 1 == 0 ? UInt64(octet) << 8 : UInt64(octet)
        }
        return sum
    }
}
