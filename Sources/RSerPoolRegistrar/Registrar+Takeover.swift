// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

// Taking over the elements of a registrar that died (RFC 5353 §3.5).
extension Registrar {
    /// A takeover that we have begun.
    struct Takeover: Sendable {
        var contest: TakeoverContest
        /// Whether we have won.
        let isWon = OneShot<Bool>()
    }

    /// Work that takes its time; each piece is a child of `run()`'s task group.
    enum Procedure: Sendable {
        case takeOver(RegistrarID)
        /// Ask elements that we have become home of.
        case rehome([ElementKey])
        /// Ask elements that somebody else wants to be home of, and who registered with us.
        case claim([ElementKey], against: RegistrarID)
        /// Ask elements that we go on to be home of, whatever others say.
        case insist([ElementKey])
    }

    // MARK: Procedures

    func carryOutProcedures() async {
        await withDiscardingTaskGroup { group in
            while let procedures = await self.procedures.next() {
                for procedure in procedures { group.addTask { await self.carryOut(procedure) } }
            }
        }
    }

    private func carryOut(_ procedure: Procedure) async {
        switch procedure {
        case .takeOver(let target): await self.takeOver(target)
        case .rehome(let keys): await self.spreadOut(keys) { $0.rehome($1, now: $2) }
        case .claim(let keys, let challenger):
            await self.spreadOut(keys) { $0.claim($1, against: challenger, now: $2) }
        case .insist(let keys): await self.spreadOut(keys) { $0.insist($1, now: $2) }
        }
    }

    private func takeOver(_ target: RegistrarID) async {
        guard let isWon = self.takeovers[target]?.isWon, let hasWon = try? await isWon.value(), hasWon,
            self.takeovers[target]?.isWon === isWon
        else { return }
        let inherited = self.completeTakeover(of: target)
        await self.spreadOut(inherited) { $0.rehome($1, now: $2) }
        self.logger.info(
            "elements of the dead registrar have been asked",
            metadata: ["peer": "\(target)", "elements": "\(inherited.count)"])
    }

    /// Does something for many elements, spread out over time as `keepAlivesPerSecond` says, however many procedures run
    /// (AMB-26).
    private func spreadOut(
        _ keys: [ElementKey], _ body: @Sendable (isolated Registrar, ElementKey, ContinuousClock.Instant) -> Void
    ) async {
        let rate = self.configuration.enrpTimers.keepAlivesPerSecond
        let batch = max(1, rate / 100)
        let pause = Duration.seconds(batch) / max(1, rate)
        var rest = keys[...]
        while !rest.isEmpty {
            let slot = max(self.host.clock.now, self.nextVisit)
            self.nextVisit = slot + pause
            guard (try? await self.host.clock.sleep(until: slot)) != nil else { return }
            let now = self.host.clock.now
            for key in rest.prefix(batch) { body(self, key, now) }
            rest = rest.dropFirst(batch)
        }
    }

    /// Asks an element that we have inherited whether it takes us for its home.
    private func rehome(_ key: ElementKey, now: ContinuousClock.Instant) {
        guard let member = self.handlespace.member(key), member.home == self.id else { return }
        // It may have registered meanwhile.
        guard let element = self.elements[key] ?? self.makeElement(key, inheriting: member) else {
            self.remove(key, tellIt: false, now: now)
            return
        }
        if self.elements[key] == nil {
            self.elements[key] = element
            self.schedule(.replica(key), at: nil)
        }
        self.take(element.assumeIsolated { $0.rehome(now: now) }, of: key, now: now)
    }

    private func claim(_ key: ElementKey, against challenger: RegistrarID, now: ContinuousClock.Instant) {
        self.settling.remove(key)
        // A challenger that is gone challenges nothing.
        guard let element = self.elements[key], self.peers[challenger]?.assumeIsolated({ $0.liveness.isActive }) == true
        else {
            return
        }
        self.take(element.assumeIsolated { $0.claimHome(against: challenger, now: now) }, of: key, now: now)
    }

    // MARK: The contest (§3.5.1)

    /// A peer is dead: we want to take it over.
    func peerDied(_ target: RegistrarID, now: ContinuousClock.Instant) {
        self.noLongerKnown(target, now: now)
        guard self.takeovers[target] == nil else { return }
        self.takeovers[target] = Takeover(
            contest: TakeoverContest(
                target: target, ownID: self.id, timers: self.configuration.enrpTimers, now: now))
        _ = self.procedures.put(.takeOver(target))
        let peers = self.activePeers
        self.withContest(over: target, now) { $0.begin(peers: peers, now: now) }
    }

    func takeoverTimersFired(_ target: RegistrarID, now: ContinuousClock.Instant) {
        let peers = self.activePeers
        let lastHeard: (RegistrarID) -> ContinuousClock.Instant? = { id in
            self.peers[id]?.assumeIsolated { $0.liveness.lastHeard }
        }
        var generator = self.generator
        self.withContest(over: target, now) {
            $0.timersFired(peers: peers, lastHeard: lastHeard, now: now, using: &generator)
        }
        self.generator = generator
    }

    func receivedInitTakeover(of target: RegistrarID, from initiator: RegistrarID, now: ContinuousClock.Instant) {
        guard target != self.id else {
            self.logOncePerMinute(.takeoversSuffered, "peer \(initiator) takes this registrar for dead")
            self.announcePresence()
            return
        }
        if self.takeovers[target] != nil {
            self.withContest(over: target, now) { $0.receivedInitTakeover(from: initiator) }
        } else {
            self.agree(to: initiator, about: target, now: now)
        }
    }

    func receivedInitTakeoverAck(of target: RegistrarID, from peer: RegistrarID, now: ContinuousClock.Instant) {
        self.withContest(over: target, now) { $0.receivedAck(from: peer) }
    }

    /// It has spoken, although it was thought dead (§3.5.1): nobody takes it over here.
    func cameBack(_ id: RegistrarID) {
        self.logger.notice("peer registrar is back", metadata: ["peer": "\(id)"])
        self.takeovers[id]?.contest.heardTarget()
        self.endTakeover(of: id)
    }

    /// Somebody who is awaited in contests has died or been taken over.
    private func noLongerKnown(_ id: RegistrarID, now: ContinuousClock.Instant) {
        for target in self.takeovers.keys.sorted() where target != id {
            self.withContest(over: target, now) { $0.peerDied(id) }
        }
    }

    private func withContest(
        over target: RegistrarID, _ now: ContinuousClock.Instant,
        _ body: (inout TakeoverContest) -> [TakeoverContest.Action]
    ) {
        guard var contest = self.takeovers[target]?.contest else { return }
        let actions = body(&contest)
        self.takeovers[target]?.contest = contest
        self.schedule(.takeover(target), at: contest.nextDeadline)
        for action in actions { self.carryOut(action, over: target, now: now) }
    }

    private func carryOut(_ action: TakeoverContest.Action, over target: RegistrarID, now: ContinuousClock.Instant) {
        switch action {
        case .announceInitiation:
            self.counts.count(.takeoversInitiated)
            self.announce { _ in .initTakeover(target: target) }
        case .probe(let peers): for peer in peers { self.probe(peer, now: now) }
        case .yield(let initiator):
            self.endTakeover(of: target)
            self.agree(to: initiator, about: target, now: now)
        case .win(let unheard):
            if !unheard.isEmpty {
                self.logger.warning(
                    "takeover without the word of some peers",
                    metadata: ["target": "\(target)", "unheard": "\(unheard.map(\.description))"])
                self.counts.count(.takeoversForced)
            }
            self.takeovers[target]?.isWon.resolve(.success(true))
        }
    }

    private func agree(to initiator: RegistrarID, about target: RegistrarID, now: ContinuousClock.Instant) {
        if let peer = self.peers[target] {
            peer.assumeIsolated { $0.markNotActive(now: now) }
            self.schedule(.peer(target), at: peer.assumeIsolated { $0.nextDeadline })
        }
        self.send(.initTakeoverAck(target: target), to: initiator)
    }

    private func endTakeover(of target: RegistrarID) {
        self.takeovers.removeValue(forKey: target)?.isWon.resolve(.success(false))
        self.schedule(.takeover(target), at: nil)
    }

    // MARK: The takeover itself (§3.5.2)

    /// - Returns: the elements that are ours now, and have to be asked.
    private func completeTakeover(of target: RegistrarID) -> [ElementKey] {
        let now = self.host.clock.now
        self.announce { _ in .takeoverServer(target: target) }
        self.endTakeover(of: target)
        self.forgetTakenOver(target)
        self.counts.count(.takeoversCompleted)
        let keys = self.handlespace.keys(ownedBy: target)
        self.logger.notice(
            "taken over the elements of a dead registrar",
            metadata: ["peer": "\(target)", "elements": "\(keys.count)"])
        // All at once, as the checksum of the peers' copies changes with our word; what it takes to watch over each comes
        // when its turn is to be asked.
        for key in keys { self.inherit(key, now: now) }
        return keys
    }

    /// Makes us home of an element that did not register with us; it has to be asked.
    private func inherit(_ key: ElementKey, now: ContinuousClock.Instant) {
        self.handlespace.changeHome(of: key, to: self.id)
        self.counts.count(.elementsInherited)
        self.poolChanged(key.pool, .changed(key.id), now: now)
    }

    func receivedTakeover(of target: RegistrarID, from winner: RegistrarID, now: ContinuousClock.Instant) {
        guard target != self.id else {
            self.defend(against: winner, now: now)
            return
        }
        self.takeovers[target]?.contest.targetTaken()
        self.endTakeover(of: target)
        self.forgetTakenOver(target)
        self.noLongerKnown(target, now: now)
        for key in self.handlespace.keys(ownedBy: target) {
            self.handlespace.changeHome(of: key, to: winner)
            self.poolChanged(key.pool, .changed(key.id), now: now)
        }
    }

    /// Somebody has taken us over although we live (AMB-28): elements that are linked to us as their home are asked and
    /// announced again; the others are the winner's. Said again and again, it does no more.
    private func defend(against winner: RegistrarID, now: ContinuousClock.Instant) {
        self.counts.count(.takeoversSuffered)
        self.logOncePerMinute(.takeoversSuffered, "peer \(winner) has taken over this registrar, which lives")
        guard let peer = self.peers[winner], peer.assumeIsolated({ $0.isDefenceDue(now: now) }) else { return }
        self.announcePresence()
        var linked: [ElementKey] = []
        for key in self.handlespace.keys(ownedBy: self.id) {
            if self.elements[key]?.assumeIsolated({ $0.isLinkedAsHome }) == true {
                linked.append(key)
            } else {
                self.yield(key, to: winner, now: now)
            }
        }
        if !linked.isEmpty { _ = self.procedures.put(.claim(linked, against: winner)) }
    }

    // MARK: Who is home of an element (AMB-31)

    // Decided here: each element belongs to whom it registered with last, or agreed with by a KEEP_ALIVE_ACK to H = 1. A
    // registrar knows that by the association over which this happened: while it stands, the registrar holds its claim.
    // Where a peer's table claims an element that we claim too, the one with the larger ID settles it: it asks the element
    // with H = 1 over that association and announces it, or, without one, leaves it to the other. So never both give it up.
    // rsplib believes every table of ours, so towards it we settle always, and never leave the element to it.

    /// A peer's table names elements as its own that we take for ours.
    func settle(_ keys: [ElementKey], with peer: PeerLink) {
        let challenger = peer.id
        let isRSPLIB = peer.assumeIsolated { $0.dialect == .rsplib }
        guard isRSPLIB || self.id > challenger else { return }
        // The next table may come before all are asked.
        let keys = keys.filter { self.settling.insert($0).inserted }
        self.counts.count(.homesDisputed, by: keys.count)
        if !keys.isEmpty, !self.procedures.put(isRSPLIB ? .insist(keys) : .claim(keys, against: challenger)) {
            self.settling.subtract(keys)
        }
    }

    /// It has registered elsewhere (ENRP-164), as somebody says who is its home from now on.
    ///
    /// Should that one know nothing of it, because two registrars have given it up to each other, it is not lost: see
    /// ``reclaim(_:now:)``.
    func giveUp(_ key: ElementKey) {
        guard let element = self.elements.removeValue(forKey: key) else { return }
        let (link, opening, isLinkedAsHome) = element.assumeIsolated { ($0.link, $0.opening, $0.isLinkedAsHome) }
        self.stopOpening(opening, for: key)
        if let link {
            self.links[link]?.elements.remove(key)
            if isLinkedAsHome, self.links[link] != nil {
                self.formerLinks[key] = link
                self.links[link]?.formerElements.insert(key)
            }
        }
        self.givenUp.updateValue(link, forKey: key)
        self.schedule(.element(key), at: nil)
    }

    /// Tells an element that is gone from the handlespace and may take us for its home still (ASAP-082): then it registers
    /// again. An update that was overtaken by its registration here can have made us give it up.
    func tellFormerElement(_ key: ElementKey) {
        guard let link = self.forgetFormerLink(of: key), self.links[link] != nil else { return }
        self.counts.count(.elementsToldGone)
        self.send(to: link) { () throws(WireError) in
            try DeregistrationResponse(pool: key.pool, id: key.id).encoded()
        }
    }

    @discardableResult
    func forgetFormerLink(of key: ElementKey) -> LinkID? {
        guard let link = self.formerLinks.removeValue(forKey: key) else { return nil }
        self.links[link]?.formerElements.remove(key)
        return link
    }

    /// Another registrar's claim is better than ours.
    func yield(_ key: ElementKey, to winner: RegistrarID, now: ContinuousClock.Instant) {
        self.giveUp(key)
        self.handlespace.changeHome(of: key, to: winner)
        self.expectOwner(winner, now: now)
        if let life = self.handlespace.member(key)?.life.duration {
            self.schedule(.replica(key), at: now + life + self.configuration.enrpTimers.expiryGrace)
        }
        self.poolChanged(key.pool, .changed(key.id), now: now)
        // It has not answered us: who waits for its identifier may be the element itself, anew.
        self.admitNewcomer(key, now: now)
    }

    /// Takes an element back that nobody is home of: over the link that it has to us, or a new one, it has to be asked.
    /// - Returns: false where nobody can reach it; then it is removed.
    func reclaim(_ key: ElementKey, now: ContinuousClock.Instant) -> Bool {
        let link = (self.givenUp.removeValue(forKey: key) ?? nil).flatMap { self.links[$0] }
        self.forgetFormerLink(of: key)
        self.counts.count(.elementsReclaimed)
        self.inherit(key, now: now)
        self.schedule(.replica(key), at: nil)
        guard let member = self.handlespace.member(key), let element = self.makeElement(key, inheriting: member) else {
            self.remove(key, tellIt: false, now: now)
            return false
        }
        self.elements[key] = element
        if let link {
            self.links[link.link.id]?.elements.insert(key)
            let (there, port) = (link.link, link.port)
            element.assumeIsolated { $0.useLink(there, port: port) }
        }
        return true
    }

    private func insist(_ key: ElementKey, now: ContinuousClock.Instant) {
        self.settling.remove(key)
        guard let element = self.elements[key] else { return }
        self.take(element.assumeIsolated { $0.insistOnHome(now: now) }, of: key, now: now)
    }

    /// We were home of it before we started anew (same ID): it is asked whether it still is there.
    func adopt(_ member: PoolMember, in pool: PoolHandle, now: ContinuousClock.Instant) {
        let key = ElementKey(pool: pool, id: member.id)
        guard self.elements[key] == nil else { return }
        self.replicate(member, in: pool, now: now)
        if self.handlespace.member(key)?.home == self.id { self.adopted.append(key) }
    }

    /// A member of a pool that has to take another shape.
    func expel(_ key: ElementKey, now: ContinuousClock.Instant) {
        self.counts.count(.membersExpelled)
        if self.handlespace.member(key)?.home == self.id {
            self.counts.count(.elementsRemoved)
            self.remove(key, tellIt: true, causes: [ErrorCause(.inconsistentPolicy)], now: now)
        } else {
            self.removeReplica(key, now: now)
        }
    }
}
