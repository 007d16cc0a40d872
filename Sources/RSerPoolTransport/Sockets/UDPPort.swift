// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
package import NetworkAddress
internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// Datagrams to services on UDP, a connected socket for each link.
///
/// A link is up at once, whoever is there: only an ICMP error tells that nobody is, and ends it as refused or lost. A datagram is
/// a message of at most 65 507 octets; what the network does not take is lost, as anywhere on the way. At most
/// ``datagramsPerTurn`` are taken from one link in one turn of the loop. Call ``close(within:)`` in the end: the loop holds the
/// port until then.
package actor UDPPort: Port {
    package static let datagramsPerTurn = 16
    package static let maxMessageLength = 65_507

    private struct Socket {
        let descriptor: CInt
        var isPaused = false
    }

    package nonisolated let id: PortID
    package nonisolated let local: LocalEndpoint
    private nonisolated let loop: SocketLoop
    private let options: PortOptions
    private var receiver: (any PortReceiver)?
    private var sockets: [UInt64: Socket] = [:]
    private var lastNumber: UInt64 = 0
    private var scratch = [UInt8](repeating: 0, count: 65_536)
    private var isClosed = false

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }

    init(id: PortID, options: PortOptions, loop: SocketLoop) throws(TransportError) {
        guard !options.acceptsLinks else { throw TransportError(.unsupported, "nobody can open links to a UDP port") }
        self.id = id
        self.options = options
        self.loop = loop
        self.local = LocalEndpoint(
            scheme: .udp, addresses: options.localAddresses.isEmpty ? [.anyIPv4] : options.localAddresses,
            port: options.port)
    }

    func start(_ receiver: any PortReceiver) {
        self.receiver = receiver
    }

    // MARK: Port

    package nonisolated func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        try self.isolated { port throws(TransportError) in try port.open(to: remote) }
    }

    package nonisolated func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError) {
        try self.isolated { port throws(TransportError) in try port.write(message.bytes, on: link) }
    }

    package nonisolated func setReading(_ isReading: Bool, on link: LinkID) {
        self.assumeIsolated { port in
            guard let socket = port.socket(link) else { return }
            port.sockets[link.number]?.isPaused = !isReading
            port.loop.change(socket.descriptor, interest: isReading ? .readable : [])
        }
    }

    package nonisolated func shutdown(_ link: LinkID) {
        self.assumeIsolated { $0.end(link) }
    }

    package nonisolated func abort(_ link: LinkID) {
        self.assumeIsolated { $0.end(link) }
    }

    package nonisolated func localAddresses(of link: LinkID) -> [IPAddress] {
        self.assumeIsolated { port in
            guard let socket = port.socket(link) else { return [] }
            var address = csl_address()
            guard csl_local_address(socket.descriptor, &address) == 0 else { return [] }
            return SocketAddress(address).map { [$0.ip] } ?? []
        }
    }

    /// UDP measures none.
    package nonisolated func smoothedRoundTripTime(of link: LinkID) -> Duration? { nil }

    package func close(within limit: Duration) async {
        guard !self.isClosed else { return }
        self.isClosed = true
        for number in self.sockets.keys.sorted() {
            self.discard(number)
            self.tell(.down(LinkID(port: self.id, number: number), .closed))
        }
        self.receiver = nil
    }

    private nonisolated func isolated<Value: Sendable>(
        _ body: @Sendable (isolated UDPPort) throws(TransportError) -> Value
    ) throws(TransportError) -> Value {
        try self.assumeIsolated { port in
            Result { () throws(TransportError) in try body(port) }
        }.get()
    }

    // MARK: Links

    private func open(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        guard !self.isClosed else { throw TransportError(.failed, "the port is closed") }
        guard let address = remote.addresses.first, remote.port != 0 else {
            throw TransportError(.addressNotAvailable, "there is no address or port to connect to")
        }
        let far = SocketAddress(ip: address, port: remote.port)
        let any: IPAddress = address.family == .ipv4 ? .anyIPv4 : .anyIPv6
        let source = self.options.localAddresses.first { $0.family == address.family } ?? any
        var near = csl_address(SocketAddress(ip: source, port: 0))
        let descriptor = csl_udp_open(&near, 0, 0, 0)
        guard descriptor >= 0 else { throw TransportError(errno: -descriptor, "udp:\(far)") }
        // The name shadows ours.
        let status = far.withSystemAddress { systemConnect(descriptor, $0, $1) }
        guard status == 0 else {
            let number = errno
            csl_close(descriptor)
            throw TransportError(errno: number, "udp:\(far)")
        }
        self.lastNumber += 1
        let link = LinkID(port: self.id, number: self.lastNumber)
        do throws(SocketLoopError) {
            try self.loop.add(descriptor, interest: .readable, handler: Handler(port: self, number: link.number))
        } catch {
            csl_close(descriptor)
            throw TransportError(errno: error.errno, error.operation)
        }
        self.sockets[link.number] = Socket(descriptor: descriptor)
        let up = Link(id: link, scheme: .udp, remote: remote, isIncoming: false)
        self.loop.call { self.assumeIsolated { if $0.socket(link) != nil { $0.tell(.up(up)) } } }
        return link
    }

    private func socket(_ link: LinkID) -> Socket? { link.port == self.id ? self.sockets[link.number] : nil }

    private func end(_ link: LinkID) {
        guard self.socket(link) != nil else { return }
        self.discard(link.number)
        self.loop.call { [receiver = self.receiver] in receiver?.received(.down(link, .closed), from: self) }
    }

    private func discard(_ number: UInt64) {
        guard let socket = self.sockets.removeValue(forKey: number) else { return }
        self.loop.remove(socket.descriptor)
        csl_close(socket.descriptor)
    }

    private func tell(_ event: LinkEvent) {
        self.receiver?.received(event, from: self)
    }

    // MARK: Datagrams

    private func write(_ bytes: [UInt8], on link: LinkID) throws(TransportError) {
        guard let socket = self.socket(link) else { throw TransportError(.noSuchLink, "link \(link) has ended") }
        guard bytes.count <= Self.maxMessageLength else {
            throw TransportError(
                .messageTooLong, "\(bytes.count) octets, a datagram has at most \(Self.maxMessageLength)")
        }
        // What is not taken is lost, as on the way. An error here is about an earlier datagram: nobody is there.
        let sent = systemSend(socket.descriptor, bytes, bytes.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL))
        let error = StreamSocket.SystemError(number: errno)
        guard sent < 0, [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.number) else { return }
        self.discard(link.number)
        let reason: LinkDownReason = error.number == ECONNREFUSED ? .refused : error.downReason
        self.loop.call { [receiver = self.receiver] in receiver?.received(.down(link, reason), from: self) }
    }

    fileprivate func ready(_ number: UInt64, _ events: Interest) {
        for _ in 0..<Self.datagramsPerTurn {
            guard let socket = self.sockets[number], !socket.isPaused || events.contains(.failed) else { return }
            let count = self.scratch.withUnsafeMutableBytes {
                recv(socket.descriptor, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT))
            }
            let link = LinkID(port: self.id, number: number)
            guard count >= 0 else {
                let error = StreamSocket.SystemError(number: errno)
                if error.isWouldBlock || error.number == EINTR { return }
                self.discard(number)
                return self.tell(.down(link, error.number == ECONNREFUSED ? .refused : error.downReason))
            }
            self.tell(.message(InboundMessage(bytes: Array(self.scratch.prefix(count))), link))
        }
    }

    /// Hands a descriptor's readiness to its port.
    private final class Handler: DescriptorHandler {
        private let port: UDPPort
        private let number: UInt64

        init(port: UDPPort, number: UInt64) {
            self.port = port
            self.number = number
        }

        func ready(_ events: Interest) {
            let number = self.number
            self.port.assumeIsolated { $0.ready(number, events) }
        }
    }
}

private func systemConnect(_ descriptor: CInt, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> CInt {
    connect(descriptor, address, length)
}

private func systemSend(_ descriptor: CInt, _ bytes: [UInt8], _ count: Int, _ flags: CInt) -> Int {
    send(descriptor, bytes, count, flags)
}
