// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Who runs next, and what time it is.
///
/// A ready node is chosen by the seed, inside a node it is first in, first out: the freedom that processes with a loop
/// each have, and no more. When no node is ready nothing can happen before the next deadline, so time jumps there.
final class Scheduler {
    /// Nanoseconds since the world began.
    private(set) var now: Int64 = 0
    /// The node whose work is being done.
    private(set) var current: Node?
    /// Work done so far.
    private(set) var jobs: UInt64 = 0
    private(set) var timers = TimerHeap()

    private let jobsPerInstant: UInt64
    private var jobsBeforeThisInstant: UInt64 = 0
    /// Nodes that have something to do and are not frozen.
    private var ready: [Node] = []
    private var generator: HostGenerator
    private var driver = pthread_self()
    private var isRunning = false

    init(seed: UInt64, jobsPerInstant: Int) {
        var seeds = SeedSequence(seed, for: "order")
        self.generator = seeds.makeGenerator()
        self.jobsPerInstant = UInt64(jobsPerInstant)
    }

    var isIdle: Bool { self.ready.isEmpty }

    // MARK: What nodes and the network ask for

    func push(_ work: Work, on node: Node) {
        node.queue.append(work)
        self.makeReady(node)
    }

    func makeReady(_ node: Node) {
        guard !node.isReady, !node.isFrozen, !node.queue.isEmpty else { return }
        node.isReady = true
        self.ready.append(node)
    }

    func makeUnready(_ node: Node) {
        guard node.isReady else { return }
        node.isReady = false
        self.ready.removeAll { $0 === node }
    }

    /// Has `body` run at `moment`, on the node, or between the nodes' work if there is none.
    @discardableResult
    func schedule(at moment: Int64, on node: Node? = nil, _ body: @escaping () -> Void) -> TimerHeap.Name {
        self.timers.add(moment, on: node, body)
    }

    func schedule(after span: Int64, _ body: @escaping () -> Void) {
        _ = self.timers.add(self.now + span, on: nil, body)
    }

    func cancel(_ timer: TimerHeap.Name) {
        self.timers.cancel(timer)
    }

    func cancelAll(of node: Node) {
        self.timers.cancelAll(of: node)
    }

    func cancelAll() {
        self.timers.cancelAll()
    }

    // MARK: Running

    /// Goes on until `limit`, or until `isDone` says so; it is asked whenever nothing is left to do at an instant.
    /// - Returns: whether `isDone` ended it.
    func run(until limit: Int64, isDone: (() throws -> Bool)?) throws -> Bool {
        precondition(!self.isRunning && self.current == nil, "the world runs already: it must not be run from inside")
        self.enter()
        self.isRunning = true
        defer { self.isRunning = false }
        while true {
            try self.finishInstant()
            if let isDone, try isDone() { return true }
            // Asking may have given the nodes something to do.
            if !self.ready.isEmpty { continue }
            guard let deadline = self.timers.nextDeadline(), deadline <= limit else { break }
            if deadline > self.now {
                self.now = deadline
                self.jobsBeforeThisInstant = self.jobs
            }
            self.fireTimers()
        }
        self.now = max(self.now, limit)
        return false
    }

    /// Runs what `node` has to do until nothing is left, whatever the others have.
    /// - Returns: false when it does not come to an end.
    func drain(_ node: Node) -> Bool {
        self.enter()
        self.makeUnready(node)
        let limit = self.jobs + self.jobsPerInstant
        while let work = node.queue.popFirst() {
            guard self.jobs < limit else { return false }
            self.perform(work, on: node)
        }
        self.makeUnready(node)
        return true
    }

    /// Runs `body` as if the node did it, so `assumeIsolated` works in it.
    func perform<Result>(on node: Node, _ body: () throws -> Result) rethrows -> Result {
        let previous = self.current
        self.current = node
        defer { self.current = previous }
        return try body()
    }

    private func finishInstant() throws {
        while !self.ready.isEmpty {
            let choice = self.ready.count == 1 ? 0 : Int(self.generator.below(UInt64(self.ready.count)))
            let node = self.ready[choice]
            // A ready node's queue is not empty.
            guard let work = node.queue.popFirst() else { preconditionFailure("\(node.name) is ready for nothing") }
            if node.queue.isEmpty {
                node.isReady = false
                self.ready.swapAt(choice, self.ready.count - 1)
                self.ready.removeLast()
            }
            self.perform(work, on: node)
            if self.jobs - self.jobsBeforeThisInstant > self.jobsPerInstant {
                self.jobsBeforeThisInstant = self.jobs
                throw WorldError.livelock(node: node.name, jobs: Int(self.jobsPerInstant))
            }
        }
    }

    private func fireTimers() {
        // All that is due now: each goes to its node, so cancelling works until it is really run.
        while let deadline = self.timers.nextDeadline(), deadline <= self.now {
            let (name, node) = self.timers.popFirst()
            if let node {
                self.push(.timer(name), on: node)
            } else {
                self.timers.take(name)?()
            }
        }
    }

    private func perform(_ work: Work, on node: Node) {
        self.jobs += 1
        self.current = node
        defer { self.current = nil }
        switch work {
        case .actor(let job):
            job.runSynchronously(
                isolatedTo: node.asUnownedSerialExecutor(), taskExecutor: node.tasks.asUnownedTaskExecutor())
        case .task(let job):
            job.runSynchronously(on: node.tasks.asUnownedTaskExecutor())
        case .timer(let name):
            let body = self.timers.take(name)
            if node.isListening { body?() }
        case .mail(let body):
            if node.isListening { body() }
        }
    }

    // MARK: One thread

    /// Makes the calling thread the one that drives the world, unless another one is driving.
    func enter() {
        if pthread_equal(self.driver, pthread_self()) != 0 { return }
        if self.isRunning { fatalError("two threads drive one simulated world") }
        self.driver = pthread_self()
    }

    /// - Precondition: the calling thread drives the world.
    func checkThread(_ node: Node, _ what: @autoclosure () -> String) {
        if pthread_equal(self.driver, pthread_self()) != 0 { return }
        fatalError(
            """
            \(what()) on simulated node "\(node.name)" from a foreign thread: something left the simulation. \
            Task {}, Task.detached, Task.sleep, ContinuousClock, @MainActor and threads do that; use the host's \
            executor, tasks and clock.
            """)
    }
}
