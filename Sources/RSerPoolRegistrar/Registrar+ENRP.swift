// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// What a registrar does with each ENRP message (RFC 5353 §3).
extension Registrar {
    func receivedENRP(_ message: InboundMessage, over link: LinkID, now: ContinuousClock.Instant) {
        guard let connection = self.connections[link] else { return }
        self.counts.count(.peerMessagesReceived)
        // Senders MUST use PPID 12; 0 is taken too, what is for other protocols is not (ENRP-031).
        guard message.payloadProtocol == ENRPMessage.payloadProtocol || message.payloadProtocol == 0 else {
            self.counts.count(.messagesIgnored)
            return
        }
        let decoded: Decoded<ENRPMessage>
        do throws(WireError) {
            decoded = try ENRPMessage.decode(message.bytes[...])
        } catch {
            self.counts.count(.messagesMalformed)
            self.logger.debug("malformed ENRP message", metadata: ["error": "\(error)"])
            self.report(error.causes, to: connection.peer ?? .undetermined, over: link)
            return
        }
        let (sender, receiver) = (decoded.message.sender, decoded.message.receiver)
        guard sender != .undetermined else {
            self.counts.count(.messagesMalformed)
            return
        }
        guard sender != self.id else {
            self.heardOwnID(over: connection, now: now)
            return
        }
        // An old incarnation's mail, or somebody else's (ENRP-032).
        guard receiver == .undetermined || receiver == self.id else {
            self.counts.count(.messagesIgnored)
            return
        }
        guard let peer = self.peer(sender, over: link, now: now) else { return }
        self.process(decoded.message.body, from: peer, over: link, now: now)
        self.report(decoded.unrecognized, to: sender, over: link)
    }

    private func process(
        _ body: ENRPMessage.Body, from peer: PeerLink, over link: LinkID, now: ContinuousClock.Instant
    ) {
        let id = peer.id
        switch body {
        case .presence(let replyRequired, let checksum, let information):
            if let information { self.learn(information, of: peer, over: link, now: now) }
            self.askForPeers(of: peer, now: now)
            self.measure(peer)
            if replyRequired { self.sendPresence(to: id) }
            if let checksum { self.compare(checksum, of: peer, now: now) }
            self.schedule(.peer(id), at: peer.assumeIsolated { $0.nextDeadline })
        case .listRequest:
            self.answerListRequest(of: id, over: link)
            peer.assumeIsolated { $0.askedForList(now: now) }
        case .listResponse(let isRejected, let servers):
            let isOfSearch = self.searchAwaitsList(over: link)
            guard peer.assumeIsolated({ $0.answeredList(isRejected: isRejected, toSearch: isOfSearch, now: now) })
            else {
                self.counts.count(.messagesIgnored)
                return
            }
            self.searchReceivedList(servers, isRejected: isRejected, from: id, over: link, now: now)
        case .handleTableRequest(let ownChildrenOnly):
            self.answerTableRequest(of: peer, ownChildrenOnly: ownChildrenOnly, over: link, now: now)
        case .handleTableResponse(let isRejected, let moreFollows, let entries):
            self.receivedTable(
                entries, isRejected: isRejected, moreFollows: moreFollows, from: peer, over: link, now: now)
        case .handleUpdate(let action, let pool, let member, _):
            self.receivedUpdate(action, member, in: pool, from: peer, over: link, now: now)
        case .initTakeover(let target): self.receivedInitTakeover(of: target, from: id, now: now)
        case .initTakeoverAck(let target): self.receivedInitTakeoverAck(of: target, from: id, now: now)
        case .takeoverServer(let target): self.receivedTakeover(of: target, from: id, now: now)
        case .error(let causes):
            self.counts.count(.peerErrorsReceived)
            self.logOncePerMinute(
                .peerErrorsReceived, at: .info, "ENRP_ERROR received from peer \(id): \(causes.map(\.code.description))"
            )
        }
    }

    private func report(_ causes: [ErrorCause], to receiver: RegistrarID, over link: LinkID) {
        guard !causes.isEmpty else { return }
        self.send(.error(causes), to: receiver, over: link)
    }

    // MARK: Lists and tables for others (§3.2.2, §3.2.3)

    private func answerListRequest(of requester: RegistrarID, over link: LinkID) {
        guard !self.isLearning else {
            self.send(.listResponse(isRejected: true, []), to: requester, over: link)
            return
        }
        let servers = self.peers.keys.sorted().compactMap { id in
            self.peers[id]?.assumeIsolated { $0.isActive && id != requester ? $0.information : nil }
        }
        let audience: Audience = self.connections[link]?.dialect == .rsplib ? .rsplibENRP : .enrp
        self.send(.listResponse(of: servers, for: audience), to: requester, over: link)
    }

    private func answerTableRequest(
        of peer: PeerLink, ownChildrenOnly: Bool, over link: LinkID, now: ContinuousClock.Instant
    ) {
        let downloads = self.peers.values.count { $0.id != peer.id && $0.assumeIsolated { $0.isDownloading } }
        guard !self.isLearning, downloads < self.configuration.limits.maxDownloads else {
            self.counts.count(.downloadsRefused)
            if !self.isLearning {
                self.logOncePerMinute(
                    .downloadsRefused,
                    "too many downloads of the handlespace: a further one is refused; max-downloads is the limit")
            }
            self.send(.handleTableResponse(isRejected: true, moreFollows: false, []), to: peer.id, over: link)
            return
        }
        let id = self.id
        let (dialect, audience, start) = peer.assumeIsolated {
            ($0.dialect, $0.audience, $0.cursor(for: ownChildrenOnly, of: id, over: link))
        }
        var cursor = start
        var composer = HandleTableComposer(sender: self.id, receiver: peer.id, audience: audience)
        let hasMore = self.handlespace.continueTable(&cursor) { pool, record in
            composer.add(record, of: pool, life: dialect == .rfc ? nil : record.member.map { dialect.told($0.life) })
        }
        let next = hasMore ? cursor : nil
        // A part that did not find room is the next one still.
        guard self.send((try? composer.finish(moreFollows: hasMore)) ?? [], over: link) else { return }
        peer.assumeIsolated { $0.sentTable(next, ownChildrenOnly: ownChildrenOnly, over: link, now: now) }
        self.schedule(.peer(peer.id), at: peer.assumeIsolated { $0.nextDeadline })
    }

    private func receivedTable(
        _ entries: [ENRPMessage.PoolEntry], isRejected: Bool, moreFollows: Bool, from peer: PeerLink,
        over link: LinkID, now: ContinuousClock.Instant
    ) {
        if self.searchAwaitsTable(over: link) {
            self.store(entries, from: peer, as: .wholeTable, now: now)
            self.searchReceivedTable(
                isRejected: isRejected, isEmpty: entries.allSatisfy(\.members.isEmpty), moreFollows: moreFollows,
                now: now)
        } else if peer.assumeIsolated({ $0.answerArrived(moreFollows: moreFollows, now: now) }) {
            self.store(entries, from: peer, as: .ownTable, now: now)
            let isEmpty = entries.allSatisfy(\.members.isEmpty)
            let actions = peer.assumeIsolated {
                $0.receivedTable(isRejected: isRejected, isEmpty: isEmpty, moreFollows: moreFollows, now: now)
            }
            self.carryOut(actions, with: peer, now: now)
        } else {
            self.counts.count(.messagesIgnored)
        }
    }

    // MARK: Audit (§3.6)

    private func compare(_ checksum: UInt16, of peer: PeerLink, now: ContinuousClock.Instant) {
        // Who starts gets everything from its mentor first.
        guard !self.isLearning else { return }
        let isRSPLIB = peer.assumeIsolated { $0.dialect == .rsplib }
        guard checksum != self.handlespace.checksum(of: peer.id),
            !isRSPLIB || checksum != self.handlespace.rsplibChecksum(of: peer.id)
        else {
            peer.assumeIsolated { $0.confirmed(now: now) }
            return
        }
        self.carryOut(peer.assumeIsolated { $0.checksumsDiffer(now: now) }, with: peer, now: now)
    }

    private func carryOut(
        _ actions: [Resynchronization.Action], with peer: PeerLink, now: ContinuousClock.Instant
    ) {
        for action in actions {
            switch action {
            case .mark:
                self.counts.count(.resynchronizations)
                self.logger.debug("checksums differ: the peer's elements are fetched", metadata: ["peer": "\(peer.id)"])
                self.handlespace.mark(ownedBy: peer.id)
            case .request:
                if !self.send(.handleTableRequest(ownChildrenOnly: true), to: peer.id) {
                    peer.assumeIsolated { $0.requestNotSent(now: now) }
                }
            case .purge: self.purge(peer.id, now: now)
            }
        }
        self.schedule(.peer(peer.id), at: peer.assumeIsolated { $0.nextDeadline })
    }

    /// Removes what a peer did not list, silently (§3.6.3 step 5), unless another peer's table listed it.
    ///
    /// An element that was ours and that we gave up to this peer has no home now, by a mistake: an update that came late,
    /// for example, or each of us left it to the other. It is asked, and taken back.
    private func purge(_ owner: RegistrarID, now: ContinuousClock.Instant) {
        var reclaimed: [ElementKey] = []
        let active = self.activePeers
        let unlisted = self.handlespace.takeUnlisted(
            ownedBy: owner, unsparing: { self.givenUp[$0] != nil }, heeding: active.contains)
        for (key, claimant) in unlisted {
            if let claimant {
                self.givenUp[key] = nil
                self.handlespace.changeHome(of: key, to: claimant)
                self.poolChanged(key.pool, .changed(key.id), now: now)
            } else if self.givenUp[key] != nil {
                if self.reclaim(key, now: now) { reclaimed.append(key) }
            } else {
                self.counts.count(.replicasPurged)
                self.removeReplica(key, now: now)
            }
        }
        if !reclaimed.isEmpty { _ = self.procedures.put(.insist(reclaimed)) }
    }

    /// Removes a copy of somebody else's element; no registrar is told of it.
    func removeReplica(_ key: ElementKey, now: ContinuousClock.Instant) {
        guard self.handlespace.remove(key) != nil else { return }
        self.givenUp[key] = nil
        self.tellFormerElement(key)
        self.schedule(.replica(key), at: nil)
        self.poolChanged(key.pool, .gone(key.id), now: now)
    }

    // MARK: What others say of elements (§3.3)

    /// Where an element's entry came from.
    enum Source: Sendable {
        case update
        /// The answer to W = 1: all elements of the peer.
        case ownTable
        /// The mentor's answer to W = 0: all elements of everybody.
        case wholeTable
    }

    private func receivedUpdate(
        _ action: ENRPMessage.UpdateAction, _ member: PoolMember, in pool: PoolHandle, from peer: PeerLink,
        over link: LinkID, now: ContinuousClock.Instant
    ) {
        let key = ElementKey(pool: pool, id: member.id)
        switch action {
        case .addPoolElement: self.store(member, in: pool, from: peer, as: .update, now: now)
        case .deletePoolElement:
            // Only its home speaks for an element (AMB-14); for an unknown one there is nothing to do.
            guard let known = self.handlespace.member(key) else { return }
            guard known.home == peer.id else {
                self.counts.count(.updatesRefused)
                return
            }
            self.removeReplica(key, now: now)
        }
    }

    private func store(
        _ entries: [ENRPMessage.PoolEntry], from peer: PeerLink, as source: Source, now: ContinuousClock.Instant
    ) {
        var disputed: [ElementKey] = []
        for entry in entries {
            for member in entry.members
            where self.store(member, in: entry.pool, from: peer, as: source, now: now) == .disputed {
                disputed.append(ElementKey(pool: entry.pool, id: member.id))
            }
        }
        if !disputed.isEmpty { self.settle(disputed, with: peer) }
    }

    private enum Stored {
        case done
        /// A peer's table says that it is the home of one that we take for ours.
        case disputed
    }

    @discardableResult
    private func store(
        _ told: PoolMember, in pool: PoolHandle, from peer: PeerLink, as source: Source, now: ContinuousClock.Instant
    ) -> Stored {
        let member = told.heard(in: peer.assumeIsolated { $0.dialect })
        let key = ElementKey(pool: pool, id: member.id)
        guard member.life.isValid, !pool.octets.isEmpty, member.asapTransport?.addresses.isEmpty == false else {
            self.refuse(key, "its life or its pool handle is invalid, or nobody could reach it (no ASAP transport)")
            return .done
        }
        if member.home == self.id {
            switch source {
            case .update, .ownTable:
                // Ours to say, not theirs (AMB-13): they get our view.
                self.refuse(key, "a peer says that we are its home")
                if let owned = self.handlespace.member(key), owned.home == self.id { self.announce(owned, in: pool) }
            case .wholeTable: self.adopt(member, in: pool, now: now)
            }
            return .done
        }
        guard source == .wholeTable ? member.home != .undetermined : member.home == peer.id else {
            self.refuse(key, "its home is neither the peer nor known")
            return .done
        }
        // Its home says so: it has one.
        if self.handlespace.member(key)?.home == member.home { self.givenUp[key] = nil }
        if self.handlespace.member(key)?.home == self.id {
            switch source {
            case .update:
                if self.replicate(member, in: pool, now: now) { self.holderLives(key) }
                return .done
            case .ownTable: return .disputed
            case .wholeTable: return .done
            }
        }
        if source == .ownTable, self.handlespace.deferClaim(of: peer.id, on: key) { return .done }
        self.replicate(member, in: pool, now: now)
        return .done
    }

    /// Stores an element as its home tells of it; one that was ours is the other's from now on.
    /// - Returns: whether it was.
    @discardableResult
    func replicate(_ member: PoolMember, in pool: PoolHandle, now: ContinuousClock.Instant) -> Bool {
        let key = ElementKey(pool: pool, id: member.id)
        if member.policy.distance != nil, let home = self.peers[member.home] { self.measure(home, isAwaited: true) }
        switch self.handlespace.replicate(member, in: pool) {
        case .added(let createdPool):
            if createdPool || self.pools[pool] == nil { self.pools[pool] = self.pools[pool] ?? Pool(host: self.host) }
            self.poolChanged(pool, .changed(key.id), now: now)
        case .updated(let changed, let formerHome):
            if formerHome == self.id { self.giveUp(key) }
            if changed { self.poolChanged(pool, .changed(key.id), now: now) }
        case .refused(let causes):
            self.refuse(key, "\(causes.map(\.code.description))")
            if causes.contains(ErrorCause(.lackOfResources)) {
                self.logNoRoom(for: key, .updatesRefused, bound: self.fullBound)
            }
            return false
        case .poolGivesWay(let members):
            self.logOncePerMinute(
                .membersExpelled,
                "pool \(pool) exists with two policies or transport types; its \(members.count) members here have to leave"
            )
            for id in members where id != key.id { self.expel(ElementKey(pool: pool, id: id), now: now) }
            return self.replicate(member, in: pool, now: now)
        }
        let expires = member.life.duration.map { now + $0 + self.configuration.enrpTimers.expiryGrace }
        self.schedule(.replica(key), at: expires)
        self.expectOwner(member.home, now: now)
        return true
    }

    /// A copy's life is over, and its home has not said anything (AMB-16). One that we have inherited gets a fresh life when
    /// it is asked, which is going to happen.
    ///
    /// While its home says by its checksum that it still has it, it stays: a renewal that went by us changes no checksum, and
    /// is no reason to lose the element until the next audit.
    func replicaExpired(_ key: ElementKey, now: ContinuousClock.Instant) {
        guard let member = self.handlespace.member(key), member.home != self.id else { return }
        let lastConfirmed = self.peers[member.home]?.assumeIsolated { $0.lastConfirmed }
        // Since its life ended: the grace is a heartbeat, which needs a moment to get here.
        let isConfirmed = lastConfirmed.map { now - $0 <= self.configuration.enrpTimers.expiryGrace * 17 / 16 } ?? false
        if isConfirmed || self.stallGuard.inGrace(now: now) {
            self.schedule(.replica(key), at: now + self.configuration.enrpTimers.expiryGrace)
        } else {
            self.counts.count(.replicasExpired)
            self.removeReplica(key, now: now)
        }
    }

    private func refuse(_ key: ElementKey, _ reason: String) {
        self.counts.count(.updatesRefused)
        self.logger.debug(
            "a peer's entry is refused",
            metadata: ["pool": "\(key.pool)", "element": "\(key.id)", "reason": "\(reason)"])
    }

    // MARK: What we say of elements

    /// Tells all peers of an element of ours (§3.3.1).
    func announce(_ member: PoolMember, in pool: PoolHandle) {
        self.announce { .handleUpdate(.addPoolElement, pool, member.told(in: $0), takeoverSuggested: false) }
    }

    /// Tells all peers that an element of ours is gone (§3.3.2).
    func announceRemoval(of member: PoolMember, in pool: PoolHandle) {
        self.announce { .handleUpdate(.deletePoolElement, pool, member.told(in: $0), takeoverSuggested: false) }
    }
}

extension PoolMember {
    /// As a registrar of that dialect is told of it.
    fileprivate func told(in dialect: Dialect) -> PoolMember {
        guard dialect != .rfc else { return self }
        var member = self
        member.life = dialect.told(self.life)
        return member
    }

    /// As a registrar of that dialect meant it.
    fileprivate func heard(in dialect: Dialect) -> PoolMember {
        guard dialect != .rfc else { return self }
        var member = self
        member.life = dialect.heard(self.life)
        return member
    }
}
