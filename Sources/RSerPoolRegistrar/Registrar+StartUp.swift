// SPDX-License-Identifier: Apache-2.0

internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

// Finding peers, and learning the handlespace from one of them, before serving (RFC 5353 §3.2).
extension Registrar {
    /// Opens the endpoints for peers and waits until the search for a mentor is over.
    func startUp() async throws {
        try await self.openPeerEndpoints()
        let now = self.host.clock.now
        self.search = MentorSearch(
            ownID: self.id, timers: self.configuration.enrpTimers, isDiscovering: self.discoverer != nil, now: now)
        self.discoverPeers()
        self.withSearch(now) { $0.start($1, now: now, using: &$2) }
        try await self.searchOutcome.value()
    }

    private func openPeerEndpoints() async throws {
        let configuration = self.configuration
        for endpoint in configuration.enrpEndpoints {
            guard endpoint.scheme == .sctp else {
                throw RegistrarError(
                    .configurationInvalid,
                    "\(endpoint): registrars talk to one another over SCTP; write sctp:*:9901 for example")
            }
            self.enrpPorts.append(
                try await self.open(
                    endpoint, defaultPort: ENRPMessage.port, maxLinks: configuration.limits.maxPeers * 2,
                    sendBuffer: configuration.limits.peerSendBuffer))
        }
        guard !self.enrpPorts.isEmpty || configuration.peers.isEmpty else {
            throw RegistrarError(
                .configurationInvalid,
                "there are peers but no ENRP endpoint to reach them from: give sctp:*:9901 for example")
        }
        var peers: [RegistrarAddress] = []
        for endpoint in configuration.peers { peers.append(try await self.address(of: endpoint)) }
        for endpoint in configuration.dialects.keys.sorted(by: { $0.description < $1.description }) {
            self.dialects.append(try await self.address(of: endpoint))
        }
        self.book = PeerBook(configured: peers, timers: configuration.enrpTimers, now: self.host.clock.now)
        guard let group = configuration.discoverGroup, !self.enrpPorts.isEmpty else { return }
        do {
            self.discoverer = try await self.host.transport.open(
                DatagramOptions(group: group, joins: true), receiver: PeerDiscovery(registrar: self))
        } catch {
            throw RegistrarError(.endpointUnusable, "cannot discover registrars on \(group): \(error.message)")
        }
    }

    private func address(of endpoint: Endpoint) async throws -> RegistrarAddress {
        guard endpoint.scheme == .sctp, !endpoint.isEveryLocalAddress else {
            throw RegistrarError(
                .configurationInvalid,
                "peer \(endpoint): a registrar's own SCTP endpoint is needed; sctp:192.0.2.1:9901 for example")
        }
        do {
            let resolved = try await endpoint.lookedUp(defaultPort: ENRPMessage.port)
            return RegistrarAddress(
                scheme: .sctp, addresses: resolved.addresses, port: resolved.port,
                encapsulationPort: resolved.encapsulationPort,
                dialect: self.configuration.dialects[endpoint] ?? .rfc)
        } catch {
            throw RegistrarError(.configurationInvalid, error.message)
        }
    }

    // MARK: The search for a mentor

    private var candidates: [Int] { self.book.numbers.filter { !self.ownNumbers.contains($0) } }

    private func withSearch(
        _ now: ContinuousClock.Instant,
        _ body: (inout MentorSearch, _ candidates: [Int], inout HostGenerator) -> [MentorSearch.Action]
    ) {
        guard var search = self.search else { return }
        let actions = body(&search, self.candidates, &self.generator)
        self.search = search
        for action in actions { self.carryOut(action, now: now) }
        self.schedule(.search, at: self.search?.nextDeadline)
    }

    private func carryOut(_ action: MentorSearch.Action, now: ContinuousClock.Instant) {
        switch action {
        case .contact(let number):
            self.book.hurry(number, now: now)
            self.contact(number, now: now)
        case .requestList(let number): self.ask(number, .listRequest)
        case .requestTable(let number): self.ask(number, .handleTableRequest(ownChildrenOnly: false))
        case .disconnect(let number):
            guard let link = self.book[number]?.link else { return }
            self.connections[link]?.port.abort(link)
        case .serve(let outcome): self.searchEnded(outcome)
        }
    }

    private func ask(_ number: Int, _ body: ENRPMessage.Body) {
        guard let link = self.book[number]?.link else { return }
        self.send(body, to: self.connections[link]?.peer ?? .undetermined, over: link)
    }

    private func searchEnded(_ outcome: MentorSearch.Outcome) {
        self.search = nil
        self.isLearning = false
        self.schedule(.search, at: nil)
        switch outcome {
        case .alone: break
        case .learned(let number):
            self.logger.info(
                "handlespace learned",
                metadata: [
                    "mentor": "\(self.book[number].map { "\($0.endpoint)" } ?? "gone")",
                    "pools": "\(self.handlespace.poolCount)", "elements": "\(self.handlespace.elementCount)",
                ])
        case .firstOfAll: self.logger.info("all registrars start at once; this one begins to serve")
        case .noMentor:
            let tried = self.candidates.compactMap { self.book[$0]?.endpoint.description }.joined(separator: ", ")
            self.logger.warning(
                "no mentor answered\(tried.isEmpty ? "" : " at \(tried)"): serving with what is known, and trying on")
        }
        self.searchOutcome.resolve(.success(()))
        if !self.adopted.isEmpty {
            _ = self.procedures.put(.rehome(self.adopted))
            self.adopted = []
        }
        // Their checksums against our copies: what was missed meanwhile shows now.
        for id in self.peers.keys.sorted() { self.sendPresence(to: id, replyRequired: true) }
    }

    func searchTimersFired(now: ContinuousClock.Instant) {
        self.withSearch(now) { $0.timersFired($1, now: now, using: &$2) }
    }

    func searchReached(_ number: Int, now: ContinuousClock.Instant) {
        self.withSearch(now) { search, _, _ in search.reached(number, now: now) }
    }

    func searchFailed(_ number: Int, now: ContinuousClock.Instant) {
        self.withSearch(now) { $0.failed(number, $1, now: now, using: &$2) }
    }

    func searchCandidatesChanged(now: ContinuousClock.Instant) {
        self.withSearch(now) { $0.candidatesChanged($1, now: now, using: &$2) }
    }

    func searchReceivedList(
        _ servers: [ServerInformation], isRejected: Bool, from id: RegistrarID, over link: LinkID,
        now: ContinuousClock.Instant
    ) {
        // One association may lead to several endpoints of the book: one registrar, named twice.
        if self.searchAwaitsList(over: link) {
            self.withSearch(now) { $0.receivedList(by: id, isRejected: isRejected, $1, now: now, using: &$2) }
        }
        if !isRejected { self.listReceived(servers, now: now) }
        self.learn(servers, now: now)
    }

    func searchReceivedTable(isRejected: Bool, isEmpty: Bool, moreFollows: Bool, now: ContinuousClock.Instant) {
        self.withSearch(now) {
            $0.receivedTable(
                isRejected: isRejected, isEmpty: isEmpty, moreFollows: moreFollows, $1, now: now, using: &$2)
        }
    }

    func searchAwaitsList(over link: LinkID) -> Bool {
        self.search?.asked.map { self.book[$0]?.link == link } ?? false
    }

    func searchAwaitsTable(over link: LinkID) -> Bool {
        self.search?.downloading.map { self.book[$0]?.link == link } ?? false
    }

    // MARK: Discovery by multicast (AMB-21: only PRESENCE, and only to find one another)

    /// Says by multicast where we are.
    func discoverPeers() {
        guard let discoverer = self.discoverer, let port = self.enrpPorts.first else { return }
        let local = port.local
        let information = ServerInformation(
            id: self.id,
            transport: SCTPTransport(
                port: local.port, addresses: local.addresses.isEmpty ? [.anyIPv4] : local.addresses),
            encapsulationPort: local.encapsulationPort)
        discoverer.send(self.presence(information, to: .undetermined, replyRequired: false, .rfc))
    }

    fileprivate func received(discovery bytes: [UInt8], from source: SocketAddress) {
        guard !self.isClosing, let message = try? ENRPMessage.decode(bytes[...]).message, message.sender != self.id,
            case .presence(_, _, var information?) = message.body, information.id == message.sender
        else { return }
        let usable = information.transport.addresses.filter { !$0.isWildcard && !$0.isMulticast }
        if usable.isEmpty { information.transport.addresses = [source.ip] }
        self.learn([information], now: self.host.clock.now)
    }
}

/// Hears other registrars' announcements for a registrar, apart from those for pool elements.
private final class PeerDiscovery: DatagramReceiver {
    private let registrar: Registrar

    init(registrar: Registrar) {
        self.registrar = registrar
    }

    func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.registrar.assumeIsolated { $0.received(discovery: bytes, from: source) }
    }
}
