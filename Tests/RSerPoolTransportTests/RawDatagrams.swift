// SPDX-License-Identifier: Apache-2.0

import SocketLoop

#if canImport(Glibc)
import Glibc
private let datagram = CInt(SOCK_DGRAM.rawValue)
#elseif canImport(Musl)
import Musl
private let datagram = SOCK_DGRAM
#endif

/// A UDP service made of system calls, at 127.0.0.1. It blocks, at most 20 s.
final class RawDatagrams {
    private let descriptor: CInt
    let port: UInt16

    init() throws {
        self.descriptor = socket(AF_INET, datagram, 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = self.descriptor
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
            }
        }
        guard descriptor >= 0, status == 0 else {
            throw RawConnection.SystemError(what: "a UDP socket", number: errno)
        }
        self.port = UInt16(bigEndian: address.sin_port)
    }

    /// Takes one datagram and sends it back, reversed.
    /// - Returns: what came.
    func answerOne() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var source = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = self.descriptor
        let count = withUnsafeMutablePointer(to: &source) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int in
                let count = recvfrom(descriptor, &bytes, bytes.count, 0, address, &length)
                guard count >= 0 else { return count }
                let answer = Array(bytes.prefix(count).reversed())
                return sendto(descriptor, answer, count, 0, address, length)
            }
        }
        guard count >= 0 else { throw RawConnection.SystemError(what: "recvfrom", number: errno) }
        return Array(bytes.prefix(count))
    }

    deinit {
        close(self.descriptor)
    }
}
