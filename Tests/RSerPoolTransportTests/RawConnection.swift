// SPDX-License-Identifier: Apache-2.0

import SocketLoop

#if canImport(Glibc)
import Glibc
private let stream = CInt(SOCK_STREAM.rawValue)
#elseif canImport(Musl)
import Musl
private let stream = SOCK_STREAM
#endif

/// `close` by a name that methods do not hide.
private func systemClose(_ descriptor: CInt) {
    _ = close(descriptor)
}

/// A far end made of system calls, which does what no port of ours would. It blocks, at most 20 s.
final class RawConnection {
    struct SystemError: Error, CustomStringConvertible {
        let what: String
        let number: CInt
        var description: String { "\(self.what): \(String(cString: strerror(self.number)))" }
    }

    private var descriptor: CInt

    /// Connects to a TCP port of 127.0.0.1.
    init(to port: UInt16, receiveBuffer: CInt? = nil) throws {
        self.descriptor = socket(AF_INET, stream, 0)
        guard self.descriptor >= 0 else { throw SystemError(what: "socket", number: errno) }
        if var size = receiveBuffer {
            setsockopt(self.descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(self.descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var one: CInt = 1
        setsockopt(self.descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        let status = Self.withLoopback(port) { connect(self.descriptor, $0, $1) }
        guard status == 0 else { throw SystemError(what: "connect", number: errno) }
    }

    deinit {
        if self.descriptor >= 0 { systemClose(self.descriptor) }
    }

    /// A socket of 127.0.0.1 whose far end is the same socket. Who gets it closes it.
    static func descriptorToItself() throws -> CInt {
        let descriptor = socket(AF_INET, stream, 0)
        guard descriptor >= 0 else { throw SystemError(what: "socket", number: errno) }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                guard self.withLoopback(0, { bind(descriptor, $0, $1) }) == 0 else { return CInt(-1) }
                guard getsockname(descriptor, $0, &length) == 0 else { return -1 }
                return connect(descriptor, $0, length)
            }
        }
        guard status == 0 else {
            systemClose(descriptor)
            throw SystemError(what: "connect to itself", number: errno)
        }
        return descriptor
    }

    static func withLoopback<Value>(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Writes all of it, in one call where the system takes that.
    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                send(self.descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
            }
            guard count >= 0 else { throw SystemError(what: "send", number: errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// Reads exactly `count` octets, or fewer if the far end finishes.
    func read(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var chunk = [UInt8](repeating: 0, count: min(65_536, count - bytes.count))
            let got = chunk.withUnsafeMutableBytes { recv(self.descriptor, $0.baseAddress, $0.count, 0) }
            guard got >= 0 else { throw SystemError(what: "recv", number: errno) }
            if got == 0 { break }
            bytes += chunk.prefix(got)
        }
        return bytes
    }

    /// Whether the far end has ended the connection; blocks until that is known.
    func isEnded() -> Bool {
        do { return try self.read(1).isEmpty } catch { return (error as? SystemError)?.number == ECONNRESET }
    }

    func finish() { shutdown(self.descriptor, CInt(SHUT_WR)) }

    func close() {
        systemClose(self.descriptor)
        self.descriptor = -1
    }

    func reset() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
        self.close()
    }
}

/// A listener of 127.0.0.1 that accepts nobody and whose queue is full: who connects gets no answer.
final class MuteListener {
    private let descriptor: CInt
    private var fillers: [CInt] = []
    let port: UInt16

    init() throws {
        let listener = socket(AF_INET, stream, 0)
        guard listener >= 0 else { throw RawConnection.SystemError(what: "socket", number: errno) }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening =
            RawConnection.withLoopback(0, { bind(listener, $0, $1) }) == 0 && listen(listener, 0) == 0
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        self.descriptor = listener
        self.port = UInt16(bigEndian: address.sin_port)
        guard isListening else { throw RawConnection.SystemError(what: "listen", number: errno) }
        for _ in 0..<4 {
            let filler = socket(AF_INET, stream, 0)
            guard filler >= 0 else { continue }
            _ = fcntl(filler, F_SETFL, O_NONBLOCK)
            _ = RawConnection.withLoopback(self.port) { connect(filler, $0, $1) }
            self.fillers.append(filler)
        }
    }

    deinit {
        for filler in self.fillers { systemClose(filler) }
        systemClose(self.descriptor)
    }
}
