// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

/// One user's link to a pool element: its messages wait here for whoever serves it.
final class ServedLink: Sendable {
    private struct State {
        var hasBegun = false
        var isWaiting = false
        var isPaused = false
        var isLeaving = false
        var isRefused = false
        var lastTraffic: ContinuousClock.Instant?
        var state: [UInt8]?
        var card: BusinessCard?
        /// Taken out of the inbox together, and not yet handed out.
        var batch: ArraySlice<PoolElement.Request> = []
    }

    let id: LinkID
    let source: String
    /// Nil where the transport keeps messages apart.
    let framing: StreamFraming?
    let hasControlChannel: Bool
    let inbox: Mailbox<PoolElement.Request>
    let room = RoomSignal()
    /// Succeeds when the element begins to leave or the link is over.
    let whenLeaving = OneShot<Void>()
    private let values = Locked(State())

    init(_ link: Link, framing: StreamFraming?, hasControlChannel: Bool, limit: Int) {
        self.id = link.id
        self.source = link.remote.addresses.map { SocketAddress(ip: $0, port: link.remote.port).description }
            .joined(separator: ",")
        self.framing = framing
        self.hasControlChannel = hasControlChannel
        self.inbox = Mailbox(limit: limit, outlivesReaders: true)
    }

    /// Somebody serves it.
    var hasBegun: Bool {
        get { self.values.withLock { $0.hasBegun } }
        set { self.values.withLock { $0.hasBegun = newValue } }
    }

    /// Whoever serves it has nothing to do but to wait for the user.
    var isWaiting: Bool {
        get { self.values.withLock { $0.isWaiting } }
        set { self.values.withLock { $0.isWaiting = newValue } }
    }

    /// It is not read for now.
    var isPaused: Bool {
        get { self.values.withLock { $0.isPaused } }
        set { self.values.withLock { $0.isPaused = newValue } }
    }

    /// Its cookie was not ours: nothing that it sends is taken any more.
    var isRefused: Bool {
        get { self.values.withLock { $0.isRefused } }
        set { self.values.withLock { $0.isRefused = newValue } }
    }

    /// When something was last sent or received.
    var lastTraffic: ContinuousClock.Instant? {
        get { self.values.withLock { $0.lastTraffic } }
        set { self.values.withLock { $0.lastTraffic = newValue } }
    }

    var isLeaving: Bool { self.values.withLock { $0.isLeaving } }

    func leave() {
        self.values.withLock { $0.isLeaving = true }
        self.whenLeaving.resolve(.success(()))
    }

    /// The state of the user's cookie.
    var state: [UInt8]? {
        get { self.values.withLock { $0.state } }
        set { self.values.withLock { $0.state = newValue } }
    }

    var card: BusinessCard? {
        get { self.values.withLock { $0.card } }
        set { self.values.withLock { $0.card = newValue } }
    }

    /// What the user sent next; nil when it is gone, or the task is cancelled.
    func next() async -> PoolElement.Request? {
        if let request = self.values.withLock({ $0.batch.popFirst() }) { return request }
        self.isWaiting = true
        defer { self.isWaiting = false }
        guard var batch = await self.inbox.next()?[...] else { return nil }
        let request = batch.popFirst()
        self.values.withLock { [batch] in $0.batch = batch }
        return request
    }

    /// The link is over.
    func finish() {
        self.inbox.finish()
        self.room.finish()
        self.whenLeaving.resolve(.success(()))
    }
}
