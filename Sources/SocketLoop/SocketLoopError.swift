// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The system refused a descriptor or a thread: too many open files, no memory, a limit.
public struct SocketLoopError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was asked for, such as `epoll_create`.
    public let operation: String
    /// The system's error number.
    public let errno: CInt

    package init(operation: String, errno: CInt) {
        self.operation = operation
        self.errno = errno
    }

    public var description: String { "\(self.operation): \(Self.text(self.errno))" }

    /// The system's words for an error number.
    package static func text(_ errno: CInt) -> String {
        // glibc's strerror is thread-safe for the numbers it knows (their texts are constants).
        guard let text = strerror(errno) else { return "error \(errno)" }
        return String(cString: text)
    }
}
