// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

// The task that binds a session to an element whenever it has none and wants one.
extension Session {
    /// Pauses between looks for an element, while there is none to be had.
    static let firstPause = Duration.milliseconds(100)
    static let longestPause = Duration.seconds(2)
    /// How long an element that said it would leave is passed over: it may have come back.
    private static let leavingTime = Duration.seconds(60)

    /// One element did not do; the next may.
    private struct Failure: Error {
        let reason: String
    }

    func wake() {
        _ = self.wakeUps.put(())
    }

    /// Binds the session each time that is wanted, until it is closed or the task is cancelled.
    func run() async {
        await withTaskExecutorPreference(self.host.tasks) {
            while await self.wakeUps.next() != nil { await self.bindIfWanted() }
            // Cancelled: whoever waits in this session is told.
            self.giveUp(PoolError(.stopped, "the session is closed"))
            self.isClosed = true
            self.inbox.finish()
        }
    }

    private var isBindingWanted: Bool {
        guard !self.isClosed, self.binding == nil else { return false }
        if !self.outbox.isEmpty || self.wantsBinding { return true }
        // Who is bound to an address has nobody else.
        return self.former != nil && self.pool != nil
            && (self.configuration.staysConnected ?? (self.cookie != nil || self.inbox.hasReader))
    }

    private func bindIfWanted() async {
        while self.isBindingWanted, !Task.isCancelled {
            // What is to be sent waits only when it has happened again and again.
            if self.restlessness > (self.outbox.isEmpty ? .zero : Self.firstPause) {
                await self.rest(for: self.restlessness)
                guard self.isBindingWanted else { return }
            }
            let now = self.host.clock.now
            let since = self.lookingSince ?? now
            self.lookingSince = since
            do {
                try await self.bind()
            } catch let error as PoolError {
                // All have been tried: all may be tried again.
                self.failed = []
                let isOver = self.host.clock.now - since >= self.configuration.patience
                if error.code == .failoverFailed || isOver { self.giveUp(error) }
                self.tell(.interrupted(error))
                guard self.isBindingWanted else { return }
                if let pool = self.pool { await self.user.purge(pool) }
                self.restlessness = min(max(self.restlessness * 2, Self.firstPause), Self.longestPause)
            } catch {
                return
            }
        }
    }

    /// Waits, whatever is wanted meanwhile; not beyond the end of the session.
    private func rest(for pause: Duration) async {
        let outcome = OneShot<Void>()
        self.resting = outcome
        let timer = self.host.clock.schedule(at: self.host.clock.now + pause) { outcome.resolve(.success(())) }
        try? await outcome.value()
        self.host.clock.cancel(timer)
        self.resting = nil
    }

    /// No element can be had: whoever waits is told.
    private func giveUp(_ error: PoolError) {
        self.wantsBinding = false
        self.lookingSince = nil
        for piece in self.outbox.removeAll() { self.fail(piece, error) }
    }

    /// Binds the session to the first element that will have it, trying each once.
    private func bind() async throws {
        var last = "the pool has none"
        while !self.isClosed, let member = try await self.nextMember() {
            guard !self.isClosed else { break }
            do {
                return try await self.bind(to: member)
            } catch let failure as Failure {
                last = "\(member.id): \(failure.reason)"
                self.user.logger.debug(
                    "element cannot be had", metadata: ["element": "\(member.id)", "reason": "\(failure.reason)"])
                self.failed.insert(member.id)
            }
        }
        guard !self.isClosed else { throw CancellationError() }
        let whom = self.pool.map { "no element of pool \($0)" } ?? "nobody"
        guard self.refusesCookie.isEmpty else {
            self.refusesCookie = []
            throw PoolError(.cookieRejected, "\(whom) accepts the session's state cookie; the last one tried: \(last)")
        }
        throw PoolError(.noPoolElement, "\(whom) can be reached; the last one tried: \(last)")
    }

    /// Whom to try next; nil when all have failed.
    private func nextMember() async throws -> PoolMember? {
        switch self.destination {
        case .address(let transport):
            let member = PoolMember(
                id: PoolElementID(rawValue: 0), life: .infinite, transport: transport, policy: .roundRobin)
            return self.failed.contains(member.id) || self.former != nil ? nil : member
        case .element(let id, let pool):
            let avoided = self.failed.union(self.gone).union(self.refusesCookie)
            if !avoided.contains(id), let member = try await self.user.member(id, of: pool) { return member }
            return try await self.nextMember(of: pool)
        case .pool(let pool): return try await self.nextMember(of: pool)
        }
    }

    private func nextMember(of pool: PoolHandle) async throws -> PoolMember? {
        let avoided = self.failed.union(self.refusesCookie)
        // The order of the business card first, as long as its elements are there (BC2; ASAP-227).
        // Where they are the registrar says: a card's word for others is not taken.
        let gone = self.gone
        while !self.preferred.isEmpty {
            let id = self.preferred.removeFirst()
            guard !avoided.contains(id), !gone.contains(id) else { continue }
            if let member = try await self.user.member(id, of: pool) { return member }
        }
        if let member = try await self.user.choose(from: pool, avoiding: avoided.union(gone)) { return member }
        // Nobody else: one that leaves is better than none.
        return gone.isEmpty ? nil : try await self.user.choose(from: pool, avoiding: avoided)
    }

    /// Elements that have said that they leave, not long ago.
    private var gone: Set<PoolElementID> {
        let now = self.host.clock.now
        return Set(self.leaving.filter { now - $0.value < Self.leavingTime }.keys)
    }

    private func bind(to member: PoolMember) async throws {
        let link: LinkID
        let route = try await self.ports.route(
            to: member.transport, encapsulationPort: member.encapsulationPort, receiver: self)
        do throws(TransportError) {
            link = try route.port.connect(to: route.remote)
        } catch {
            throw Failure(reason: error.message)
        }
        // It may not have been read for the sake of the element before.
        route.port.setReading(true, on: link)
        let attempt: Attempt
        do {
            attempt = try await self.whenUp(link)
        } catch let error as CancellationError {
            route.port.abort(link)
            throw error
        } catch {
            route.port.abort(link)
            guard !self.isClosed else { throw CancellationError() }
            if let pool = self.pool { await self.user.reportUnreachable(member.id, in: pool) }
            throw Failure(reason: "\(error)")
        }
        guard !self.isClosed else { throw CancellationError() }
        guard !attempt.hasEnded else { throw Failure(reason: "it ended the link at once") }
        let binding = Binding(
            link: link, member: member, route: route, phase: .preparing, since: self.host.clock.now)
        self.wantsBinding = false
        self.binding = binding
        try await self.prepare(binding, attempt.early)
        guard self.binding?.link == link else { throw Failure(reason: self.former?.reason ?? "the link ended") }
        if case .preparing? = self.binding?.phase { self.binding?.phase = .up }
        self.pump()
    }

    @discardableResult
    func whenUp(_ link: LinkID) async throws -> Attempt {
        let attempt = Attempt()
        self.attempts[link] = attempt
        defer { self.attempts[link] = nil }
        try await self.withinAttempt(attempt.outcome)
        return attempt
    }

    /// What comes before all else: the state, the card, the application's own.
    private func prepare(_ binding: Binding, _ early: [InboundMessage]) async throws {
        if let cookie = self.cookie, self.former != nil, binding.route.hasControlChannel {
            self.tellElement({ () throws(WireError) in try CookieEcho(octets: cookie).encoded() }, over: binding)
            self.binding?.wasGivenCookie = true
        }
        if let identity = self.configuration.identity, let card = await identity.businessCard {
            self.tellElement({ () throws(WireError) in try card.encoded() }, over: binding)
        }
        guard let former = self.former else {
            self.tell(.connected(binding.member.id))
            for message in early { self.received(message, on: binding.link) }
            return
        }
        let failover = Failover(
            from: former.member.id, to: binding.member.id, reason: former.reason,
            uncertainMessages: self.outbox.sinceCheckpoint, repeatsRequest: self.repeatsRequest,
            hasState: self.binding?.wasGivenCookie ?? false)
        self.repeatsRequest = false
        self.outbox.checkpoint()
        self.tell(.failedOver(failover))
        for message in early { self.received(message, on: binding.link) }
        guard let handler = self.configuration.onFailover else { return }
        do {
            try await handler(FailoverContext(failover: failover, session: self))
        } catch {
            guard self.binding?.link == binding.link else { return }
            self.endBinding("the fail-over handler threw an error", isReported: false)
            if error is CancellationError { throw error }
            throw PoolError(.failoverFailed, "the fail-over handler threw: \(error)")
        }
    }

    // MARK: For the handler

    func prepare(_ data: SessionOutbox.Data) throws {
        guard data.payloadProtocol != ASAPMessage.payloadProtocol, !data.bytes.isEmpty else {
            throw PoolError(
                .configurationInvalid, "no empty messages, and none on payload protocol 11, which is ASAP's")
        }
        guard let binding = self.binding, case .preparing = binding.phase else {
            throw PoolError(.elementFailed, "the element failed while the session was handed over to it")
        }
        do throws(TransportError) {
            try self.transmit(data, over: binding)
        } catch {
            throw PoolError(.elementFailed, "\(binding.member.id): \(error.message)", fate: .notExecuted)
        }
        self.outbox.handOverAside()
    }

    func prepareAsking(_ data: SessionOutbox.Data) async throws -> Message {
        guard self.handlerAnswer == nil else {
            throw PoolError(.configurationInvalid, "a fail-over handler asks one thing at a time")
        }
        let outcome = OneShot<Message>()
        try self.prepare(data)
        self.handlerAnswer = outcome
        defer { if self.handlerAnswer === outcome { self.handlerAnswer = nil } }
        do {
            return try await self.withinAttempt(outcome)
        } catch {
            // Its late answer must not be taken for the next request's.
            self.endBinding("the fail-over handler has no answer", isReported: !(error is CancellationError))
            throw error
        }
    }

    private func withinAttempt<Value: Sendable>(_ outcome: OneShot<Value>) async throws -> Value {
        let (clock, limit) = (self.host.clock, self.configuration.attemptTimeout)
        let timer = clock.schedule(at: clock.now + limit) {
            outcome.resolve(.failure(PoolError(.timedOut, "no answer within \(limit)")))
        }
        defer { clock.cancel(timer) }
        return try await outcome.value()
    }

    // MARK: To all

    /// Elements that are given a copy at a time.
    private static let copiesAtATime = 16

    /// A copy to each element of the pool (RFC 5352 §6.5.5), over links of their own that end when they have it.
    func sendToAll(_ data: SessionOutbox.Data, _ options: SendOptions) async throws -> Delivery {
        guard let pool = self.pool else {
            throw PoolError(.configurationInvalid, "an address is no pool: there are no others", fate: .notExecuted)
        }
        let identity = self.configuration.identity.flatMap { $0.pool == pool ? $0 : nil }
        let own = await identity?.id
        var targets = try await self.user.resolve(pool, count: .max).members.filter { $0.id != own }[...]
        var delivery: [Bool: [PoolElementID]] = [:]
        await withTaskGroup(of: (PoolElementID, Bool).self) { group in
            func addNext() {
                guard let member = targets.popFirst() else { return }
                group.addTask { (member.id, await self.sendCopy(data, to: member)) }
            }
            for _ in 0..<Self.copiesAtATime { addNext() }
            while let (id, isSent) = await group.next() {
                delivery[isSent, default: []].append(id)
                addNext()
            }
        }
        if let own, options.contains(.toSelf) {
            self.tell(
                .message(
                    Message(
                        bytes: data.bytes, stream: data.stream, payloadProtocol: data.payloadProtocol, element: own)))
            delivery[true, default: []].append(own)
        }
        return Delivery(elements: delivery[true] ?? [], failed: delivery[false] ?? [])
    }

    private func sendCopy(_ data: SessionOutbox.Data, to member: PoolMember) async -> Bool {
        do {
            if let binding = self.binding, binding.member.id == member.id, case .up = binding.phase {
                try self.transmit(data, over: binding)
                self.outbox.handOverAside()
                return true
            }
            // Not over the session's own port, which may just not be read.
            let route = try await self.copyPorts.route(
                to: member.transport, encapsulationPort: member.encapsulationPort, receiver: self)
            let link = try route.port.connect(to: route.remote)
            defer { route.port.shutdown(link) }
            try await self.whenUp(link)
            try self.transmit(
                data, over: Binding(link: link, member: member, route: route, phase: .up, since: self.host.clock.now))
            return true
        } catch {
            return false
        }
    }
}
