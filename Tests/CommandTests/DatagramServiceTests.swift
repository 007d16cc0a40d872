// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import ProgramKit
import RSerPool
import Testing

@Suite("A service on UDP that knows nothing of RSerPool")
struct DatagramServiceTests {
    @Test("It is registered by a pool element, and a session reaches it and says when it is gone [ASAP-003]")
    func session() async throws {
        let registrar = try await RunningRegistrar.start()
        let host = try SocketHost.open(SocketHostOptions(stack: .userland))
        let service = try DatagramEcho()
        let endpoint = try Endpoint(parsing: registrar.sctp)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        var configuration = PoolElement.Configuration(registrars: .list(endpoint))
        configuration.timers = .lan
        configuration.transport = .udp(SocketAddress(ip: .loopbackIPv4, port: service.port))
        let element = PoolElement(
            pool: "Datagrams", configuration: configuration, host: host, logger: logger, handler: { _ in nil })
        let user = PoolUser(registrars: .list(endpoint), host: host, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await element.run() }
            group.addTask { try await user.run() }
            defer { group.cancelAll() }
            for await case .registered in element.events { break }
            var settings = Session.Configuration()
            settings.attemptTimeout = .milliseconds(500)
            let error = try await user.withSession(with: "Datagrams", configuration: settings) { session in
                for number in 1...3 as ClosedRange<UInt8> {
                    #expect(try await session.request([number, 2, 3]).bytes == [number, 2, 3])
                }
                service.stop()
                do {
                    _ = try await session.request([9])
                    Issue.record("somebody answered")
                    return nil as PoolError?
                } catch let error as PoolError { return error }
            }
            #expect(error?.code == .noPoolElement)
            #expect(error?.fate == .perhapsExecuted)
        }
    }
}

/// Sends back what comes, on a thread of its own, until it is stopped.
private final class DatagramEcho: Sendable {
    private let descriptor: CInt
    let port: UInt16

    init() throws {
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 ? getsockname(descriptor, address, &length) : -1
            }
        }
        guard status == 0 else { throw RunningProgram.Missing(description: "a UDP socket") }
        self.descriptor = descriptor
        self.port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            var source = sockaddr_in()
            while true {
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = withUnsafeMutablePointer(to: &source) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int in
                        let count = recvfrom(descriptor, &bytes, bytes.count, 0, address, &length)
                        guard count > 0 else { return count }
                        return sendto(descriptor, bytes, count, 0, address, length)
                    }
                }
                guard count > 0 else { return }
            }
        }
    }

    func stop() {
        shutdown(self.descriptor, CInt(SHUT_RDWR))
        close(self.descriptor)
    }
}
