// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

/// A pool's live face: who subscribed to it, and what they are told (RFC 5352 §2.2.5, the S and A bits).
///
/// Changes are gathered and told at most once per ``flushInterval``; each message is encoded once, whoever gets it. A
/// subscriber whose buffer is full gets nothing until there is room, and then what it missed: the increments since, or a
/// snapshot where those are no longer kept. It never holds up the others.
///
/// It lives on its registrar's executor and never calls the registrar.
actor Pool {
    /// Changes of a pool are told at most once per this time; the first after a quiet spell is told at once.
    static let flushInterval = Duration.milliseconds(10)
    /// Increments kept for subscribers that were slow for a moment.
    static let keptIncrements = 64

    private final class Subscriber {
        let link: LinkID
        let port: any Port
        let wantsIncrements: Bool
        var progress = Progress.current

        init(link: LinkID, port: any Port, wantsIncrements: Bool) {
            self.link = link
            self.port = port
            self.wantsIncrements = wantsIncrements
        }
    }

    private enum Progress: Sendable {
        /// Has all there is. Leaves for `.behind` when its buffer is full.
        case current
        /// Wants the increment with this number next, or, with nil, the whole list. Leaves for `.current` or `.snapshot`.
        case behind(next: UInt32?)
        /// Is being sent a snapshot. Leaves for `.behind`.
        case snapshot(Snapshot)
    }

    /// A pool as it was at one version, while it is being sent.
    private struct Snapshot: Sendable {
        let members: PoolSnapshot
        let version: UInt32
        /// Of those that are missing the first.
        var next = 0
    }

    /// What a call has sent and put off, for the registrar's counters.
    struct Told: Sendable {
        var sent = 0
        var deferred = 0
    }

    private let host: Host
    private var subscribers: [LinkID: Subscriber] = [:] {
        didSet { self.inOrder = nil }
    }
    /// The subscribers by link, so that a simulation repeats; nil where they have to be sorted again.
    private var inOrder: [Subscriber]?
    private var changed: Set<PoolElementID> = []
    private var gone: Set<PoolElementID> = []
    private var version: UInt32 = 0
    private var increments: [(version: UInt32, bytes: [UInt8])] = []
    private var lastFlush: ContinuousClock.Instant?

    init(host: Host) {
        self.host = host
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    var hasSubscribers: Bool { !self.subscribers.isEmpty }
    var subscriberLinks: [LinkID] { self.subscribersInOrder().map(\.link) }
    func isSubscribed(_ link: LinkID) -> Bool { self.subscribers[link] != nil }

    private func subscribersInOrder() -> [Subscriber] {
        if let inOrder { return inOrder }
        let sorted = self.subscribers.values.sorted {
            ($0.link.port.rawValue, $0.link.number) < ($1.link.port.rawValue, $1.link.number)
        }
        self.inOrder = sorted
        return sorted
    }

    enum Change: Sendable {
        /// An element joined, or has other values.
        case changed(PoolElementID)
        case gone(PoolElementID)
    }

    func note(_ change: Change) {
        switch change {
        case .changed(let id):
            self.gone.remove(id)
            self.changed.insert(id)
        case .gone(let id):
            self.changed.remove(id)
            self.gone.insert(id)
        }
    }

    /// When what has changed may be told; nil if nothing has.
    func flushDeadline(now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard !self.changed.isEmpty || !self.gone.isEmpty else { return nil }
        guard let lastFlush else { return now }
        return lastFlush + Self.flushInterval
    }

    /// Adds a subscriber, or has one begin anew. With increments, its answer is the snapshot that is sent here.
    func subscribe(
        _ link: LinkID, port: any Port, wantsIncrements: Bool, roll: borrowing PoolRoll, now: ContinuousClock.Instant
    ) -> Told {
        // What is pending is told to those who are there before the newcomer gets its snapshot.
        var told = self.flush(roll, now: now)
        let subscriber = Subscriber(link: link, port: port, wantsIncrements: wantsIncrements)
        self.subscribers[link] = subscriber
        if wantsIncrements {
            self.startSnapshot(subscriber, roll)
            self.advance(subscriber, roll, &told)
        }
        return told
    }

    func unsubscribe(_ link: LinkID) {
        self.subscribers[link] = nil
    }

    /// Tells what has changed.
    func flush(_ roll: borrowing PoolRoll, now: ContinuousClock.Instant) -> Told {
        var told = Told()
        guard !self.changed.isEmpty || !self.gone.isEmpty else { return told }
        defer {
            self.changed = []
            self.gone = []
        }
        guard self.hasSubscribers else { return told }
        self.lastFlush = now
        self.makeIncrements(roll)
        var wholeList: [UInt8]?
        for subscriber in self.subscribersInOrder() {
            if case .current = subscriber.progress {
                if subscriber.wantsIncrements {
                    subscriber.progress = .behind(next: self.oldestNewIncrement)
                } else {
                    wholeList = wholeList ?? Self.wholeList(roll)
                    if let wholeList, Self.send(wholeList, to: subscriber) {
                        told.sent += 1
                        continue
                    }
                    subscriber.progress = .behind(next: nil)
                }
            }
            self.advance(subscriber, roll, &told)
        }
        self.newIncrements = 0
        return told
    }

    /// There is room again in a subscriber's buffer.
    func writable(_ link: LinkID, _ roll: borrowing PoolRoll) -> Told {
        var told = Told()
        if let subscriber = self.subscribers[link] { self.advance(subscriber, roll, &told) }
        return told
    }

    /// The last element has left: one update with cause 0x0009 and A = 0, and all subscriptions end (ASAP-144).
    func end(_ handle: PoolHandle) -> Told {
        var told = Told()
        let response = HandleResolutionResponse(pool: handle, outcome: .failed([ErrorCause(.unknownPoolHandle)]))
        let bytes = try? response.encoded()
        for subscriber in self.subscribersInOrder() {
            guard let bytes else { continue }
            if Self.send(bytes, to: subscriber) { told.sent += 1 } else { told.deferred += 1 }
        }
        self.subscribers = [:]
        return told
    }

    // MARK: Increments

    /// How many of the kept increments the flush that runs has made.
    private var newIncrements = 0
    private var oldestNewIncrement: UInt32 { self.version &- UInt32(self.newIncrements) &+ 1 }

    /// Encodes what changed, in as many messages as it takes.
    private func makeIncrements(_ roll: borrowing PoolRoll) {
        var changed = self.changed.sorted()[...]
        var gone = self.gone.sorted()[...]
        self.newIncrements = 0
        repeat {
            self.version &+= 1
            self.newIncrements += 1
            var composer = HandleResolutionResponseComposer(
                head: roll.head, updatesFollow: true,
                increment: IncrementalUpdate(isSnapshot: false, moreFollows: false, sequence: self.version))
            // One that has left again before it was told is none to be added.
            while let id = changed.first, roll.withRecord(of: id, { composer.add(member: $0.parameter) }) ?? true {
                changed.removeFirst()
            }
            if changed.isEmpty { while let id = gone.first, composer.add(gone: id) { gone.removeFirst() } }
            guard let bytes = try? composer.finish() else { continue }
            self.increments.append((self.version, bytes))
        } while !changed.isEmpty || !gone.isEmpty
        self.increments.removeFirst(max(0, self.increments.count - Self.keptIncrements))
    }

    /// Sends a subscriber what it misses, as far as its buffer takes it.
    private func advance(_ subscriber: Subscriber, _ roll: borrowing PoolRoll, _ told: inout Told) {
        while true {
            switch subscriber.progress {
            case .current: return
            case .behind(nil):
                guard let bytes = Self.wholeList(roll), Self.send(bytes, to: subscriber) else {
                    told.deferred += 1
                    return
                }
                told.sent += 1
                subscriber.progress = .current
            case .behind(let next?):
                guard next != self.version &+ 1 else {
                    subscriber.progress = .current
                    return
                }
                guard let increment = self.increment(next) else {
                    self.startSnapshot(subscriber, roll)
                    continue
                }
                guard Self.send(increment, to: subscriber) else {
                    told.deferred += 1
                    return
                }
                told.sent += 1
                subscriber.progress = .behind(next: next &+ 1)
            case .snapshot(let snapshot):
                guard let (bytes, next) = Self.part(of: snapshot), Self.send(bytes, to: subscriber) else {
                    told.deferred += 1
                    return
                }
                told.sent += 1
                subscriber.progress =
                    next < snapshot.members.count
                    ? .snapshot(Snapshot(members: snapshot.members, version: snapshot.version, next: next))
                    : .behind(next: snapshot.version &+ 1)
            }
        }
    }

    /// The increment with a number; nil if it is no longer kept.
    private func increment(_ version: UInt32) -> [UInt8]? {
        guard let oldest = self.increments.first?.version else { return nil }
        let index = Int(version &- oldest)
        guard self.increments.indices.contains(index), self.increments[index].version == version else { return nil }
        return self.increments[index].bytes
    }

    private func startSnapshot(_ subscriber: Subscriber, _ roll: borrowing PoolRoll) {
        subscriber.progress = .snapshot(
            Snapshot(members: roll.snapshot(), version: self.version))
    }

    /// The next message of a snapshot, and where the one after it begins.
    private static func part(of snapshot: Snapshot) -> (bytes: [UInt8], next: Int)? {
        var composer = HandleResolutionResponseComposer(
            head: snapshot.members.head, updatesFollow: true,
            increment: IncrementalUpdate(isSnapshot: true, moreFollows: false, sequence: snapshot.version),
            capacity: 16_384)
        var next = snapshot.next
        while next < snapshot.members.count,
            snapshot.members.withParameter(at: next, { composer.add(member: $0) })
        {
            next += 1
        }
        guard let bytes = try? composer.finish(moreFollows: next < snapshot.members.count) else { return nil }
        return (bytes, next)
    }

    /// The whole pool by identifier, as many as fit one message (ASAP-143).
    private static func wholeList(_ roll: borrowing PoolRoll) -> [UInt8]? {
        var composer = HandleResolutionResponseComposer(head: roll.head, updatesFollow: true)
        for id in roll.ids {
            guard roll.withRecord(of: id, { composer.add(member: $0.parameter) }) ?? true else { break }
        }
        return try? composer.finish()
    }

    private static func send(_ bytes: [UInt8], to subscriber: Subscriber) -> Bool {
        do {
            try subscriber.port.send(
                OutboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol), on: subscriber.link)
            return true
        } catch {
            return false
        }
    }
}
