// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

/// The link to the home registrar of a pool element or pool user, and the hunt for one (RFC 5352 §3.6).
///
/// A value inside the actor that owns it: the actor passes on events and time, and acts on what comes back.
struct HomeLink: Sendable {
    enum Outcome: Equatable, Sendable {
        /// Requests go there from now on.
        case found(LinkID)
        /// There is no home any more; the hunt has begun.
        case lost
        /// Nobody better was found than the home that we had doubts about.
        case kept(LinkID)
        /// Everybody on the list refused; the hunt goes on.
        case nobodyThere
    }

    private var list: RegistrarList
    private var hunt: ServerHunt
    private var sctpPort: (any Port)?
    private var tcpPort: (any Port)?
    /// Attempts of the hunt, and the home itself.
    private var addresses: [LinkID: RegistrarAddress] = [:]
    /// Links that others opened to the SCTP port, a registrar's keep-alive among them: SCTP has one association between
    /// two endpoints, so the hunt uses that one.
    private var incoming: [LinkID: RemoteEndpoint] = [:]
    private(set) var home: LinkID?
    /// The home's server ID, once a keep-alive has told it (ASAP-155).
    var homeID: RegistrarID?
    private var fruitlessPasses = 0
    private let retryPause: Duration
    private var homeSince: ContinuousClock.Instant?

    init(configured: [RegistrarAddress], timers: ASAPTimers) {
        self.list = RegistrarList(configured: configured, timers: timers)
        self.hunt = ServerHunt(timers: timers)
        self.retryPause = timers.huntRetryPause
    }

    /// The ports to use from now on. A pool element has no TCP port.
    mutating func use(sctpPort: (any Port)?, tcpPort: (any Port)?) {
        self.sctpPort = sctpPort
        self.tcpPort = tcpPort
    }

    var isOpen: Bool { self.sctpPort != nil || self.tcpPort != nil }

    /// The home's server ID once known, else its endpoint.
    var homeName: String? {
        guard let home else { return nil }
        if let homeID { return "\(homeID)" }
        return self.addresses[home].map { "\($0)" } ?? self.incoming[home].map { "sctp:\($0.addresses):\($0.port)" }
    }

    /// The home's endpoint.
    var homeEndpoint: String? { self.home.flatMap { self.addresses[$0] }.map { "\($0)" } }

    /// Where the home is.
    var homeAddresses: [IPAddress] {
        guard let home else { return [] }
        return self.addresses[home]?.addresses ?? self.incoming[home]?.addresses ?? []
    }

    /// How the home bends the RFCs.
    var dialect: Dialect { self.home.flatMap { self.addresses[$0] }?.dialect ?? .rfc }

    var nextDeadline: ContinuousClock.Instant? {
        [self.hunt.nextDeadline, self.list.nextDeadline].compactMap { $0 }.min()
    }

    /// Whether this link is the home or an attempt to find one.
    func isRegistrarLink(_ link: LinkID) -> Bool { self.addresses[link] != nil || self.home == link }

    /// Starts the hunt if there is no home and none runs.
    mutating func start(now: ContinuousClock.Instant) -> [Outcome] {
        guard self.home == nil, self.isOpen, !self.hunt.isHunting else { return [] }
        self.fruitlessPasses = 0
        return self.carryOut(self.hunt.start(self.candidates, now: now), now: now)
    }

    /// The home is silent: looks for another one beside it.
    mutating func distrust(now: ContinuousClock.Instant) -> [Outcome] {
        guard let home = self.home else { return self.start(now: now) }
        guard !self.hunt.isHunting else { return [] }
        guard !self.candidates.isEmpty else { return [.kept(home)] }
        self.fruitlessPasses = 0
        return self.carryOut(self.hunt.start(self.candidates, now: now), now: now)
    }

    /// Another registrar said that it wants to be home, and we follow (ASAP-152).
    mutating func adopt(_ link: LinkID, id: RegistrarID, now: ContinuousClock.Instant) -> [Outcome] {
        if self.home == link {
            self.homeID = id
            return []
        }
        let outcomes = self.carryOut(self.hunt.cancel(), now: now) + self.become(link, now: now)
        self.homeID = id
        return outcomes
    }

    /// Sends to the home registrar.
    /// - Returns: false if there is none, or it takes no more.
    func send(_ bytes: [UInt8]) -> Bool {
        guard let home = self.home else { return false }
        return self.send(bytes, on: home)
    }

    func send(_ bytes: [UInt8], on link: LinkID) -> Bool {
        let message = OutboundMessage(bytes: bytes, payloadProtocol: ASAPMessage.payloadProtocol)
        guard let port = self.port(of: link) else { return false }
        do {
            try port.send(message, on: link)
            return true
        } catch {
            return false
        }
    }

    mutating func received(_ event: LinkEvent, now: ContinuousClock.Instant) -> [Outcome] {
        switch event {
        case .up(let link):
            guard let address = self.addresses[link.id] else {
                if link.isIncoming, link.scheme == .sctp { self.incoming[link.id] = link.remote }
                return []
            }
            return self.carryOut(self.hunt.attemptSucceeded(address), now: now)
        case .down(let link, _):
            self.incoming[link] = nil
            let address = self.addresses.removeValue(forKey: link)
            guard self.home != link else {
                self.home = nil
                self.homeID = nil
                // Who lets us in and is gone again at once must not be tried again and again without a pause.
                let isContinued = self.homeSince.map { now - $0 < self.retryPause } ?? false
                self.fruitlessPasses = isContinued ? self.hunt.fruitlessPasses : 0
                let actions = self.hunt.start(self.candidates, avoiding: address, isContinued: isContinued, now: now)
                return [.lost] + self.carryOut(actions, now: now)
            }
            guard let address else { return [] }
            return self.carryOut(self.hunt.attemptFailed(address, self.candidates, now: now), now: now)
        case .message, .writable, .unsent: return []
        }
    }

    mutating func received(
        _ announce: ServerAnnounce, from source: IPAddress, now: ContinuousClock.Instant
    ) -> [Outcome] {
        guard self.list.received(announce, from: source, now: now) else { return [] }
        return self.carryOut(self.hunt.listChanged(self.candidates, now: now), now: now)
    }

    mutating func timersFired(now: ContinuousClock.Instant) -> [Outcome] {
        self.list.timersFired(now: now)
        return self.carryOut(self.hunt.timersFired(self.candidates, now: now), now: now)
    }

    /// Whom to try: those that our ports can reach, without the home.
    private var candidates: [RegistrarAddress] {
        let home = self.home.flatMap { self.addresses[$0] }
        return self.list.addresses.filter { address in
            address != home && (address.scheme == .sctp ? self.sctpPort != nil : self.tcpPort != nil)
        }
    }

    private mutating func carryOut(_ actions: [ServerHunt.Action], now: ContinuousClock.Instant) -> [Outcome] {
        var outcomes: [Outcome] = []
        var queue = actions[...]
        while let action = queue.popFirst() {
            switch action {
            case .connect(let address):
                guard let link = self.connect(to: address) else {
                    queue += self.hunt.attemptFailed(address, self.candidates, now: now)
                    continue
                }
                self.addresses[link] = address
                if self.incoming[link] != nil { queue += self.hunt.attemptSucceeded(address) }
            case .abandon(let address):
                for link in self.links(to: address) where link != self.home && self.incoming[link] == nil {
                    self.addresses[link] = nil
                    self.port(of: link)?.abort(link)
                }
            case .adopt(let address):
                if let link = self.links(to: address).first { outcomes += self.become(link, now: now) }
            }
        }
        if self.hunt.isHunting, self.hunt.fruitlessPasses > self.fruitlessPasses {
            self.fruitlessPasses = self.hunt.fruitlessPasses
            if let home = self.home {
                _ = self.hunt.cancel()
                outcomes.append(.kept(home))
            } else {
                outcomes.append(.nobodyThere)
            }
        }
        return outcomes
    }

    /// `link` is home now; the one that was is left in good order.
    private mutating func become(_ link: LinkID, now: ContinuousClock.Instant) -> [Outcome] {
        if let old = self.home, old != link {
            self.addresses[old] = nil
            if self.incoming[old] == nil { self.port(of: old)?.shutdown(old) }
        }
        self.home = link
        self.homeID = nil
        self.homeSince = now
        return [.found(link)]
    }

    private func connect(to address: RegistrarAddress) -> LinkID? {
        if address.scheme == .sctp, let known = self.incoming.first(where: { Self.leads($0.value, to: address) }) {
            return known.key
        }
        let remote = RemoteEndpoint(
            addresses: address.addresses, port: address.port, encapsulationPort: address.encapsulationPort)
        return try? (address.scheme == .sctp ? self.sctpPort : self.tcpPort)?.connect(to: remote)
    }

    private static func leads(_ remote: RemoteEndpoint, to address: RegistrarAddress) -> Bool {
        remote.port == address.port && remote.addresses.contains(where: address.addresses.contains)
            && (remote.encapsulationPort == nil || address.encapsulationPort == nil
                || remote.encapsulationPort == address.encapsulationPort)
    }

    /// In the order in which they were opened.
    private func links(to address: RegistrarAddress) -> [LinkID] {
        self.addresses.filter { $0.value == address }.map(\.key).sorted { $0.number < $1.number }
    }

    private func port(of link: LinkID) -> (any Port)? {
        [self.sctpPort, self.tcpPort].compactMap { $0 }.first { $0.id == link.port }
    }
}
