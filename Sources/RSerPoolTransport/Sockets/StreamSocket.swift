// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A non-blocking TCP socket as the system gives it: one call per method, errors as numbers. Whoever holds it closes it.
struct StreamSocket {
    struct SystemError: Error {
        var number: CInt
    }

    let descriptor: CInt

    // MARK: Opening

    /// A socket that listens at an address.
    /// - Parameter isDualStack: With the IPv6 wildcard: IPv4 as well.
    static func listening(at address: SocketAddress, isDualStack: Bool) throws(SystemError) -> StreamSocket {
        let socket = try self.unconnected(address.ip.family)
        do throws(SystemError) {
            // A listener that was just restarted must not wait for the old one's connections to fade.
            try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
            if address.ip.family == .ipv6 { try socket.set(systemIPv6, IPV6_V6ONLY, isDualStack ? 0 : 1) }
            try self.check(address.withSystemAddress { bind(socket.descriptor, $0, $1) })
            try self.check(listen(socket.descriptor, SOMAXCONN))
            return socket
        } catch {
            socket.close()
            throw error
        }
    }

    /// A socket that has begun to connect; it gets writable when that has ended one way or the other.
    static func connecting(to remote: SocketAddress, from source: IPAddress?) throws(SystemError) -> StreamSocket {
        let socket = try self.unconnected(remote.ip.family)
        do throws(SystemError) {
            if let source {
                try self.check(SocketAddress(ip: source, port: 0).withSystemAddress { bind(socket.descriptor, $0, $1) })
            }
            let status = remote.withSystemAddress { connect(socket.descriptor, $0, $1) }
            // Interrupted, it goes on by itself.
            guard status == 0 || errno == EINPROGRESS || errno == EINTR else { throw SystemError(number: errno) }
            return socket
        } catch {
            socket.close()
            throw error
        }
    }

    /// Takes the next connection that waits. The error `EAGAIN` means that there is none.
    func accepted() throws(SystemError) -> (socket: StreamSocket, remote: SocketAddress?) {
        while true {
            let (descriptor, remote) = SocketAddress.fromSystem { accept(self.descriptor, $0, $1) }
            guard descriptor >= 0 else {
                if errno == EINTR { continue }
                throw SystemError(number: errno)
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            return (StreamSocket(descriptor: descriptor), remote)
        }
    }

    var localAddress: SocketAddress? {
        let (status, address) = SocketAddress.fromSystem { getsockname(self.descriptor, $0, $1) }
        return status == 0 ? address : nil
    }

    /// True if this socket has connected to itself: where nobody listens at a port that the system also gives to sockets that
    /// connect, it may give just that one, and TCP joins the socket's two ends (RFC 9293, section 3.5, simultaneous open).
    func isConnectedToItself(at remote: SocketAddress) -> Bool { self.localAddress == remote }

    // MARK: Talking

    /// Sends small messages at once, and notices a far end that is gone: after `idle` of silence it is asked three times, each
    /// `interval` apart; octets that stay unacknowledged for `idle` plus three intervals end the connection as well.
    func prepare(idle: Duration, interval: Duration) {
        // None of these can fail for a TCP socket; if one does, the connection still carries messages.
        let idle = CInt(max(1, idle.components.seconds))
        let interval = CInt(max(1, interval.components.seconds))
        try? self.set(systemTCP, TCP_NODELAY, 1)
        try? self.set(SOL_SOCKET, SO_KEEPALIVE, 1)
        try? self.set(systemTCP, TCP_KEEPIDLE, idle)
        try? self.set(systemTCP, TCP_KEEPINTVL, interval)
        try? self.set(systemTCP, TCP_KEEPCNT, 3)
        try? self.set(systemTCP, TCP_USER_TIMEOUT, (idle + 3 * interval) * 1000)
    }

    /// Reads what is there. 0: the far end has finished. The error `EAGAIN` means that nothing is there.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        while true {
            let count = recv(self.descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            guard errno == EINTR else { throw SystemError(number: errno) }
        }
    }

    /// Writes what the system takes: how many octets. The error `EAGAIN` means that there is no room.
    func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
        while true {
            let count = send(self.descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            if count >= 0 { return count }
            guard errno == EINTR else { throw SystemError(number: errno) }
        }
    }

    /// The connection's pending error; 0: none.
    func takeError() -> CInt { csl_take_error(self.descriptor) }

    // MARK: Ending

    /// Says that nothing more will be sent.
    func finish() {
        _ = shutdown(self.descriptor, CInt(SHUT_WR))
    }

    func close() {
        csl_close(self.descriptor)
    }

    /// Closes with a reset instead of in good order.
    func abort() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        self.close()
    }

    // MARK: Helpers

    private static func unconnected(_ family: IPAddress.Family) throws(SystemError) -> StreamSocket {
        let descriptor = socket(family == .ipv4 ? AF_INET : AF_INET6, systemStream | systemSocketFlags, 0)
        guard descriptor >= 0 else { throw SystemError(number: errno) }
        return StreamSocket(descriptor: descriptor)
    }

    private func set(_ level: CInt, _ option: CInt, _ value: CInt) throws(SystemError) {
        var value = value
        try Self.check(setsockopt(self.descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size)))
    }

    /// What the system has measured; nil before it has.
    var smoothedRoundTripTime: Duration? {
        var information = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(self.descriptor, systemTCP, TCP_INFO, &information, &length) == 0, information.tcpi_rtt > 0
        else { return nil }
        return .microseconds(Int64(information.tcpi_rtt))
    }

    private static func check(_ status: CInt) throws(SystemError) {
        guard status == 0 else { throw SystemError(number: errno) }
    }
}

extension StreamSocket.SystemError {
    var isWouldBlock: Bool { self.number == EAGAIN || self.number == EWOULDBLOCK }

    /// No descriptor, memory or buffer is left: it may go better in a moment.
    var isExhaustion: Bool { [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(self.number) }

    /// How a connection that was up has ended with this error.
    var downReason: LinkDownReason {
        switch self.number {
        case ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN: .lost
        default: .aborted
        }
    }
}
