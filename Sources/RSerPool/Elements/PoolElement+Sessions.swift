// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// What a pool element does for its users.
extension PoolElement {
    // MARK: Links

    func userLinkUp(_ link: Link) {
        guard link.isIncoming else { return }
        let isStream = link.scheme == .tcp
        let use = self.configuration.transport?.use ?? .dataAndControl
        self.links[link.id] = ServedLink(
            link, framing: isStream ? self.configuration.streamFraming : nil,
            hasControlChannel: isStream ? self.configuration.streamFraming.isEnveloped : use == .dataAndControl,
            limit: self.configuration.maxPendingRequests)
    }

    func userLinkDown(_ id: LinkID) {
        guard let link = self.links.removeValue(forKey: id) else { return }
        link.finish()
        if self.leavingSince != nil, !self.links.values.contains(where: \.hasBegun) { self.hasLeft() }
    }

    /// The port that a user's link belongs to.
    private func port(of link: ServedLink) -> (any Port)? {
        self.port?.id == link.id.port ? self.port : self.servicePort
    }

    // MARK: In

    func received(data message: InboundMessage, on id: LinkID) {
        // Once it is over nobody answers any more; the end of the association tells the user.
        guard let link = self.links[id], !self.isOver, !link.isRefused else { return }
        guard self.begin(link) else { return }
        link.isWaiting = false
        link.lastTraffic = self.host.clock.now
        let request = Request(
            bytes: message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol, source: link.source)
        if !link.inbox.put(request) {
            self.logger.warning(
                "a user sends faster than the service answers: association aborted",
                metadata: ["user": "\(link.source)"])
            self.port(of: link)?.abort(id)
        } else if link.framing != nil, link.inbox.count >= self.configuration.maxPendingRequests / 2, !link.isPaused {
            link.isPaused = true
            self.port(of: link)?.setReading(false, on: id)
        }
    }

    func readOn(_ link: ServedLink) {
        guard link.inbox.count < self.configuration.maxPendingRequests / 4 else { return }
        link.isPaused = false
        self.port(of: link)?.setReading(true, on: link.id)
    }

    /// A user speaks for the first time: it is told who we are, and served from now on.
    private func begin(_ link: ServedLink) -> Bool {
        guard !link.hasBegun else { return true }
        guard self.newSessions.put(link) else {
            self.port(of: link)?.abort(link.id)
            return false
        }
        link.hasBegun = true
        self.sendBusinessCard(over: link)
        if self.leavingSince != nil { link.leave() }
        return true
    }

    func received(_ echo: CookieEcho, on id: LinkID) {
        // Once the session has begun its state is the service's.
        guard let link = self.links[id], !self.isOver, !link.isRefused, !link.hasBegun else { return }
        guard let key = self.configuration.cookieKey else {
            link.state = echo.octets
            _ = self.begin(link)
            return
        }
        guard let state = key.open(echo.octets, of: self.pool) else {
            self.rejectedCookies += 1
            self.logger.warning("a state cookie with a wrong signature", metadata: ["user": "\(link.source)"])
            self.tell(link) { () throws(WireError) in
                try ASAPError(causes: [ErrorCause(.rejectedForSecurity)]).encoded()
            }
            link.isRefused = true
            self.port(of: link)?.shutdown(id)
            return
        }
        link.state = state
        _ = self.begin(link)
    }

    func received(_ card: BusinessCard, on id: LinkID) {
        self.links[id]?.card = card
    }

    // MARK: Out

    /// Who this element is, and by whom it wants to be followed; nil before it is registered.
    var businessCard: BusinessCard? {
        self.registered.map {
            BusinessCard(pool: self.pool, members: [$0] + self.successors, isLeaving: self.leavingSince != nil)
        }
    }

    func sendBusinessCard(over link: ServedLink) {
        guard let card = self.businessCard else { return }
        self.tell(link) { () throws(WireError) in try card.encoded() }
    }

    /// Sends a control message, where there is a control channel.
    private func tell(_ link: ServedLink, _ encode: () throws(WireError) -> [UInt8]) {
        guard link.hasControlChannel, let bytes = try? encode() else { return }
        try? self.hand(OutboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol), to: link)
    }

    private func hand(_ message: OutboundMessage, to link: ServedLink) throws(TransportError) {
        guard let port = self.port(of: link) else { throw TransportError(.noSuchLink, "the element has stopped") }
        try port.send(link.framing?.outbound(message) ?? message, on: link.id)
    }

    func keep(_ state: [UInt8], over link: ServedLink) async throws {
        guard link.hasControlChannel else {
            throw PoolError(.configurationInvalid, "no control channel: the pool's transport carries data only")
        }
        let cookie = self.configuration.cookieKey?.sign(state, of: self.pool) ?? state
        guard let bytes = try? Cookie(octets: cookie).encoded() else {
            throw PoolError(.configurationInvalid, "a state of \(state.count) octets does not fit a cookie")
        }
        try await self.transmit(bytes, payloadProtocol: ASAPMessage.payloadProtocol, stream: 0, over: link)
    }

    /// Waits while there is no room.
    func transmit(_ bytes: [UInt8], payloadProtocol: UInt32, stream: UInt16, over link: ServedLink) async throws {
        let message = OutboundMessage(bytes: bytes, payloadProtocol: payloadProtocol, stream: stream)
        link.lastTraffic = self.host.clock.now
        while true {
            do throws(TransportError) {
                return try self.hand(message, to: link)
            } catch {
                guard error.code == .bufferFull else {
                    guard error.code != .noSuchLink else { throw self.userGone(link) }
                    throw PoolError(
                        .configurationInvalid,
                        "a message of \(bytes.count) octets on stream \(stream) cannot be sent: \(error.message)")
                }
            }
            guard await link.room.wait() else {
                try Task.checkCancellation()
                throw self.userGone(link)
            }
        }
    }

    private func userGone(_ link: ServedLink) -> PoolError {
        PoolError(.userGone, "user \(link.source) is gone")
    }

    // MARK: Serving

    /// One task for each user that has begun to speak.
    func serve() async {
        await withDiscardingTaskGroup { group in
            while let links = await self.newSessions.next() {
                for link in links { group.addTask { await self.serve(link) } }
            }
        }
    }

    private func serve(_ link: ServedLink) async {
        do {
            try await self.service(ServedSession(link: link, element: self))
            self.port(of: link)?.shutdown(link.id)
        } catch {
            if !(error is CancellationError), (error as? PoolError)?.code != .userGone {
                self.logger.warning(
                    "the service failed a session", metadata: ["error": "\(error)", "user": "\(link.source)"])
            }
            self.port(of: link)?.abort(link.id)
        }
    }

    /// A service that answers each message by itself.
    static func service(_ handler: @escaping Handler, logger: Logger) -> SessionHandler {
        { session in
            for await request in session.requests {
                do {
                    guard let answer = try await handler(request) else { continue }
                    try await session.send(answer, answering: request)
                } catch let error as PoolError where error.code == .userGone {
                    return
                } catch {
                    logger.warning(
                        "the service failed a request", metadata: ["error": "\(error)", "user": "\(session.user)"])
                }
            }
        }
    }

    // MARK: Leaving

    /// How long users have to move after they were told, before those with nothing out are shut down.
    private static let leavingGrace = Duration.seconds(1)
    /// How often it is looked which sessions have nothing to do any more.
    private static let leavingCheck = Duration.milliseconds(100)

    /// It is out of the pool, and everybody has been told: sessions come to their ends.
    func beginLeaving(now: ContinuousClock.Instant) {
        let open = self.links.values.filter(\.hasBegun)
        guard !open.isEmpty, self.configuration.drainLimit > .zero else { return self.hasLeft() }
        self.leavingSince = now
        self.leavingCheckAt = now + Self.leavingGrace
        for link in open.sorted(by: { $0.id.number < $1.id.number }) {
            link.leave()
            self.sendBusinessCard(over: link)
        }
    }

    func checkLeaving(now: ContinuousClock.Instant) {
        guard let since = self.leavingSince, let next = self.leavingCheckAt, next <= now else { return }
        guard now - since < self.configuration.drainLimit else { return self.hasLeft() }
        self.leavingCheckAt = min(now + Self.leavingCheck, since + self.configuration.drainLimit)
        for link in self.links.values where link.isWaiting && link.inbox.count == 0 {
            guard link.lastTraffic.map({ now - $0 >= Self.leavingGrace }) ?? true else { continue }
            self.port(of: link)?.shutdown(link.id)
        }
    }

    private func hasLeft() {
        self.leavingCheckAt = nil
        self.whenOver.resolve(.success(()))
    }
}
