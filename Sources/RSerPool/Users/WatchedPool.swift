// SPDX-License-Identifier: Apache-2.0

public import RSerPoolCore
internal import RSerPoolTransport
public import RSerPoolWire

/// A pool that somebody watches.
public struct WatchedPool: Sendable {
    public let handle: PoolHandle
    let watcher: PoolWatcher
    let maxPendingChanges: Int

    /// What happens to the pool, from now on: a snapshot first, then each change.
    ///
    /// Each iterator has a queue of its own, bounded: who reads too slowly gets a snapshot instead of the changes that
    /// were missed. It survives the loss of a registrar (`.interrupted`, `.resumed`, and a fresh snapshot), and ends when
    /// the pool user's `run()` ends or the task that reads is cancelled.
    public var changes: PoolChanges { PoolChanges(pool: self) }
}

/// The changes of one pool as an asynchronous sequence.
public struct PoolChanges: AsyncSequence, Sendable {
    public typealias Element = PoolChange
    public typealias Failure = Never

    let pool: WatchedPool

    public func makeAsyncIterator() -> Iterator {
        let queue = ChangeQueue(limit: self.pool.maxPendingChanges)
        self.pool.watcher.watch(self.pool.handle, queue)
        return Iterator(watch: Watch(queue: queue, handle: self.pool.handle, watcher: self.pool.watcher))
    }

    public struct Iterator: AsyncIteratorProtocol {
        private let watch: Watch

        fileprivate init(watch: Watch) {
            self.watch = watch
        }

        public mutating func next() async -> PoolChange? {
            await self.watch.queue.next()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> PoolChange? {
            await self.watch.queue.next()
        }
    }

    /// Ends the subscription when the iterator is gone.
    fileprivate final class Watch: Sendable {
        let queue: ChangeQueue
        private let handle: PoolHandle
        private let watcher: PoolWatcher

        init(queue: ChangeQueue, handle: PoolHandle, watcher: PoolWatcher) {
            self.queue = queue
            self.handle = handle
            self.watcher = watcher
        }

        deinit {
            self.watcher.unwatch(self.handle, self.queue)
        }
    }
}
