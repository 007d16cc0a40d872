// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// What a registrar does with each ASAP message (RFC 5352 §3).
extension Registrar {
    func received(_ message: InboundMessage, over id: LinkID, now: ContinuousClock.Instant) {
        guard let link = self.links[id] else { return }
        self.counts.count(.messagesReceived)
        // Senders SHOULD use PPID 11; 0 is taken too, what is for other protocols is not.
        guard
            link.link.scheme != .sctp || message.payloadProtocol == ASAPMessage.payloadProtocol
                || message.payloadProtocol == 0
        else {
            self.counts.count(.messagesIgnored)
            return
        }
        do throws(WireError) {
            let decoded = try ASAPMessage.decode(message.bytes[...])
            self.process(decoded.message, over: link, now: now)
            if !decoded.unrecognized.isEmpty { self.report(decoded.unrecognized, to: link, about: message) }
        } catch {
            self.malformed(error, message, over: link)
        }
    }

    private func process(_ message: ASAPMessage, over link: LinkState, now: ContinuousClock.Instant) {
        switch message {
        case .registration(let registration):
            guard self.isFromElement(link) else { return }
            self.register(registration, over: link, now: now)
        case .deregistration(let deregistration):
            guard self.isFromElement(link) else { return }
            self.deregister(deregistration, over: link, now: now)
        case .endpointKeepAliveAck(let ack):
            guard self.isFromElement(link) else { return }
            self.acknowledged(ack, over: link, now: now)
        case .handleResolution(let request): self.resolve(request, over: link, now: now)
        case .endpointUnreachable(let report): self.reported(report, by: link, now: now)
        case .error(let error):
            self.logger.debug("ASAP_ERROR received", metadata: ["causes": "\(error.causes.map(\.code))"])
        case .registrationResponse, .deregistrationResponse, .handleResolutionResponse, .endpointKeepAlive,
            .serverAnnounce, .cookie, .cookieEcho, .businessCard:
            // Not for a registrar (ASAP-234).
            self.counts.count(.messagesIgnored)
        }
    }

    // MARK: What cannot be read

    private func malformed(_ error: WireError, _ message: InboundMessage, over link: LinkState) {
        self.counts.count(.messagesMalformed)
        self.logger.debug("malformed message", metadata: ["error": "\(error)", "peer": "\(link.link.remote)"])
        if let registrant = error.registrant, link.link.scheme == .sctp, !error.causes.isEmpty {
            self.reject(registrant.pool, registrant.id, error.causes, over: link)
        } else if !error.causes.isEmpty {
            self.report(error.causes, to: link, about: message)
        }
    }

    /// Answers with an ASAP_ERROR; an ASAP_ERROR is never answered (WIRE-053).
    private func report(_ causes: [ErrorCause], to link: LinkState, about message: InboundMessage) {
        guard message.bytes.first != ASAPMessage.MessageType.error.rawValue else { return }
        self.send(over: link) { () throws(WireError) in try ASAPError(causes: causes).encoded() }
    }

    /// Elements talk over SCTP only; over TCP they are refused (ASAP-001, ASAP-012).
    private func isFromElement(_ link: LinkState) -> Bool {
        guard link.link.scheme != .sctp else { return true }
        self.send(over: link) { () throws(WireError) in
            try ASAPError(causes: [ErrorCause(.invalidValues)]).encoded()
        }
        return false
    }

    // MARK: Registration (§3.1)

    func register(_ registration: Registration, over link: LinkState, now: ContinuousClock.Instant) {
        let key = ElementKey(pool: registration.pool, id: registration.member.id)
        guard let (member, warnings) = self.checkingAddresses(of: registration.member, link.link) else {
            let transport = registration.member.transport.encodedParameter()
            self.reject(key.pool, key.id, [ErrorCause(.invalidValues, data: transport)], over: link)
            return
        }
        if self.isHeldByAnother(key, newcomer: member, link) {
            self.challenge(key, registration, over: link, now: now)
            return
        }
        if self.elements[key] == nil, link.elements.count >= self.configuration.limits.maxElementsPerLink {
            self.reject(key.pool, key.id, [ErrorCause(.lackOfResources)], over: link)
            self.logNoRoom(for: key, .registrationsRejected, bound: "max-elements-per-link")
            return
        }
        var owned = member
        owned.home = self.id
        owned.policy = self.measured(owned.policy, of: key, over: link)
        owned.asapTransport = SCTPTransport(port: link.link.remote.port, addresses: link.link.remote.addresses)
        // The other registrars need it too, whatever its users' transport is.
        owned.encapsulationPort = owned.encapsulationPort ?? link.link.remote.encapsulationPort
        switch self.handlespace.register(owned, in: key.pool) {
        case .rejected(let causes):
            self.reject(key.pool, key.id, causes, over: link)
            if causes.contains(ErrorCause(.lackOfResources)) {
                self.logNoRoom(for: key, .registrationsRejected, bound: self.fullBound)
            }
        case .added(let createdPool):
            if createdPool { self.pools[key.pool] = Pool(host: self.host) }
            self.logger.debug("pool element registered", metadata: ["pool": "\(key.pool)", "element": "\(key.id)"])
            self.accepted(key, owned, warnings, over: link, isChange: true, now: now)
        case .updated(let changed):
            self.accepted(key, owned, warnings, over: link, isChange: changed, now: now)
        }
    }

    private func accepted(
        _ key: ElementKey, _ member: PoolMember, _ warnings: [ErrorCause], over link: LinkState, isChange: Bool,
        now: ContinuousClock.Instant
    ) {
        self.counts.count(.registrationsAccepted)
        let element = self.elements[key] ?? self.makeElement(key, link)
        self.elements[key] = element
        let life = member.life.duration
        let (there, port) = (link.link, link.port)
        let (before, opening, deadline) = element.assumeIsolated { element in
            let (before, opening) = (element.link, element.opening)
            element.registered(over: there, port: port, life: life, now: now)
            return (before, opening, element.nextDeadline)
        }
        self.stopOpening(opening, for: key)
        if let before, before != link.link.id { self.links[before]?.elements.remove(key) }
        self.links[link.link.id]?.elements.insert(key)
        self.schedule(.element(key), at: deadline)
        self.send(over: link) { () throws(WireError) in
            try RegistrationResponse(pool: key.pool, id: key.id, isRejected: false, causes: warnings).encoded()
        }
        self.schedule(.replica(key), at: nil)
        self.givenUp[key] = nil
        self.forgetFormerLink(of: key)
        self.announce(member, in: key.pool)
        if isChange { self.poolChanged(key.pool, .changed(key.id), now: now) }
        self.holderLives(key)
    }

    func makeElement(_ key: ElementKey, _ link: LinkState) -> PoolElement {
        PoolElement(
            key: key, registrar: self.id, link: link.link.id, remote: link.link.remote, port: link.port,
            settings: self.watchSettings, namesElement: self.configuration.namesElementInKeepAlive, host: self.host)
    }

    /// One that registered with somebody else; nil where nobody knows how to reach it.
    func makeElement(_ key: ElementKey, inheriting member: PoolMember) -> PoolElement? {
        guard let transport = member.asapTransport, let port = self.sctpPort(reaching: transport.addresses) else {
            return nil
        }
        let element = PoolElement(
            key: key, registrar: self.id, link: nil,
            remote: RemoteEndpoint(
                addresses: transport.addresses, port: transport.port, encapsulationPort: member.encapsulationPort),
            port: port, settings: self.watchSettings, namesElement: self.configuration.namesElementInKeepAlive,
            host: self.host)
        let now = self.host.clock.now
        element.assumeIsolated { $0.inherited(life: member.life.duration, now: now) }
        return element
    }

    private var watchSettings: PoolElement.Watch.Settings {
        let timers = self.configuration.timers
        var settings = PoolElement.Watch.Settings()
        settings.keepAliveInterval = timers.keepAliveInterval > .zero ? timers.keepAliveInterval : nil
        settings.keepAliveTimeout = timers.keepAliveTimeout
        settings.minimumCheckInterval = timers.minimumCheckInterval
        settings.maxBadReports = timers.maxBadPEReport
        return settings
    }

    private func reject(_ pool: PoolHandle, _ id: PoolElementID, _ causes: [ErrorCause], over link: LinkState) {
        self.counts.count(.registrationsRejected)
        self.logger.debug(
            "registration rejected",
            metadata: ["pool": "\(pool)", "element": "\(id)", "causes": "\(causes.map(\.code))"])
        self.send(over: link) { () throws(WireError) in
            try RegistrationResponse(pool: pool, id: id, isRejected: true, causes: causes).encoded()
        }
    }

    /// The member with the addresses that belong to its association, and a warning if some did not (ASAP-023); nil if none does.
    private func checkingAddresses(of member: PoolMember, _ link: Link) -> (PoolMember, warnings: [ErrorCause])? {
        let addresses = member.transport.addresses
        let belonging = addresses.filter(link.remote.addresses.contains)
        guard self.configuration.checksAddresses, belonging.count < addresses.count else { return (member, []) }
        guard !belonging.isEmpty, case .sctp(var transport) = member.transport else { return nil }
        let warning = ErrorCause(.invalidValues, data: member.transport.encodedParameter())
        transport.addresses = belonging
        var member = member
        member.transport = .sctp(transport)
        return (member, [warning])
    }

    // MARK: An identifier in use (ASAP-081)

    /// Whether the identifier belongs to somebody else: registered over another open link, at another place.
    private func isHeldByAnother(_ key: ElementKey, newcomer: PoolMember, _ link: LinkState) -> Bool {
        guard let held = self.elements[key]?.assumeIsolated({ $0.link }), held != link.link.id,
            self.links[held] != nil, let holder = self.handlespace.member(key)
        else { return false }
        let sharesPlace =
            holder.transport.port == newcomer.transport.port
            && (holder.transport == newcomer.transport
                || holder.transport.addresses.contains(where: newcomer.transport.addresses.contains)
                    && holder.encapsulationPort == (newcomer.encapsulationPort ?? link.link.remote.encapsulationPort))
        return !sharesPlace
    }

    /// Asks the holder whether it lives; the newcomer is answered when that is known.
    private func challenge(
        _ key: ElementKey, _ registration: Registration, over link: LinkState, now: ContinuousClock.Instant
    ) {
        let waiting = self.challenges[key]
        guard let element = self.elements[key], waiting == nil || waiting?.newcomer == link.link.id,
            waiting != nil || self.challenges.count < self.configuration.limits.maxChallenges
        else {
            self.reject(key.pool, key.id, [ErrorCause(.nonUniquePoolElementID)], over: link)
            if waiting == nil { self.logNoRoom(for: key, .registrationsRejected, bound: "max-challenges") }
            return
        }
        self.challenges[key] = Challenge(registration: registration, newcomer: link.link.id)
        self.take(element.assumeIsolated { $0.challenged(now: now) }, of: key, now: now)
    }

    // MARK: Deregistration (§3.2)

    private func deregister(_ deregistration: Deregistration, over link: LinkState, now: ContinuousClock.Instant) {
        let key = ElementKey(pool: deregistration.pool, id: deregistration.id)
        var causes: [ErrorCause] = []
        if self.maySpeak(for: key, link) {
            if let member = self.handlespace.member(key) {
                // Somebody else's element, whose home is gone perhaps: only its home can say that it has left.
                if member.home != self.id { self.own(key, member) }
                self.counts.count(.deregistrations)
                self.logger.debug(
                    "pool element deregistered", metadata: ["pool": "\(key.pool)", "element": "\(key.id)"])
            }
            self.remove(key, tellIt: false, now: now)
        } else {
            self.counts.count(.deregistrationsRejected)
            causes = [ErrorCause(.rejectedForSecurity)]
        }
        self.send(over: link) { () throws(WireError) in
            try DeregistrationResponse(pool: key.pool, id: key.id, causes: causes).encoded()
        }
    }

    private func own(_ key: ElementKey, _ member: PoolMember) {
        self.schedule(.replica(key), at: nil)
        self.handlespace.changeHome(of: key, to: self.id)
        var member = member
        member.home = self.id
        self.announce(member, in: key.pool)
    }

    /// Whether what comes over this link may come from that element: it registered over it, or the link's far end has an
    /// address of its ASAP transport. Nobody speaks for unknown elements, so anybody may.
    private func maySpeak(for key: ElementKey, _ link: LinkState) -> Bool {
        guard let element = self.elements[key] else {
            guard let transport = self.handlespace.member(key)?.asapTransport else { return true }
            return transport.addresses.contains(where: link.link.remote.addresses.contains)
        }
        let there = link.link
        return element.assumeIsolated { element in
            element.link == there.id || element.remote.addresses.contains(where: there.remote.addresses.contains)
        }
    }

    // MARK: Keep-alives and reports (§3.4, §3.5)

    private func acknowledged(_ ack: EndpointKeepAliveAck, over link: LinkState, now: ContinuousClock.Instant) {
        let key = ElementKey(pool: ack.pool, id: ack.id)
        guard let element = self.elements[key], self.maySpeak(for: key, link) else { return }
        self.counts.count(.keepAlivesAcknowledged)
        let id = link.link.id
        let (outcome, deadline) = element.assumeIsolated { element in
            (element.acknowledged(over: id, now: now), element.nextDeadline)
        }
        if outcome.becameHome { self.counts.count(.elementsRehomed) }
        if outcome.isNews, let member = self.handlespace.member(key) { self.announce(member, in: key.pool) }
        self.measure(key, over: link, now: now)
        self.schedule(.element(key), at: deadline)
        self.holderLives(key)
    }

    /// The holder of an identifier has shown that it lives: who wanted it too is told.
    func holderLives(_ key: ElementKey) {
        guard let challenge = self.challenges.removeValue(forKey: key), let newcomer = self.links[challenge.newcomer]
        else { return }
        self.reject(key.pool, key.id, [ErrorCause(.nonUniquePoolElementID)], over: newcomer)
    }

    private func reported(_ report: EndpointUnreachable, by link: LinkState, now: ContinuousClock.Instant) {
        let key = ElementKey(pool: report.pool, id: report.id)
        self.counts.count(.unreachableReports)
        // Somebody else's element is its home's to check: a report here changes nothing (ENRP-081).
        guard let element = self.elements[key] else { return }
        let reporter = link.link.id
        self.take(element.assumeIsolated { $0.reported(by: reporter, now: now) }, of: key, now: now)
    }

    // MARK: Resolution (§3.3)

    private func resolve(_ request: HandleResolution, over link: LinkState, now: ContinuousClock.Instant) {
        self.counts.count(.resolutions)
        // A negative answer sets up nothing (ASAP-139): an unknown pool is found before a subscription is counted.
        let updatesFollow =
            request.wantsUpdates && self.handlespace.has(request.pool) && self.maySubscribe(link, to: request.pool)
        if updatesFollow, request.wantsIncrements {
            // With increments, the snapshot is the answer.
            self.subscribe(request, over: link, now: now)
            return
        }
        let answer = self.handlespace.answer(
            from: request.pool, upTo: self.answerLimit(request), updatesFollow: updatesFollow, using: &self.choices)
        switch answer {
        case .unknownPool: self.refuse(request, .unknownPoolHandle, over: link)
        case .nobody: self.refuse(request, .lackOfResources, over: link)
        case .positive(let bytes):
            if updatesFollow { self.subscribe(request, over: link, now: now) }
            self.send(bytes, over: link)
        }
    }

    /// How many elements an answer may list: what the request names, else the configured limit.
    private func answerLimit(_ request: HandleResolution) -> Int {
        switch request.count {
        case nil, 0: self.configuration.limits.maxAnswerElements
        case .some(let count): Int(count)
        }
    }

    private func refuse(_ request: HandleResolution, _ code: ErrorCause.Code, over link: LinkState) {
        self.counts.count(.resolutionsFailed)
        self.send(over: link) { () throws(WireError) in
            try HandleResolutionResponse(pool: request.pool, outcome: .failed([ErrorCause(code)])).encoded()
        }
    }

    /// - Returns: whether updates will be sent if the answer is positive, the A bit.
    private func maySubscribe(_ link: LinkState, to pool: PoolHandle) -> Bool {
        if link.subscriptions.contains(pool) { return true }
        let limits = self.configuration.limits
        let bound: String
        if link.subscriptions.count >= limits.maxSubscriptionsPerLink {
            bound = "max-subscriptions-per-link"
        } else if self.subscriptionCount >= limits.maxSubscriptions {
            bound = "max-subscriptions"
        } else {
            return true
        }
        self.counts.count(.subscriptionsRefused)
        self.logOncePerMinute(
            .subscriptionsRefused, about: bound,
            "too many subscriptions: one to pool \(pool) is refused; \(bound) is the limit")
        return false
    }

    private func subscribe(
        _ request: HandleResolution, over link: LinkState, now: ContinuousClock.Instant
    ) {
        let (id, port, wantsIncrements) = (link.link.id, link.port, request.wantsIncrements)
        if self.links[id]?.subscriptions.insert(request.pool).inserted == true {
            self.subscriptionCount += 1
            self.counts.count(.subscriptions)
        }
        guard let pool = self.pools[request.pool] else { return }
        let told = self.handlespace.withPool(request.pool) { roll in
            pool.assumeIsolated {
                $0.subscribe(id, port: port, wantsIncrements: wantsIncrements, roll: roll, now: now)
            }
        }
        if let told { self.count(told) }
    }
}
