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
        self.add(Share(of: pool), id)
    }

    package mutating func remove(_ pool: PoolHandle, _ id: PoolElementID) {
        self.remove(Share(of: pool), id)
    }

    /// As ``add(_:_:)-(PoolHandle,_)``, with the pool's share summed up before.
    package mutating func add(_ pool: Share, _ id: PoolElementID) {
        self.sum &+= pool.sum + Self.sum(id)
        self.rsplibSum &+= pool.rsplibSum &+ Self.rsplibSum(id)
    }

    package mutating func remove(_ pool: Share, _ id: PoolElementID) {
        let block = pool.sum + Self.sum(id)
        precondition(self.sum >= block, "PE checksum: \(id) was never added")
        self.sum -= block
        self.rsplibSum &-= pool.rsplibSum &+ Self.rsplibSum(id)
    }

    /// What the handle of a pool adds for each of its elements.
    package struct Share: Hashable, Sendable {
        fileprivate var sum: UInt64 = 0
        fileprivate var rsplibSum: UInt32 = 0

        package init(of pool: PoolHandle) {
            for (index, octet) in pool.octets.enumerated() {
                self.sum += index & 1 == 0 ? UInt64(octet) << 8 : UInt64(octet)
                self.rsplibSum &+= index & 1 == 0 ? UInt32(octet) : UInt32(octet) << 8
            }
        }
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

    private static func sum(_ id: PoolElementID) -> UInt64 {
        UInt64(id.rawValue >> 16) + UInt64(id.rawValue & 0xffff)
    }

    private static func rsplibSum(_ id: PoolElementID) -> UInt32 {
        UInt32(UInt16(truncatingIfNeeded: id.rawValue >> 16).byteSwapped)
            &+ UInt32(UInt16(truncatingIfNeeded: id.rawValue).byteSwapped)
    }
}
