// SPDX-License-Identifier: Apache-2.0

import CSocketLoop
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite("Socket loop", .timeLimit(.minutes(2)))
struct SocketLoopTests {
    /// A loop that ends with the test.
    private static func withLoop(_ body: (SocketLoop) async throws -> Void) async throws {
        let loop = try SocketLoop(name: "test")
        defer { loop.stop() }
        try await body(loop)
    }

    private actor Counter {
        let loop: SocketLoop
        private(set) var value = 0
        private(set) var wasElsewhere = false

        init(_ loop: SocketLoop) { self.loop = loop }
        nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }

        func add() {
            if !self.loop.isCurrent { self.wasElsewhere = true }
            self.value += 1
        }
    }

    @Test("Timers fire in the order of their deadlines, equal ones in the order of the calls, never early")
    func order() async throws {
        try await Self.withLoop { loop in
            let start = ContinuousClock.now
            let fired = Locked<[Int]>([])
            let done = Waiter<Void>()
            let delays = [30, 10, 20, 10, 0, 30, -5]
            for (index, delay) in delays.enumerated() {
                let deadline = start.advanced(by: .milliseconds(delay))
                loop.clock.schedule(at: deadline) {
                    #expect(loop.isCurrent)
                    #expect(ContinuousClock.now >= deadline)
                    fired.withLock { $0.append(index) }
                }
            }
            loop.clock.schedule(at: start.advanced(by: .milliseconds(31))) { done.end() }
            try await done.value()
            // What was due when it was scheduled may run before the next is scheduled.
            let order = fired.withLock { $0 }
            #expect(order.filter { delays[$0] > 0 } == [1, 3, 2, 0, 5])
            #expect(Set(order) == Set(delays.indices))
        }
    }

    @Test("Thousands of timers in random order fire sorted; cancelled ones never")
    func manyTimers() async throws {
        try await Self.withLoop { loop in
            let fired = Locked<[Int]>([])
            let done = Waiter<Void>()
            let start = ContinuousClock.now.advanced(by: .milliseconds(100))
            // On the loop, so that none can fire before all are there.
            await loop.run {
                var timers: [TimerID] = []
                for number in (0..<5000).shuffled() {
                    timers.append(
                        loop.clock.schedule(at: start.advanced(by: .microseconds(number))) {
                            fired.withLock { $0.append(number) }
                        })
                    if timers.count % 2 == 0 { loop.clock.cancel(timers[timers.count - 2]) }
                }
            }
            loop.clock.schedule(at: start.advanced(by: .milliseconds(10))) { done.end() }
            try await done.value()
            let numbers = fired.withLock { $0 }
            #expect(numbers.count == 2500)
            #expect(numbers == numbers.sorted())
        }
    }

    @Test(
        "A timer cancelled by another one of the same moment does not fire; cancelling late is harmless"
    )
    func cancel() async throws {
        try await Self.withLoop { loop in
            let fired = Locked<[String]>([])
            let done = Waiter<Void>()
            let moment = ContinuousClock.now.advanced(by: .milliseconds(20))
            let victim = Locked<TimerID?>(nil)
            let first = loop.clock.schedule(at: moment) {
                fired.withLock { $0.append("first") }
                if let timer = victim.withLock({ $0 }) { loop.clock.cancel(timer) }
            }
            let second = loop.clock.schedule(at: moment) { fired.withLock { $0.append("second") } }
            victim.withLock { $0 = second }
            loop.clock.schedule(at: moment) { done.end() }
            try await done.value()
            loop.clock.cancel(first)
            loop.clock.cancel(first)
            #expect(fired.withLock { $0 } == ["first"])
        }
    }

    @Test("Deadlines beyond all bounds neither trap nor fire")
    func extremes() async throws {
        try await Self.withLoop { loop in
            let clock = ContinuousClock()
            let far = loop.clock.schedule(at: clock.now.advanced(by: .seconds(Int64.max / 2))) {
                Issue.record("too early")
            }
            let past = Waiter<Void>()
            loop.clock.schedule(at: clock.now.advanced(by: .seconds(-1_000_000_000))) { past.end() }
            try await past.value()
            loop.clock.cancel(far)
        }
    }

    @Test("sleep wakes no earlier than asked, and at once when cancelled")
    func sleep() async throws {
        try await Self.withLoop { loop in
            let start = ContinuousClock.now
            try await loop.clock.sleep(for: .milliseconds(20))
            #expect(start.duration(to: .now) >= .milliseconds(20))

            let sleeping = Task(executorPreference: loop.tasks) { try await loop.clock.sleep(for: .seconds(3600)) }
            // Before it sleeps or while: the end is the same.
            sleeping.cancel()
            await #expect(throws: CancellationError.self) { try await sleeping.value }
            #expect(start.duration(to: .now) < .seconds(10))
        }
    }

    @Test("Cancelling sleeps at any moment ends each exactly once")
    func sleepRace() async throws {
        try await Self.withLoop { loop in
            for round in 0..<200 {
                let sleeping = Task { try await loop.clock.sleep(for: .microseconds(round % 100)) }
                for _ in 0..<(round % 7) { await Task.yield() }
                sleeping.cancel()
                switch await sleeping.result {
                case .success: break
                case .failure(let error): #expect(error is CancellationError)
                }
            }
        }
    }

    @Test("Jobs from many threads all run, on the loop's thread, one at a time")
    func manyThreads() async throws {
        try await Self.withLoop { loop in
            let counter = Counter(loop)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<64 {
                    group.addTask { for _ in 0..<500 { await counter.add() } }
                }
            }
            #expect(await counter.value == 32_000)
            #expect(await !counter.wasElsewhere)
        }
    }

    @Test("assumeIsolated works in callbacks on the loop, and calls run in order")
    func assumeIsolated() async throws {
        try await Self.withLoop { loop in
            let counter = Counter(loop)
            let order = Locked<[Int]>([])
            for number in 0..<1000 {
                loop.call {
                    order.withLock { $0.append(number) }
                    counter.assumeIsolated { $0.add() }
                }
            }
            #expect(loop.onLoop { loop.isCurrent })
            #expect(!loop.isCurrent)
            #expect(await counter.value == 1000)
            #expect(order.withLock { $0 } == Array(0..<1000))
        }
    }

    @Test("Tasks without an actor run on the loop when they prefer it")
    func taskFace() async throws {
        try await Self.withLoop { loop in
            let isHere = await Task(executorPreference: loop.tasks) {
                await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<10 {
                        group.addTask {
                            await Task.yield()
                            return loop.isCurrent
                        }
                    }
                    return await group.reduce(true) { $0 && $1 }
                }
            }.value
            #expect(isHere)
        }
    }

    /// Reads what comes through a pipe, a few octets at a time.
    private final class PipeReader: DescriptorHandler {
        let reading: CInt
        let writing: CInt
        private let act: @Sendable (PipeReader, [UInt8]) -> Void

        init(_ act: @escaping @Sendable (PipeReader, [UInt8]) -> Void) throws {
            var ends: [CInt] = [0, 0]
            try #require(pipe(&ends) == 0)
            (self.reading, self.writing) = (ends[0], ends[1])
            self.act = act
        }

        func ready(_ events: Interest) {
            var bytes = [UInt8](repeating: 0, count: 4)
            let count = read(self.reading, &bytes, bytes.count)
            if count > 0 { self.act(self, Array(bytes.prefix(count))) }
        }

        func put(_ bytes: [UInt8]) { _ = write(self.writing, bytes, bytes.count) }

        func close(_ loop: SocketLoop) {
            loop.remove(self.reading)
            csl_close(self.reading)
            csl_close(self.writing)
        }
    }

    @Test("Descriptors are level-triggered: what a handler leaves comes again")
    func levelTriggered() async throws {
        try await Self.withLoop { loop in
            let received = Locked<[UInt8]>([])
            let done = Waiter<Void>()
            let pipe = try PipeReader { _, bytes in
                let count = received.withLock { received in
                    received += bytes
                    return received.count
                }
                if count == 26 { done.end() }
            }
            try await loop.run { () throws(any Error) in
                try loop.add(pipe.reading, interest: .readable, handler: pipe)
                pipe.put(Array(97...122))
            }
            try await done.value()
            #expect(received.withLock { $0 } == Array(97...122))
            await loop.run { pipe.close(loop) }
        }
    }

    @Test(
        "Two loops that answer each other stay awake or sleep, and timers and calls come in time either way",
        arguments: [Duration.zero, .microseconds(50), .milliseconds(2)])
    func staysAwake(busyPoll: Duration) async throws {
        let loops = [
            try SocketLoop(name: "first", busyPoll: busyPoll), try SocketLoop(name: "second", busyPoll: busyPoll),
        ]
        defer { for loop in loops { loop.stop() } }
        let rounds = 2_000
        let done = Waiter<Void>()
        let (timers, calls) = (Locked(0), Locked(0))
        let answers = Locked<PipeReader?>(nil)
        let questions = try PipeReader { _, _ in answers.withLock { $0 }?.put([2]) }
        let count = Locked(0)
        let asker = try PipeReader { _, _ in
            let round = count.withLock { count in
                count += 1
                return count
            }
            if round == rounds {
                done.end()
                return
            }
            if round % 100 == 0 {
                let deadline = ContinuousClock.now.advanced(by: .microseconds(round % 1_000))
                for loop in loops {
                    loop.clock.schedule(at: deadline) {
                        #expect(ContinuousClock.now >= deadline)
                        timers.withLock { $0 += 1 }
                    }
                }
            }
            questions.put([1])
        }
        answers.withLock { $0 = asker }
        try await loops[0].run { () throws in try loops[0].add(asker.reading, interest: .readable, handler: asker) }
        try await loops[1].run { () throws in
            try loops[1].add(questions.reading, interest: .readable, handler: questions)
        }
        questions.put([1])
        for _ in 0..<200 { for loop in loops { try await loop.run { calls.withLock { $0 += 1 } } } }
        try await done.value()
        // The last timers are a millisecond away at most.
        for loop in loops {
            let last = Waiter<Void>()
            loop.clock.schedule(at: .now.advanced(by: .milliseconds(2))) { last.end() }
            try await last.value()
        }
        #expect(timers.withLock { $0 } == 2 * (rounds / 100 - 1))
        #expect(calls.withLock { $0 } == 400)
        await loops[0].run { asker.close(loops[0]) }
        await loops[1].run { questions.close(loops[1]) }
        answers.withLock { $0 = nil }
    }

    private final class Heir: DescriptorHandler {
        func ready(_ events: Interest) { Issue.record("an event of the owner before") }
    }

    @Test("A handler may remove others: their events of this turn are dropped, also for a new owner of the same number")
    func removal() async throws {
        try await Self.withLoop { loop in
            let done = Waiter<Void>()
            let turns = Locked(0)
            let others = Locked<[PipeReader]>([])
            // Both have something to read in the same turn; whichever is first replaces the other.
            let make: @Sendable () throws -> PipeReader = {
                try PipeReader { me, _ in
                    turns.withLock { $0 += 1 }
                    do {
                        guard let victim = others.withLock({ $0.first { $0 !== me } }) else { return }
                        // Empty it, and give its number to another owner.
                        var byte: UInt8 = 0
                        #expect(read(victim.reading, &byte, 1) == 1)
                        loop.remove(victim.reading)
                        try loop.add(victim.reading, interest: .readable, handler: Heir())
                        loop.call {
                            loop.call {
                                victim.close(loop)
                                me.close(loop)
                                done.end()
                            }
                        }
                    } catch {
                        Issue.record("\(error)")
                    }
                }
            }
            try await loop.run { () throws(any Error) in
                let pair = [try make(), try make()]
                others.withLock { $0 = pair }
                for pipe in pair {
                    try loop.add(pipe.reading, interest: .readable, handler: pipe)
                    pipe.put([1])
                }
            }
            try await done.value()
            #expect(turns.withLock { $0 } == 1)
            others.withLock { $0 = [] }
        }
    }

    @Test("The end of a turn comes after its jobs and before sleep, also for what is put off there")
    func endOfTurn() async throws {
        try await Self.withLoop { loop in
            let order = Locked<[String]>([])
            let done = Waiter<Void>()
            loop.call {
                loop.atEndOfTurn {
                    order.withLock { $0.append("end") }
                    loop.atEndOfTurn {
                        order.withLock { $0.append("end of the end") }
                        done.end()
                    }
                }
                loop.call { order.withLock { $0.append("job") } }
            }
            try await done.value()
            #expect(order.withLock { $0 } == ["job", "end", "end of the end"])
        }
    }

    @Test("A flood on one descriptor does not starve timers, jobs and other descriptors")
    func fairness() async throws {
        try await Self.withLoop { loop in
            let done = Waiter<Void>()
            let flood = try PipeReader { me, bytes in me.put(bytes) }
            let quiet = try PipeReader { _, _ in done.end() }
            try await loop.run { () throws(any Error) in
                try loop.add(flood.reading, interest: .readable, handler: flood)
                try loop.add(quiet.reading, interest: .readable, handler: quiet)
                flood.put([1, 2, 3, 4])
            }
            try await loop.clock.sleep(for: .milliseconds(5))
            quiet.put([1])
            try await done.value()
            await loop.run {
                flood.close(loop)
                quiet.close(loop)
            }
        }
    }

    @Test("A loop that is stopped runs what is queued, ends its thread and gives its descriptors back")
    func stop() async {
        // In a process of its own, to count its descriptors.
        await #expect(processExitsWith: .success) {
            let before = Process.current.descriptors
            for _ in 0..<200 {
                let loop = try SocketLoop()
                let ran = Waiter<Void>()
                loop.call { loop.call { ran.end() } }
                loop.stop()
                loop.stop()
                try await ran.value()
            }
            // The last threads may still be at it, and the runtime opens one or two of its own; the loops had 400.
            let deadline = ContinuousClock.now.advanced(by: .seconds(10))
            while Process.current.descriptors > before + 10, ContinuousClock.now < deadline { await Task.yield() }
            #expect(Process.current.descriptors <= before + 10)
        }
    }

    @Test("No descriptors left is an error, not a crash")
    func noDescriptors() async {
        // In a process of its own: the limit is the whole process's.
        await #expect(processExitsWith: .success) {
            // Not `exit`: sanitizers look for leaks then, and need descriptors to do so.
            _exit(await Self.failsCleanly() ? 0 : 1)
        }
    }

    private static func failsCleanly() async -> Bool {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none)
        do {
            _ = try SocketLoop()
            return false
        } catch {
            return error.errno == EMFILE && error.description.contains("epoll_create")
        }
    }
}
