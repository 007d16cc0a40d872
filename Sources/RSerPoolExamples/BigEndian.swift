// SPDX-License-Identifier: Apache-2.0

// Numbers in network byte order, as the examples' messages carry them.
extension FixedWidthInteger {
    /// Its octets, the most significant first.
    var octets: [UInt8] {
        stride(from: Self.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> Self($0)) }
    }

    /// Nil unless there are enough octets.
    init?(octets: some Collection<UInt8>) {
        guard octets.count >= Self.bitWidth / 8 else { return nil }
        self = octets.prefix(Self.bitWidth / 8).reduce(0) { $0 << 8 | Self(truncatingIfNeeded: $1) }
    }
}
