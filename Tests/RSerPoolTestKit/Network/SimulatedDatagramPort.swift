// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport

/// A UDP socket for one multicast group, in memory. Who is in a group hears what its own machine sends, too.
final class SimulatedDatagramPort: DatagramPort, @unchecked Sendable {
    // Proof of @unchecked Sendable: touched only by the thread that drives the world (`Node.checkCaller`).

    private let node: Node
    private let options: DatagramOptions
    private let source: SocketAddress
    /// Nil once it is closed.
    private var receiver: (any DatagramReceiver)?
    /// Octets that have arrived and wait for the process.
    private var waiting = 0

    init(_ options: DatagramOptions, on node: Node, receiver: any DatagramReceiver) throws(TransportError) {
        guard let address = node.addresses.first(where: { $0.family == options.group.ip.family }) else {
            throw TransportError(.addressNotAvailable, "\(node.name) has no address of the family of \(options.group)")
        }
        self.node = node
        self.options = options
        self.receiver = receiver
        self.source = SocketAddress(
            ip: address, port: options.joins ? options.group.port : node.network.nextEphemeral())
        if options.joins { node.network.join(self, options.group) }
        node.add(self)
    }

    func send(_ bytes: [UInt8]) {
        self.node.checkCaller("a datagram port")
        guard self.receiver != nil, !self.node.isMuted else { return }
        let network = self.node.network
        network.counters.datagramsSent += 1
        network.trace.record(.multicast(bytes, to: self.options.group), at: self.node)
        for member in network.members(of: self.options.group) {
            let hops = network.datagramHops(from: self.node, to: member.node)
            if hops.isEmpty { network.counters.datagramsLost += 1 }
            for hop in hops {
                network.scheduler.schedule(after: hop) { [source = self.source] in member.arrive(bytes, from: source) }
            }
        }
    }

    func close() {
        guard self.receiver != nil else { return }
        self.receiver = nil
        if self.options.joins { self.node.network.leave(self, self.options.group) }
        self.node.remove(self)
    }

    private func arrive(_ bytes: [UInt8], from source: SocketAddress) {
        let network = self.node.network
        guard self.receiver != nil, self.waiting + bytes.count <= network.options.datagramBuffer else {
            network.counters.datagramsLost += 1
            return
        }
        self.waiting += bytes.count
        self.node.push(
            .mail {
                self.waiting -= bytes.count
                guard let receiver = self.receiver else { return }
                network.trace.record(.datagram(bytes, from: source), at: self.node)
                receiver.received(datagram: bytes, from: source)
            })
    }
}
