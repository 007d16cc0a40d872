// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A POSIX semaphore at zero, for the few waits of a foreign thread for the loop.
final class Semaphore: @unchecked Sendable {
    // Proof of @unchecked Sendable: sem_t is made for several threads, and lives behind a pointer that never changes.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        self.semaphore = .allocate(capacity: 1)
        self.semaphore.initialize(to: sem_t())
        sem_init(self.semaphore, 0, 0)
    }

    deinit {
        sem_destroy(self.semaphore)
        self.semaphore.deallocate()
    }

    func signal() { sem_post(self.semaphore) }

    func wait() {
        while sem_wait(self.semaphore) != 0 {}
    }
}
