// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport
internal import SocketLoop

/// What happens in a session, in order, for one reader (``Session/events``); two tasks that read at once are a fault of the
/// program, and trap.
///
/// While more than ``Session/Configuration/maxPendingEvents`` wait, or a mebioctet of messages, nothing more is read from the
/// element: it is held back. While nobody reads, the newest 64 events are kept and older ones dropped.
public struct SessionEvents: AsyncSequence, Sendable {
    public typealias Element = Session.Event

    let session: Session
    let inbox: SessionInbox

    public func makeAsyncIterator() -> Iterator {
        Iterator(session: self.session, reading: SessionInbox.Reading(self.inbox))
    }

    public struct Iterator: AsyncIteratorProtocol {
        let session: Session
        let reading: SessionInbox.Reading

        /// Nil when the session is closed or the task is cancelled.
        public mutating func next() async -> Session.Event? {
            guard let event = await self.reading.inbox.next() else { return nil }
            if self.reading.inbox.hasRoomAgain { await self.session.readOn() }
            return event
        }
    }
}

/// The events that wait for a session's reader.
final class SessionInbox: Sendable {
    /// As long as this lives somebody reads.
    final class Reading: Sendable {
        let inbox: SessionInbox

        init(_ inbox: SessionInbox) {
            self.inbox = inbox
            inbox.state.withLock { $0.readers += 1 }
        }

        deinit {
            self.inbox.state.withLock { $0.readers -= 1 }
        }
    }

    private struct State {
        var events: [Session.Event] = []
        var first = 0
        var octets = 0
        var readers = 0
        var isPaused = false
        var isFinished = false
        var waiter: CheckedContinuation<Session.Event?, Never>?

        var count: Int { self.events.count - self.first }

        mutating func removeFirst() -> Session.Event {
            let event = self.events[self.first]
            self.first += 1
            self.octets -= Self.octets(of: event)
            if self.first == self.events.count || (self.first > 64 && 2 * self.first > self.events.count) {
                self.events.removeFirst(self.first)
                self.first = 0
            }
            return event
        }

        static func octets(of event: Session.Event) -> Int {
            if case .message(let message) = event { message.bytes.count } else { 0 }
        }
    }

    private static let keptUnread = 64
    private static let maxOctets = 1 << 20

    private let limit: Int
    private let state = Locked(State())

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    var isPaused: Bool { self.state.withLock { $0.isPaused } }

    var hasReader: Bool { self.state.withLock { $0.readers > 0 } }

    /// - Returns: false when enough waits: then reading has to pause until ``hasRoomAgain``.
    func put(_ event: Session.Event) -> Bool {
        let outcome: (waiter: CheckedContinuation<Session.Event?, Never>?, hasRoom: Bool) = self.state.withLock {
            state in
            guard !state.isFinished else { return (nil, true) }
            if let waiter = state.waiter.take() { return (waiter, true) }
            state.events.append(event)
            state.octets += State.octets(of: event)
            guard state.readers > 0 else {
                while state.count > Self.keptUnread { _ = state.removeFirst() }
                return (nil, true)
            }
            state.isPaused = state.isPaused || state.count >= self.limit || state.octets >= Self.maxOctets
            return (nil, !state.isPaused)
        }
        outcome.waiter?.resume(returning: event)
        return outcome.hasRoom
    }

    /// True once after a pause, when half of what waited has been read, or nobody reads any more.
    var hasRoomAgain: Bool {
        self.state.withLock { state in
            let isLow = state.count <= self.limit / 2 && state.octets <= Self.maxOctets / 2
            guard state.isPaused, isLow || state.readers == 0 else { return false }
            state.isPaused = false
            return true
        }
    }

    /// Nothing more comes; what waits is still handed out.
    func finish() {
        let waiter = self.state.withLock { state in
            state.isFinished = true
            return state.waiter.take()
        }
        waiter?.resume(returning: nil)
    }

    func next() async -> Session.Event? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome: Session.Event?? = self.state.withLock { state in
                    if state.count > 0 { return .some(state.removeFirst()) }
                    if state.isFinished || Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "two tasks read the events of one session")
                    state.waiter = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            // Another task may read on.
            let waiter = self.state.withLock { $0.waiter.take() }
            waiter?.resume(returning: nil)
        }
    }
}
