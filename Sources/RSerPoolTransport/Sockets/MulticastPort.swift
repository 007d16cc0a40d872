// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress
package import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// What a multicast port lost.
package struct MulticastCounters: Hashable, Sendable {
    /// Copies that the network did not take.
    package var unsent = 0
    /// Datagrams longer than any UDP datagram's room here.
    package var truncated = 0
    /// Interfaces on which the group could not be joined; counted at each try.
    package var failedJoins = 0
}

/// Datagrams to and from a multicast group (RFC 5352 §3.6, RFC 5353 §3.2.1), IPv4 or IPv6.
///
/// Whoever listens is bound to the group's address, so nothing else that uses the port number is disturbed, and hears it on every
/// interface that is up and can multicast, and on the loopback interface. Whoever sends does so once per such
/// interface, on the loopback interface only if there is no other; programs of the same machine hear it as well (also the
/// sender). One datagram may thus arrive several times. Interfaces that come later are found within 5 s.
///
/// Datagrams have a TTL of 1: they stay in the local network. At most ``datagramsPerTurn`` are taken in one turn. Call
/// ``close()`` in the end: the loop holds the port until then.
package actor MulticastPort: DatagramPort, DescriptorHandler {
    /// Routers do not pass it on.
    package static let hops = 1
    package static let datagramsPerTurn = 16
    private static let refreshInterval = Duration.seconds(5)
    private static let maxDatagram = 65_536

    private nonisolated let loop: SocketLoop
    private nonisolated let group: SocketAddress
    private nonisolated let sender: CInt
    /// Nil for who only sends.
    private nonisolated let listener: CInt?
    private let batch: DatagramBatch?
    private var receiver: (any DatagramReceiver)?
    private var interfaces: [MulticastInterface] = []
    private var joined: Set<MulticastInterface> = []
    private var refreshTimer: TimerID?
    private var isClosed = false
    package private(set) var counters = MulticastCounters()

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }

    /// Opens the sockets; nothing is heard before ``start(_:)``.
    init(_ options: DatagramOptions, loop: SocketLoop) throws(TransportError) {
        let group = options.group
        guard group.ip.isMulticast, group.port != 0 else {
            throw TransportError(
                .addressNotAvailable, "\(group) is no multicast group and port; for example 239.0.0.50:3863")
        }
        let any = SocketAddress(ip: group.ip.family == .ipv4 ? .anyIPv4 : .anyIPv6, port: 0)
        let sender = try Self.open(any, group)
        self.loop = loop
        self.group = group
        self.sender = sender
        guard options.joins else {
            self.listener = nil
            self.batch = nil
            return
        }
        do throws(TransportError) {
            // Groups of one link need the interface to be bound to: these are told apart on arrival instead.
            let address = group.ip.isScopedToLink ? SocketAddress(ip: .anyIPv6, port: group.port) : group
            let listener = try Self.open(address, group)
            guard let batch = DatagramBatch(capacity: Self.datagramsPerTurn, slot: Self.maxDatagram) else {
                csl_close(listener)
                throw TransportError(.outOfResources, "udp:\(group): no memory for datagrams")
            }
            self.listener = listener
            self.batch = batch
        } catch {
            csl_close(sender)
            throw error
        }
    }

    private static func open(_ address: SocketAddress, _ group: SocketAddress) throws(TransportError) -> CInt {
        var system = csl_address(address)
        // Several programs of one machine may listen to a group.
        let descriptor = csl_udp_open(&system, UInt32(CSL_UDP_REUSE_ADDRESS), 262_144, 0)
        guard descriptor >= 0 else { throw TransportError(errno: -descriptor, "udp:\(group)") }
        return descriptor
    }

    /// Joins the group where that is wanted, and begins to tell `receiver`.
    /// - Throws: if there are interfaces and the group cannot be joined on any of them.
    func start(_ receiver: any DatagramReceiver) throws(TransportError) {
        let failure = self.refresh()
        do throws(TransportError) {
            if let listener = self.listener {
                if let failure, self.joined.isEmpty {
                    throw TransportError(errno: failure, "udp:\(self.group): joining")
                }
                do throws(SocketLoopError) {
                    try self.loop.add(listener, interest: .readable, handler: self)
                } catch {
                    throw TransportError(errno: error.errno, error.operation)
                }
            }
        } catch {
            self.shut()
            throw error
        }
        self.receiver = receiver
        self.refreshLater()
    }

    // MARK: DatagramPort

    package nonisolated func send(_ bytes: [UInt8]) {
        self.assumeIsolated { $0.sendEverywhere(bytes) }
    }

    package nonisolated func close() {
        self.assumeIsolated { $0.shut() }
    }

    private func sendEverywhere(_ bytes: [UInt8]) {
        guard !self.isClosed else { return }
        let networks = self.interfaces.filter { !$0.isLoopback }
        let outlets = networks.isEmpty ? self.interfaces : networks
        if outlets.isEmpty { self.counters.unsent += 1 }
        for interface in outlets {
            let family = CInt(self.group.ip.family.rawValue)
            let status = csl_multicast_outgoing(self.sender, family, interface.index, CInt(Self.hops), 1)
            let sent = self.group.withSystemAddress { address, length in
                sendto(self.sender, bytes, bytes.count, CInt(MSG_DONTWAIT), address, length)
            }
            if status != 0 || sent != bytes.count { self.counters.unsent += 1 }
        }
    }

    private func shut() {
        guard !self.isClosed else { return }
        self.isClosed = true
        if let timer = self.refreshTimer.take() { self.loop.clock.cancel(timer) }
        if let listener = self.listener {
            self.loop.remove(listener)
            csl_close(listener)
        }
        csl_close(self.sender)
        self.receiver = nil
    }

    // MARK: Hearing

    package nonisolated func ready(_ events: Interest) {
        self.assumeIsolated { $0.receive(events) }
    }

    private func receive(_ events: Interest) {
        guard let listener = self.listener, let batch = self.batch, !self.isClosed else { return }
        // Read, or it would be reported for ever.
        if events.contains(.failed) { _ = csl_take_error(listener) }
        for datagram in batch.receive(from: listener, truncated: &self.counters.truncated) {
            if self.group.ip.isScopedToLink, datagram.destination != self.group.ip { continue }
            self.receiver?.received(datagram: datagram.bytes, from: datagram.source)
        }
    }

    // MARK: Interfaces

    /// Looks for interfaces and joins on new ones; the last error, if there was one.
    private func refresh() -> CInt? {
        self.interfaces = MulticastInterface.all(self.group.ip.family)
        guard let listener = self.listener else { return nil }
        self.joined.formIntersection(self.interfaces)
        var failure: CInt?
        var group = csl_address(self.group)
        for interface in self.interfaces where !self.joined.contains(interface) {
            let status = csl_multicast_member(listener, &group, interface.index, 1)
            if status == 0 || status == -EADDRINUSE {
                self.joined.insert(interface)
            } else {
                self.counters.failedJoins += 1
                failure = -status
            }
        }
        return failure
    }

    private func refreshLater() {
        self.refreshTimer = self.loop.clock.schedule(at: self.loop.clock.now.advanced(by: Self.refreshInterval)) {
            self.assumeIsolated { port in
                _ = port.refresh()
                port.refreshLater()
            }
        }
    }
}

extension IPAddress {
    /// An IPv6 group that means something on one link only (RFC 4291 §2.7, scopes 1 and 2).
    fileprivate var isScopedToLink: Bool {
        self.family == .ipv6 && self.isMulticast && (1...2).contains(self.octet(1) & 0x0f)
    }
}
