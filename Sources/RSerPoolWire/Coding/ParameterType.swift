// SPDX-License-Identifier: Apache-2.0

/// The type of a parameter (RFC 5354 §3, table 1). Its two top bits say what to do where it is not known.
package struct ParameterType: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt16

    package init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    package static let ipv4Address = ParameterType(rawValue: 0x0001)
    package static let ipv6Address = ParameterType(rawValue: 0x0002)
    package static let dccpTransport = ParameterType(rawValue: 0x0003)
    package static let sctpTransport = ParameterType(rawValue: 0x0004)
    package static let tcpTransport = ParameterType(rawValue: 0x0005)
    package static let udpTransport = ParameterType(rawValue: 0x0006)
    package static let udpLiteTransport = ParameterType(rawValue: 0x0007)
    package static let policy = ParameterType(rawValue: 0x0008)
    package static let poolHandle = ParameterType(rawValue: 0x0009)
    package static let poolElement = ParameterType(rawValue: 0x000a)
    package static let serverInformation = ParameterType(rawValue: 0x000b)
    package static let operationError = ParameterType(rawValue: 0x000c)
    package static let cookie = ParameterType(rawValue: 0x000d)
    package static let poolElementID = ParameterType(rawValue: 0x000e)
    package static let checksum = ParameterType(rawValue: 0x000f)
    package static let opaqueTransport = ParameterType(rawValue: 0x0010)

    /// rsplib's handle resolution option: a 32-bit number of wanted elements, `UInt32.max` for as many as possible.
    package static let resolutionOption = ParameterType(rawValue: 0x803f)
    /// Ours: the RFC 6951 UDP port of the SCTP addresses before it (Length 8: port, two reserved octets).
    package static let encapsulationPort = ParameterType(rawValue: 0xa951)
    /// Ours: incremental updates (Length 12: flags, sequence number).
    package static let incrementalUpdates = ParameterType(rawValue: 0xa952)

    /// Ours: the sender of a business card is leaving its pool (Length 4, no value).
    package static let leaving = ParameterType(rawValue: 0xa953)

    package var isKnown: Bool { (0x0001...0x0010).contains(self.rawValue) || self.isExtension }

    /// Extensions may stand, and be skipped, wherever a parameter may stand.
    package var isExtension: Bool {
        self == .resolutionOption || self == .encapsulationPort || self == .incrementalUpdates
            || self == .leaving
    }

    /// What the two top bits ask of a receiver that does not know the type.
    package enum Action: UInt16 { case stop = 0, stopAndReport, skip, skipAndReport }

    package var actionIfUnknown: Action { Action(rawValue: self.rawValue >> 14) ?? .stop }
}
