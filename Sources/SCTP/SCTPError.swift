// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Why an SCTP call did not do what was asked.
public struct SCTPError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, to decide by.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value {
            case stackUnavailable, addressInUse, addressUnavailable, invalidArgument, refused, timedOut, bufferFull
            case unknownAssociation, alreadyAssociated, notConnected, messageTooLong, closed, cancelled, lost
            case noResources, system
        }

        private let value: Value

        /// This machine or process has no such SCTP stack, or it belongs to another loop.
        public static let stackUnavailable = Code(value: .stackUnavailable)
        /// The SCTP or UDP port is taken.
        public static let addressInUse = Code(value: .addressInUse)
        /// The address is not one of this machine's, or of a family it does not have.
        public static let addressUnavailable = Code(value: .addressUnavailable)
        /// A stream number, port or option that cannot be.
        public static let invalidArgument = Code(value: .invalidArgument)
        /// Nobody took the association at any of the peer's addresses.
        public static let refused = Code(value: .refused)
        /// The peer did not answer within `connectTimeout`.
        public static let timedOut = Code(value: .timedOut)
        /// The association's queue is at `sendBufferLimit`; `SCTPEvent.writable` follows.
        public static let bufferFull = Code(value: .bufferFull)
        /// No association with this identifier, or no longer.
        public static let unknownAssociation = Code(value: .unknownAssociation)
        /// The endpoint has an association with this peer already.
        public static let alreadyAssociated = Code(value: .alreadyAssociated)
        /// The association is being shut down and takes no more messages.
        public static let notConnected = Code(value: .notConnected)
        /// Longer than a message may be.
        public static let messageTooLong = Code(value: .messageTooLong)
        /// The endpoint is closed.
        public static let closed = Code(value: .closed)
        /// The task was cancelled.
        public static let cancelled = Code(value: .cancelled)
        /// The association ended while the call waited.
        public static let lost = Code(value: .lost)
        /// No memory, descriptor or buffer is left, or a limit of the options is reached.
        public static let noResources = Code(value: .noResources)
        /// The system said something else: see `errno`.
        public static let system = Code(value: .system)

        public var description: String { "\(self.value)" }
    }

    public let code: Code
    /// One sentence that names the addresses, ports and the system's words.
    public let message: String
    /// The system's error number, where there was one.
    public let errno: CInt?

    public var description: String { self.message }

    init(_ code: Code, _ message: String, errno: CInt? = nil) {
        self.code = code
        self.message = message
        self.errno = errno
    }

    /// An error from the system: "`what`: the system's words".
    init(errno: CInt, _ what: String) {
        self.init(Code(errno: errno), "\(what): \(SocketLoopError.text(errno))", errno: errno)
    }
}

extension SCTPError.Code {
    fileprivate init(errno: CInt) {
        switch errno {
        case EADDRINUSE: self = .addressInUse
        case EADDRNOTAVAIL, EAFNOSUPPORT: self = .addressUnavailable
        case EINVAL: self = .invalidArgument
        case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH: self = .refused
        case ETIMEDOUT: self = .timedOut
        case EISCONN, EALREADY: self = .alreadyAssociated
        case EMSGSIZE: self = .messageTooLong
        case ENOMEM, ENOBUFS, EMFILE, ENFILE: self = .noResources
        case EPROTONOSUPPORT, ESOCKTNOSUPPORT: self = .stackUnavailable
        default: self = .system
        }
    }
}
