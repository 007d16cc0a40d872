// SPDX-License-Identifier: Apache-2.0

extension IPAddress: LosslessStringConvertible {
    /// Dotted decimal, or IPv6 text as RFC 5952 wants it: lower case, the longest run of zero groups shortened, an IPv4
    /// address behind ::ffff:0:0/96 in dotted decimal.
    public var description: String {
        switch self.family {
        case .ipv4:
            return (0..<4).map { String(self.octet($0)) }.joined(separator: ".")
        case .ipv6:
            let unmapped = self.unmapped
            if unmapped.family == .ipv4 { return "::ffff:\(unmapped)" }
            let groups = (0..<8).map { UInt16(self.octet(2 * $0)) << 8 | UInt16(self.octet(2 * $0 + 1)) }
            guard let run = Self.longestZeroRun(groups) else {
                return groups.map { String($0, radix: 16) }.joined(separator: ":")
            }
            let before = groups[..<run.lowerBound].map { String($0, radix: 16) }.joined(separator: ":")
            let after = groups[run.upperBound...].map { String($0, radix: 16) }.joined(separator: ":")
            return before + "::" + after
        }
    }

    /// Reads dotted decimal or IPv6 text (without brackets and without a zone); nil for anything else.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        if let value = Self.parseIPv4(bytes[...]) {
            self = .ipv4(value)
        } else if let octets = Self.parseIPv6(bytes) {
            self.init(octets: octets)
        } else {
            return nil
        }
    }

    private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
        var best: Range<Int>?
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > (best?.count ?? 0) { best = start..<end }
            start = end + 1
        }
        return best
    }

    private static func parseIPv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var number: UInt32 = 0
            for digit in part {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
                number = number * 10 + UInt32(digit - UInt8(ascii: "0"))
            }
            guard number <= 255 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    private static func parseIPv6(_ text: [UInt8]) -> [UInt8]? {
        guard text.count >= 2, text.count <= 45 else { return nil }
        let colon = UInt8(ascii: ":")
        if let gap = text.indices.dropLast().first(where: { text[$0] == colon && text[$0 + 1] == colon }) {
            guard let before = self.parseGroups(text[..<gap], mayEndInIPv4: false),
                let after = self.parseGroups(text[(gap + 2)...], mayEndInIPv4: true),
                before.count + after.count <= 14
            else { return nil }
            return before + [UInt8](repeating: 0, count: 16 - before.count - after.count) + after
        }
        guard let octets = self.parseGroups(text[...], mayEndInIPv4: true), octets.count == 16 else { return nil }
        return octets
    }

    private static func parseGroups(_ text: ArraySlice<UInt8>, mayEndInIPv4: Bool) -> [UInt8]? {
        guard !text.isEmpty else { return [] }
        var octets: [UInt8] = []
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, let value = self.parseIPv4(part) {
                octets += IPAddress.ipv4(value).octets
                continue
            }
            guard (1...4).contains(part.count) else { return nil }
            var group: UInt16 = 0
            for digit in part {
                guard let nibble = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
                group = group << 4 | UInt16(nibble)
            }
            octets += [UInt8(group >> 8), UInt8(truncatingIfNeeded: group)]
        }
        return octets
    }
}
