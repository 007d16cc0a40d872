// SPDX-License-Identifier: Apache-2.0

import SocketLoop

/// A clock that stands still until it is moved; timers fire inside ``advance(by:)``.
final class ManualClock: MonotonicClock {
    typealias Duration = Swift.Duration
    typealias Instant = ContinuousClock.Instant

    private struct State {
        var now = ContinuousClock().systemEpoch
        var timers: [UInt64: (deadline: ContinuousClock.Instant, body: @Sendable () -> Void)] = [:]
        var last: UInt64 = 0
    }

    private let state = Locked(State())

    var now: ContinuousClock.Instant { self.state.withLock { $0.now } }
    var minimumResolution: Duration { .nanoseconds(1) }
    /// Timers that wait.
    var count: Int { self.state.withLock { $0.timers.count } }

    func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> TimerID {
        self.state.withLock { state in
            state.last += 1
            state.timers[state.last] = (deadline, body)
            return TimerID(rawValue: state.last)
        }
    }

    func cancel(_ timer: TimerID) {
        self.state.withLock { _ = $0.timers.removeValue(forKey: timer.rawValue) }
    }

    func advance(by span: Duration) {
        let due = self.state.withLock { state in
            state.now = state.now.advanced(by: span)
            let due = state.timers.filter { $0.value.deadline <= state.now }.sorted {
                ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key)
            }
            for timer in due { state.timers[timer.key] = nil }
            return due.map(\.value.body)
        }
        for body in due { body() }
    }
}
