// SPDX-License-Identifier: Apache-2.0

/// Why a registrar could not start.
public struct RegistrarError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A struct over a private enum, so that codes can be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case endpointUnusable, configurationInvalid, stopped }
        private var value: Value

        /// An endpoint could not be opened: a port in use, a foreign address, no SCTP.
        public static let endpointUnusable = Code(value: .endpointUnusable)
        public static let configurationInvalid = Code(value: .configurationInvalid)
        /// It was stopped before it was ready.
        public static let stopped = Code(value: .stopped)

        public var description: String { self.value.rawValue }
    }

    public var code: Code
    /// One line: what, where, why, and what to do.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { self.message }
}
