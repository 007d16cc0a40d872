// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// Tells one waiting sender that there is room again on its link; and remembers whether the link has a worker.
final class RoomSignal: Sendable {
    private struct State {
        var isBusy = false
        var hasRoom = false
        var isFinished = false
        var waiter: CheckedContinuation<Bool, Never>?
    }

    private let state = Locked(State())

    /// - Returns: true the first time.
    func becomeBusy() -> Bool {
        self.state.withLock { state in
            defer { state.isBusy = true }
            return !state.isBusy
        }
    }

    func signal() { self.end(isFinished: false) }

    /// The link is over.
    func finish() { self.end(isFinished: true) }

    private func end(isFinished: Bool) {
        let waiter = self.state.withLock { state in
            state.isFinished = state.isFinished || isFinished
            let waiter = state.waiter
            state.waiter = nil
            if waiter == nil { state.hasRoom = true }
            return waiter
        }
        waiter?.resume(returning: !isFinished)
    }

    /// - Returns: false when the link is over, or the task was cancelled.
    func wait() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome: Bool? = self.state.withLock { state in
                    if state.isFinished { return false }
                    if state.hasRoom {
                        state.hasRoom = false
                        return true
                    }
                    state.waiter = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            self.finish()
        }
    }
}
