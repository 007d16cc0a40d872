// SPDX-License-Identifier: Apache-2.0

import RSerPoolTransport
import SocketLoop
import Testing

@Suite("The alarm of an actor", .timeLimit(.minutes(1)))
struct AlarmTests {
    /// Counts calls of an alarm, and lets a test wait for the next one.
    private final class Rings: Sendable {
        private let stream = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingNewest(1000))
        private let total = Locked(0)

        var count: Int { self.total.withLock { $0 } }

        func ring() {
            let total = self.total.withLock { total in
                total += 1
                return total
            }
            self.stream.continuation.yield(total)
        }

        /// Waits for ring number `number`.
        func wait(for number: Int) async {
            for await total in self.stream.stream where total >= number { return }
        }
    }

    /// Runs `body` beside a task that waits for the alarm, and cancels that in the end.
    private func withAlarm(
        _ clock: ManualClock, _ body: @Sendable (Alarm, Rings) async throws -> Void
    ) async throws {
        let alarm = Alarm(clock: clock)
        let rings = Rings()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await #expect(throws: CancellationError.self) { try await alarm.run { rings.ring() } }
            }
            try await body(alarm, rings)
            group.cancelAll()
        }
    }

    @Test("It calls when its time has come, and once")
    func fires() async throws {
        let clock = ManualClock()
        try await self.withAlarm(clock) { alarm, rings in
            alarm.set(clock.now.advanced(by: .seconds(5)))
            clock.advance(by: .seconds(4))
            #expect(rings.count == 0 && clock.count == 1)
            clock.advance(by: .seconds(1))
            await rings.wait(for: 1)
            clock.advance(by: .seconds(100))
            #expect(clock.count == 0)
            alarm.set(clock.now.advanced(by: .seconds(1)))
            clock.advance(by: .seconds(1))
            await rings.wait(for: 2)
            #expect(rings.count == 2)
        }
    }

    @Test("A new deadline replaces the old one, earlier or later; none is none")
    func rearms() async throws {
        let clock = ManualClock()
        try await self.withAlarm(clock) { alarm, rings in
            let begin = clock.now
            alarm.set(begin.advanced(by: .seconds(10)))
            alarm.set(begin.advanced(by: .seconds(2)))
            #expect(clock.count == 1)
            clock.advance(by: .seconds(2))
            await rings.wait(for: 1)
            alarm.set(begin.advanced(by: .seconds(5)))
            alarm.set(begin.advanced(by: .seconds(20)))
            clock.advance(by: .seconds(10))
            #expect(rings.count == 1 && clock.count == 1)
            alarm.set(nil)
            #expect(clock.count == 0)
            clock.advance(by: .seconds(100))
            alarm.set(clock.now)
            clock.advance(by: .zero)
            await rings.wait(for: 2)
            #expect(rings.count == 2)
        }
    }

    @Test("The same deadline again costs no second timer")
    func sameDeadline() {
        let clock = ManualClock()
        let alarm = Alarm(clock: clock)
        let deadline = clock.now.advanced(by: .seconds(1))
        for _ in 0..<10 { alarm.set(deadline) }
        #expect(clock.count == 1)
    }

    @Test("A deadline that comes while nobody waits is not forgotten")
    func remembered() async throws {
        let clock = ManualClock()
        let alarm = Alarm(clock: clock)
        alarm.set(clock.now.advanced(by: .seconds(1)))
        clock.advance(by: .seconds(1))
        let rings = Rings()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await alarm.run { rings.ring() } }
            await rings.wait(for: 1)
            group.cancelAll()
        }
        #expect(rings.count == 1)
    }

    @Test("What it calls may set it again, and an error of that ends it")
    func chain() async throws {
        struct Enough: Error {}
        let clock = ManualClock()
        let alarm = Alarm(clock: clock)
        alarm.set(clock.now)
        clock.advance(by: .zero)
        let count = Locked(0)
        await #expect(throws: Enough.self) {
            try await alarm.run {
                let total = count.withLock { count in
                    count += 1
                    return count
                }
                if total == 5 { throw Enough() }
                alarm.set(clock.now.advanced(by: .seconds(1)))
                clock.advance(by: .seconds(1))
            }
        }
        #expect(count.withLock { $0 } == 5)
    }

    @Test("Cancelling races with firing on the loop, and each wait ends exactly once")
    func cancellationRaces() async throws {
        let host = try Carrier.tcp.host()
        for index in 0..<500 {
            let alarm = Alarm(clock: host.clock)
            let rings = Locked(0)
            alarm.set(host.clock.now.advanced(by: .microseconds(index % 50)))
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        try await alarm.run { rings.withLock { $0 += 1 } }
                    }
                }
                if index % 2 == 0 { await Task.yield() }
                group.cancelAll()
            }
            #expect(rings.withLock { $0 } <= 1)
        }
    }
}
