// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport

/// One end of a link: what a process's stack knows about an association or a connection.
///
/// It talks to the other end only by what `launch` puts on the way, so each end learns of anything a hop later, or
/// never.
final class LinkEnd {
    enum State {
        /// Leaves for `up` when the far end has agreed, for `ended` when nobody does in time.
        case connecting
        /// Leaves for `closing` when we shut it down, for `ended` when the far end ends it or is lost.
        case up
        /// What was sent is on its way. Leaves for `ended` when the far end has it all, or is lost.
        case closing
        case ended
    }

    /// What is on the way to the far end.
    private enum Item {
        case message(OutboundMessage)
        /// A piece of a byte stream.
        case bytes(ArraySlice<UInt8>)
        /// The far end has agreed to the link.
        case agreement
        /// There is no more to come.
        case finish
        /// The answer to `finish`.
        case finished

        /// What it takes up of the send buffer.
        var cost: Int {
            switch self {
            case .message(let message): max(1, message.bytes.count)
            case .bytes(let bytes): bytes.count
            case .agreement, .finish, .finished: 0
            }
        }
    }

    let id: LinkID
    let port: SimulatedPort
    let isIncoming: Bool
    private(set) var remote: RemoteEndpoint
    private(set) var state = State.connecting
    /// Nil until somebody has agreed to the link, and when it is over.
    private(set) var peer: LinkEnd?
    /// Its key in the port's table.
    var association: SocketAddress?
    /// Nothing comes through any more, in either direction.
    var isSevered = false

    /// The process died without telling anybody.
    private var isMute = false
    /// Nothing more is to reach the receiver.
    private var isDeaf = false
    /// The far end does not answer heartbeats.
    private(set) var isUnanswered = false
    /// Rises when the far end falls silent or is heard again, so that stale time limits are known.
    private var generation = 0

    /// Octets that the far end's process has not taken.
    private var outstanding = 0
    private var wantsRoom = false
    /// What waits for a way that is cut or clogged, or for the link to come up; bounded as `outstanding` is.
    private var held: [Item] = []
    /// The latest arrival of anything that was sent, nanoseconds.
    private var lastArrival: Int64 = 0
    /// Nothing arrives before this.
    private var barrier: Int64 = 0
    private var lastArrivalOfStream: [UInt16: Int64] = [:]
    /// TCP: what has arrived of a message that is not complete.
    private var inbox: [UInt8] = []
    /// The far end is going to hear that there is no more to come.
    private var hasFinished = false

    init(id: LinkID, port: SimulatedPort, remote: RemoteEndpoint, isIncoming: Bool) {
        self.id = id
        self.port = port
        self.remote = remote
        self.isIncoming = isIncoming
    }

    private var node: Node { self.port.node }
    private var network: Network { self.port.node.network }
    private var scheduler: Scheduler { self.port.node.scheduler }

    // MARK: Connecting

    func startConnecting() {
        let limit = self.network.options.connectTimeout.inNanoseconds
        self.scheduler.schedule(after: limit) { [weak self] in
            guard let self, self.state == .connecting else { return }
            // Who has agreed meanwhile, without our hearing of it, finds out by talking to us.
            let peer = self.peer
            self.end(.refused)
            peer?.review()
        }
        self.tryToConnect()
    }

    private func tryToConnect() {
        guard self.state == .connecting, self.peer == nil else { return }
        switch self.network.answer(to: self.remote, from: self) {
        case .silence:
            self.scheduler.schedule(after: self.network.options.connectRetry.inNanoseconds) { [weak self] in
                self?.tryToConnect()
            }
        case .refusal(let span):
            self.scheduler.schedule(after: span) { [weak self] in
                guard let self, self.state == .connecting, self.peer == nil else { return }
                self.end(.refused)
            }
        case .listener(let listener, let address):
            // SCTP agrees after INIT, INIT ACK and COOKIE ECHO, TCP after SYN.
            var span = self.network.hop(from: self.node, to: listener.node)
            if self.port.scheme == .sctp {
                span += self.network.hop(from: listener.node, to: self.node)
                span += self.network.hop(from: self.node, to: listener.node)
            }
            self.scheduler.schedule(after: span) { [weak self] in self?.agree(with: listener, at: address) }
        }
    }

    /// The last word of ours has reached `listener`.
    private func agree(with listener: SimulatedPort, at address: IPAddress) {
        guard self.state == .connecting, self.peer == nil else { return }
        guard listener.isOpen, !listener.isStackFrozen, listener.admits(self),
            self.network.isOpen(self.node, listener.node), self.network.isOpen(listener.node, self.node)
        else { return self.tryToConnect() }

        var peer: LinkEnd?
        if self.port.scheme == .sctp, let known = listener.association(with: self.port) {
            if known.state == .connecting, known.peer == nil {
                peer = known  // both have asked one another
            } else if known.peer?.port !== self.port || known.peer?.state == .ended {
                known.end(.lost)  // we began anew, and they had not noticed that we were gone
            } else {
                return self.end(.refused)
            }
        }
        if self.port.scheme == .sctp {
            if let own = self.port.association(with: listener), own !== self { return self.end(.refused) }
            self.port.register(self, for: listener.name)
        }
        let ours = self.ownEndpoint(towards: address)
        let other = peer ?? listener.makeEnd(to: ours, isIncoming: true)
        if self.port.scheme == .sctp, peer == nil { listener.register(other, for: self.port.name) }
        self.peer = other
        self.remote = listener.endpoint(reachedBy: self.port.scheme == .tcp ? address : nil)
        other.peer = self
        other.remote = ours
        other.comeUp()
        // Before what the other end may have been given to send while it was connecting itself.
        other.held.insert(.agreement, at: 0)
        other.flush()
    }

    /// How the far end at `address` sees us: a TCP connection leaves from one address and a port of its own.
    private func ownEndpoint(towards address: IPAddress) -> RemoteEndpoint {
        guard self.port.scheme == .tcp else { return self.port.endpoint() }
        let source = self.port.addresses.first { $0.family == address.family } ?? self.port.addresses[0]
        return self.port.endpoint(reachedBy: source, number: self.network.nextEphemeral())
    }

    private func comeUp() {
        self.state = .up
        self.network.counters.linksOpened += 1
        self.port.post(
            .up(Link(id: self.id, scheme: self.port.scheme, remote: self.remote, isIncoming: self.isIncoming)))
    }

    // MARK: What its process does

    func send(_ message: OutboundMessage) throws(TransportError) {
        guard self.state == .up || self.state == .connecting else {
            throw TransportError(.noSuchLink, "link \(self.id) is being shut down")
        }
        let item = self.port.scheme == .sctp ? Item.message(message) : Item.bytes(message.bytes[...])
        guard self.outstanding == 0 || self.outstanding + item.cost <= self.port.options.sendBufferLimit else {
            self.wantsRoom = true
            throw TransportError(.bufferFull, "link \(self.id) has \(self.outstanding) octets to send already")
        }
        self.outstanding += item.cost
        self.network.counters.messagesSent += 1
        self.network.trace.record(.sent(message, self.id, to: self.peer?.node.name ?? ""), at: self.node)
        if case .bytes(let bytes) = item, let boundary = self.network.segmentBoundary(in: bytes.count) {
            self.transmit(.bytes(bytes[..<boundary]))
            self.transmit(.bytes(bytes[boundary...]))
        } else {
            self.transmit(item)
        }
        // A machine that lives again knows nothing of links from before, and says so to who sends on one.
        if let peer, peer.isMute, !self.isSevered, self.network.livesAgain(peer.node),
            self.network.isOpen(self.node, peer.node), self.network.isOpen(peer.node, self.node)
        {
            self.learnOfEnd(of: peer)
        }
    }

    func shutdown() {
        switch self.state {
        case .connecting: self.abort()
        case .up:
            self.state = .closing
            self.transmit(.finish)
        case .closing, .ended: break
        }
    }

    func abort() {
        guard self.state != .ended else { return }
        self.breakOff(.closed)
    }

    /// The process is dead, or its machine.
    func vanish(silently: Bool) {
        guard self.state != .ended else { return }
        let peer = self.peer
        self.isDeaf = true
        self.isMute = silently
        // The system ends what the process leaves behind, after what it had been given to send.
        if !silently, self.state == .up { self.transmit(.finish) }
        self.state = .ended
        self.generation += 1
        self.held = []
        self.port.remove(self)
        self.peer = nil
        if silently || !self.hasFinished { peer?.review() }
    }

    // MARK: On the way

    private func transmit(_ item: Item) {
        guard let peer = self.peer, self.state != .connecting, self.held.isEmpty,
            self.network.isClear(self.node, peer.node), !self.isSevered
        else {
            self.held.append(item)
            return
        }
        self.launch(item, to: peer)
    }

    /// Sends on what was held back, if the way is free.
    func flush() {
        guard !self.held.isEmpty, self.state == .up || self.state == .closing, let peer = self.peer,
            self.network.isClear(self.node, peer.node), !self.isSevered
        else { return }
        let items = self.held
        self.held = []
        for item in items { self.launch(item, to: peer) }
    }

    private func launch(_ item: Item, to peer: LinkEnd) {
        var arrival = max(self.scheduler.now + self.network.hop(from: self.node, to: peer.node), self.barrier)
        if case .message(let message) = item {
            // Messages of different streams, and unordered ones, overtake one another.
            if !message.unordered {
                arrival = max(arrival, self.lastArrivalOfStream[message.stream] ?? 0)
                self.lastArrivalOfStream[message.stream] = arrival
            }
        } else {
            arrival = max(arrival, self.lastArrival)
            self.barrier = arrival
            if case .finish = item { self.hasFinished = true }
        }
        self.lastArrival = max(self.lastArrival, arrival)
        self.scheduler.schedule(at: arrival) { peer.arrived(item, from: self) }
    }

    private func arrived(_ item: Item, from sender: LinkEnd) {
        switch item {
        case .message, .bytes:
            self.node.push(.mail { self.port.whenReading { self.take(item, from: sender) } })
        case .agreement:
            guard self.state == .connecting else { return }
            self.comeUp()
            self.flush()
            self.review()
        case .finish:
            self.onStack { self.farEndFinished() }
        case .finished:
            self.onStack { if self.state == .closing { self.end(.closed) } }
        }
    }

    /// The process gets to it.
    private func take(_ item: Item, from sender: LinkEnd) {
        sender.farEndTook(item.cost)
        guard !self.isDeaf else { return }
        switch item {
        case .message(let message):
            self.network.counters.messagesReceived += 1
            let inbound = InboundMessage(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream)
            self.port.deliver(.message(inbound, self.id))
        case .bytes(let bytes):
            self.inbox += bytes
            self.cutMessages()
        case .agreement, .finish, .finished:
            preconditionFailure("\(item) is not for the process")
        }
    }

    private func farEndTook(_ octets: Int) {
        self.outstanding -= octets
        // There is room when half of it is free.
        guard self.wantsRoom, self.state == .up, 2 * self.outstanding <= self.port.options.sendBufferLimit,
            let peer = self.peer
        else { return }
        self.wantsRoom = false
        self.scheduler.schedule(after: self.network.hop(from: peer.node, to: self.node)) {
            if self.state == .up { self.port.post(.writable(self.id)) }
        }
    }

    private func cutMessages() {
        guard case .tcp(let framing) = self.port.options.scheme else {
            preconditionFailure("a byte stream on \(self.port.scheme)")
        }
        var start = 0
        do {
            while !self.isDeaf, start < self.inbox.count, let length = try framing(self.inbox[start...]) {
                guard (1...SimulatedPort.longestMessage).contains(length) else { return self.violateProtocol() }
                guard start + length <= self.inbox.count else { break }
                let bytes = Array(self.inbox[start..<(start + length)])
                start += length
                self.network.counters.messagesReceived += 1
                self.port.deliver(.message(InboundMessage(bytes: bytes), self.id))
            }
        } catch {
            return self.violateProtocol()
        }
        self.inbox.removeFirst(start)
        if self.inbox.count > SimulatedPort.longestMessage { self.violateProtocol() }
    }

    private func violateProtocol() {
        self.inbox = []
        self.breakOff(.protocolViolation)
    }

    /// Ends it at once, and tells the far end if the way is open.
    private func breakOff(_ reason: LinkDownReason) {
        let peer = self.peer
        self.isDeaf = true
        self.end(reason)
        guard let peer else { return }
        if self.network.isOpen(self.node, peer.node), !self.isSevered {
            self.scheduler.schedule(after: self.network.hop(from: self.node, to: peer.node)) {
                peer.onStack { peer.endedByFarEnd(.aborted) }
            }
        } else {
            peer.review()
        }
    }

    private func farEndFinished() {
        guard self.state == .up || self.state == .closing || self.state == .connecting else { return }
        if let peer = self.peer, self.network.isOpen(self.node, peer.node), !self.isSevered {
            self.launch(.finished, to: peer)
        }
        self.endedByFarEnd(.shutdown)
    }

    private func endedByFarEnd(_ reason: LinkDownReason) {
        // Who has asked for the end gets what was asked for, whatever the far end says.
        self.end(self.state == .closing ? .closed : reason)
    }

    private func end(_ reason: LinkDownReason) {
        guard self.state != .ended else { return }
        self.state = .ended
        self.generation += 1
        for case .message(let message) in self.held { self.port.post(.unsent(message, self.id)) }
        self.held = []
        self.peer = nil
        switch reason {
        case .lost: self.network.counters.linksLost += 1
        case .refused: self.network.counters.linksRefused += 1
        case .shutdown, .aborted, .closed, .protocolViolation: break
        }
        self.port.post(.down(self.id, reason))
        self.port.remove(self)
    }

    /// Runs `body` as soon as somebody speaks for this end: at once, or when a frozen process goes on.
    private func onStack(_ body: @escaping () -> Void) {
        if self.port.isStackFrozen {
            self.node.push(.mail(body))
        } else {
            body()
        }
    }

    // MARK: Heartbeats

    /// Looks whether the far end can be heard; called when something that matters for it has changed.
    func review() {
        guard self.state == .up || self.state == .closing, let peer = self.peer else { return }
        if self.port.isStackFrozen {
            // Its own time limits stand still.
            self.generation += 1
            self.isUnanswered = false
        } else if self.isAnswered(by: peer) {
            if self.isUnanswered {
                self.isUnanswered = false
                self.generation += 1
            }
            // A far end that has given up does not know this link any more, and says so.
            if peer.state == .ended { self.learnOfEnd(of: peer) }
        } else if !self.isUnanswered {
            self.isUnanswered = true
            self.generation += 1
            self.watch()
        }
    }

    private func isAnswered(by peer: LinkEnd) -> Bool {
        !self.isSevered && !peer.isMute && !peer.port.isStackFrozen && self.network.isOpen(self.node, peer.node)
            && self.network.isOpen(peer.node, self.node)
    }

    private func learnOfEnd(of peer: LinkEnd) {
        let generation = self.generation
        let span = self.network.hop(from: self.node, to: peer.node) + self.network.hop(from: peer.node, to: self.node)
        self.scheduler.schedule(after: span) { [weak self] in
            guard let self, self.state != .ended, self.generation == generation else { return }
            self.endedByFarEnd(.aborted)
        }
    }

    /// Gives up unless the far end is heard within the time of failure detection.
    private func watch() {
        let generation = self.generation
        let span = self.network.detectionTime(self.port.scheme, isFast: self.port.options.fastFailureDetection)
        self.scheduler.schedule(after: span) { [weak self] in
            guard let self, self.state != .ended, self.generation == generation else { return }
            let peer = self.peer
            self.endedByFarEnd(.lost)
            peer?.review()
        }
    }
}
