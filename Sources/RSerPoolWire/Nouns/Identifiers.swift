// SPDX-License-Identifier: Apache-2.0

/// The 32-bit number that tells the elements of one pool apart (RFC 5354 §3.14); chosen at random by the element.
public struct PoolElementID: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// A random identifier, never 0: rsplib refuses that one.
    public static func random(using generator: inout some RandomNumberGenerator) -> PoolElementID {
        PoolElementID(rawValue: .random(in: 1...UInt32.max, using: &generator))
    }
}

/// The 32-bit number of a registrar, an ENRP server in the words of RFC 5353 §3.2.1; 0 stands for "not known".
public struct RegistrarID: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The home of an element that has none yet, and the receiver of an ENRP message for everybody.
    public static let undetermined = RegistrarID(rawValue: 0)

    public static func random(using generator: inout some RandomNumberGenerator) -> RegistrarID {
        RegistrarID(rawValue: .random(in: 1...UInt32.max, using: &generator))
    }
}

extension PoolElementID: Comparable, CustomStringConvertible {
    public static func < (left: PoolElementID, right: PoolElementID) -> Bool { left.rawValue < right.rawValue }
    /// `0x` and eight digits.
    public var description: String { identifierText(self.rawValue) }
}

extension RegistrarID: Comparable, CustomStringConvertible {
    public static func < (left: RegistrarID, right: RegistrarID) -> Bool { left.rawValue < right.rawValue }
    /// `0x` and eight digits.
    public var description: String { identifierText(self.rawValue) }
}

private func identifierText(_ value: UInt32) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
}
