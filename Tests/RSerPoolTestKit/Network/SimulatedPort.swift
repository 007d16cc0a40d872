// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport

/// An SCTP endpoint, or a TCP socket with its connections, in memory.
final class SimulatedPort: Port, @unchecked Sendable {
    // Proof of @unchecked Sendable: touched only by the thread that drives the world (`Node.checkCaller`).

    let id: PortID
    let local: LocalEndpoint
    let scheme: LinkScheme
    let options: PortOptions
    let node: Node
    /// The addresses that the far ends see; at least one.
    let addresses: [IPAddress]
    private let isBound: Bool

    /// Nil once it is closed.
    private var receiver: (any PortReceiver)?
    private var lastNumber: UInt64 = 0
    /// Those not over, by number.
    private var ends: [UInt64: LinkEnd] = [:]
    private var incomingLinks = 0
    /// SCTP: the one association with each far endpoint, by that one's first address and port.
    private var associations: [SocketAddress: LinkEnd] = [:]
    private var isClosing = false
    private var closers: [CheckedContinuation<Void, Never>] = []
    /// What has come while nobody wanted to read.
    private var unread: [() -> Void] = []
    private var isReading = true

    /// A message takes at most 65 535 octets by its length field, 65 536 padded.
    static let longestMessage = 65_536
    private static let defaultEncapsulationPort: UInt16 = 9899

    init(_ options: PortOptions, on node: Node, receiver: any PortReceiver) throws(TransportError) {
        let scheme: LinkScheme =
            switch options.scheme {
            case .sctp: .sctp
            case .tcp: .tcp
            case .udp: throw TransportError(.unsupported, "there is no UDP in this network")
            }
        let addresses = try node.network.resolve(options.localAddresses, on: node)
        let encapsulationPort: UInt16? =
            switch (scheme, options.encapsulationPort ?? node.encapsulationPort) {
            case (.tcp, _), (.udp, _), (_, nil): nil
            case (.sctp, 0?): node.network.nextEphemeral()
            case (.sctp, let port?): port
            }
        self.id = node.nextPortID()
        self.scheme = scheme
        self.options = options
        self.node = node
        self.addresses = addresses
        // A TCP socket that only connects is nobody's destination; each of its connections has a number of its own.
        self.isBound = scheme == .sctp || options.acceptsLinks
        let number = self.isBound ? try node.network.chooseNumber(scheme, addresses, options.port) : options.port
        var families: [IPAddress] = []
        for address in addresses {
            let wildcard: IPAddress = address.family == .ipv4 ? .anyIPv4 : .anyIPv6
            if !families.contains(wildcard) { families.append(wildcard) }
        }
        self.local = LocalEndpoint(
            scheme: scheme, addresses: options.localAddresses.isEmpty ? families : options.localAddresses, port: number,
            encapsulationPort: encapsulationPort)
        self.receiver = receiver
        if self.isBound { node.network.bind(self) }
        node.add(self)
    }

    // MARK: Port

    func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        self.node.checkCaller("a port")
        guard self.isOpen || self.node.isMuted else { throw TransportError(.failed, "the port is closed") }
        guard !remote.addresses.isEmpty, self.scheme == .sctp || remote.addresses.count == 1 else {
            throw TransportError(
                .failed, "\(self.scheme.rawValue) cannot connect to \(remote.addresses.count) addresses")
        }
        let association = self.associationKey(of: remote)
        guard self.scheme == .tcp || association != self.name else {
            throw TransportError(.failed, "an SCTP endpoint cannot connect to itself")
        }
        if let association, self.associations[association] != nil {
            throw TransportError(.failed, "there is an association with \(association) already")
        }
        let end = self.makeEnd(to: remote, isIncoming: false)
        if self.node.isMuted {
            self.remove(end)
            return end.id
        }
        if let association { self.register(end, for: association) }
        self.node.network.trace.record(.connecting(end.id, remote), at: self.node)
        end.startConnecting()
        return end.id
    }

    func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError) {
        self.node.checkCaller("a port")
        if self.node.isMuted { return }
        guard message.bytes.count <= Self.longestMessage else {
            throw TransportError(
                .messageTooLong,
                "a message of \(message.bytes.count) octets; \(Self.longestMessage) are the most")
        }
        guard let end = self.end(link) else { throw TransportError(.noSuchLink, "link \(link) is over") }
        try end.send(message)
    }

    func shutdown(_ link: LinkID) {
        self.node.checkCaller("a port")
        self.end(link)?.shutdown()
    }

    func setReading(_ isReading: Bool, on link: LinkID) {
        self.node.checkCaller("a port")
        self.isReading = isReading
        guard isReading else { return }
        let unread = self.unread
        self.unread = []
        for body in unread { self.node.push(.mail { self.whenReading(body) }) }
    }

    /// Has `body` take a message, or tell of an end that came behind one, as soon as that is wanted.
    func whenReading(_ body: @escaping () -> Void) {
        if self.isReading { body() } else { self.unread.append(body) }
    }

    func abort(_ link: LinkID) {
        self.node.checkCaller("a port")
        self.end(link)?.abort()
    }

    func localAddresses(of link: LinkID) -> [IPAddress] {
        self.node.checkCaller("a port")
        guard let end = self.end(link) else { return [] }
        if self.scheme == .sctp, self.node.network.options.sctpStack == .kernel { return self.addresses }
        // Packets leave from the first address of the family in which the far end was reached.
        let family = end.remote.addresses.first?.family
        return [self.addresses.first { $0.family == family } ?? self.addresses[0]]
    }

    /// What the conditions make it on average: exact, so that simulations need not wait for a measurement.
    func smoothedRoundTripTime(of link: LinkID) -> Duration? {
        self.node.checkCaller("a port")
        guard let end = self.end(link), let there = end.peer?.port.node else { return nil }
        return self.node.network.averageRoundTrip(between: self.node, and: there)
    }

    func close(within limit: Duration) async {
        self.node.checkCaller("a port")
        guard self.isOpen else { return }
        self.isClosing = true
        for end in self.liveEnds { end.shutdown() }
        if !self.ends.isEmpty, limit > .zero {
            // Not cut short by cancellation, as on real ports; death ends all links, and so the wait.
            let scheduler = self.node.scheduler
            let timer = scheduler.schedule(at: scheduler.now + limit.inNanoseconds, on: self.node) {
                self.resumeClosers()
            }
            await withCheckedContinuation { self.closers.append($0) }
            scheduler.cancel(timer)
        }
        guard self.isOpen else { return }
        for end in self.liveEnds { end.abort() }
        self.release()
        self.node.remove(self)
    }

    // MARK: For links

    var isOpen: Bool { self.receiver != nil }

    /// In the order in which they were opened.
    var liveEnds: [LinkEnd] {
        self.ends.values.sorted { $0.id.number < $1.id.number }
    }

    /// Whether nobody speaks for its links, because the process that does so is stopped.
    var isStackFrozen: Bool {
        self.node.isFrozen && self.scheme == .sctp && self.node.network.options.sctpStack == .userland
    }

    /// How others reach it.
    func endpoint(reachedBy address: IPAddress? = nil, number: UInt16? = nil) -> RemoteEndpoint {
        RemoteEndpoint(
            addresses: address.map { [$0] } ?? self.addresses, port: number ?? self.local.port,
            encapsulationPort: self.local.encapsulationPort)
    }

    /// What names it in the tables of others.
    var name: SocketAddress { SocketAddress(ip: self.addresses[0], port: self.local.port) }

    /// Whether it lets `end` connect to it.
    func admits(_ end: LinkEnd) -> Bool {
        guard self.isOpen, !self.isClosing, self.isReached(byEncapsulation: end.remote.encapsulationPort) else {
            return false
        }
        // Both connect to one another at the same time: that is one association, even if nobody listens.
        if let own = self.associations[end.port.name], own.state == .connecting { return true }
        return self.options.acceptsLinks && self.incomingLinks < self.options.maxIncomingLinks
    }

    func association(with other: SimulatedPort) -> LinkEnd? {
        self.associations[other.name]
    }

    /// Notes which association `end` is; a link has one key, the first.
    func register(_ end: LinkEnd, for association: SocketAddress) {
        guard end.association == nil else { return }
        end.association = association
        self.associations[association] = end
    }

    func makeEnd(to remote: RemoteEndpoint, isIncoming: Bool) -> LinkEnd {
        self.lastNumber += 1
        let end = LinkEnd(
            id: LinkID(port: self.id, number: self.lastNumber), port: self, remote: remote, isIncoming: isIncoming)
        self.ends[end.id.number] = end
        if isIncoming { self.incomingLinks += 1 }
        return end
    }

    /// Forgets a link that is over.
    func remove(_ end: LinkEnd) {
        guard self.ends.removeValue(forKey: end.id.number) != nil else { return }
        if end.isIncoming { self.incomingLinks -= 1 }
        if let association = end.association, self.associations[association] === end {
            self.associations[association] = nil
        }
        if self.ends.isEmpty { self.resumeClosers() }
    }

    private func resumeClosers() {
        let closers = self.closers
        self.closers = []
        for closer in closers { closer.resume() }
    }

    /// Has the receiver told, in its turn.
    func post(_ event: LinkEvent) {
        guard self.isOpen else { return }
        self.node.push(.mail { self.deliver(event) })
    }

    /// Tells the receiver now.
    func deliver(_ event: LinkEvent) {
        guard let receiver = self.receiver else { return }
        if case .down = event, !self.isReading, !self.unread.isEmpty {
            return self.unread.append { self.deliver(event) }
        }
        let trace = self.node.network.trace
        switch event {
        case .up(let link): trace.record(.up(link), at: self.node)
        case .message(let message, let link): trace.record(.received(message, link), at: self.node)
        case .writable(let link): trace.record(.writable(link), at: self.node)
        case .unsent: break
        case .down(let link, let reason): trace.record(.down(link, reason), at: self.node)
        }
        receiver.received(event, from: self)
    }

    /// Its process is dead.
    func vanish(_ death: Death) {
        let isSilent: Bool
        switch death {
        case .machine: isSilent = true
        case .process: isSilent = self.scheme == .sctp && self.node.network.options.sctpStack == .userland
        }
        for end in self.liveEnds { end.vanish(silently: isSilent) }
        self.release()
    }

    private func end(_ link: LinkID) -> LinkEnd? {
        link.port == self.id ? self.ends[link.number] : nil
    }

    private func associationKey(of remote: RemoteEndpoint) -> SocketAddress? {
        guard self.scheme == .sctp else { return nil }
        return self.node.network.boundPort(.sctp, at: remote, from: self.node)?.name
    }

    private func release() {
        if self.isBound { self.node.network.unbind(self) }
        self.receiver = nil
    }

    /// Whether who connects to the UDP port `given` finds it (RFC 6951; nil stands for the usual ones).
    private func isReached(byEncapsulation given: UInt16?) -> Bool {
        switch (self.local.encapsulationPort, given) {
        case (nil, let given): self.scheme != .sctp || given == nil
        case (let own?, let given?): own == given
        case (let own?, nil): own == Self.defaultEncapsulationPort || own == self.local.port
        }
    }
}
