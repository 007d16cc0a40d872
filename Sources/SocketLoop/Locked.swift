// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// State behind a mutex, for what several threads touch.
///
/// A POSIX mutex and not `Synchronization.Mutex`: ThreadSanitizer understands it, so a report of it is about our code.
package final class Locked<State>: @unchecked Sendable {
    // Proof of @unchecked Sendable: `state` is only reached through `withLock`, which holds the mutex for the whole
    // access; what comes in and goes out is `sending` or Sendable. The mutex lives behind a pointer, so it never moves.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline internal var state: State

    package init(_ state: sending State) {
        self.mutex = .allocate(capacity: 1)
        self.mutex.initialize(to: pthread_mutex_t())
        self.state = state
        let status = pthread_mutex_init(self.mutex, nil)
        precondition(status == 0, "pthread_mutex_init: \(status)")
    }

    deinit {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deinitialize(count: 1)
        self.mutex.deallocate()
    }

    /// Runs `body` with exclusive access. It must not wait for anything, and not lock again.
    ///
    /// Inlined, so that it is specialized where it is used: it is on the way of every request.
    @inlinable
    @discardableResult
    package func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        self.lock()
        defer { self.unlock() }
        return try body(&self.state)
    }

    @usableFromInline internal func lock() { pthread_mutex_lock(self.mutex) }
    @usableFromInline internal func unlock() { pthread_mutex_unlock(self.mutex) }
}
