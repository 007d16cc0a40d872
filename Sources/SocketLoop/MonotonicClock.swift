// SPDX-License-Identifier: Apache-2.0

/// Names one call of `MonotonicClock.schedule(at:_:)`; never reused by the same clock.
public struct TimerID: Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }
}

/// A clock that somebody owns: the socket loop's, or a test's that jumps from deadline to deadline.
///
/// Its instants are `ContinuousClock`'s, so `any MonotonicClock` serves without generics.
public protocol MonotonicClock: Clock where Instant == ContinuousClock.Instant {
    /// Runs `body` on the executor this clock belongs to, at or after `deadline`; equal deadlines in the order of the
    /// calls.
    ///
    /// May be called from any thread.
    @discardableResult
    func schedule(at deadline: Instant, _ body: @escaping @Sendable () -> Void) -> TimerID

    /// Forgets the timer. Harmless when it has fired already; if it has not started, it never will.
    func cancel(_ timer: TimerID)
}

extension MonotonicClock {
    /// Suspends until `deadline`; ends at once with `CancellationError` when the task is cancelled. `tolerance` is not
    /// used.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        let waiter = Waiter<Void>()
        let timer = self.schedule(at: deadline) { waiter.end() }
        defer { self.cancel(timer) }
        try await waiter.value()
    }

    /// Suspends for `duration`, as `sleep(until:tolerance:)`.
    public func sleep(for duration: Duration) async throws {
        try await self.sleep(until: self.now.advanced(by: duration))
    }
}
