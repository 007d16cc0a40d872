// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// How a registrar bends the RFCs.
public enum Dialect: String, Hashable, Sendable, CaseIterable {
    /// Not at all.
    case rfc
    /// The reference implementation: it counts registration lives in milliseconds, and gets none of our extensions.
    case rsplib

    /// What such a registrar reads in an ASAP message.
    package var audience: Audience { self == .rfc ? .asap : .rsplibASAP }

    /// A life in its unit; as long as its 31 bits hold, which is 24 days in milliseconds.
    package func told(_ life: RegistrationLife) -> RegistrationLife {
        guard self == .rsplib, life.rawValue > 0 else { return life }
        let (milliseconds, overflow) = life.rawValue.multipliedReportingOverflow(by: 1_000)
        return RegistrationLife(rawValue: overflow ? .max : milliseconds)
    }

    /// A life that it told, in seconds, at least one.
    package func heard(_ life: RegistrationLife) -> RegistrationLife {
        guard self == .rsplib, life.rawValue > 0 else { return life }
        return RegistrationLife(rawValue: max(1, life.rawValue / 1_000))
    }
}
