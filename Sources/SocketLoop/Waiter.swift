// SPDX-License-Identifier: Apache-2.0

/// One suspended task that an answer, a deadline and a cancellation race to resume. Whoever comes first does, exactly
/// once.
///
/// Inlined, and public, as ``Locked`` is: each request of a session waits with one.
public final class Waiter<Value: Sendable>: Sendable {
    // The continuation is not checked, which would cost an object for each. Proof that it is resumed once: it is stored by the one
    // change from `fresh` to `waiting`, taken by the one from there to `ended`, and not stored where that has been before.
    @usableFromInline
    internal enum State {
        /// Leaves for `waiting` when the task suspends, for `ended` when the answer or a cancellation is there before.
        case fresh
        case waiting(UnsafeContinuation<Value, any Error>)
        case ended(Result<Value, any Error>)
    }

    @usableFromInline internal let state: Locked<State>

    @inlinable
    public init() {
        self.state = Locked(State.fresh)
    }

    /// Suspends until `end`; a cancelled task ends it with `CancellationError` at once. May be called once.
    @inlinable
    public func value(isolation: isolated (any Actor)? = #isolation) async throws -> Value {
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { self.wait($0) }
        } onCancel: {
            self.end(.failure(CancellationError()))
        }
    }

    /// Ends the wait, from any thread. False if it had ended before: then nobody sees this result.
    @inlinable
    @discardableResult
    public func end(_ result: Result<Value, any Error>) -> Bool {
        let (isFirst, continuation) = self.state.withLock { state -> (Bool, UnsafeContinuation<Value, any Error>?) in
            switch state {
            case .fresh:
                state = .ended(result)
                return (true, nil)
            case .waiting(let continuation):
                state = .ended(result)
                return (true, continuation)
            case .ended:
                return (false, nil)
            }
        }
        continuation?.resume(with: result)
        return isFirst
    }

    @inlinable
    internal func wait(_ continuation: UnsafeContinuation<Value, any Error>) {
        let result = self.state.withLock { state -> Result<Value, any Error>? in
            switch state {
            case .fresh:
                state = .waiting(continuation)
                return nil
            case .ended(let result):
                return result
            case .waiting:
                preconditionFailure("a waiter serves one task")
            }
        }
        if let result { continuation.resume(with: result) }
    }
}

extension Waiter where Value == Void {
    /// Ends the wait successfully.
    @discardableResult
    package func end() -> Bool { self.end(.success(())) }
}
