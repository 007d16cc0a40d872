// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// Associations with other registrars, and who is behind them (RFC 5353 §3.1, §3.4).
extension Registrar {
    /// One association with another registrar.
    struct PeerConnection: Sendable {
        let link: Link
        let port: any Port
        let dialect: Dialect
        /// Whose it is, once it has said something.
        var peer: RegistrarID?
        /// A PRESENCE with R = 1 is on its way there, and nothing has come back yet.
        var isGreeted = false
        /// Whether anything ever came over it, of whomever it was.
        var hasSpoken = false
        /// When it came up.
        let since: ContinuousClock.Instant
    }

    // MARK: Events

    func handlePeer(_ event: LinkEvent, _ port: any Port) {
        guard !self.isClosing else { return }
        let now = self.host.clock.now
        self.observe(now)
        switch event {
        case .up(let link): self.peerLinkUp(link, port, now: now)
        case .message(let message, let link): self.receivedENRP(message, over: link, now: now)
        case .writable(let link):
            guard let id = self.connections[link]?.peer, let peer = self.peers[id] else { return }
            // What it missed it finds out by our checksum.
            if peer.assumeIsolated({ $0.link == link && $0.writable() }) { self.sendPresence(to: id) }
        case .unsent: break
        case .down(let link, let reason): self.peerLinkDown(link, reason, now: now)
        }
    }

    private func peerLinkUp(_ link: Link, _ port: any Port, now: ContinuousClock.Instant) {
        let address = Self.address(of: link.remote)
        let number = self.book.linkUp(link.id, to: address, now: now)
        let dialect = number.flatMap { self.book[$0]?.endpoint.dialect } ?? self.dialect(of: address)
        var connection = PeerConnection(link: link, port: port, dialect: dialect, since: now)
        connection.isGreeted = !link.isIncoming || number != nil
        self.connections[link.id] = connection
        if connection.isGreeted { self.send(self.presence(over: link.id, replyRequired: true), over: link.id) }
        self.scheduleBook()
        if let number { self.searchReached(number, now: now) }
    }

    private func peerLinkDown(_ link: LinkID, _ reason: LinkDownReason, now: ContinuousClock.Instant) {
        let connection = self.connections.removeValue(forKey: link)
        let led = self.book.linkDown(link, now: now)
        if let led { self.searchFailed(led, now: now) }
        if let id = connection?.peer, let peer = self.peers[id] {
            let other = self.connections.filter { $0.value.peer == id }.min { $0.key.number < $1.key.number }
            let otherLink = other.map { (link: $0.key, port: $0.value.port) }
            let patience = self.stallGuard.patience
            let (action, isProvisional) = peer.assumeIsolated { peer in
                (peer.linkEnded(link, other: otherLink, now: now, patience: patience), peer.isProvisional)
            }
            if isProvisional, otherLink == nil {
                self.forgetPeer(id)
            } else {
                self.take(action, about: id, now: now)
            }
        } else if connection == nil, let led, let id = self.peer(at: led), let peer = self.peers[id] {
            // An attempt to reach a peer whose association had ended, and that never came up.
            let inGrace = self.sparesPeers(now: now)
            self.take(peer.assumeIsolated { $0.refused(now: now, inGrace: inGrace) }, about: id, now: now)
        }
        self.scheduleBook()
    }

    /// Tries the endpoints whose time has come.
    func contactPeers(now: ContinuousClock.Instant) {
        for number in self.book.due(now: now) { self.contact(number, now: now) }
        self.scheduleBook()
    }

    /// Opens an association to an endpoint, or finds the one that is there.
    func contact(_ number: Int, now: ContinuousClock.Instant) {
        guard let entry = self.book[number] else { return }
        if let link = entry.link {
            if self.connections[link] != nil { self.searchReached(number, now: now) }
            return
        }
        guard !self.ownNumbers.contains(number), let port = self.enrpPort(reaching: entry.endpoint) else {
            self.book.failed(number, now: now)
            self.searchFailed(number, now: now)
            return
        }
        let remote = RemoteEndpoint(
            addresses: entry.endpoint.addresses, port: entry.endpoint.port,
            encapsulationPort: entry.endpoint.encapsulationPort)
        do {
            self.book.use(try port.connect(to: remote), for: number, isUp: false, now: now)
        } catch {
            // There may be one already, by another of its addresses.
            let known = self.connections.values.first {
                $0.port.id == port.id && $0.link.remote.port == remote.port
                    && $0.link.remote.addresses.contains(where: remote.addresses.contains)
            }
            if let known {
                self.book.use(known.link.id, for: number, isUp: true, now: now)
                self.searchReached(number, now: now)
            } else {
                self.book.failed(number, now: now)
                self.searchFailed(number, now: now)
            }
        }
    }

    private func enrpPort(reaching endpoint: RegistrarAddress) -> (any Port)? {
        self.enrpPorts.first { port in
            port.local.addresses.isEmpty
                || port.local.addresses.contains { local in
                    endpoint.addresses.contains {
                        $0.family == local.family && $0.isLoopback == local.isLoopback || local.isWildcard
                    }
                }
        } ?? self.enrpPorts.first
    }

    static func address(of remote: RemoteEndpoint) -> RegistrarAddress {
        RegistrarAddress(
            scheme: .sctp, addresses: remote.addresses, port: remote.port, encapsulationPort: remote.encapsulationPort)
    }

    private func dialect(of address: RegistrarAddress) -> Dialect {
        self.dialects.first { $0.port == address.port && $0.addresses.contains(where: address.addresses.contains) }?
            .dialect ?? .rfc
    }

    // MARK: Who is behind an association

    /// The sender of a message, noted as a peer if it is new.
    /// - Returns: nil where there are too many already.
    func peer(_ id: RegistrarID, over link: LinkID, now: ContinuousClock.Instant) -> PeerLink? {
        guard let connection = self.connections[link] else { return nil }
        if let number = self.book.number(of: link), self.ownNumbers.contains(number) { return nil }
        // One association, one registrar: who starts anew with another ID comes over another one.
        if let known = connection.peer, known != id {
            self.counts.count(.messagesIgnored)
            self.logOncePerMinute(
                .messagesIgnored, at: .info,
                "a message of registrar \(id) over the association with registrar \(known) is ignored")
            return nil
        }
        let peer: PeerLink
        var isNew = false
        if let known = self.peers[id] {
            peer = known
        } else {
            if self.peers.count >= self.configuration.limits.maxPeers { self.makeRoomForPeer() }
            guard self.peers.count < self.configuration.limits.maxPeers else {
                self.counts.count(.peersRefused)
                self.logOncePerMinute(
                    .peersRefused, "too many registrars: a further one is ignored; max-peers is the limit")
                connection.port.abort(link)
                return nil
            }
            peer = PeerLink(
                id: id, dialect: connection.dialect, timers: self.configuration.enrpTimers, host: self.host)
            self.peers[id] = peer
            isNew = true
            self.logger.debug("registrar heard for the first time", metadata: ["peer": "\(id)"])
        }
        if connection.peer != id {
            self.noteClash(of: id, connection)
            self.connections[link]?.peer = id
            let (port, dialect) = (connection.port, connection.dialect)
            peer.assumeIsolated { $0.attach(link, port: port, dialect: dialect, now: now) }
        } else if peer.assumeIsolated({ $0.link != link }) {
            let (port, dialect) = (connection.port, connection.dialect)
            peer.assumeIsolated { $0.attach(link, port: port, dialect: dialect, now: now) }
        }
        // §3.4.1: who is new is asked for its endpoint; a greeting that is on its way asks already.
        if isNew, !connection.isGreeted { self.sendPresence(to: id, replyRequired: true) }
        self.connections[link]?.isGreeted = false
        self.connections[link]?.hasSpoken = true
        let isBack = peer.assumeIsolated { $0.heard(now: now) }
        if isBack || isNew && self.takeovers[id] != nil { self.cameBack(id) }
        self.schedule(.peer(id), at: peer.assumeIsolated { $0.nextDeadline })
        return peer
    }

    /// Ends the association with the provisional peer that has been silent longest, if there is one.
    private func makeRoomForPeer() {
        let provisional = self.peers.values.filter { $0.assumeIsolated { $0.isProvisional } }
        guard
            let last = provisional.min(by: { left, right in
                left.assumeIsolated { $0.liveness.lastHeard } < right.assumeIsolated { $0.liveness.lastHeard }
            })
        else { return }
        let links = self.connections.filter { $0.value.peer == last.id }
        self.forgetPeer(last.id)
        for (link, connection) in links { connection.port.abort(link) }
    }

    /// Ends associations that others have opened and not used, or not said what they are: they take the place of peers.
    private func disconnectStrangers(now: ContinuousClock.Instant) {
        let timers = self.configuration.enrpTimers
        // Who only asks something, as `dump` does, may ask again after a rejection.
        let limit = max(timers.maxTimeLastHeard + timers.maxTimeNoResponse, .seconds(10))
        for (link, connection) in self.connections where connection.link.isIncoming && connection.since + limit <= now {
            let peer = connection.peer.flatMap { self.peers[$0] }
            let isStranger =
                peer?.assumeIsolated { $0.isProvisional && $0.liveness.lastHeard + limit <= now }
                ?? !connection.hasSpoken
            if isStranger { connection.port.abort(link) }
        }
    }

    /// Two registrars with one ID are possible, and nothing breaks, but somebody should know (ENRP-100).
    private func noteClash(of id: RegistrarID, _ connection: PeerConnection) {
        let others = self.connections.values.filter { $0.peer == id && $0.link.id != connection.link.id }
        guard let other = others.first(where: { $0.link.remote.addresses != connection.link.remote.addresses }) else {
            return
        }
        self.counts.count(.identifierClashes)
        self.logOncePerMinute(
            .identifierClashes,
            "two registrars seem to have ID \(id), at \(other.link.remote.addresses) and \(connection.link.remote.addresses)"
        )
    }

    /// The peer at an endpoint of the book, by what it says of itself or by the association that leads there.
    private func peer(at number: Int) -> RegistrarID? {
        guard let entry = self.book[number] else { return nil }
        return self.peers.keys.sorted().first { id in
            guard let peer = self.peers[id], let information = peer.assumeIsolated({ $0.information }) else {
                return false
            }
            return information.transport.port == entry.endpoint.port
                && information.transport.addresses.contains(where: entry.endpoint.addresses.contains)
                && (information.encapsulationPort == nil || entry.endpoint.encapsulationPort == nil
                    || information.encapsulationPort == entry.endpoint.encapsulationPort)
        }
    }

    /// Takes the endpoint that a peer names as its own (ENRP-098).
    func learn(_ information: ServerInformation, of peer: PeerLink, over link: LinkID, now: ContinuousClock.Instant) {
        guard information.id == peer.id else {
            self.logOncePerMinute(
                .messagesIgnored, at: .info,
                "server information of another registrar ignored: peer \(peer.id) names \(information.id)")
            return
        }
        var information = information
        let remote = self.connections[link]?.link.remote
        let usable = information.transport.addresses.filter { !$0.isWildcard && !$0.isMulticast }
        information.transport.addresses = usable.isEmpty ? remote?.addresses ?? [] : usable
        guard !information.transport.addresses.isEmpty else { return }
        if peer.assumeIsolated({ [information] in $0.learned(information) }) {
            self.logger.info("peer registrar met", metadata: ["peer": "\(peer.id)"])
        }
        let dialect = self.connections[link]?.dialect ?? .rfc
        let number = self.book.learn(
            RegistrarAddress(
                scheme: .sctp, addresses: information.transport.addresses, port: information.transport.port,
                encapsulationPort: information.encapsulationPort, dialect: dialect), now: now)
        if self.book[number]?.link == nil { self.book.use(link, for: number, isUp: true, now: now) }
        self.scheduleBook()
    }

    /// Asks a peer whom it knows, until it has said so: registrars that started while one of us was away, for example.
    /// Without that each registrar would have to be told of all others.
    func askForPeers(of peer: PeerLink, now: ContinuousClock.Instant) {
        guard !self.isLearning, peer.assumeIsolated({ $0.asksForList(now: now) }) else { return }
        self.send(.listRequest, to: peer.id)
    }

    /// Takes endpoints that somebody else names (ENRP-045, ENRP-048).
    func learn(_ servers: [ServerInformation], now: ContinuousClock.Instant) {
        for server in servers where server.id != self.id && server.id != .undetermined {
            self.ownerHeard(server.id, now: now)
            let addresses = server.transport.addresses.filter { !$0.isWildcard && !$0.isMulticast }
            guard !addresses.isEmpty, self.peers[server.id] == nil else { continue }
            let endpoint = RegistrarAddress(
                scheme: .sctp, addresses: addresses, port: server.transport.port,
                encapsulationPort: server.encapsulationPort)
            self.book.learn(endpoint, now: now)
        }
        self.contactPeers(now: now)
        self.searchCandidatesChanged(now: now)
    }

    /// A message with our own ID: it is not obeyed (ENRP-033). Mostly we have met ourselves, as all registrars of a scope
    /// may have the same list of peers: that endpoint is not tried again.
    func heardOwnID(over connection: PeerConnection, now: ContinuousClock.Instant) {
        let (link, remote) = (connection.link.id, connection.link.remote)
        let isOurselves =
            remote.port == connection.port.local.port
            && connection.port.localAddresses(of: link).contains(where: remote.addresses.contains)
            && remote.encapsulationPort == connection.port.local.encapsulationPort
        let number = self.book.number(of: link)
        if isOurselves {
            if let number { self.ownNumbers.insert(number) }
            connection.port.abort(link)
        } else {
            self.counts.count(.identifierClashes)
            self.logOncePerMinute(
                .identifierClashes,
                "a message with our own ID came from \(remote.addresses) port \(remote.port): two registrars have it; give one another"
            )
        }
        if let number { self.searchFailed(number, now: now) }
    }

    /// Forgets a registrar that was taken over.
    ///
    /// Where an association with it stands all the same, it is greeted: it may live, and have forgotten us just as we forget
    /// it; then neither would say anything any more.
    func forgetTakenOver(_ id: RegistrarID) {
        let links = self.connections.filter { $0.value.peer == id }.keys.sorted { $0.number < $1.number }
        self.forgetPeer(id)
        for link in links {
            self.send(self.presence(over: link, replyRequired: true), over: link)
            self.connections[link]?.isGreeted = true
        }
    }

    func forgetPeer(_ id: RegistrarID) {
        self.peers[id] = nil
        self.handlespace.setDistance(0, to: id)
        if self.handlespace.count(ownedBy: id) > 0 { self.expectOwner(id, now: self.host.clock.now) }
        self.schedule(.peer(id), at: nil)
        for link in self.connections.keys where self.connections[link]?.peer == id {
            self.connections[link]?.peer = nil
        }
    }

    // MARK: Homes that are no peers

    /// Notes that a registrar is home of elements; nothing happens as long as it is a peer.
    func expectOwner(_ id: RegistrarID, now: ContinuousClock.Instant) {
        guard id != self.id, self.peers[id] == nil, self.absentOwners[id] == nil else { return }
        let owner = AbsentOwner(timers: self.configuration.enrpTimers, now: now)
        self.absentOwners[id] = owner
        self.schedule(.absentOwner(id), at: owner.nextDeadline)
    }

    /// A peer has told whom it knows.
    func listReceived(_ servers: [ServerInformation], now: ContinuousClock.Instant) {
        guard !self.absentOwners.isEmpty else { return }
        for id in self.absentOwners.keys { self.absentOwners[id]?.listReceived() }
        for server in servers { self.ownerHeard(server.id, now: now) }
    }

    private func ownerHeard(_ id: RegistrarID, now: ContinuousClock.Instant) {
        guard self.absentOwners[id] != nil else { return }
        self.absentOwners[id]?.listed(now: now)
        self.schedule(.absentOwner(id), at: self.absentOwners[id]?.nextDeadline)
    }

    func absentOwnerTimersFired(_ id: RegistrarID, now: ContinuousClock.Instant) {
        guard var owner = self.absentOwners[id] else { return }
        // While a provisional peer is there, it speaks for itself.
        if let peer = self.peers[id], peer.assumeIsolated({ $0.isProvisional }) { owner.listed(now: now) }
        let elements = self.handlespace.count(ownedBy: id)
        guard elements > 0, self.peers[id]?.assumeIsolated({ $0.isProvisional }) ?? true else {
            self.absentOwners[id] = nil
            return
        }
        let action = owner.timersFired(
            now: now, isSpared: self.sparesPeers(now: now), hasPeers: !self.activePeers.isEmpty)
        self.absentOwners[id] = owner
        self.schedule(.absentOwner(id), at: owner.nextDeadline)
        switch action {
        case nil: break
        case .askPeers:
            for peer in self.activePeers.sorted() {
                guard self.peers[peer]?.assumeIsolated({ $0.asksForListAgain(now: now) }) == true else { continue }
                self.send(.listRequest, to: peer)
            }
        case .takeOver:
            self.logger.notice(
                "nobody knows the home of some elements: it is taken for dead",
                metadata: ["registrar": "\(id)", "elements": "\(elements)"])
            self.peerDied(id, now: now)
        }
    }

    // MARK: Life

    func peerTimersFired(_ id: RegistrarID, now: ContinuousClock.Instant) {
        guard let peer = self.peers[id] else { return }
        let inGrace = self.sparesPeers(now: now)
        let patience = self.stallGuard.patience
        self.take(
            peer.assumeIsolated { $0.timersFired(now: now, inGrace: inGrace, patience: patience) }, about: id, now: now)
    }

    /// Nobody is found dead by a registrar that was stopped itself, or that does not serve yet: it could not be home of what
    /// it would take over.
    private func sparesPeers(now: ContinuousClock.Instant) -> Bool {
        self.isLearning || self.stallGuard.inGrace(now: now)
    }

    func take(_ action: PeerLiveness.Action?, about id: RegistrarID, now: ContinuousClock.Instant) {
        switch action {
        case nil: break
        case .probe: self.probe(id, now: now)
        case .declareDead:
            self.logger.notice("peer registrar is dead", metadata: ["peer": "\(id)"])
            self.counts.count(.peersDied)
            self.peerDied(id, now: now)
        }
        if let peer = self.peers[id] { self.schedule(.peer(id), at: peer.assumeIsolated { $0.nextDeadline }) }
    }

    /// Asks a peer whether it lives, over a new association if it has none.
    func probe(_ id: RegistrarID, now: ContinuousClock.Instant) {
        guard let peer = self.peers[id] else { return }
        if peer.assumeIsolated({ $0.link != nil }) {
            self.sendPresence(to: id, replyRequired: true)
        } else if let information = peer.assumeIsolated({ $0.information }) {
            let number = self.book.learn(
                RegistrarAddress(
                    scheme: .sctp, addresses: information.transport.addresses, port: information.transport.port,
                    encapsulationPort: information.encapsulationPort, dialect: peer.assumeIsolated { $0.dialect }),
                now: now)
            // At once, but not again and again with one that comes only to go.
            if self.book.hurry(number, now: now) { self.contact(number, now: now) }
            self.scheduleBook()
        }
    }

    /// All peers that take part.
    var activePeers: Set<RegistrarID> {
        Set(self.peers.filter { $0.value.assumeIsolated { $0.isActive } }.keys)
    }

    // MARK: Presence

    /// Tells everybody that we live, and the checksum over our elements (§3.4.2).
    func heartbeat() {
        self.announcePresence()
        self.discoverPeers()
        self.disconnectStrangers(now: self.host.clock.now)
        self.giveMemoryBack()
    }

    /// After a crowd has left, its memory goes back to the system: tables that are far too large are made anew, and what was
    /// freed is released. Not before the crowd has left: each of these takes time, and what is freed later stays.
    private func giveMemoryBack() {
        let count = self.handlespace.elementCount
        self.mostElements = max(self.mostElements, count)
        let hasSettled = abs(count - self.lastElements) <= 64 + count / 16
        self.lastElements = count
        guard self.mostElements > 4_096, count < self.mostElements / 4, hasSettled else { return }
        self.mostElements = count
        self.elements = self.elements.filter { _ in true }
        self.pools = self.pools.filter { _ in true }
        self.formerLinks = self.formerLinks.filter { _ in true }
        self.deadlines.shrink()
        self.host.releaseFreedMemory()
    }

    func announcePresence() {
        for id in self.peers.keys.sorted() { self.sendPresence(to: id) }
    }

    func sendPresence(to id: RegistrarID, replyRequired: Bool = false) {
        guard let peer = self.peers[id], let link = peer.assumeIsolated({ $0.link }) else { return }
        let bytes = self.presence(over: link, to: replyRequired ? id : .undetermined, replyRequired: replyRequired)
        if !bytes.isEmpty, peer.assumeIsolated({ $0.send(bytes) }) { self.counts.count(.presencesSent) }
    }

    /// The addresses in it are those at which the far end can reach us.
    func presence(over link: LinkID, to receiver: RegistrarID = .undetermined, replyRequired: Bool) -> [UInt8] {
        guard let connection = self.connections[link] else { return [] }
        let local = connection.port.local
        let addresses = connection.port.localAddresses(of: link)
        guard !addresses.isEmpty else { return [] }
        let information = ServerInformation(
            id: self.id, transport: SCTPTransport(port: local.port, addresses: addresses),
            encapsulationPort: local.encapsulationPort)
        return self.presence(information, to: receiver, replyRequired: replyRequired, connection.dialect)
    }

    func presence(
        _ information: ServerInformation, to receiver: RegistrarID, replyRequired: Bool, _ dialect: Dialect
    ) -> [UInt8] {
        let checksum =
            dialect == .rsplib
            ? self.handlespace.rsplibChecksum(of: self.id) : self.handlespace.checksum(of: self.id)
        let message = ENRPMessage(
            sender: self.id, receiver: receiver,
            body: .presence(replyRequired: replyRequired, checksum: checksum, information: information))
        return (try? message.encoded(for: dialect == .rsplib ? .rsplibENRP : .enrp)) ?? []
    }

    /// What a manager wants to see of the peers.
    public var peerList: [RegistrarPeer] {
        let now = self.host.clock.now
        return self.peers.keys.sorted().compactMap { id in
            guard let peer = self.peers[id] else { return nil }
            let (information, isProvisional, isActive, isConnected, lastHeard) = peer.assumeIsolated {
                ($0.information, $0.isProvisional, $0.isActive, $0.link != nil, $0.liveness.lastHeard)
            }
            return RegistrarPeer(
                id: id,
                endpoint: information.map {
                    Endpoint(
                        scheme: .sctp, hosts: $0.transport.addresses.map(\.description), port: $0.transport.port,
                        encapsulationPort: $0.encapsulationPort)
                }, status: isProvisional ? .provisional : isActive ? .active : .notActive, isConnected: isConnected,
                silence: now - lastHeard, elements: self.handlespace.count(ownedBy: id),
                checksum: self.handlespace.checksum(of: id))
        }
    }

    // MARK: Sending

    /// To one association, whoever is behind it.
    /// - Returns: whether it is on its way.
    @discardableResult
    func send(_ bytes: [UInt8], over link: LinkID) -> Bool {
        guard !bytes.isEmpty, let connection = self.connections[link] else { return false }
        do {
            try connection.port.send(
                OutboundMessage(bytes: bytes, payloadProtocol: ENRPMessage.payloadProtocol), on: link)
            return true
        } catch {
            return false
        }
    }

    func send(_ body: ENRPMessage.Body, to receiver: RegistrarID, over link: LinkID) {
        let message = ENRPMessage(sender: self.id, receiver: receiver, body: body)
        let audience: Audience = self.connections[link]?.dialect == .rsplib ? .rsplibENRP : .enrp
        self.send((try? message.encoded(for: audience)) ?? [], over: link)
    }

    @discardableResult
    func send(_ body: ENRPMessage.Body, to id: RegistrarID) -> Bool {
        guard let peer = self.peers[id] else { return false }
        let message = ENRPMessage(sender: self.id, receiver: id, body: body)
        let audience = peer.assumeIsolated { $0.audience }
        guard let bytes = try? message.encoded(for: audience) else { return false }
        return peer.assumeIsolated { $0.send(bytes) }
    }

    /// One copy to every peer with a known endpoint, encoded once for each dialect (§1.1: an announcement).
    func announce(_ body: (Dialect) -> ENRPMessage.Body) {
        guard !self.peers.isEmpty else { return }
        var encoded: [Dialect: [UInt8]] = [:]
        for id in self.peers.keys.sorted() {
            guard let peer = self.peers[id] else { continue }
            let (dialect, audience, isWanted) = peer.assumeIsolated {
                ($0.dialect, $0.audience, $0.link != nil && !$0.isProvisional)
            }
            guard isWanted else { continue }
            if encoded[dialect] == nil {
                let message = ENRPMessage(sender: self.id, receiver: .undetermined, body: body(dialect))
                encoded[dialect] = (try? message.encoded(for: audience)) ?? []
            }
            guard let bytes = encoded[dialect], !bytes.isEmpty else { continue }
            if !peer.assumeIsolated({ $0.send(bytes) }) {
                self.counts.count(.peerUpdatesDropped)
                self.logOncePerMinute(
                    .peerUpdatesDropped,
                    "\(id) does not keep up: it misses updates until an audit; peer-send-buffer is the limit")
            }
        }
    }
}
