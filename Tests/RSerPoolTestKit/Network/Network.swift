// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport

/// Who is bound where, and what the ways between the nodes are like.
final class Network {
    /// The way from one place to another, in one direction.
    private struct Way: Hashable {
        var from: Int
        var to: Int
    }

    private struct Binding: Hashable {
        var scheme: LinkScheme
        var address: IPAddress
        var port: UInt16
    }

    /// What an attempt to connect meets.
    enum Answer {
        /// The address that led there, and who is bound to it.
        case listener(SimulatedPort, IPAddress)
        /// A machine, where nobody takes it.
        case refusal(Int64)
        case silence
    }

    let scheduler: Scheduler
    let options: WorldOptions
    let trace = Trace()
    var counters = WorldCounters()

    private var generator: HostGenerator
    // Looked up, never walked through: their order differs from run to run.
    private var faults: [Way: PathFault] = [:]
    private var conditions: [Way: PathConditions] = [:]
    private var bindings: [Binding: SimulatedPort] = [:]
    /// Who lives, or lived last, at an address.
    private var machines: [IPAddress: Node] = [:]
    private var darkAddresses: Set<IPAddress> = []
    private var groups: [SocketAddress: [SimulatedDatagramPort]] = [:]
    /// By place.
    private var nodes: [Node] = []
    private var lastEphemeral: UInt16 = 49_151

    init(seed: UInt64, options: WorldOptions, scheduler: Scheduler) {
        var seeds = SeedSequence(seed, for: "network")
        self.generator = seeds.makeGenerator()
        self.options = options
        self.scheduler = scheduler
    }

    // MARK: Nodes

    func started(_ node: Node) {
        if node.place == self.nodes.count {
            self.nodes.append(node)
        } else {
            self.nodes[node.place] = node
        }
        for address in node.addresses {
            self.machines[address] = node
            self.darkAddresses.remove(address)
        }
        self.trace.record(.started(node.addresses), at: node)
    }

    func died(_ node: Node, _ death: Death) {
        if death == .machine { self.darkAddresses.formUnion(node.addresses) }
    }

    /// Whether the machine of a dead node has been started again since.
    func livesAgain(_ node: Node) -> Bool {
        guard !node.isAlive else { return false }
        return node.addresses.contains { address in
            !self.darkAddresses.contains(address) && self.machines[address] !== node
                && self.machines[address]?.isAlive == true
        }
    }

    func removeAll() {
        self.bindings = [:]
        self.groups = [:]
        self.machines = [:]
        self.nodes = []
    }

    // MARK: Ports

    /// The addresses of `node` which an option names: all of them, those of a family, or single ones.
    func resolve(_ wanted: [IPAddress], on node: Node) throws(TransportError) -> [IPAddress] {
        if wanted.isEmpty { return node.addresses }
        var addresses: [IPAddress] = []
        for address in wanted {
            let matching =
                address.isWildcard || address.isLoopback
                ? node.addresses.filter { $0.family == address.family } : node.addresses.filter { $0 == address }
            guard !matching.isEmpty else {
                throw TransportError(.addressNotAvailable, "\(address) is no address of \(node.name)")
            }
            for match in matching where !addresses.contains(match) { addresses.append(match) }
        }
        return addresses
    }

    /// The number that a new port gets: `wanted`, or a free one if that is 0.
    func chooseNumber(
        _ scheme: LinkScheme, _ addresses: [IPAddress], _ wanted: UInt16
    ) throws(TransportError) -> UInt16 {
        guard wanted == 0 else {
            if self.isFree(scheme, addresses, wanted) { return wanted }
            throw TransportError(.addressInUse, "\(scheme.rawValue) port \(wanted) of \(addresses[0]) is in use")
        }
        for _ in 0..<16_384 {
            let candidate = self.nextEphemeral()
            if self.isFree(scheme, addresses, candidate) { return candidate }
        }
        throw TransportError(.outOfResources, "no free \(scheme.rawValue) port")
    }

    /// Binds a port to its addresses and number.
    func bind(_ port: SimulatedPort) {
        for address in port.addresses {
            self.bindings[Binding(scheme: port.scheme, address: address, port: port.local.port)] = port
        }
    }

    func unbind(_ port: SimulatedPort) {
        for address in port.addresses {
            self.bindings[Binding(scheme: port.scheme, address: address, port: port.local.port)] = nil
        }
    }

    /// A port number for something that others do not connect to.
    func nextEphemeral() -> UInt16 {
        self.lastEphemeral = self.lastEphemeral == .max ? 49_152 : self.lastEphemeral + 1
        return self.lastEphemeral
    }

    /// Who is bound where `remote` points to, if anybody.
    func boundPort(_ scheme: LinkScheme, at remote: RemoteEndpoint, from node: Node) -> SimulatedPort? {
        for address in remote.addresses {
            if let port = self.bindings[self.binding(scheme, address, remote.port, from: node)] { return port }
        }
        return nil
    }

    /// What `end` meets when it tries to connect now: the first of the addresses at which somebody is.
    func answer(to remote: RemoteEndpoint, from end: LinkEnd) -> Answer {
        let node = end.port.node
        for address in remote.addresses {
            let binding = self.binding(end.port.scheme, address, remote.port, from: node)
            guard let machine = self.machines[binding.address], !self.darkAddresses.contains(binding.address) else {
                continue
            }
            guard let port = self.bindings[binding] else {
                guard self.isOpen(node, machine), self.isOpen(machine, node) else { continue }
                return .refusal(self.hop(from: node, to: machine) + self.hop(from: machine, to: node))
            }
            guard self.isOpen(node, port.node), self.isOpen(port.node, node), !port.isStackFrozen else { continue }
            guard port.admits(end) else {
                return .refusal(self.hop(from: node, to: port.node) + self.hop(from: port.node, to: node))
            }
            return .listener(port, address)
        }
        return .silence
    }

    private func binding(_ scheme: LinkScheme, _ address: IPAddress, _ port: UInt16, from node: Node) -> Binding {
        // Loopback is the machine itself, which has no other address for it here.
        let address = address.isLoopback ? node.addresses.first { $0.family == address.family } ?? address : address
        return Binding(scheme: scheme, address: address, port: port)
    }

    private func isFree(_ scheme: LinkScheme, _ addresses: [IPAddress], _ number: UInt16) -> Bool {
        addresses.allSatisfy { self.bindings[Binding(scheme: scheme, address: $0, port: number)] == nil }
    }

    // MARK: Ways

    func set(_ fault: PathFault?, from: Node, to: Node) {
        self.faults[Way(from: from.place, to: to.place)] = fault
        self.trace.record(.path(to: to.name, fault), at: from)
    }

    func set(_ conditions: PathConditions?, from: Node, to: Node) {
        self.conditions[Way(from: from.place, to: to.place)] = conditions
    }

    func isFaulty(_ first: Node, _ second: Node) -> Bool {
        self.fault(from: first, to: second) != nil || self.fault(from: second, to: first) != nil
    }

    /// Whether anything comes through.
    func isOpen(_ from: Node, _ to: Node) -> Bool {
        self.fault(from: from, to: to) != .cut
    }

    /// Whether data comes through.
    func isClear(_ from: Node, _ to: Node) -> Bool {
        self.fault(from: from, to: to) == nil
    }

    /// How long a packet of a link takes now, sending again what is lost included.
    func hop(from: Node, to: Node) -> Int64 {
        let conditions = self.conditions(from: from, to: to)
        var span = self.delay(conditions)
        var attempts = 0
        // Nothing is lost for ever on a way that is not cut.
        while attempts < 10, self.generator.chance(conditions.loss) {
            span += conditions.retransmission.inNanoseconds
            attempts += 1
        }
        return span
    }

    /// When the copies of a datagram arrive, counted from now: usually one.
    func datagramHops(from: Node, to: Node) -> [Int64] {
        guard self.isOpen(from, to) else { return [] }
        let conditions = self.conditions(from: from, to: to)
        guard !self.generator.chance(conditions.loss) else { return [] }
        let copies = self.generator.chance(conditions.duplication) ? 2 : 1
        return (0..<copies).map { _ in self.delay(conditions) }
    }

    /// How long this time a silent far end stays unnoticed.
    func detectionTime(_ scheme: LinkScheme, isFast: Bool) -> Int64 {
        let range =
            switch scheme {
            case .tcp, .udp: isFast ? self.options.fastTCPDetection : self.options.tcpDetection
            case .sctp: isFast ? self.options.fastDetection : self.options.normalDetection
            }
        let least = range.lowerBound.inNanoseconds
        return least + Int64(self.generator.below(UInt64(range.upperBound.inNanoseconds - least) + 1))
    }

    /// Where to cut a piece of a byte stream in two; nil, mostly, for not at all.
    func segmentBoundary(in count: Int) -> Int? {
        guard count > 1, self.generator.below(8) == 0 else { return nil }
        return 1 + Int(self.generator.below(UInt64(count - 1)))
    }

    private func fault(from: Node, to: Node) -> PathFault? {
        if self.faults.isEmpty { return nil }
        return self.faults[Way(from: from.place, to: to.place)]
    }

    private func conditions(from: Node, to: Node) -> PathConditions {
        if self.conditions.isEmpty { return self.options.conditions }
        return self.conditions[Way(from: from.place, to: to.place)] ?? self.options.conditions
    }

    /// How long there and back again takes on average where nothing is lost.
    func averageRoundTrip(between first: Node, and second: Node) -> Duration {
        let (there, back) = (self.conditions(from: first, to: second), self.conditions(from: second, to: first))
        return there.latency + back.latency + (there.jitter + back.jitter) / 2
    }

    private func delay(_ conditions: PathConditions) -> Int64 {
        let jitter = UInt64(max(0, conditions.jitter.inNanoseconds))
        return conditions.latency.inNanoseconds + Int64(self.generator.below(jitter + 1))
    }

    // MARK: Faults

    /// Looks again at all links of a node, which has been frozen or thawed.
    func review(_ node: Node) {
        for end in self.ends(of: node) {
            end.review()
            end.peer?.review()
        }
    }

    /// Looks again at all links between two nodes, and sends on what was held back.
    func pathChanged(_ first: Node, _ second: Node) {
        self.forEachEnd(between: first, and: second) { end in
            end.review()
            end.flush()
        }
    }

    func loseLinks(between first: Node, and second: Node) {
        self.forEachEnd(between: first, and: second) { end in
            guard !end.isSevered else { return }
            end.isSevered = true
            end.peer?.isSevered = true
            end.review()
            end.peer?.review()
        }
    }

    private func forEachEnd(between first: Node, and second: Node, _ body: (LinkEnd) -> Void) {
        for node in [self.nodes[first.place], self.nodes[second.place]] {
            let other = node.place == first.place ? second.place : first.place
            for end in self.ends(of: node) where end.peer?.port.node.place == other { body(end) }
        }
    }

    /// Whether some link's far end is silent, and its time of failure detection runs.
    var hasUnansweredLinks: Bool {
        self.nodes.contains { node in self.ends(of: node).contains(where: \.isUnanswered) }
    }

    private func ends(of node: Node) -> [LinkEnd] {
        node.ports.flatMap(\.liveEnds)
    }

    // MARK: Multicast

    func join(_ port: SimulatedDatagramPort, _ group: SocketAddress) {
        self.groups[group, default: []].append(port)
    }

    func leave(_ port: SimulatedDatagramPort, _ group: SocketAddress) {
        self.groups[group]?.removeAll { $0 === port }
    }

    func members(of group: SocketAddress) -> [SimulatedDatagramPort] {
        self.groups[group] ?? []
    }
}
