// SPDX-License-Identifier: Apache-2.0

public import RSerPoolCore
public import RSerPoolWire

/// Why a pool could not be joined, asked for or used.
public struct PoolError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A struct over a private enum, so that codes can be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case configurationInvalid, endpointUnusable, noRegistrar, noAnswer, unknownPool, noPoolElement, rejected
            case refused, timedOut, overloaded, stopped, elementFailed, cookieRejected, failoverFailed
            case userGone
        }

        private var value: Value

        /// What was asked for makes no sense; the message says what to change.
        public static let configurationInvalid = Code(value: .configurationInvalid)
        /// A local endpoint could not be opened: a port in use, no SCTP, no descriptor.
        public static let endpointUnusable = Code(value: .endpointUnusable)
        /// None of the registrars could be reached.
        public static let noRegistrar = Code(value: .noRegistrar)
        /// A registrar was reached and did not answer, nor did another one.
        public static let noAnswer = Code(value: .noAnswer)
        /// The registrar knows no pool of that handle.
        public static let unknownPool = Code(value: .unknownPool)
        /// No element of the pool could be reached, or none did what it was asked.
        public static let noPoolElement = Code(value: .noPoolElement)
        /// The registrar rejected a registration; ``PoolError/causes`` says why.
        public static let rejected = Code(value: .rejected)
        /// The registrar refused a request; ``PoolError/causes`` says why.
        public static let refused = Code(value: .refused)
        /// The time that was allowed ran out.
        public static let timedOut = Code(value: .timedOut)
        /// The element failed, and the message was not to go to another one.
        public static let elementFailed = Code(value: .elementFailed)
        /// No element of the pool accepts the state cookie of the session.
        public static let cookieRejected = Code(value: .cookieRejected)
        /// The user of a session that this element serves is gone.
        public static let userGone = Code(value: .userGone)
        /// The application's fail-over handler threw an error.
        public static let failoverFailed = Code(value: .failoverFailed)
        /// A bound of this library was reached.
        public static let overloaded = Code(value: .overloaded)
        /// Its `run()` has ended.
        public static let stopped = Code(value: .stopped)

        public var description: String { self.value.rawValue }
    }

    public var code: Code
    /// One line: what failed, with whom, why, and what to try.
    public var message: String
    /// What the registrar said, where it said something (RFC 5354 §3.12).
    public var causes: [ErrorCause]
    /// What has become of the request or message that failed; nil where there was none.
    public var fate: RequestFate?

    init(_ code: Code, _ message: String, causes: [ErrorCause] = [], fate: RequestFate? = nil) {
        self.code = code
        self.message = message
        self.causes = causes
        self.fate = fate
    }

    /// The same failure of a piece with this fate.
    func with(_ fate: RequestFate) -> PoolError {
        var error = self
        error.fate = fate
        return error
    }

    public var description: String { self.message }
}
