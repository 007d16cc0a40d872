// SPDX-License-Identifier: Apache-2.0

/// An IPv4 or IPv6 address, as a value of 17 significant octets without heap storage.
///
/// Ordered by family (IPv4 first), then by the address's octets.
public struct IPAddress: Hashable, Sendable {
    /// The two address families; the raw value is the length of an address in octets.
    public enum Family: UInt8, Hashable, Sendable {
        case ipv4 = 4
        case ipv6 = 16
    }

    public let family: Family
    /// Network-order octets, left-aligned: an IPv4 address occupies the top 32 bits of `high`.
    private let high: UInt64
    private let low: UInt64

    private init(family: Family, high: UInt64, low: UInt64) {
        self.family = family
        self.high = high
        self.low = low
    }

    /// An IPv4 address from its 32-bit value, `0x7f000001` being 127.0.0.1.
    public static func ipv4(_ value: UInt32) -> IPAddress {
        IPAddress(family: .ipv4, high: UInt64(value) << 32, low: 0)
    }

    /// An IPv6 address from its two 64-bit halves.
    public static func ipv6(_ high: UInt64, _ low: UInt64) -> IPAddress {
        IPAddress(family: .ipv6, high: high, low: low)
    }

    /// An address from its 4 or 16 octets in network order; nil for another number of octets.
    public init?(octets: some Collection<UInt8>) {
        guard let family = Family(rawValue: UInt8(clamping: octets.count)) else { return nil }
        var halves: (UInt64, UInt64) = (0, 0)
        for (index, octet) in octets.enumerated() {
            if index < 8 {
                halves.0 |= UInt64(octet) << UInt64(56 - 8 * index)
            } else {
                halves.1 |= UInt64(octet) << UInt64(120 - 8 * index)
            }
        }
        self.init(family: family, high: halves.0, low: halves.1)
    }

    /// The 32-bit value of an IPv4 address; nil for IPv6.
    public var ipv4Value: UInt32? {
        self.family == .ipv4 ? UInt32(truncatingIfNeeded: self.high >> 32) : nil
    }

    /// The two halves of an IPv6 address; nil for IPv4.
    public var ipv6Value: (high: UInt64, low: UInt64)? {
        self.family == .ipv6 ? (self.high, self.low) : nil
    }

    /// The octet at `index`, counted from the first one sent.
    /// - Precondition: `index` is below the family's length.
    public func octet(_ index: Int) -> UInt8 {
        precondition(index >= 0 && index < Int(self.family.rawValue), "octet \(index) of an \(self.family) address")
        return UInt8(
            truncatingIfNeeded: index < 8 ? self.high >> UInt64(56 - 8 * index) : self.low >> UInt64(120 - 8 * index))
    }

    /// The 4 or 16 octets in network order.
    public var octets: [UInt8] { (0..<Int(self.family.rawValue)).map(self.octet) }

    /// 0.0.0.0: every local IPv4 address.
    public static let anyIPv4 = IPAddress.ipv4(0)
    /// ::, every local IPv6 address.
    public static let anyIPv6 = IPAddress.ipv6(0, 0)
    /// 127.0.0.1
    public static let loopbackIPv4 = IPAddress.ipv4(0x7f00_0001)
    /// ::1
    public static let loopbackIPv6 = IPAddress.ipv6(0, 1)

    /// Whether this stands for every local address of its family.
    public var isWildcard: Bool { self.high == 0 && self.low == 0 }

    public var isLoopback: Bool {
        switch self.family {
        case .ipv4: self.high >> 56 == 127
        case .ipv6: self.high == 0 && self.low == 1
        }
    }

    public var isLinkLocal: Bool {
        switch self.family {
        case .ipv4: self.high >> 48 == 0xa9fe
        case .ipv6: self.high >> 54 == 0x3fa
        }
    }

    public var isMulticast: Bool {
        switch self.family {
        case .ipv4: self.high >> 60 == 0xe
        case .ipv6: self.high >> 56 == 0xff
        }
    }

    /// The IPv4 address inside ::ffff:0:0/96, otherwise this address itself.
    public var unmapped: IPAddress {
        guard self.family == .ipv6, self.high == 0, self.low >> 32 == 0xffff else { return self }
        return .ipv4(UInt32(truncatingIfNeeded: self.low))
    }
}

extension IPAddress: Comparable {
    public static func < (left: IPAddress, right: IPAddress) -> Bool {
        (left.family.rawValue, left.high, left.low) < (right.family.rawValue, right.high, right.low)
    }
}
