// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolWire

extension PoolElementID {
    /// `"0x%08x"`
    package var json: JSON { .string(self.description) }
}

extension RegistrarID {
    /// `"0x%08x"`
    package var json: JSON { .string(self.description) }
}

extension PoolHandle {
    /// Text where it is printable, else `0x` and its octets.
    package var json: JSON { .string(self.description) }
}

extension RegistrationLife {
    /// Seconds; null for ever.
    package var json: JSON { self == .infinite ? .null : .integer(self.rawValue) }
}

extension IPAddress {
    package var json: JSON { .string(self.description) }

    /// As endpoints are written on a command line: IPv6 in brackets.
    package var hostText: String { self.family == .ipv6 ? "[\(self)]" : self.description }
}

extension JSON {
    /// Octets as hexadecimal digits.
    package static func hexadecimal(_ octets: [UInt8]) -> JSON { .string(RSerPoolWire.hexadecimal(octets)) }
}

/// The octets that a line of hexadecimal digits stands for; blanks, colons and a leading `0x` do not matter.
/// - Returns: nil where there is anything else, or half an octet.
package func octets(hexadecimal line: some StringProtocol) -> [UInt8]? {
    var digits = String(line.filter { !$0.isWhitespace && $0 != ":" })[...]
    if digits.hasPrefix("0x") || digits.hasPrefix("0X") { digits = digits.dropFirst(2) }
    var octets: [UInt8] = []
    var high: UInt8?
    for digit in digits {
        guard digit.isASCII, let value = digit.hexDigitValue.map(UInt8.init) else { return nil }
        if let first = high {
            octets.append(first << 4 | value)
            high = nil
        } else {
            high = value
        }
    }
    return high == nil ? octets : nil
}
