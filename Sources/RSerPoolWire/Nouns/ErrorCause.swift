// SPDX-License-Identifier: Apache-2.0

/// One cause inside an Operation Error parameter (RFC 5354 §3.12): data in a message, not a Swift error.
public struct ErrorCause: Hashable, Sendable {
    /// The 16-bit cause code; unknown ones survive (rsplib sends some of its own).
    public struct Code: RawRepresentable, Hashable, Sendable {
        public var rawValue: UInt16

        public init(rawValue: UInt16) {
            self.rawValue = rawValue
        }

        public static let unspecified = Code(rawValue: 0x0000)
        /// The data is the complete parameter that was not known.
        public static let unrecognizedParameter = Code(rawValue: 0x0001)
        /// The data is the message that was not known.
        public static let unrecognizedMessage = Code(rawValue: 0x0002)
        /// The data is the parameter whose value will not do.
        public static let invalidValues = Code(rawValue: 0x0003)
        public static let nonUniquePoolElementID = Code(rawValue: 0x0004)
        /// The data is the pool's policy parameter.
        public static let inconsistentPolicy = Code(rawValue: 0x0005)
        public static let lackOfResources = Code(rawValue: 0x0006)
        /// The data is a transport parameter of the pool's kind.
        public static let inconsistentTransport = Code(rawValue: 0x0007)
        public static let inconsistentTransportUse = Code(rawValue: 0x0008)
        public static let unknownPoolHandle = Code(rawValue: 0x0009)
        public static let rejectedForSecurity = Code(rawValue: 0x000a)
    }

    public var code: Code
    /// What the code says it is, as it was received or will be sent, without padding.
    public var data: [UInt8]

    public init(_ code: Code, data: [UInt8] = []) {
        self.code = code
        self.data = data
    }
}

extension ErrorCause.Code: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unspecified: "unspecified error"
        case .unrecognizedParameter: "unrecognized parameter"
        case .unrecognizedMessage: "unrecognized message"
        case .invalidValues: "invalid values"
        case .nonUniquePoolElementID: "pool element identifier in use"
        case .inconsistentPolicy: "the pool has another policy"
        case .lackOfResources: "lack of resources"
        case .inconsistentTransport: "the pool has another transport type"
        case .inconsistentTransportUse: "the pool has another data/control configuration"
        case .unknownPoolHandle: "unknown pool handle"
        case .rejectedForSecurity: "rejected for security"
        default: "cause 0x" + String(self.rawValue, radix: 16)
        }
    }
}
