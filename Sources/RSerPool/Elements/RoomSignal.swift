// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// Tells waiting senders that there is room again on their link.
final class RoomSignal: Sendable {
    private struct State {
        var hasRoom = false
        var isFinished = false
        var waiters: [UInt64: CheckedContinuation<Bool, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let state = Locked(State())

    func signal() { self.resumeAll(isFinished: false) }

    /// The link is over.
    func finish() { self.resumeAll(isFinished: true) }

    private func resumeAll(isFinished: Bool) {
        let waiters = self.state.withLock { state in
            state.isFinished = state.isFinished || isFinished
            if state.waiters.isEmpty { state.hasRoom = true }
            defer { state.waiters = [:] }
            return state.waiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.resume(returning: !isFinished) }
    }

    /// - Returns: false when the link is over, or the task was cancelled.
    func wait() async -> Bool {
        let number = self.state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome: Bool? = self.state.withLock { state in
                    if state.isFinished || Task.isCancelled { return false }
                    if state.hasRoom {
                        state.hasRoom = false
                        return true
                    }
                    state.waiters[number] = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let waiter = self.state.withLock { $0.waiters.removeValue(forKey: number) }
            waiter?.resume(returning: false)
        }
    }
}
