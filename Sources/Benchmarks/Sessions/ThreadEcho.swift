// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import NetworkAddress

/// A TCP service of system calls alone, on a thread of its own for each connection: what comes goes back.
enum ThreadEcho {
    struct Failed: Error {
        let what: String
    }

    /// Listens at a free port of 127.0.0.1, for as long as the process lives.
    static func start() throws -> UInt16 {
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isListening else { throw Failed(what: "no TCP port to listen at") }
        Thread.detachNewThread {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { continue }
                Thread.detachNewThread { self.serve(connection) }
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func serve(_ connection: CInt) {
        var one: CInt = 1
        setsockopt(connection, CInt(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<CInt>.size))
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, send(connection, buffer, count, CInt(MSG_NOSIGNAL)) == count else { break }
        }
        close(connection)
    }
}
