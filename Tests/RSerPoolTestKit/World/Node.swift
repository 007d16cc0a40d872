// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolTransport
internal import SocketLoop

/// One simulated process: executor, clock, transport and chance for everything that lives in it.
///
/// It has two faces, as the socket loop has: itself for actors, ``tasks`` for what has no actor. With one object for
/// both, each call that leaves an actor and comes back would be enqueued again.
package final class Node: SerialExecutor, @unchecked Sendable {
    // Proof of @unchecked Sendable: everything here is touched only by the thread that drives the world. `enqueue`,
    // through which the runtime comes in, and the clock and ports, through which the product does, check that.

    enum State {
        /// Leaves for `frozen`, and back; for `dying` when it is crashed.
        case running
        case frozen
        /// Cancelled, and run until nothing is left of it, but nobody hears it any more. Leaves for `dead`.
        case dying
        case dead
    }

    package let name: String
    /// At least one. Nodes with the same addresses are processes of one machine.
    package let addresses: [IPAddress]
    /// 1, and one more with each restart under this name.
    package let incarnation: Int
    /// The UDP port of its SCTP endpoints which do not ask for one themselves; nil: no encapsulation.
    let encapsulationPort: UInt16?
    /// How wrong its machine's clock is.
    let drift: ClockDrift
    /// Names the way to it: the same for all incarnations.
    let place: Int
    let scheduler: Scheduler
    let network: Network

    var queue = WorkQueue()
    /// Whether it is in the scheduler's list.
    var isReady = false
    private(set) var state = State.running
    private(set) var ports: [SimulatedPort] = []
    private(set) var datagramPorts: [SimulatedDatagramPort] = []
    private var lastPort: UInt32 = 0
    private var seeds: SeedSequence
    private var roots: [Task<Void, Never>] = []
    private var taskFace: NodeTasks?

    /// Tasks given to ``start(_:)`` that have not ended.
    package private(set) var liveRoots = 0
    /// What they threw, other than `CancellationError`.
    package private(set) var failures: [any Error] = []
    /// Jobs that came after its death: something of it was left, or somebody else calls its actors.
    package private(set) var lateJobs = 0

    init(
        name: String, place: Int, incarnation: Int, addresses: [IPAddress], encapsulationPort: UInt16?,
        drift: ClockDrift, seed: UInt64, scheduler: Scheduler, network: Network
    ) {
        self.name = name
        self.place = place
        self.incarnation = incarnation
        self.addresses = addresses
        self.encapsulationPort = encapsulationPort
        self.drift = drift
        self.scheduler = scheduler
        self.network = network
        self.seeds = SeedSequence(seed, for: name, UInt64(incarnation))
        self.taskFace = NodeTasks(node: self)
    }

    // MARK: For tests

    /// What the product gets to live on. It refers to the node, so nothing that the node keeps may hold on to it.
    package var host: Host {
        Host(
            executor: self, tasks: self.tasks, clock: VirtualClock(node: self),
            transport: SimulatedTransport(node: self), drawSeed: { self.drawSeed() },
            releaseFreedMemory: { self.releasesOfMemory += 1 })
    }

    /// How often its processes have given freed memory back.
    package private(set) var releasesOfMemory = 0

    package var isAlive: Bool { self.state == .running || self.state == .frozen }
    package var isFrozen: Bool { self.state == .frozen }

    /// Starts a task which, with all of its children, lives in this process and dies with it.
    package func start(_ body: @escaping @Sendable () async throws -> Void) {
        precondition(self.isAlive, "\(self.name) is dead")
        self.scheduler.enter()
        self.liveRoots += 1
        self.roots.append(
            Task(executorPreference: self.tasks) {
                do {
                    try await body()
                    self.rootEnded(nil)
                } catch {
                    self.rootEnded(error)
                }
            })
    }

    /// Runs `body` as if this process did it: `node.inspect { registrar.assumeIsolated { $0.peers } }`.
    package func inspect<Result>(_ body: () throws -> Result) rethrows -> Result {
        self.scheduler.enter()
        return try self.scheduler.perform(on: self, body)
    }

    /// Asks the tasks to end, as a signal handler does; the process goes on until they have.
    package func cancel() {
        self.scheduler.enter()
        self.scheduler.perform(on: self) { for root in self.roots { root.cancel() } }
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        self.push(.actor(UnownedJob(job)))
    }

    package func checkIsolated() {
        precondition(self.scheduler.current === self, "this must run on simulated node \"\(self.name)\"")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        self.scheduler.current === self
    }

    var tasks: NodeTasks {
        guard let face = self.taskFace else { preconditionFailure("set in init") }
        return face
    }

    func push(_ work: Work) {
        self.scheduler.checkThread(self, "a job came")
        switch work {
        case .mail, .timer: guard self.isAlive else { return }
        // It is run all the same: forgotten jobs would leave tasks waiting, and memory with them.
        case .actor, .task: if self.state == .dead { self.lateJobs += 1 }
        }
        self.scheduler.push(work, on: self)
    }

    // MARK: For clock, transport and faults

    /// Whether timers and mail still reach it.
    var isListening: Bool { self.state == .running }

    /// Whether the network takes what it says.
    var isMuted: Bool { !self.isAlive }

    /// - Precondition: the caller runs on this node.
    func checkCaller(_ what: @autoclosure () -> String) {
        self.scheduler.checkThread(self, what())
        guard self.scheduler.current === self else {
            fatalError("\(what()) belongs to simulated node \"\(self.name)\" and was called from outside of it")
        }
    }

    func freeze() {
        self.state = .frozen
        self.scheduler.makeUnready(self)
    }

    func thaw() {
        self.state = .running
        self.scheduler.makeReady(self)
    }

    /// - Returns: whether all that lived in it has ended.
    func die(_ death: Death) -> Bool {
        self.scheduler.enter()
        self.state = .dying
        for port in self.ports { port.vanish(death) }
        for port in self.datagramPorts { port.close() }
        self.cancel()
        let isQuiet = self.scheduler.drain(self)
        self.scheduler.cancelAll(of: self)
        self.ports = []
        self.datagramPorts = []
        self.roots = []
        self.state = .dead
        return isQuiet && self.liveRoots == 0
    }

    func nextPortID() -> PortID {
        self.lastPort += 1
        return PortID(rawValue: self.lastPort)
    }

    func add(_ port: SimulatedPort) {
        self.ports.append(port)
    }

    func remove(_ port: SimulatedPort) {
        // While dying the list is being walked through, and emptied afterwards.
        if self.isAlive { self.ports.removeAll { $0 === port } }
    }

    func add(_ port: SimulatedDatagramPort) {
        self.datagramPorts.append(port)
    }

    func remove(_ port: SimulatedDatagramPort) {
        if self.isAlive { self.datagramPorts.removeAll { $0 === port } }
    }

    private func drawSeed() -> UInt64 {
        self.scheduler.checkThread(self, "randomness was asked for")
        return self.seeds.next()
    }

    private func rootEnded(_ error: (any Error)?) {
        self.scheduler.checkThread(self, "the end of a task came")
        self.liveRoots -= 1
        if let error, !(error is CancellationError) { self.failures.append(error) }
    }
}

/// A node's second face: where nonisolated work of its tasks runs.
final class NodeTasks: TaskExecutor {
    /// The node owns this object.
    unowned let node: Node

    init(node: Node) {
        self.node = node
    }

    func enqueue(_ job: consuming ExecutorJob) {
        self.node.push(.task(UnownedJob(job)))
    }
}
