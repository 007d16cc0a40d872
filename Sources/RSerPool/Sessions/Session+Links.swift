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
        case .up(let link): self.attempts[link.id]?.resolve(.success(()))
        case .message(let message, let link): self.received(message, on: link)
        case .writable(let link): if self.binding?.link == link { self.pump() }
        case .unsent(let message, let link):
            let data = SessionOutbox.Data(
                bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream,
                isUnordered: message.unordered)
            guard message.payloadProtocol != ASAPMessage.payloadProtocol, !self.isClosed else { return }
            if self.binding?.link == link {
                self.binding?.unsent.append(data)
            } else if self.retiring[link] != nil {
                // The element that was left has died before it had everything.
                _ = self.outbox.append(data, options: .useDefault, wantsAnswer: false)
                self.goOn()
            }
        case .down(let link, let reason): self.ended(link, reason)
        }
    }

    // MARK: Out

    /// Sends what waits, or sees to it that there is somebody to send it to.
    func goOn() {
        if self.inbox.hasRoomAgain { self.readOn() }
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
                guard error.code == .messageTooLong else { return }
                self.fail(
                    self.outbox.removeNext(),
                    PoolError(
                        .configurationInvalid,
                        "a message of \(piece.data.bytes.count) octets is too long: \(error.message)"))
                continue
            }
            self.outbox.handOverNext()
            if piece.wantsAnswer {
                self.startAttemptTimer()
            } else if case .message(let ticket)? = self.tickets.removeValue(forKey: piece.number) {
                ticket.resolve(.success(binding.member.id))
            }
        }
    }

    private func startAttemptTimer() {
        self.stopAttemptTimer()
        let limit = self.configuration.attemptTimeout
        self.attemptTimer = self.host.clock.schedule(at: self.host.clock.now + limit) {
            self.assumeIsolated { session in
                session.attemptTimer = nil
                session.endBinding("no answer within \(limit)", isReported: true)
            }
        }
    }

    func stopAttemptTimer() {
        if let timer = self.attemptTimer.take() { self.host.clock.cancel(timer) }
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

    private func received(_ raw: InboundMessage, on link: LinkID) {
        let isBound = self.binding?.link == link
        guard !self.isClosed, let binding = isBound ? self.binding : self.retiring[link] else { return }
        let message = binding.route.framing?.inbound(raw) ?? raw
        let element = binding.member.id
        if isBound {
            self.binding?.wasHeard = true
            self.failed = []
        }
        guard message.payloadProtocol != ASAPMessage.payloadProtocol else {
            // Control messages never reach the application (RFC 5352 §3, ASAP-009).
            return self.received(control: message, on: link)
        }
        let data = Message(
            bytes: message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol, element: element)
        if isBound, let waiter = self.handlerAnswer {
            self.handlerAnswer = nil
            return waiter.resolve(.success(data))
        }
        guard isBound, let piece = self.outbox.answered() else { return self.tell(.message(data), on: link) }
        self.stopAttemptTimer()
        if case .request(let ticket)? = self.tickets.removeValue(forKey: piece.number) {
            ticket.resolve(.success(data))
        }
        self.pump()
    }

    private func received(control message: InboundMessage, on link: LinkID) {
        switch try? ASAPMessage.decode(message.bytes[...]).message {
        case .cookie(let cookie):
            self.cookie = cookie.octets
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
        self.preferred = card.members.filter { $0.id != member.id }
        if card.pool != self.pool || card.isLeaving { self.user.assumeIsolated { $0.heard(of: card.pool) } }
        guard card.isLeaving else { return }
        if self.leaving.count >= Self.maxLeaving { self.leaving = [] }
        self.leaving.insert(member.id)
        if let pool = self.pool { self.user.assumeIsolated { $0.setAside(member.id, in: pool) } }
        self.binding?.isLeaving = true
        self.pump()
    }

    func tell(_ event: Event, on link: LinkID? = nil) {
        let hasRoom = self.inbox.put(event)
        guard !hasRoom, let binding = self.binding, let link = link ?? self.binding?.link, binding.link == link else {
            return
        }
        binding.route.port.setReading(false, on: link)
    }

    /// The reader has caught up.
    func readOn() {
        guard let binding = self.binding else { return }
        binding.route.port.setReading(true, on: binding.link)
    }

    // MARK: Ends

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
        self.retiring[binding.link] = binding
        self.binding = nil
        _ = self.outbox.linkLost(unsent: [])
        self.former = (binding.member, "it leaves the pool")
        self.tell(.disconnected(binding.member.id, reason: "it leaves the pool"))
        binding.route.port.shutdown(binding.link)
        self.wake()
    }

    private func ended(_ link: LinkID, _ reason: LinkDownReason) {
        if let attempt = self.attempts[link] {
            attempt.resolve(.failure(PoolError(.elementFailed, "the link ended (\(reason.rawValue))")))
        }
        self.retiring[link] = nil
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
        if !isDone { self.failed.insert(binding.member.id) }
        if binding.hasRejectedCookie { self.refusesCookie.insert(binding.member.id) }
        if isReported, let pool = self.pool {
            self.user.assumeIsolated { $0.reportUnreachable(binding.member.id, in: pool) }
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
