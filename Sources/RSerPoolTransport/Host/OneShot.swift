// SPDX-License-Identifier: Apache-2.0

public import SocketLoop
internal import Synchronization

/// A value that comes once, and those who wait for it. Each waiter is resumed exactly once: with the value, the failure, or
/// its own cancellation.
///
/// Inlined, so that it is specialized where it is used, and public for that reason alone (see ``SocketLoop/Locked``): each
/// request of a session waits for one.
public final class OneShot<Value: Sendable>: Sendable {
    // Continuations are not checked, which would cost an object for each. Proof that each is resumed once: whoever resumes one has
    // taken it out of the state, under the lock; it is put there only while no result is, and whoever brings the result takes all.
    @usableFromInline
    internal typealias Waiter = (number: UInt64, continuation: UnsafeContinuation<Value, any Error>)

    @usableFromInline
    internal struct State {
        @usableFromInline internal var result: Result<Value, any Error>?
        /// In the order in which they came. There is one, nearly always, and that one needs no array.
        @usableFromInline internal var first: Waiter?
        @usableFromInline internal var others: [Waiter] = []

        @inlinable
        internal init() {}

        @inlinable
        internal mutating func add(_ waiter: Waiter) {
            if self.first == nil { self.first = waiter } else { self.others.append(waiter) }
        }

        @inlinable
        internal mutating func remove(_ number: UInt64) -> UnsafeContinuation<Value, any Error>? {
            if let first = self.first, first.number == number {
                self.first = self.others.isEmpty ? nil : self.others.removeFirst()
                return first.continuation
            }
            return self.others.firstIndex { $0.number == number }.map { self.others.remove(at: $0).continuation }
        }
    }

    @usableFromInline internal let state: Locked<State>

    @inlinable
    public init() {
        self.state = Locked(State())
    }

    /// The first result counts.
    @inlinable
    public func resolve(_ result: Result<Value, any Error>) {
        let (first, others): (Waiter?, [Waiter]) = self.state.withLock { state in
            guard state.result == nil else { return (nil, []) }
            state.result = result
            defer { (state.first, state.others) = (nil, []) }
            return (state.first, state.others)
        }
        first?.continuation.resume(with: result)
        for waiter in others { waiter.continuation.resume(with: result) }
    }

    /// Waits for it, where the caller runs: no executor is changed for it.
    /// - Throws: the failure, or `CancellationError`.
    @inlinable
    public func value(isolation: isolated (any Actor)? = #isolation) async throws -> Value {
        let number = Self.nextNumber()
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                let result: Result<Value, any Error>? = self.state.withLock { state in
                    if let result = state.result { return result }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.add((number, continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            self.state.withLock { $0.remove(number) }?.resume(throwing: CancellationError())
        }
    }

    @usableFromInline
    internal static func nextNumber() -> UInt64 { lastNumber.add(1, ordering: .relaxed).newValue }
}

/// Tells all waiters apart.
private let lastNumber = Atomic<UInt64>(0)
