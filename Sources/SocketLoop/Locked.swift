// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// State behind a mutex, for what several threads touch.
///
/// A POSIX mutex and not `Synchronization.Mutex`: ThreadSanitizer understands it, so a report of it is about our code.
///
/// Inlined, so that it is specialized where it is used: it is on the way of every request. It is public for that reason alone,
/// and nothing to build on: what is `package` is not specialized in other modules, inlinable or not.
public final class Locked<State>: @unchecked Sendable {
    // Proof of @unchecked Sendable: `state` is only reached through `withLock`, which holds the mutex for the whole
    // access; what comes in and goes out is `sending` or Sendable.
    @usableFromInline internal let mutex: POSIXMutex
    @usableFromInline internal var state: State

    @inlinable
    public init(_ state: sending State) {
        self.mutex = POSIXMutex()
        self.state = state
    }

    deinit {
        self.mutex.destroy()
    }

    /// Runs `body` with exclusive access. It must not wait for anything, and not lock again.
    @inlinable
    @discardableResult
    public func withLock<Result, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        self.mutex.lock()
        defer { self.mutex.unlock() }
        return try body(&self.state)
    }
}

/// A mutex behind a pointer, so that it never moves.
@usableFromInline
internal struct POSIXMutex {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    @usableFromInline
    internal init() {
        self.mutex = .allocate(capacity: 1)
        self.mutex.initialize(to: pthread_mutex_t())
        let status = pthread_mutex_init(self.mutex, nil)
        precondition(status == 0, "pthread_mutex_init: \(status)")
    }

    internal func destroy() {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deinitialize(count: 1)
        self.mutex.deallocate()
    }

    @usableFromInline internal func lock() { pthread_mutex_lock(self.mutex) }
    @usableFromInline internal func unlock() { pthread_mutex_unlock(self.mutex) }
}
