// SPDX-License-Identifier: Apache-2.0

/// The name of a pool: a string of octets, compared octet by octet (RFC 5352 §1.1, RFC 5354 §3.9).
///
/// There is no terminator, no character set and no case folding: `Echo` and `echo` are two pools. An empty handle cannot
/// be registered. Handles of up to 32 octets work with every implementation; longer ones only with this one.
public struct PoolHandle: Hashable, Sendable {
    public var octets: [UInt8]

    public init(octets: [UInt8]) {
        self.octets = octets
    }

    /// The UTF-8 octets of `text`.
    public init(_ text: String) {
        self.octets = Array(text.utf8)
    }
}

extension PoolHandle {
    /// All octets at once: an array would hash one by one.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.octets.count)
        self.octets.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
}

extension PoolHandle: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) {
        self.init(text)
    }
}

extension PoolHandle: CustomStringConvertible {
    /// The handle as text where it is printable UTF-8, else `0x` and its octets in hexadecimal.
    public var description: String {
        if let text = String(validating: self.octets, as: UTF8.self), !text.isEmpty, !text.hasPrefix("0x"),
            text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f && !(0x80..<0xa0).contains($0.value) }
            )
        {
            return text
        }
        return "0x" + hexadecimal(self.octets)
    }
}

extension PoolHandle: Comparable {
    public static func < (left: PoolHandle, right: PoolHandle) -> Bool {
        left.octets.lexicographicallyPrecedes(right.octets)
    }
}

/// Two lower-case digits per octet.
package func hexadecimal(_ octets: some Sequence<UInt8>) -> String {
    var text = ""
    for octet in octets {
        text.append(Character(Unicode.Scalar(hexDigits[Int(octet >> 4)])))
        text.append(Character(Unicode.Scalar(hexDigits[Int(octet & 15)])))
    }
    return text
}

private let hexDigits = Array("0123456789abcdef".utf8)
