// SPDX-License-Identifier: Apache-2.0

/// Why a registrar could not be asked.
package struct ENRPQueryError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Hashable, Sendable {
        case endpointInvalid
        /// Nobody there, nobody who answers, or only rejections.
        case unreachable
        /// Its answer cannot be decoded.
        case malformed
        case refusedForSecurity
    }

    package var code: Code
    /// One line: what, with whom, why, and what to try.
    package var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { self.message }
}
