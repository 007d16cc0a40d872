// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// A bounded queue from synchronous code to one task that takes all that has come at once.
package final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var waiter: CheckedContinuation<[Element]?, Never>?
        var isFinished = false
    }

    private let limit: Int
    private let outlivesReaders: Bool
    private let state = Locked(State())

    /// - Parameter outlivesReaders: whether another task may go on where one was cancelled; else a cancelled reader ends the box.
    package init(limit: Int, outlivesReaders: Bool = false) {
        self.limit = limit
        self.outlivesReaders = outlivesReaders
    }

    package var count: Int { self.state.withLock { $0.elements.count } }

    /// - Returns: false where the box is full or finished; the element was not taken then.
    package func put(_ element: Element) -> Bool {
        let outcome: (isTaken: Bool, waiter: CheckedContinuation<[Element]?, Never>?) = self.state.withLock { state in
            guard !state.isFinished, state.elements.count < self.limit else { return (false, nil) }
            guard let waiter = state.waiter.take() else {
                state.elements.append(element)
                return (true, nil)
            }
            return (true, waiter)
        }
        outcome.waiter?.resume(returning: [element])
        return outcome.isTaken
    }

    /// Nothing more comes; what is in the box is still handed out.
    package func finish() {
        let waiter = self.state.withLock { state in
            state.isFinished = true
            return state.waiter.take()
        }
        waiter?.resume(returning: nil)
    }

    /// All that has come, at least one element; nil at the end, or when the task is cancelled.
    /// - Precondition: one task takes.
    package func next() async -> [Element]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let elements: [Element]?? = self.state.withLock { state in
                    if !state.elements.isEmpty {
                        defer { state.elements = [] }
                        return .some(state.elements)
                    }
                    if state.isFinished || Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "two tasks empty one mailbox")
                    state.waiter = continuation
                    return nil
                }
                if let elements { continuation.resume(returning: elements) }
            }
        } onCancel: {
            guard self.outlivesReaders else { return self.finish() }
            let waiter = self.state.withLock { $0.waiter.take() }
            waiter?.resume(returning: nil)
        }
    }
}
