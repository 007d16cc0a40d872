// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// A value that comes once, and those who wait for it. Each waiter is resumed exactly once: with the value, the failure, or
/// its own cancellation.
package final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var result: Result<Value, any Error>?
        /// In the order in which they came; one, nearly always.
        var waiters: [(number: UInt64, continuation: CheckedContinuation<Value, any Error>)] = []
        var lastWaiter: UInt64 = 0
    }

    private let state = Locked(State())

    package init() {}

    /// The first result counts.
    package func resolve(_ result: Result<Value, any Error>) {
        let waiters = self.state.withLock {
            state -> [(number: UInt64, continuation: CheckedContinuation<Value, any Error>)] in
            guard state.result == nil else { return [] }
            state.result = result
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(with: result) }
    }

    /// Waits for it, where the caller runs: no executor is changed for it.
    /// - Throws: the failure, or `CancellationError`.
    package func value(isolation: isolated (any Actor)? = #isolation) async throws -> Value {
        let number = self.state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result: Result<Value, any Error>? = self.state.withLock { state in
                    if let result = state.result { return result }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = self.state.withLock { state in
                state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0).continuation }
            }
            waiter?.resume(throwing: CancellationError())
        }
    }
}
