// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress
internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A UDP socket that carries encapsulated SCTP packets (RFC 6951), shared by the endpoints bound to its address and
/// port.
final class UDPChannel: DescriptorHandler, @unchecked Sendable {
    // Proof of @unchecked Sendable: touched only on the loop's thread, which `UserlandStack` guarantees for all of its
    // parts.

    /// The address it is bound to.
    let address: IPAddress
    let port: UInt16
    /// The endpoints that use it.
    var users = 0
    /// Its port was the system's choice: endpoints that ask for any port use it together.
    var isShared = false
    var handles: [RemoteKey: PeerHandle] = [:]

    private let descriptor: CInt
    private let outgoing: OpaquePointer
    /// Datagrams of `outgoing` before this one are sent.
    private var sent = 0
    private var waitsForRoom = false
    private unowned let stack: UserlandStack

    /// Datagrams gathered before they are sent or, with the socket full, dropped.
    static let outgoingCapacity = 256
    /// usrsctp's packets stay below its path MTU of 1280 octets.
    private static let outgoingSlot = 2048
    /// Generous: a thousand associations may come up at once.
    private static let bufferSize: CInt = 8 << 20

    init(address: IPAddress, port: UInt16, stack: UserlandStack) throws(SCTPError) {
        var name = csl_address(address, port: port)
        let options = UInt32(CSL_UDP_ERROR_QUEUE) | UInt32(CSL_UDP_DONT_FRAGMENT_OFF)
        let descriptor = csl_udp_open(&name, options, Self.bufferSize, Self.bufferSize)
        guard descriptor >= 0 else {
            throw SCTPError(errno: -descriptor, "binding UDP \(SocketAddress(ip: address, port: port))")
        }
        guard csl_local_address(descriptor, &name) == 0,
            let outgoing = csl_batch_create(CInt(Self.outgoingCapacity), Self.outgoingSlot)
        else {
            csl_close(descriptor)
            throw SCTPError(.noResources, "no memory for a UDP socket")
        }
        self.address = address
        self.port = name.port
        self.descriptor = descriptor
        self.outgoing = outgoing
        self.stack = stack
    }

    deinit {
        csl_batch_destroy(self.outgoing)
    }

    func start() throws(SCTPError) {
        do {
            try self.stack.loop.add(self.descriptor, interest: .readable, handler: self)
        } catch {
            csl_close(self.descriptor)
            throw SCTPError(errno: error.errno, "watching UDP port \(self.port)")
        }
    }

    func close() {
        self.flush()
        self.stack.loop.remove(self.descriptor)
        csl_close(self.descriptor)
    }

    // MARK: Receiving

    func ready(_ events: Interest) {
        if events.contains(.failed) { self.drainErrors() }
        if events.contains(.writable) {
            self.waitsForRoom = false
            self.stack.loop.change(self.descriptor, interest: .readable)
            self.flush()
        }
        if events.contains(.readable) { self.receive() }
        self.stack.afterInput()
    }

    /// One batch per turn, so that nobody else starves; the loop comes back while more waits.
    private func receive() {
        let batch = self.stack.incoming
        var count = csl_batch_receive(batch, self.descriptor)
        if count < 0 {
            // A pending ICMP error is reported in place of a datagram, once.
            self.drainErrors()
            count = csl_batch_receive(batch, self.descriptor)
        }
        guard count > 0 else { return }
        for index in 0..<count {
            var remote = csl_address()
            var local = csl_address()
            let length = csl_batch_length(batch, index)
            csl_batch_addresses(batch, index, &remote, &local)
            guard length >= 0, let start = csl_batch_bytes(batch, index) else {
                self.stack.statistics.datagramsMalformed += 1
                continue
            }
            self.stack.received(
                UnsafeRawBufferPointer(start: start, count: length), from: remote, to: local, on: self)
        }
    }

    /// ICMP errors, each with the address it is about.
    private func drainErrors() {
        var error = csl_udp_error()
        // Bounded: a flood of ICMP must not hold the loop. What is left shows up again next turn.
        for _ in 0..<256 where csl_udp_next_error(self.descriptor, &error) == 1 {
            self.stack.unreachable(error.remote, errno: error.error, on: self)
        }
        _ = csl_take_error(self.descriptor)
    }

    // MARK: Sending

    /// Queues a datagram until the end of the turn.
    func send(_ bytes: UnsafeRawBufferPointer, to remote: csl_address, from local: csl_address) {
        var remote = remote
        var local = local
        var status = csl_batch_append(self.outgoing, &remote, &local, bytes.baseAddress, bytes.count)
        if status == -ENOBUFS, !self.waitsForRoom {
            self.flush()
            status = csl_batch_append(self.outgoing, &remote, &local, bytes.baseAddress, bytes.count)
        }
        guard status == 0 else {
            self.stack.statistics.datagramsNotSent += 1
            return
        }
        self.stack.needsFlush(self)
    }

    /// Sends what is queued. What the socket has no room for stays until it has; SCTP itself repeats what gets lost.
    func flush() {
        guard !self.waitsForRoom else { return }
        let count = Int(csl_batch_count(self.outgoing))
        var retried = -1
        while self.sent < count {
            let status = csl_batch_send(self.outgoing, self.descriptor, CInt(self.sent))
            if status > 0 {
                self.sent += Int(status)
                continue
            }
            if status == -EAGAIN {
                self.waitsForRoom = true
                self.stack.loop.change(self.descriptor, interest: [.readable, .writable])
                return
            }
            // The error of an earlier datagram to whomever (IP_RECVERR): take it, and send this one again. A second
            // error in a row is its own.
            self.drainErrors()
            if retried == self.sent {
                self.stack.statistics.datagramsNotSent += 1
                self.sent += 1
            } else {
                retried = self.sent
            }
        }
        self.sent = 0
        csl_batch_clear(self.outgoing)
    }
}
