// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// The time of the world as one node sees it. Timers run on the node; while it is frozen they wait.
struct VirtualClock: MonotonicClock {
    let node: Node

    /// A constant: the world begins at the clock's epoch, so its moments are `ContinuousClock`'s.
    private static let origin = ContinuousClock().systemEpoch

    var now: ContinuousClock.Instant {
        Self.origin.advanced(by: .nanoseconds(self.node.drift.local(self.node.scheduler.now)))
    }

    var minimumResolution: Duration { .nanoseconds(1) }

    func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> TimerID {
        let scheduler = self.node.scheduler
        scheduler.checkThread(self.node, "a timer was asked for")
        let moment = max(self.node.drift.world(Self.origin.duration(to: deadline).inNanoseconds), scheduler.now)
        return TimerID(rawValue: scheduler.schedule(at: moment, on: self.node, body).rawValue)
    }

    func cancel(_ timer: TimerID) {
        self.node.scheduler.checkThread(self.node, "a timer was cancelled")
        self.node.scheduler.cancel(TimerHeap.Name(rawValue: timer.rawValue))
    }
}
