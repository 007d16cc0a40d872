// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import RSerPoolCore
package import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

// What goes over a session's link, and what comes.
extension Session: PortReceiver {
    nonisolated package func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.handle(event) }
    }

    private func handle(_ event: LinkEvent) {
        switch event {
        case .up(let link): self.attempts[link.id]?.outcome.resolve(.success(()))
        case .message(let message, let link): self.received(message, on: link)
        case .writable(let link): if self.binding?.link == link { self.pump() }
        case .unsent(let message, let link):
            let data = SessionOutbox.Data(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream,
                isUnordered: message.unordered)
            guard message.payloadProtocol != ASAPMessage.payloadProtocol, !self.isClosed else { return }
            if self.binding?.link == link {
                self.binding?.unsent.append(data)
            } else {
                // The element that was left has died before it had everything.
                self.retiring[link]?.binding.unsent.append(data)
            }
        case .down(let link, let reason): self.ended(link, reason)
        }
    }

    // MARK: Out

    /// Sends what waits, or sees to it that there is somebody to send it to.
    func goOn() {
        if self.isHoldingBack, self.inbox.hasRoomAgain { self.readOn() }
        if self.binding == nil { self.wake() } else { self.pump() }
    }

    /// Hands over what waits, as far as the link takes it.
    func pump() {
        guard let binding = self.binding, case .up = binding.phase else { return }
        if binding.isLeaving {
            if !self.outbox.isRequestOut { self.leave() }
            return
        }
        while let piece = self.outbox.next {
            do throws(TransportError) {
                try self.transmit(piece.data, over: binding)
            } catch {
                // Room, or the end of the link, is told.
                if error.code == .bufferFull || error.code == .noSuchLink { return }
                self.fail(
                    self.outbox.removeNext(),
                    PoolError(
                        .configurationInvalid,
                        "a message of \(piece.data.bytes.count) octets on stream \(piece.data.stream) cannot be sent: \(error.message)"
                    ))
                continue
            }
            self.outbox.handOverNext()
            if piece.wantsAnswer {
                self.startAttemptTimer()
                // Its answer is read even where the reader of the events is behind.
                binding.route.port.setReading(true, on: binding.link)
            } else if case .message(let ticket)? = self.tickets.removeValue(forKey: piece.number) {
                ticket.end(.success(binding.member.id))
            }
        }
    }

    private func startAttemptTimer() {
        let deadline = self.host.clock.now + self.configuration.attemptTimeout
        self.attemptDeadline = deadline
        if self.attemptTimer == nil { self.setAttemptTimer(deadline) }
    }

    private func setAttemptTimer(_ deadline: ContinuousClock.Instant) {
        self.attemptTimer = self.host.clock.schedule(at: deadline) {
            self.assumeIsolated { $0.attemptTimerFired() }
        }
    }

    private func attemptTimerFired() {
        self.attemptTimer = nil
        guard let deadline = self.attemptDeadline else { return }
        guard deadline <= self.host.clock.now else { return self.setAttemptTimer(deadline) }
        self.attemptDeadline = nil
        self.endBinding("no answer within \(self.configuration.attemptTimeout)", isReported: true)
    }

    func stopAttemptTimer() {
        self.attemptDeadline = nil
    }

    /// Sends a control message to the element.
    func tellElement(_ encode: () throws(WireError) -> [UInt8], over binding: Binding) {
        guard binding.route.hasControlChannel, let bytes = try? encode() else { return }
        let data = SessionOutbox.Data(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol)
        try? self.transmit(data, over: binding)
    }

    // MARK: In

    /// Elements that are remembered as leaving; the memory starts anew beyond.
    private static let maxLeaving = 1_024
    /// Elements of a card that are tried before the policy decides.
    private static let maxPreferred = 16

    func received(_ raw: InboundMessage, on link: LinkID) {
        let isBound = self.binding?.link == link
        if !isBound, let attempt = self.attempts[link] { return attempt.early.append(raw) }
        guard !self.isClosed, let binding = isBound ? self.binding : self.retiring[link]?.binding else { return }
        let message = binding.route.framing?.inbound(raw) ?? raw
        let element = binding.member.id
        guard message.payloadProtocol != ASAPMessage.payloadProtocol else {
            // Control messages never reach the application (RFC 5352 §3, ASAP-009).
            return self.received(control: message, on: link)
        }
        let data = Message(
            bytes: message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol, element: element)
        if isBound { self.binding?.wasHeard = true }
        if isBound, let waiter = self.handlerAnswer {
            self.handlerAnswer = nil
            return waiter.resolve(.success(data))
        }
        let piece = isBound ? self.outbox.answered() : nil
        if isBound { self.achievedSomething() }
        guard let piece else { return self.tell(.message(data), on: link) }
        self.stopAttemptTimer()
        if self.isHoldingBack, self.inbox.isPaused { binding.route.port.setReading(false, on: link) }
        if case .request(let ticket)? = self.tickets.removeValue(forKey: piece.number) {
            ticket.end(.success(data))
        }
        self.pump()
    }

    /// An answer, or data that nobody had to ask for: who failed before may be tried again.
    private func achievedSomething() {
        self.failed = []
        self.restlessness = .zero
        self.lookingSince = nil
    }

    private func received(control message: InboundMessage, on link: LinkID) {
        switch try? ASAPMessage.decode(message.bytes[...]).message {
        case .cookie(let cookie):
            self.cookie = cookie.octets
            self.refusesCookie = []
            self.outbox.checkpoint()
        case .businessCard(let card): self.received(card, on: link)
        case .error(let error) where self.binding?.link == link:
            let isAboutCookie = error.causes.contains { $0.code == .rejectedForSecurity }
            guard isAboutCookie, let binding = self.binding, binding.wasGivenCookie else { return }
            self.binding?.hasRejectedCookie = true
            self.endBinding("it rejects the state cookie", isReported: false)
        default: self.user.logger.debug("control message ignored", metadata: ["link": "\(link)"])
        }
    }

    /// BC1 and BC2 of RFC 5352 §3.9.
    private func received(_ card: BusinessCard, on link: LinkID) {
        guard self.binding?.link == link, let member = self.binding?.member else { return }
        if card.pool == self.pool {
            self.preferred = card.members.lazy.map(\.id).filter { $0 != member.id }.prefix(Self.maxPreferred).map { $0 }
        }
        if self.binding?.hasNamedPool == false, card.pool != self.pool || card.isLeaving {
            self.binding?.hasNamedPool = true
            self.user.assumeIsolated { $0.heard(of: card.pool) }
        }
        guard card.isLeaving else { return }
        if self.leaving.count >= Self.maxLeaving { self.leaving = [:] }
        self.leaving[member.id] = self.host.clock.now
        if let pool = self.pool { self.user.assumeIsolated { $0.setAside(member.id, in: pool) } }
        self.binding?.isLeaving = true
        self.pump()
    }

    func tell(_ event: Event, on link: LinkID? = nil) {
        guard !self.inbox.put(event) else { return }
        self.isHoldingBack = true
        // Who was left, and floods, is cut off; it has been given the time to finish.
        if let link, let (former, _) = self.retiring[link] { return former.route.port.abort(link) }
        // While an answer is waited for, reading goes on: the next message is that answer.
        guard let binding = self.binding, !self.outbox.isRequestOut, self.handlerAnswer == nil else { return }
        binding.route.port.setReading(false, on: binding.link)
    }

    /// The reader has caught up.
    func readOn() {
        self.isHoldingBack = false
        guard let binding = self.binding else { return }
        binding.route.port.setReading(true, on: binding.link)
    }

    // MARK: Ends

    /// A link that stood for a while was of use, whether or not anything was heard.
    private static let standing = Duration.seconds(1)

    private func growRestless(after binding: Binding) {
        guard self.host.clock.now - binding.since < Self.standing else { return self.achievedSomething() }
        self.restlessness = min(max(self.restlessness * 2, Self.firstPause), Self.longestPause)
    }

    /// Ends the link to the element; what follows waits for its `.down`.
    func endBinding(_ reason: String, isReported: Bool) {
        guard let binding = self.binding else { return }
        if case .ending = binding.phase { return }
        self.binding?.phase = .ending(reason: reason, isReported: isReported)
        binding.route.port.abort(binding.link)
    }

    /// Leaves the element in good order: what was sent still arrives.
    private func leave() {
        guard let binding = self.binding else { return }
        self.retiring[binding.link] = (binding, self.outbox.leaveLink())
        self.binding = nil
        if !binding.wasHeard { self.growRestless(after: binding) }
        self.former = (binding.member, "it leaves the pool")
        self.tell(.disconnected(binding.member.id, reason: "it leaves the pool"))
        binding.route.port.setReading(true, on: binding.link)
        binding.route.port.shutdown(binding.link)
        self.wake()
    }

    private func ended(_ link: LinkID, _ reason: LinkDownReason) {
        if let attempt = self.attempts[link] {
            attempt.hasEnded = true
            attempt.outcome.resolve(.failure(PoolError(.elementFailed, "the link ended (\(reason.rawValue))")))
        }
        if let (former, taken) = self.retiring.removeValue(forKey: link), !former.unsent.isEmpty, !self.isClosed {
            let error = PoolError(.elementFailed, "\(former.member.id) ended before it had everything")
            for piece in self.outbox.restore(former.unsent, taken: taken) { self.fail(piece, error) }
            self.goOn()
        }
        guard let binding = self.binding, binding.link == link else { return }
        self.binding = nil
        self.stopAttemptTimer()
        // Our own end says nothing about the element.
        guard !self.isClosed else { return }
        var text = "the link ended (\(reason.rawValue))"
        // Who ends in good order what has been served is not dead, and may be asked again.
        let isDone = reason == .shutdown && binding.wasHeard && !self.outbox.isRequestOut
        var isReported = !isDone
        if case .ending(let reason, let reports) = binding.phase { (text, isReported) = (reason, reports) }
        if !binding.wasHeard || isDone { self.growRestless(after: binding) }
        if !isDone { self.failed.insert(binding.member.id) }
        if binding.hasRejectedCookie { self.refusesCookie.insert(binding.member.id) }
        if isReported, let pool = self.pool {
            let id = binding.member.id
            self.user.assumeIsolated { $0.reportUnreachable(id, in: pool) }
        }
        self.former = (binding.member, text)
        let error = PoolError(.elementFailed, "\(binding.member.id) failed: \(text)")
        self.handlerAnswer.take()?.resolve(.failure(error))
        self.repeatsRequest = self.outbox.isRequestOut
        for piece in self.outbox.linkLost(unsent: binding.unsent) { self.fail(piece, error) }
        self.tell(.disconnected(binding.member.id, reason: text))
        self.wake()
    }
}
