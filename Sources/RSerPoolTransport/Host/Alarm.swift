// SPDX-License-Identifier: Apache-2.0

package import SocketLoop

/// The one deadline that an actor waits for: its machines say when they want to be called, `run()`'s alarm child waits.
///
///     group.addTask { try await self.alarm.run { await self.timersFired() } }
package final class Alarm: Sendable {
    private struct State {
        var armed: (deadline: ContinuousClock.Instant, timer: TimerID)?
        var isDue = false
        var waiter: CheckedContinuation<Void, any Error>?
        var isCancelled = false
    }

    private let clock: any MonotonicClock
    private let state = Locked(State())

    package init(clock: any MonotonicClock) {
        self.clock = clock
    }

    /// Wants a call at `deadline`, or none. Replaces what was wanted before. A deadline that has passed means "at once".
    package func set(_ deadline: ContinuousClock.Instant?) {
        let stale: TimerID? = self.state.withLock { state in
            if let armed = state.armed, armed.deadline == deadline { return nil }
            let stale = state.armed?.timer
            state.armed = nil
            if let deadline {
                let timer = self.clock.schedule(at: deadline) { [weak self] in self?.fire(deadline) }
                state.armed = (deadline, timer)
            }
            return stale
        }
        if let stale { self.clock.cancel(stale) }
    }

    /// Calls `body` each time the deadline has come, until the task is cancelled.
    package func run(_ body: () async throws -> Void) async throws {
        while true {
            try await self.wait()
            try await body()
        }
    }

    /// - Precondition: one waiter at a time.
    private func wait() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<Void, any Error>? = self.state.withLock { state in
                    if state.isCancelled { return .failure(CancellationError()) }
                    if state.isDue {
                        state.isDue = false
                        return .success(())
                    }
                    precondition(state.waiter == nil, "two tasks wait for one alarm")
                    state.waiter = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = self.state.withLock { state in
                state.isCancelled = true
                return state.waiter.take()
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    private func fire(_ deadline: ContinuousClock.Instant) {
        let waiter: CheckedContinuation<Void, any Error>? = self.state.withLock { state in
            guard state.armed?.deadline == deadline else { return nil }
            state.armed = nil
            guard let waiter = state.waiter.take() else {
                state.isDue = true
                return nil
            }
            return waiter
        }
        waiter?.resume()
    }
}

extension Optional {
    /// Moves the value out and leaves nil.
    package mutating func take() -> Wrapped? {
        defer { self = nil }
        return self
    }
}
