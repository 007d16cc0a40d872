// SPDX-License-Identifier: Apache-2.0

/// Why an endpoint could not be opened or a message not be taken.
package struct TransportError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A struct over a private enum, so that codes can be added.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case addressInUse, addressNotAvailable, notPermitted, outOfResources, unsupported, bufferFull, noSuchLink
            case messageTooLong, failed
        }

        private var value: Value

        package static let addressInUse = Code(value: .addressInUse)
        package static let addressNotAvailable = Code(value: .addressNotAvailable)
        package static let notPermitted = Code(value: .notPermitted)
        /// No descriptor, no memory, or a bound of ours.
        package static let outOfResources = Code(value: .outOfResources)
        /// The system lacks it, SCTP for example.
        package static let unsupported = Code(value: .unsupported)
        package static let bufferFull = Code(value: .bufferFull)
        package static let noSuchLink = Code(value: .noSuchLink)
        package static let messageTooLong = Code(value: .messageTooLong)
        package static let failed = Code(value: .failed)

        package var description: String { self.value.rawValue }
    }

    package var code: Code
    /// One line: what failed, with which address, and why.
    package var message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { self.message }
}
