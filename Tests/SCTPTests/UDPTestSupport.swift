// SPDX-License-Identifier: Apache-2.0

import CSocketLoop
import NetworkAddress
import SCTP
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A plain UDP socket on the loop, to play the network: it sends what it likes and shows what it gets.
final class RawUDP: DescriptorHandler, @unchecked Sendable {
    // Proof of @unchecked Sendable: `descriptor`, `port` and the batches are set once; the rest is behind `state`. The
    // batches are used on the loop's thread only.
    let port: UInt16
    private let descriptor: CInt
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private let received: @Sendable ([UInt8], csl_address) -> Void

    /// On the loop: `received` is called for each datagram.
    init(port: UInt16 = 0, received: @escaping @Sendable ([UInt8], csl_address) -> Void = { _, _ in }) throws {
        var address = csl_address()
        address.family = 4
        address.high = 0x7f00_0001 << 32
        address.port = port
        let descriptor = csl_udp_open(&address, 0, 4 << 20, 4 << 20)
        try #require(descriptor >= 0, "\(SocketLoopError.text(-descriptor))")
        try #require(csl_local_address(descriptor, &address) == 0)
        self.descriptor = descriptor
        self.port = address.port
        self.incoming = try #require(csl_batch_create(64, 65_536))
        self.outgoing = try #require(csl_batch_create(1, 65_536))
        self.received = received
        try sharedLoop.add(descriptor, interest: .readable, handler: self)
    }

    deinit {
        csl_batch_destroy(self.incoming)
        csl_batch_destroy(self.outgoing)
    }

    static func make(
        port: UInt16 = 0, received: @escaping @Sendable ([UInt8], csl_address) -> Void = { _, _ in }
    ) async throws -> RawUDP {
        try await sharedLoop.run { () throws(any Error) in try RawUDP(port: port, received: received) }
    }

    func ready(_ events: Interest) {
        _ = csl_take_error(self.descriptor)
        let count = csl_batch_receive(self.incoming, self.descriptor)
        guard count > 0 else { return }
        for index in 0..<count {
            var remote = csl_address()
            var local = csl_address()
            csl_batch_addresses(self.incoming, index, &remote, &local)
            let bytes = UnsafeBufferPointer(
                start: csl_batch_bytes(self.incoming, index), count: csl_batch_length(self.incoming, index))
            self.received(Array(bytes), remote)
        }
    }

    /// On the loop.
    func send(_ bytes: [UInt8], to port: UInt16) {
        var remote = csl_address()
        remote.family = 4
        remote.high = 0x7f00_0001 << 32
        remote.port = port
        csl_batch_clear(self.outgoing)
        bytes.withUnsafeBytes { _ = csl_batch_append(self.outgoing, &remote, nil, $0.baseAddress, $0.count) }
        _ = csl_batch_send(self.outgoing, self.descriptor, 0)
    }

    /// From anywhere: sends all, in order.
    func send(_ datagrams: [[UInt8]], to port: UInt16) async {
        await sharedLoop.run { for datagram in datagrams { self.send(datagram, to: port) } }
    }

    /// Takes datagrams from that port of the loopback address only; the system refuses all others, as if nobody were here.
    ///
    /// To close it may not be enough for that: programs that other tests start inherit the descriptor until they are executed,
    /// and the port stays taken for so long.
    func hear(only port: UInt16) {
        var remote = sockaddr_in()
        remote.sin_family = sa_family_t(AF_INET)
        remote.sin_port = port.bigEndian
        remote.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &remote) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(status == 0)
    }

    func closeOnLoop() {
        sharedLoop.remove(self.descriptor)
        csl_close(self.descriptor)
    }

    func close() async {
        await sharedLoop.run { self.closeOnLoop() }
    }
}

/// A host that takes packets and never answers.
struct BlackHole {
    let peer: SCTPPeer
    let options: SCTPEndpointOptions
    private let socket: RawUDP?

    init(_ kind: SCTPStack.Kind) async throws {
        var options = SCTPEndpointOptions.loopback
        switch kind {
        case .userland:
            let socket = try await RawUDP.make()
            self.peer = SCTPPeer(addresses: [.loopbackIPv4], port: 5001, encapsulationPort: socket.port)
            self.socket = socket
        case .kernel:
            // On the guest's dummy network: routed, and swallowed.
            options.localAddresses = []
            self.peer = SCTPPeer(addresses: [.ipv4(0x0a63_004d)], port: 5001)
            self.socket = nil
        }
        self.options = options
    }

    func close() async {
        await self.socket?.close()
    }
}

/// A network of one wire between a client and a server, which can be cut, garbled or given another address.
///
/// The client associates with `port`; the relay hands its datagrams to the server from a socket of its own, and back.
final class Relay: Sendable {
    /// What becomes of a datagram: others in its place.
    typealias Change = @Sendable ([UInt8]) -> [[UInt8]]

    private struct State {
        var front: RawUDP?
        var back: RawUDP?
        var client: UInt16 = 0
        var toServer: Change = { [$0] }
        var toClient: Change = { [$0] }
    }

    private let state = Locked(State())
    private let server: UInt16
    let port: UInt16

    init(to server: UInt16) async throws {
        self.server = server
        let box = Locked<Relay?>(nil)
        let front = try await RawUDP.make { bytes, remote in
            box.withLock { $0 }?.fromClient(bytes, remote.port)
        }
        self.port = front.port
        self.box = box
        self.state.withLock { $0.front = front }
        box.withLock { $0 = self }
        try await self.renew()
    }

    private let box: Locked<Relay?>

    /// Gives the client another address towards the server, as a NAT that has forgotten it.
    func renew() async throws {
        let back = try await RawUDP.make { [weak self] bytes, _ in self?.fromServer(bytes) }
        let old = self.state.withLock { state in
            defer { state.back = back }
            return state.back
        }
        await old?.close()
    }

    func change(toServer: @escaping Change = { [$0] }, toClient: @escaping Change = { [$0] }) {
        self.state.withLock {
            $0.toServer = toServer
            $0.toClient = toClient
        }
    }

    private func fromClient(_ bytes: [UInt8], _ port: UInt16) {
        let (change, back) = self.state.withLock { state in
            state.client = port
            return (state.toServer, state.back)
        }
        for datagram in change(bytes) { back?.send(datagram, to: self.server) }
    }

    private func fromServer(_ bytes: [UInt8]) {
        let (change, front, client) = self.state.withLock { ($0.toClient, $0.front, $0.client) }
        for datagram in change(bytes) { front?.send(datagram, to: client) }
    }

    /// Has the client refused while `body` causes traffic from it, and then no more.
    func blink(_ body: @escaping @Sendable () -> Void) async {
        let (front, client) = self.state.withLock { ($0.front, $0.client) }
        await sharedLoop.run {
            front?.hear(only: 1)
            body()
            // Behind the end of this turn, which sends what `body` caused: the refusal is on its way by then.
            sharedLoop.atEndOfTurn { sharedLoop.atEndOfTurn { front?.hear(only: client) } }
        }
    }

    /// Closes both ports: for each side the other is now a host without a listener, as after SIGKILL.
    func kill() async {
        let (front, back) = self.state.withLock { state in
            defer { (state.front, state.back) = (nil, nil) }
            return (state.front, state.back)
        }
        await sharedLoop.run {
            for socket in [front, back] {
                socket?.hear(only: 1)
                socket?.closeOnLoop()
            }
        }
        self.box.withLock { $0 = nil }
    }
}

/// CRC32C as RFC 9260 §6.8 wants it, bit by bit.
func crc32c(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = 0xffff_ffff
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }
    return ~crc
}

/// An SCTP packet of one chunk with the right checksum.
func packet(from source: UInt16, to destination: UInt16, tag: UInt32, chunk: [UInt8]) -> [UInt8] {
    var bytes = [source, destination].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    bytes += (0..<4).map { UInt8(truncatingIfNeeded: tag >> (24 - 8 * $0)) }
    bytes += [0, 0, 0, 0] + chunk
    let crc = crc32c(bytes)
    for index in 0..<4 { bytes[8 + index] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(index))) }
    return bytes
}
