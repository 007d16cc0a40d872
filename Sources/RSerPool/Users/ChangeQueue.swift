// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

/// The changes that wait for one reader: at most `limit`, then they become one snapshot.
final class ChangeQueue: Sendable {
    private struct State {
        var pending: [PoolChange] = []
        var isInterrupted = false
        var isFinished = false
        var waiter: CheckedContinuation<PoolChange?, Never>?
    }

    private let limit: Int
    private let state = Locked(State())

    init(limit: Int) {
        self.limit = max(2, limit)
    }

    /// - Parameter members: who is in the pool after these changes.
    func put(_ changes: [PoolChange], members: [PoolMember]) {
        let next: (waiter: CheckedContinuation<PoolChange?, Never>, change: PoolChange)? = self.state.withLock {
            state in
            guard !state.isFinished else { return nil }
            for change in changes {
                switch change {
                case .interrupted: state.isInterrupted = true
                case .resumed: state.isInterrupted = false
                default: break
                }
            }
            state.pending += changes
            if state.pending.count > self.limit {
                state.pending = [.snapshot(members)] + (state.isInterrupted ? [.interrupted] : [])
            }
            guard !state.pending.isEmpty, let waiter = state.waiter.take() else { return nil }
            return (waiter, state.pending.removeFirst())
        }
        next?.waiter.resume(returning: next?.change)
    }

    func finish() {
        let waiter = self.state.withLock { state in
            state.isFinished = true
            return state.waiter.take()
        }
        waiter?.resume(returning: nil)
    }

    func next() async -> PoolChange? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome: PoolChange?? = self.state.withLock { state in
                    if !state.pending.isEmpty { return .some(state.pending.removeFirst()) }
                    if state.isFinished { return .some(nil) }
                    precondition(state.waiter == nil, "two tasks read one iterator of pool changes")
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
