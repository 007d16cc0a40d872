// SPDX-License-Identifier: Apache-2.0

/// The loop's clock: real time, timers that fire on the loop's thread.
struct LoopClock: MonotonicClock {
    /// Strong: a clock may outlive the last other reference to its loop, and then still tells the time.
    let loop: SocketLoop

    var now: ContinuousClock.Instant { ContinuousClock.now }
    var minimumResolution: Duration { .nanoseconds(1) }

    func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> TimerID {
        self.loop.addTimer(at: deadline, body)
    }

    func cancel(_ timer: TimerID) {
        self.loop.cancelTimer(timer)
    }
}

/// The loop's second face: where nonisolated work of its tasks runs.
///
/// A separate object on purpose: with one that is both, every job looks isolated, and each call that leaves an actor
/// and comes back is enqueued again (four times the jobs).
final class LoopTasks: TaskExecutor {
    /// The loop owns this object.
    unowned let loop: SocketLoop

    init(loop: SocketLoop) {
        self.loop = loop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        self.loop.push(.task(UnownedJob(job)))
    }
}
