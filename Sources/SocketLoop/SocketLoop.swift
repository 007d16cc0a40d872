// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// One thread that waits for descriptors, timers and jobs, and is the serial executor of the actors above it.
///
/// A turn: ready descriptors, due timers, jobs, then what was put off to the end of the turn (sending what has
/// gathered). Nothing in it may block. The thread keeps the loop alive until `stop()`.
public final class SocketLoop: SerialExecutor, @unchecked Sendable {
    // Proof of @unchecked Sendable: `shared` is behind a lock. Descriptor table, turn ends and wakefulness are touched
    // only on the loop's thread (`preconditionCurrent`). Everything else is immutable once `init` has returned.

    enum Work {
        case actor(UnownedJob)
        case task(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private struct Shared {
        var work: [Work] = []
        var timers = TimerQueue()
        /// The thread has been woken, or is awake and will look before it sleeps.
        var isAwake = true
        var isStopping = false
        /// The thread has ended: nothing that comes now will run.
        var hasEnded = false
    }

    private struct Registration {
        var handler: any DescriptorHandler
        var interest: Interest
        var generation: UInt32
    }

    /// Jobs run per turn before descriptors and timers get their chance again.
    private static let jobsPerTurn = 4096
    /// Descriptors reported per turn.
    private static let eventsPerTurn = 256
    /// The token of the descriptor that wakes the loop; no registration has it, as generations begin with 1.
    private static let wakeUpToken: UInt64 = 0

    private let shared = Locked(Shared())
    private let poller: CInt
    private let wakeUp: CInt
    private let name: String
    private let origin = ContinuousClock.now
    private var taskFace: LoopTasks?

    private var registrations: [CInt: Registration] = [:]
    private var lastGeneration: UInt32 = 0
    private var turnEnds: [@Sendable () -> Void] = []
    private var spareEnds = SpareArray<@Sendable () -> Void>()
    private var spareWork = SpareArray<Work>()
    private var wakefulness: Wakefulness

    /// Starts the loop's thread.
    /// - Parameters:
    ///   - name: The thread's name as the system shows it (15 characters at most are kept).
    ///   - busyPoll: How long the thread stays awake for the next message where messages follow one another so closely that
    ///     this pays; a second at most. Zero: it sleeps at once.
    /// - Throws: when there is no descriptor or thread left.
    public init(name: String = "rserpool", busyPoll: Duration = .zero) throws(SocketLoopError) {
        let poller = csl_poller_open()
        guard poller >= 0 else { throw SocketLoopError(operation: "epoll_create", errno: -poller) }
        let wakeUp = csl_wakeup_open()
        guard wakeUp >= 0 else {
            csl_close(poller)
            throw SocketLoopError(operation: "eventfd", errno: -wakeUp)
        }
        self.poller = poller
        self.wakeUp = wakeUp
        self.name = String(decoding: name.utf8.prefix(15), as: UTF8.self)
        self.wakefulness = Wakefulness(window: Int64(min(max(busyPoll, .zero), .seconds(1)) / .nanoseconds(1)))
        let added = csl_poller_control(poller, 0, wakeUp, UInt32(CSL_READABLE), Self.wakeUpToken)
        guard added == 0 else {
            csl_close(wakeUp)
            csl_close(poller)
            throw SocketLoopError(operation: "epoll_ctl", errno: -added)
        }
        self.taskFace = LoopTasks(loop: self)

        var thread = pthread_t()
        let me = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { context in
                // pthread_create hands over exactly what it was given: the retained loop.
                Unmanaged<SocketLoop>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, me.toOpaque())
        guard status == 0 else {
            me.release()
            csl_close(wakeUp)
            csl_close(poller)
            throw SocketLoopError(operation: "pthread_create", errno: status)
        }
        // Not joinable: the last reference may well be dropped by the loop's own thread.
        pthread_detach(thread)
    }

    /// Where tasks without an actor run on this loop: `Task(executorPreference: loop.tasks)`.
    public var tasks: any TaskExecutor {
        guard let face = self.taskFace else { preconditionFailure("set in init") }
        return face
    }

    /// Timers on this loop.
    public var clock: any MonotonicClock { LoopClock(loop: self) }

    /// Ends the thread after the jobs already queued and those they cause. From any thread; again is harmless.
    ///
    /// Close endpoints first: whoever waits for this loop afterwards waits for ever, as nothing enqueued later runs.
    public func stop() {
        self.shared.withLock { $0.isStopping = true }
        csl_wakeup_signal(self.wakeUp)
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) {
        self.push(.actor(UnownedJob(job)))
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    public func checkIsolated() {
        precondition(self.isCurrent, "this must run on the socket loop's thread")
    }

    public func isIsolatingCurrentContext() -> Bool? {
        self.isCurrent
    }

    /// Whether the caller runs on this loop's thread.
    package var isCurrent: Bool {
        csl_current_loop() == Unmanaged.passUnretained(self).toOpaque()
    }

    /// Runs `body` on the loop, in the order of the calls; from any thread.
    package func call(_ body: @escaping @Sendable () -> Void) {
        self.push(.call(body))
    }

    /// Runs `body` on the loop and waits for it, blocking a foreign thread: only for short, non-blocking bodies at
    /// start-up.
    package func onLoop<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        if self.isCurrent { return try body() }
        let result = Locked<Result<Value, Failure>?>(nil)
        let done = Semaphore()
        self.call {
            let outcome: Result<Value, Failure>
            do throws(Failure) {
                outcome = .success(try body())
            } catch {
                outcome = .failure(error)
            }
            result.withLock { $0 = outcome }
            done.signal()
        }
        done.wait()
        guard let outcome = result.withLock({ $0 }) else { preconditionFailure("signalled without a result") }
        return try outcome.get()
    }

    /// Runs `body` on the loop and returns what it returns, suspending the caller.
    package func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let outcome: Result<Value, Failure> = await withCheckedContinuation { continuation in
            self.call {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try outcome.get()
    }

    func push(_ work: Work) {
        let mustWake = self.shared.withLock { shared -> Bool in
            shared.work.append(work)
            defer { shared.isAwake = true }
            return !shared.isAwake && !shared.hasEnded
        }
        if mustWake { csl_wakeup_signal(self.wakeUp) }
    }

    // MARK: Timers

    func addTimer(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> TimerID {
        // The past is now: it keeps differences of deadlines within Int64.
        let deadline = max(0, self.nanoseconds(deadline))
        let (name, mustWake) = self.shared.withLock { shared -> (UInt64, Bool) in
            let earliest = shared.timers.nextDeadline() ?? .max
            let name = shared.timers.add(deadline, body)
            // Only an earlier deadline changes how long the loop may sleep.
            guard deadline < earliest, !shared.isAwake, !shared.hasEnded else { return (name, false) }
            shared.isAwake = true
            return (name, true)
        }
        if mustWake { csl_wakeup_signal(self.wakeUp) }
        return TimerID(rawValue: name)
    }

    func cancelTimer(_ timer: TimerID) {
        // The closure is released outside of the lock: what it captured may call back from its deinit.
        let body = self.shared.withLock { $0.timers.cancel(timer.rawValue) }
        withExtendedLifetime(body) {}
    }

    /// Nanoseconds since the loop began, clamped to what Int64 holds: about ±290 years.
    private func nanoseconds(_ instant: ContinuousClock.Instant) -> Int64 {
        let parts = self.origin.duration(to: instant).components
        let (whole, overflow) = parts.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return parts.seconds < 0 ? .min : .max }
        let (sum, overflows) = whole.addingReportingOverflow(parts.attoseconds / 1_000_000_000)
        return overflows ? (whole < 0 ? .min : .max) : sum
    }

    // MARK: Descriptors

    /// Watches a descriptor, level-triggered. The loop holds the handler until `remove`; it never closes the
    /// descriptor.
    /// - Precondition: on the loop; the descriptor is not watched yet.
    /// - Throws: when the system has no room for it.
    package func add(
        _ descriptor: CInt,
        interest: Interest,
        handler: any DescriptorHandler
    ) throws(SocketLoopError) {
        self.preconditionCurrent()
        precondition(self.registrations[descriptor] == nil, "descriptor \(descriptor) is watched already")
        self.lastGeneration = self.lastGeneration == .max ? 1 : self.lastGeneration + 1
        let token = UInt64(self.lastGeneration) << 32 | UInt64(UInt32(bitPattern: descriptor))
        let status = csl_poller_control(self.poller, 0, descriptor, interest.rawValue, token)
        guard status == 0 else { throw SocketLoopError(operation: "epoll_ctl", errno: -status) }
        self.registrations[descriptor] = Registration(
            handler: handler, interest: interest, generation: self.lastGeneration)
    }

    /// Waits for something else on a watched descriptor. Unchanged interest costs nothing.
    package func change(_ descriptor: CInt, interest: Interest) {
        self.preconditionCurrent()
        guard let registration = self.registrations[descriptor] else {
            preconditionFailure("descriptor \(descriptor) is not watched")
        }
        guard registration.interest != interest else { return }
        self.registrations[descriptor]?.interest = interest
        let token = UInt64(registration.generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        // Changing what is registered allocates nothing and cannot fail but for a closed descriptor, which is our bug.
        let status = csl_poller_control(self.poller, 1, descriptor, interest.rawValue, token)
        precondition(status == 0, "epoll_ctl of descriptor \(descriptor): \(SocketLoopError.text(-status))")
    }

    /// Stops watching; call it before closing. Safe inside a handler: events already fetched for it are dropped, even
    /// if a new descriptor gets the same number in the same turn. Not being watched is harmless.
    package func remove(_ descriptor: CInt) {
        self.preconditionCurrent()
        guard self.registrations.removeValue(forKey: descriptor) != nil else { return }
        _ = csl_poller_control(self.poller, 2, descriptor, 0, 0)
    }

    /// Runs `body` once, before the loop sleeps next.
    package func atEndOfTurn(_ body: @escaping @Sendable () -> Void) {
        self.preconditionCurrent()
        self.turnEnds.append(body)
    }

    private func preconditionCurrent() {
        precondition(self.isCurrent, "descriptors belong to the socket loop's thread")
    }

    // MARK: The thread

    private func run() {
        csl_set_current_loop(Unmanaged.passUnretained(self).toOpaque())
        csl_name_thread(self.name)
        var events = [csl_event](repeating: csl_event(), count: Self.eventsPerTurn)
        var isStopping = false
        // The clock is read twice in a turn: when the loop is about to sleep, and when it is awake again.
        var now = self.nanoseconds(.now)
        while true {
            let timeout = self.prepareToSleep(&now)
            if isStopping, timeout == 0, self.endIfIdle() { break }
            let count = self.wait(for: &events, atMost: timeout, &now)
            isStopping = self.shared.withLock { shared in
                shared.isAwake = true
                return shared.isStopping
            }
            for event in events.prefix(count) { self.dispatch(event) }
            self.fireTimers(now)
            self.runWork()
            self.endTurn()
        }
        csl_set_current_loop(nil)
        self.registrations.removeAll()
        csl_close(self.wakeUp)
        csl_close(self.poller)
    }

    /// How long the loop may sleep, in nanoseconds; negative is for ever. From here on whoever adds something wakes it.
    private func prepareToSleep(_ now: inout Int64) -> Int64 {
        self.shared.withLock { shared in
            guard shared.work.isEmpty, !shared.isStopping else { return 0 }
            shared.isAwake = false
            now = self.nanoseconds(.now)
            guard let deadline = shared.timers.nextDeadline() else { return -1 }
            return max(0, deadline - now)
        }
    }

    /// Waits for ready descriptors, in nanoseconds at most; negative is for ever.
    private func wait(for events: inout [csl_event], atMost timeout: Int64, _ now: inout Int64) -> Int {
        let begin = now
        let window = self.wakefulness.window
        guard timeout != 0, self.wakefulness.paysOff, timeout < 0 || timeout > window else {
            let count = self.poll(&events, timeout)
            now = self.nanoseconds(.now)
            if timeout != 0, count > 0 { self.wakefulness.slept(now - begin) }
            return count
        }
        while true {
            let count = self.poll(&events, 0)
            now = self.nanoseconds(.now)
            // If there is nothing, the next turn knows how long there is to sleep.
            guard count == 0, now - begin < window else {
                self.wakefulness.stayedAwake(found: count > 0)
                return count
            }
        }
    }

    private func poll(_ events: inout [csl_event], _ timeout: Int64) -> Int {
        let count = csl_poller_wait(self.poller, &events, CInt(events.count), timeout)
        precondition(count >= 0, "epoll_wait: \(SocketLoopError.text(-count))")
        return Int(count)
    }

    /// Ends the loop for good unless there is work left.
    private func endIfIdle() -> Bool {
        self.shared.withLock { shared in
            guard shared.work.isEmpty else { return false }
            shared.hasEnded = true
            shared.timers = TimerQueue()
            return true
        }
    }

    private func dispatch(_ event: csl_event) {
        guard event.token != Self.wakeUpToken else { return csl_wakeup_drain(self.wakeUp) }
        let descriptor = CInt(bitPattern: UInt32(truncatingIfNeeded: event.token))
        guard let registration = self.registrations[descriptor],
            registration.generation == UInt32(truncatingIfNeeded: event.token >> 32)
        else { return }
        registration.handler.ready(Interest(rawValue: event.readiness))
    }

    /// By one reading of the clock: timers that these timers set for "now" wait for the next turn.
    private func fireTimers(_ now: Int64) {
        while let body = self.shared.withLock({ $0.timers.popDue(now: now) }) { body() }
    }

    private func runWork() {
        var budget = Self.jobsPerTurn
        while budget > 0 {
            var work = self.spareWork.take()
            self.shared.withLock { swap(&work, &$0.work) }
            defer { self.spareWork.giveBack(&work) }
            if work.isEmpty { return }
            budget -= work.count
            for item in work {
                switch item {
                case .actor(let job):
                    job.runSynchronously(
                        isolatedTo: self.asUnownedSerialExecutor(), taskExecutor: self.tasks.asUnownedTaskExecutor())
                case .task(let job):
                    job.runSynchronously(on: self.tasks.asUnownedTaskExecutor())
                case .call(let body):
                    body()
                }
            }
        }
    }

    private func endTurn() {
        // What these add belongs to the same end of turn: nothing may be left when the loop sleeps.
        while !self.turnEnds.isEmpty {
            var ends = self.spareEnds.take()
            swap(&ends, &self.turnEnds)
            for body in ends { body() }
            self.spareEnds.giveBack(&ends)
        }
    }
}

/// The room of an array that was in use, for the next turn: two take turns, and no turn allocates.
private struct SpareArray<Element> {
    private static var mostKept: Int { 1_024 }

    private var array: [Element] = []

    mutating func take() -> [Element] {
        var array: [Element] = []
        swap(&array, &self.array)
        return array
    }

    /// Takes the place of an array that was used, so that nobody else holds on to its room.
    mutating func giveBack(_ used: inout [Element]) {
        used.removeAll(keepingCapacity: used.capacity <= Self.mostKept)
        swap(&used, &self.array)
    }
}
