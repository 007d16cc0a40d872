// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// What the hash tables of a handlespace hash with: a secret of this process, so that who chooses handles and identifiers
/// cannot choose which of them collide.
///
/// Nothing but the speed of a look-up depends on it: simulations repeat, whatever it is.
struct TableKey: Sendable {
    private let first: UInt64
    private let second: UInt64

    init() {
        // Swift's own hasher has a secret, which cannot be got at otherwise.
        func draw(_ number: Int) -> UInt64 {
            var hasher = Hasher()
            hasher.combine(number)
            return UInt64(bitPattern: Int64(hasher.finalize()))
        }
        self.first = draw(1) | 1
        self.second = draw(2) | 1
    }

    /// Of a tag: multiply and shift, universal for a secret odd factor. The upper bits are the good ones.
    @inline(__always)
    func hash(_ tag: UInt32) -> UInt64 {
        (UInt64(tag) &+ 1) &* self.first
    }

    /// The tag of a pool.
    func hash(_ handle: PoolHandle) -> UInt32 {
        handle.octets.withUnsafeBytes { UInt32(truncatingIfNeeded: self.hash($0) >> 32) }
    }

    /// Of the octets of a handle: eight of them at a time, each folded in by a multiplication with all 128 bits of its product.
    private func hash(_ octets: UnsafeRawBufferPointer) -> UInt64 {
        var hash = self.second ^ UInt64(octets.count)
        var offset = 0
        while offset + 8 <= octets.count {
            hash = Self.folded(
                hash ^ octets.loadUnaligned(fromByteOffset: offset, as: UInt64.self), self.first)
            offset += 8
        }
        var rest: UInt64 = 0
        while offset < octets.count {
            rest = rest << 8 | UInt64(octets[offset])
            offset += 1
        }
        return Self.folded(hash ^ rest, self.second)
    }

    @inline(__always)
    private static func folded(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
