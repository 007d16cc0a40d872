// SPDX-License-Identifier: Apache-2.0

/// How long a registration holds without being renewed (RFC 5354 §3.10): a signed number of seconds, −1 meaning for ever.
public struct RegistrationLife: RawRepresentable, Hashable, Sendable {
    public var rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    public static let infinite = RegistrationLife(rawValue: -1)

    public static func seconds(_ seconds: Int32) -> RegistrationLife { RegistrationLife(rawValue: seconds) }

    /// 0 and what is below −1 have no meaning.
    public var isValid: Bool { self.rawValue > 0 || self.rawValue == -1 }

    /// Nil when it never ends.
    public var duration: Duration? { self.rawValue < 0 ? nil : .seconds(self.rawValue) }
}
