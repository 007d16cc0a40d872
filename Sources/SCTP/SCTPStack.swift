// SPDX-License-Identifier: Apache-2.0

internal import CSCTP
public import SocketLoop

/// One of the two implementations of SCTP, on a socket loop.
public struct SCTPStack: Sendable {
    public enum Kind: Hashable, Sendable, CaseIterable {
        /// The operating system's: multi-homing, no encapsulation needed.
        case kernel
        /// A library inside this process, over UDP (RFC 6951): needs nothing from the machine, one path per
        /// association.
        case userland
    }

    public let kind: Kind
    /// Where everything of this stack happens.
    public let loop: SocketLoop
    let opener: any StackOpener

    /// Whether this machine's kernel speaks SCTP.
    public static var kernelIsAvailable: Bool { csctp_available() == 1 }

    /// The kernel's stack.
    /// - Throws: `stackUnavailable`.
    public static func kernel(on loop: SocketLoop) throws(SCTPError) -> SCTPStack {
        guard self.kernelIsAvailable else {
            throw SCTPError(.stackUnavailable, "this machine's kernel has no SCTP")
        }
        return SCTPStack(kind: .kernel, loop: loop, opener: KernelStack(loop: loop))
    }

    /// The userland stack. There is one per process, for ever: the first call starts it, later ones return it.
    /// - Throws: `stackUnavailable` when it runs on another loop already.
    public static func userland(on loop: SocketLoop) throws(SCTPError) -> SCTPStack {
        let stack = try self.userland { loop }
        guard stack.loop === loop else {
            throw SCTPError(.stackUnavailable, "this process's userland SCTP stack runs on another loop")
        }
        return stack
    }

    /// The userland stack of this process, whichever loop it runs on; the first call of all starts it on the loop it makes.
    package static func userland(
        startingOn makeLoop: () throws(SocketLoopError) -> SocketLoop
    ) throws(SCTPError) -> SCTPStack {
        let stack = try UserlandStack.start(on: makeLoop)
        return SCTPStack(kind: .userland, loop: stack.loop, opener: stack)
    }

    /// Whether the userland stack of this process runs on `loop`: then it must not be stopped.
    package static func isUserland(_ loop: SocketLoop) -> Bool { UserlandStack.running?.loop === loop }

    /// The kernel's stack where there is one, the userland stack elsewhere.
    public static func automatic(on loop: SocketLoop) throws(SCTPError) -> SCTPStack {
        self.kernelIsAvailable ? try self.kernel(on: loop) : try self.userland(on: loop)
    }
}
