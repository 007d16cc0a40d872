// SPDX-License-Identifier: Apache-2.0

/// What a process on real sockets may choose.
public struct SocketHostOptions: Hashable, Sendable {
    /// Whose SCTP it speaks.
    public enum Stack: String, Hashable, Sendable, CaseIterable {
        /// The kernel's where it has one, else the userland one. Without either, everything but SCTP works.
        case auto
        /// The operating system's.
        case kernel
        /// The library's inside this process, in UDP (RFC 6951).
        case userland
    }

    public var stack: Stack
    /// The UDP port of the userland stack's endpoints that do not choose one; 0: any free one, which they share.
    public var encapsulationPort: UInt16
    /// The name of the host's thread; the system shows 15 characters.
    public var name: String
    /// How long the host's thread stays awake for the next message before it sleeps, where messages have followed one
    /// another so closely that it pays; zero: never. To be woken costs a thread more than a request does, in time and
    /// mostly in processor time too. A second at most.
    public var busyPoll: Duration

    public init(
        stack: Stack = .auto, encapsulationPort: UInt16 = 0, name: String = "rserpool",
        busyPoll: Duration = .microseconds(50)
    ) {
        self.stack = stack
        self.encapsulationPort = encapsulationPort
        self.name = name
        self.busyPoll = busyPoll
    }
}
