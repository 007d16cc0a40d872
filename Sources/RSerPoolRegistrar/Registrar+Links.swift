// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// What happens to links, and to the elements and subscriptions that hang on them.
extension Registrar {
    func handle(_ event: LinkEvent, _ port: any Port) {
        // Links that we end ourselves say nothing about those at their far ends.
        guard !self.isClosing else { return }
        let now = self.host.clock.now
        self.observe(now)
        switch event {
        case .up(let link): self.linkUp(link, port, now: now)
        case .message(let message, let link): self.received(message, over: link, now: now)
        case .writable(let link): self.writable(link)
        case .unsent: break
        case .down(let link, let reason): self.linkDown(link, reason, now: now)
        }
    }

    private func linkUp(_ link: Link, _ port: any Port, now: ContinuousClock.Instant) {
        guard self.isServing else {
            port.abort(link.id)
            return
        }
        self.links[link.id] = LinkState(link: link, port: port)
        self.linkDirectory.add(link)
        for key in self.endOpening(link.id) { self.lead(link, to: key, now: now) }
    }

    /// An element that needs a link to be asked over has this one.
    private func lead(_ link: Link, to key: ElementKey, now: ContinuousClock.Instant) {
        guard let element = self.elements[key], let verdict = element.assumeIsolated({ $0.linkOpened(link) }) else {
            return
        }
        // It is over already: the keep-alive's timer tries again, or gives the element up.
        if case .connect = verdict { return }
        self.links[link.id]?.elements.insert(key)
        self.take(verdict, of: key, now: now)
    }

    /// Opens a link to ask an element, or joins one that leads there.
    private func openLink(to key: ElementKey, now: ContinuousClock.Instant) {
        guard let element = self.elements[key] else { return }
        let (remote, port) = element.assumeIsolated { ($0.remote, $0.port) }
        do {
            let link = try self.openingTo[remote] ?? port.connect(to: remote)
            self.openingTo[remote] = link
            self.opening[link, default: Opening(remote: remote, port: port, elements: [])].elements.insert(key)
            element.assumeIsolated { $0.linkIsOpening(link) }
        } catch {
            // There is an association already, another element's; else it is our own shortage, which says nothing about
            // the element: the keep-alive's timer tries again, or gives it up.
            if let known = self.linkDirectory.link(to: remote, at: port.id) { self.lead(known, to: key, now: now) }
        }
    }

    /// - Returns: the elements that were to be asked over it.
    private func endOpening(_ link: LinkID) -> [ElementKey] {
        guard let opening = self.opening.removeValue(forKey: link) else { return [] }
        self.openingTo[opening.remote] = nil
        return opening.elements.sorted { ($0.pool, $0.id) < ($1.pool, $1.id) }
    }

    /// An element need not be asked any more; a link that is opened for it alone is given up.
    func stopOpening(_ link: LinkID?, for key: ElementKey) {
        guard let link, let port = self.opening[link]?.port else { return }
        self.opening[link]?.elements.remove(key)
        guard self.opening[link]?.elements.isEmpty == true else { return }
        _ = self.endOpening(link)
        port.abort(link)
    }

    private func linkDown(_ link: LinkID, _ reason: LinkDownReason, now: ContinuousClock.Instant) {
        var affected = self.endOpening(link)
        if let state = self.links.removeValue(forKey: link) {
            self.linkDirectory.remove(state.link)
            for key in state.formerElements { self.formerLinks[key] = nil }
            for handle in state.subscriptions { self.unsubscribe(link, from: handle) }
            affected += state.elements.sorted { ($0.pool, $0.id) < ($1.pool, $1.id) }
        }
        let inGrace = self.stallGuard.inGrace(now: now)
        for key in affected {
            guard let element = self.elements[key] else { continue }
            self.take(
                element.assumeIsolated { $0.linkEnded(link, reason, now: now, inGrace: inGrace) }, of: key, now: now)
        }
    }

    private func writable(_ link: LinkID) {
        guard let state = self.links[link] else { return }
        for handle in state.subscriptions.sorted() {
            guard let pool = self.pools[handle] else { continue }
            let told = self.handlespace.withPool(handle) { roll in pool.assumeIsolated { $0.writable(link, roll) } }
            if let told { self.count(told) }
        }
    }

    func timersFired(for key: ElementKey, now: ContinuousClock.Instant) {
        guard let element = self.elements[key] else { return }
        let inGrace = self.stallGuard.inGrace(now: now)
        let patience = self.stallGuard.patience
        self.take(
            element.assumeIsolated { $0.timersFired(now: now, inGrace: inGrace, patience: patience) }, of: key, now: now
        )
    }

    /// Does what an element's watch has decided.
    func take(_ verdict: PoolElement.Verdict, of key: ElementKey, now: ContinuousClock.Instant) {
        switch verdict {
        case .nothing: break
        case .asked: self.counts.count(.keepAlivesSent)
        case .connect: self.openLink(to: key, now: now)
        case .remove(let reason):
            self.counts.count(.elementsRemoved)
            self.logger.debug(
                "pool element removed",
                metadata: ["pool": "\(key.pool)", "element": "\(key.id)", "reason": "\(reason.rawValue)"])
            self.remove(key, tellIt: true, now: now)
            return
        case .yield(let winner):
            self.yield(key, to: winner, now: now)
            return
        }
        if let element = self.elements[key] {
            self.schedule(.element(key), at: element.assumeIsolated { $0.nextDeadline })
        }
    }

    /// Removes an element of ours from the handlespace and all that hangs on it, tells the other registrars and the pool's
    /// subscribers, and lets a newcomer in that waited for its identifier.
    ///
    /// - Parameter tellIt: whether it gets an unasked DEREGISTRATION_RESPONSE (ASAP-082), with these causes.
    func remove(_ key: ElementKey, tellIt: Bool, causes: [ErrorCause] = [], now: ContinuousClock.Instant) {
        guard let member = self.handlespace.member(key) else { return }
        self.handlespace.remove(key)
        self.givenUp[key] = nil
        self.forgetFormerLink(of: key)
        self.schedule(.replica(key), at: nil)
        self.announceRemoval(of: member, in: key.pool)
        if let element = self.elements.removeValue(forKey: key) {
            let (link, opening) = element.assumeIsolated { ($0.link, $0.opening) }
            self.stopOpening(opening, for: key)
            if let link {
                self.links[link]?.elements.remove(key)
                if tellIt, let bytes = try? DeregistrationResponse(pool: key.pool, id: key.id, causes: causes).encoded()
                {
                    self.send(bytes, to: link)
                }
            }
        }
        self.schedule(.element(key), at: nil)
        self.poolChanged(key.pool, .gone(key.id), now: now)
        self.admitNewcomer(key, now: now)
    }

    /// The holder of an identifier is gone: who waited for it has it.
    func admitNewcomer(_ key: ElementKey, now: ContinuousClock.Instant) {
        guard let challenge = self.challenges.removeValue(forKey: key), let state = self.links[challenge.newcomer]
        else {
            return
        }
        self.register(challenge.registration, over: state, now: now)
    }

    // MARK: Subscriptions

    /// Notes a change of a pool and tells its subscribers, at once or as soon as the last telling is old enough.
    func poolChanged(_ handle: PoolHandle, _ change: Pool.Change, now: ContinuousClock.Instant) {
        guard let pool = self.pools[handle] else { return }
        guard self.handlespace.has(handle) else {
            self.end(pool, handle)
            return
        }
        let deadline: ContinuousClock.Instant? = pool.assumeIsolated { pool in
            pool.note(change)
            return pool.flushDeadline(now: now)
        }
        if let deadline, deadline <= now {
            self.flush(handle, now: now)
        } else {
            self.schedule(.pool(handle), at: deadline)
        }
    }

    func flush(_ handle: PoolHandle, now: ContinuousClock.Instant) {
        guard let pool = self.pools[handle] else { return }
        let told = self.handlespace.withPool(handle) { roll in pool.assumeIsolated { $0.flush(roll, now: now) } }
        if let told { self.count(told) }
    }

    /// Its last element is gone, and so is the pool.
    private func end(_ pool: Pool, _ handle: PoolHandle) {
        self.pools[handle] = nil
        self.schedule(.pool(handle), at: nil)
        for link in pool.assumeIsolated({ $0.subscriberLinks }) {
            self.links[link]?.subscriptions.remove(handle)
            self.subscriptionCount -= 1
        }
        self.count(pool.assumeIsolated { $0.end(handle) })
    }

    private func unsubscribe(_ link: LinkID, from handle: PoolHandle) {
        self.subscriptionCount -= 1
        self.pools[handle]?.assumeIsolated { $0.unsubscribe(link) }
    }

    func count(_ told: Pool.Told) {
        self.counts.count(.updatesSent, by: told.sent)
        self.counts.count(.updatesDeferred, by: told.deferred)
    }

    // MARK: Sending

    /// Sends an answer; one that finds a full buffer is dropped and counted: its asker does not read, and will ask again.
    func send(_ bytes: [UInt8], to link: LinkID) {
        if let link = self.links[link] { self.send(bytes, over: link) }
    }

    func send(to link: LinkID, _ encode: () throws(WireError) -> [UInt8]) {
        if let link = self.links[link] { self.send(over: link, encode) }
    }

    func send(_ bytes: [UInt8], over link: LinkState) {
        do {
            try link.port.send(
                OutboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol), on: link.link.id)
        } catch {
            let bound = error.code == .bufferFull ? "; send-buffer is the limit" : ""
            self.drop("answer dropped: \(error.message)\(bound)")
        }
    }

    func send(over link: LinkState, _ encode: () throws(WireError) -> [UInt8]) {
        do {
            self.send(try encode(), over: link)
        } catch {
            self.drop("answer dropped: \(error)")
        }
    }

    private func drop(_ reason: String) {
        self.counts.count(.answersDropped)
        self.logOncePerMinute(.answersDropped, reason)
    }

    func note(_ reason: TurnedAway, at local: LocalEndpoint) {
        let endpoint = Endpoint(bound: local)
        switch reason {
        case .tooManyLinks:
            self.counts.count(.linksRefused)
            self.logOncePerMinute(
                .linksRefused, "too many links at \(endpoint): a further one is refused; max-links is the limit")
        case .noResources:
            self.counts.count(.acceptPauses)
            self.logOncePerMinute(
                .acceptPauses,
                "no descriptor or memory left: connections to \(endpoint) wait; allow this process more open files (ulimit -n)"
            )
        }
    }

    /// Which bound has turned an element away: those who run the registrar learn it here, as cause 0x0006 does not say it.
    func logNoRoom(for key: ElementKey, _ counter: RegistrarCounter, bound: String) {
        self.logOncePerMinute(
            counter, about: "\(counter) \(bound)",
            "no room for element \(key.id) of pool \(key.pool): \(bound) is the limit")
    }

    /// The bound of the handlespace at which it refuses a newcomer.
    var fullBound: String { self.handlespace.isFull ? "max-elements" : "max-pools" }

    /// Says in the log what others can make happen as often as they like, at most once a minute for each place in the code, and
    /// there for each of a few things that it may be about.
    func logOncePerMinute(
        _ counter: RegistrarCounter, at level: Logger.Level = .warning, about thing: String = "",
        file: StaticString = #fileID, line: UInt = #line,
        _ message: @autoclosure () -> String
    ) {
        let now = self.host.clock.now
        let place = "\(file):\(line) \(thing)"
        if let last = self.logged[place], now - last < .seconds(60) { return }
        self.logged[place] = now
        self.logger.log(level: level, "\(message())", metadata: [counter.name: "\(self.counts[counter])"])
    }
}
