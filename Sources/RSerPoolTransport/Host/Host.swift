// SPDX-License-Identifier: Apache-2.0

public import SocketLoop

/// What a process gives its registrars, pool elements and pool users to live on: where they run, what time it is, how
/// they reach others, and what chance is.
///
/// In production that is ``SocketHost``: one thread with an epoll loop, the monotonic clock, sockets. In a simulation it
/// is a node of a simulated world, with virtual time and one seed. Nothing in the product asks for a thread, a clock or a
/// random number anywhere else.
public struct Host: Sendable {
    /// The executor of all actors that live on this host. Messages and timers arrive on it synchronously.
    package let executor: any SerialExecutor
    /// Where their tasks prefer to run: the same thread with another face (two objects, or every hop would enqueue twice).
    package let tasks: any TaskExecutor
    public let clock: any MonotonicClock
    package let transport: any Transport
    private let drawSeed: @Sendable () -> UInt64
    /// Gives memory that was freed back to the system.
    package let releaseFreedMemory: @Sendable () -> Void

    package init(
        executor: any SerialExecutor, tasks: any TaskExecutor, clock: any MonotonicClock, transport: any Transport,
        drawSeed: @escaping @Sendable () -> UInt64, releaseFreedMemory: @escaping @Sendable () -> Void = {}
    ) {
        self.executor = executor
        self.tasks = tasks
        self.clock = clock
        self.transport = transport
        self.drawSeed = drawSeed
        self.releaseFreedMemory = releaseFreedMemory
    }

    /// A generator of its own for one actor, seeded from the host's source of chance.
    package func makeGenerator() -> HostGenerator {
        HostGenerator(seed: (self.drawSeed(), self.drawSeed(), self.drawSeed(), self.drawSeed()))
    }
}
