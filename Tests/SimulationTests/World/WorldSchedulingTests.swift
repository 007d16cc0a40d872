// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import RSerPoolTransport
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite("The simulated world: who runs when")
struct WorldSchedulingTests {
    @Test("Everything that a task on a node does runs on that node, in no real time")
    func runsOnNode() throws {
        let world = World(seed: 1)
        let node = world.startNode("a")
        let log = Log()
        node.start {
            let (stream, continuation) = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingOldest(8))
            await withDiscardingTaskGroup { group in
                for number in 1...3 {
                    group.addTask {
                        log.add(node, "producer \(number)")
                        continuation.yield(number)
                        await Task.yield()
                    }
                }
            }
            continuation.finish()
            for await number in stream { log.add(node, "element \(number)") }
            async let one = Self.elsewhere(log, node, 1)
            async let two = Self.elsewhere(log, node, 2)
            log.add(node, "sum \(await one + two)")
            try await node.host.clock.sleep(for: .seconds(3600))
            log.add(node, "slept")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await node.host.clock.sleep(for: .seconds(5)) }
                group.addTask {
                    do {
                        try await node.host.clock.sleep(for: .seconds(50))
                    } catch {
                        log.add(node, "the later sleep: \(type(of: error))")
                        throw error
                    }
                }
                try await group.next()
                group.cancelAll()
            }
        }
        #expect(try world.run(atMost: .seconds(4000), while: { node.liveRoots > 0 }) == .reached)
        #expect(node.failures.isEmpty)
        #expect(world.now == .seconds(3605), "a cancelled sleep ends at once")
        #expect(log.entries.map(\.isOnNode).allSatisfy { $0 })
        #expect(
            log.entries.map(\.text) == [
                "producer 1", "producer 2", "producer 3", "element 1", "element 2", "element 3", "1", "2", "sum 3",
                "slept", "the later sleep: CancellationError",
            ])
    }

    private static func elsewhere(_ log: Log, _ node: Node, _ number: Int) async -> Int {
        log.add(node, "\(number)")
        return number
    }

    @Test("Timers fire in the order of deadlines, equal ones in the order of the calls")
    func timerOrder() throws {
        let world = World(seed: 2)
        let node = world.startNode("a")
        let log = Log()
        node.inspect {
            let clock = node.host.clock
            let start = clock.now
            for (delay, text) in [(3, "d"), (1, "a"), (2, "b"), (2, "c"), (3, "e")] {
                clock.schedule(at: start + .seconds(delay)) { log.add(node, text) }
            }
        }
        #expect(try world.run(until: .seconds(2)) == .reached)
        #expect(log.texts == ["a", "b", "c"])
        try world.run(until: .seconds(10))
        #expect(log.texts == ["a", "b", "c", "d", "e"])
        #expect(log.entries.map(\.isOnNode).allSatisfy { $0 })
    }

    @Test("A cancelled timer never runs, even if one that is due with it cancels it; late cancelling is harmless")
    func timerCancellation() throws {
        let world = World(seed: 3)
        let node = world.startNode("a")
        let log = Log()
        node.inspect {
            let clock = node.host.clock
            let deadline = clock.now + .seconds(1)
            let second = Locked<TimerID?>(nil)
            let first = clock.schedule(at: deadline) {
                log.add(node, "first")
                second.withLock { $0.map(clock.cancel) }
            }
            second.withLock { $0 = clock.schedule(at: deadline) { log.add(node, "second") } }
            clock.schedule(at: deadline + .seconds(1)) {
                clock.cancel(first)
                log.add(node, "third")
            }
            // The slot of the first timer is in use again by now: cancelling the old name must not touch it.
            clock.schedule(at: deadline + .milliseconds(1500)) { log.add(node, "fourth") }
            for _ in 0..<5000 { clock.cancel(clock.schedule(at: deadline + .seconds(100)) { log.add(node, "never") }) }
        }
        try world.run(until: .seconds(1000))
        #expect(log.texts == ["first", "third", "fourth"])
        #expect(world.pendingEvents == 0)
    }

    @Test("Many timers come in order", arguments: 0..<3)
    func manyTimers(seed: UInt64) throws {
        let world = World(seed: seed)
        let node = world.startNode("a")
        let fired = Locked<[(Int, Int)]>([])
        var expected: [(Int, Int)] = []
        node.inspect {
            let clock = node.host.clock
            let start = clock.now
            var kept: [TimerID] = []
            for number in 0..<4000 {
                let delay = Int(world.generator.below(500))
                let timer = clock.schedule(at: start + .milliseconds(delay)) {
                    fired.withLock { $0.append((delay, number)) }
                }
                if world.generator.below(3) == 0 {
                    clock.cancel(timer)
                } else {
                    expected.append((delay, number))
                    kept.append(timer)
                }
            }
            #expect(Set(kept).count == kept.count)
        }
        try world.run(until: .seconds(1))
        expected.sort { $0 < $1 }
        #expect(fired.withLock { $0.map(\.0) } == expected.map(\.0))
        #expect(fired.withLock { $0.map(\.1) } == expected.map(\.1))
    }

    @Test("The seed chooses among nodes, each node keeps its own order")
    func choiceOfNodes() throws {
        func order(_ seed: UInt64) throws -> [String] {
            let world = World(seed: seed)
            let log = Log()
            for name in ["a", "b", "c", "d"] {
                let node = world.startNode(name)
                for number in 1...3 { node.start { log.add(node, "\(name)\(number)") } }
            }
            try world.settle()
            return log.texts
        }
        let orders = try (0..<20).map { try order($0) }
        #expect(Set(orders).count > 15)
        for order in orders {
            #expect(order.count == 12)
            for name in ["a", "b", "c", "d"] {
                #expect(order.filter { $0.hasPrefix(name) } == ["\(name)1", "\(name)2", "\(name)3"])
            }
        }
    }

    @Test("Work that never lets time pass is reported with the node that does it")
    func livelock() throws {
        var options = WorldOptions()
        options.jobsPerInstant = 1000
        let world = World(seed: 4, options: options)
        let node = world.startNode("busy")
        node.start { while !Task.isCancelled { await Task.yield() } }
        #expect(throws: WorldError.livelock(node: "busy", jobs: 1000)) { try world.run(until: .seconds(1)) }
        #expect(world.now == .zero)
        try world.shutDown()
        #expect(node.liveRoots == 0)
    }

    @Test("A task that nobody can ever resume is reported")
    func stuck() throws {
        let world = World(seed: 5)
        let node = world.startNode("waiting")
        let waiter = Waiter<Void>()
        node.start { try await waiter.value() }
        #expect(try world.run(until: .seconds(1)) == .stuck(alive: ["waiting"]))
        #expect(try world.run(atMost: .seconds(1), until: { false }) == .stuck(alive: ["waiting"]))
        node.inspect { _ = waiter.end() }
        #expect(try world.run(atMost: .seconds(1), until: { node.liveRoots == 0 }) == .reached)
        #expect(try world.run(until: .seconds(9)) == .reached)
    }

    @Test("What a root task throws is kept; its cancellation is none")
    func failures() throws {
        let world = World(seed: 6)
        let node = world.startNode("a")
        node.start { throw TransportError(.failed, "as it must") }
        node.start { try await node.host.clock.sleep(for: .seconds(99)) }
        try world.settle()
        #expect(node.failures.map { "\($0)" } == ["as it must"])
        node.cancel()
        try world.settle()
        #expect(node.failures.count == 1)
        #expect(node.liveRoots == 0)
        #expect(world.now == .zero)
    }

    @Test("The condition of a run is asked at each instant, and time stops when it holds")
    func condition() throws {
        let world = World(seed: 7)
        let node = world.startNode("a")
        let count = Locked(0)
        node.start {
            while true {
                try await node.host.clock.sleep(for: .seconds(1))
                count.withLock { $0 += 1 }
            }
        }
        #expect(try world.run(atMost: .seconds(60), until: { count.withLock { $0 } == 7 }) == .reached)
        #expect(world.now == .seconds(7))
        #expect(try world.run(atMost: .seconds(3), until: { false }) == .timedOut)
        #expect(world.now == .seconds(10))
        world.at(.milliseconds(10_500)) { [unowned world] in #expect(world.now == .milliseconds(10_500)) }
        #expect(throws: TransportError.self) {
            try world.run(
                atMost: .seconds(60),
                until: {
                    if world.now >= .seconds(12) { throw TransportError(.failed, "an invariant") }
                    return false
                })
        }
        #expect(world.now == .seconds(12))
    }

    @Test("Chance differs between seeds, nodes and incarnations, and not between runs")
    func chance() throws {
        func draw(_ seed: UInt64) throws -> [UInt64] {
            let world = World(seed: seed)
            let a = world.startNode("a")
            let b = world.startNode("b")
            var draws: [UInt64] = []
            for node in [a, b] {
                var generator = node.inspect { node.host.makeGenerator() }
                draws.append(generator.next())
            }
            try world.crash(a)
            let again = world.restart(a)
            var generator = again.inspect { again.host.makeGenerator() }
            draws.append(generator.next())
            draws.append(world.generator.next())
            return draws
        }
        #expect(try draw(1) == draw(1))
        #expect(try Set(draw(1) + draw(2)).count == 8)
    }

    @Test("A job from another thread ends the process with a clear text")
    func foreignThread() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let world = World(seed: 8)
            let node = world.startNode("a")
            // A thread of our own: those of the runtime's pool might be the one that drives the world.
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { context in
                    let node = Unmanaged<Node>.fromOpaque(context!).takeUnretainedValue()
                    Task(executorPreference: node.host.tasks) {}
                    return nil
                }, Unmanaged.passUnretained(node).toOpaque())
            pthread_join(thread, nil)
            withExtendedLifetime(world) {}
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains("on simulated node \"a\" from a foreign thread"))
    }
}
