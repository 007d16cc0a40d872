// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import SCTP
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Everything of SCTP, one test after the other: they share one loop and one userland stack, and some measure time.
@Suite("SCTP", .serialized)
enum SCTPSuite {}

extension SCTPSuite {
    /// What every stack must do. Kernel cases run where the kernel has SCTP, or fail where it is required to.
    @Suite("SCTP contract (RFC 6458, RFC 9260)", .timeLimit(.minutes(3)))
    struct SCTPContractTests {
        @Test(
            "The kernel's stack is among those tested",
            .enabled(if: SCTPStack.kernelIsAvailable || kernelIsRequired, "this machine's kernel has no SCTP"))
        func kernelIsTested() throws {
            #expect(SCTPStack.kernelIsAvailable)
            #expect(try SCTPStack.automatic(on: sharedLoop).kind == .kernel)
        }

        @Test("An echo keeps bytes, stream, payload protocol and order", arguments: availableStacks)
        func echoes(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind, reaction: echo)
            let client = try await LoggedEndpoint(kind)
            let association = try await client.endpoint.connect(to: server.endpoint.peer)
            #expect(!association.isIncoming)
            #expect(association.outboundStreams == 16)
            let incoming = try await server.up()
            #expect(incoming.isIncoming)
            #expect(incoming.peer.port == client.endpoint.port)
            #expect(incoming.peer.addresses == [.loopbackIPv4])
            #expect(await server.endpoint.addresses(of: incoming.id) == [.loopbackIPv4])

            // Many in flight on one stream stay in order; each comes back as it went.
            let messages = (0..<UInt8(200)).map {
                SCTPMessage(bytes: [1, $0, 2], stream: 3, payloadProtocol: 0x0000_000b)
            }
            for message in messages { try await client.endpoint.send(message, on: association.id) }
            for message in messages {
                let (answer, id) = try await client.message()
                #expect(answer == message)
                #expect(id == association.id)
            }
            for stream in 0..<UInt16(16) {
                let message = SCTPMessage(
                    bytes: [UInt8(stream)], stream: stream, payloadProtocol: 0xdead_beef, unordered: stream % 2 == 1)
                try await client.endpoint.send(message, on: association.id)
                #expect(try await client.message().0 == message)
            }
            await client.endpoint.close(gracefulWithin: .seconds(10))
            #expect(try await server.down(of: incoming.id) == .shutdown)
            await server.close()
        }

        @Test("Messages of 65 536 octets arrive whole, both ways", arguments: availableStacks)
        func largeMessages(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind, reaction: echo)
            let client = try await LoggedEndpoint(kind)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            for length in [65_536, 65_535, 1, 40_000, 65_536] {
                let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try await client.endpoint.send(SCTPMessage(bytes: bytes, stream: 1), on: id)
                let answer = try await client.message().0
                #expect(answer.bytes.count == length)
                #expect(answer.bytes == bytes)
            }
            let error = await #expect(throws: SCTPError.self) {
                try await client.endpoint.send(SCTPMessage(bytes: [UInt8](repeating: 0, count: 65_537)), on: id)
            }
            #expect(error?.code == .messageTooLong)
            await client.close()
            await server.close()
        }

        @Test("A peer that sends more than the longest message is aborted and counted", arguments: availableStacks)
        func tooLong(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            var options = SCTPEndpointOptions.loopback
            options.maxMessageLength = 400_000
            let client = try await LoggedEndpoint(kind, options)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            let incoming = try await server.up()
            try await client.endpoint.send(SCTPMessage(bytes: [UInt8](repeating: 1, count: 150_000)), on: id)
            #expect(try await client.down(of: id) == .aborted)
            #expect(try await server.down(of: incoming.id) == .closed)
            #expect(await server.endpoint.statistics.messagesTooLong == 1)
            await client.close()
            await server.close()
        }

        @Test("Connecting to a port without a listener is refused at once", arguments: availableStacks)
        func refused(kind: SCTPStack.Kind) async throws {
            let gone = try await LoggedEndpoint(kind)
            var peer = gone.endpoint.peer
            await gone.close()
            // Another test may get this SCTP port next; nobody gets port 1.
            peer.port = 1
            var options = SCTPEndpointOptions.loopback
            options.acceptsAssociations = false
            let silent = try await LoggedEndpoint(kind, options)
            let client = try await LoggedEndpoint(kind)
            for target in [peer, silent.endpoint.peer] {
                let start = ContinuousClock.now
                let error = await #expect(throws: SCTPError.self) { _ = try await client.endpoint.connect(to: target) }
                #expect(error?.code == .refused)
                // Far from the two seconds after which it would give up.
                #expect(start.duration(to: .now) < .milliseconds(1500))
                let reason = try await client.next("down") { if case .down(_, let reason) = $0 { reason } else { nil } }
                #expect(reason == .refused)
            }
            await client.close()
            await silent.close()
        }

        @Test("SHUTDOWN delivers what was sent; both sides learn that the end was orderly", arguments: availableStacks)
        func shutdown(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            let client = try await LoggedEndpoint(kind)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            let incoming = try await server.up()
            for number in 0..<UInt8(50) {
                try await client.endpoint.send(SCTPMessage(bytes: [UInt8](repeating: number, count: 5_000)), on: id)
            }
            await client.endpoint.shutdown(id)
            let error = await #expect(throws: SCTPError.self) {
                try await client.endpoint.send(SCTPMessage(bytes: [1]), on: id)
            }
            #expect(error?.code == .notConnected || error?.code == .unknownAssociation)
            for number in 0..<UInt8(50) { #expect(try await server.message().0.bytes.first == number) }
            #expect(try await server.down(of: incoming.id) == .shutdown)
            #expect(try await client.down(of: id) == .shutdown)
            #expect(await server.endpoint.addresses(of: incoming.id).isEmpty)
            await client.close()
            await server.close()
        }

        @Test("ABORT ends at once and says so", arguments: availableStacks)
        func abort(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            let client = try await LoggedEndpoint(kind)
            let id = try await client.endpoint.connect(to: server.endpoint.peer).id
            let incoming = try await server.up()
            await client.endpoint.abort(id)
            #expect(try await client.down(of: id) == .closed)
            #expect(try await server.down(of: incoming.id) == .aborted)
            let error = await #expect(throws: SCTPError.self) {
                try await client.endpoint.send(SCTPMessage(bytes: [1]), on: id)
            }
            #expect(error?.code == .unknownAssociation)
            await client.close()
            await server.close()
        }

        @Test("An endpoint may associate back with one that associated with it", arguments: availableStacks)
        func back(kind: SCTPStack.Kind) async throws {
            let registrar = try await LoggedEndpoint(kind, reaction: echo)
            let element = try await LoggedEndpoint(kind, reaction: echo)
            _ = try await element.endpoint.connect(to: registrar.endpoint.peer)
            let learned = try await registrar.up().peer
            // From another endpoint, to where the first association came from.
            let other = try await LoggedEndpoint(kind)
            let id = try await other.endpoint.connect(to: learned).id
            try await other.endpoint.send(SCTPMessage(bytes: [9]), on: id)
            #expect(try await other.message().0.bytes == [9])
            // The same two endpoints have one association at most.
            let error = await #expect(throws: SCTPError.self) { _ = try await registrar.endpoint.connect(to: learned) }
            #expect(error?.code == .alreadyAssociated)
            for endpoint in [other, element, registrar] { await endpoint.close() }
        }

        @Test("Messages submitted while connecting are sent in order once up", arguments: availableStacks)
        func early(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            let client = try await LoggedEndpoint(kind)
            let peer = server.endpoint.peer
            try await client.endpoint.startAndSubmit(to: peer, count: 20)
            for number in 0..<UInt8(20) { #expect(try await server.message().0.bytes == [number]) }
            await client.close()
            await server.close()
        }

        @Test("Incoming associations above the limit are aborted and counted", arguments: availableStacks)
        func associationLimit(kind: SCTPStack.Kind) async throws {
            var options = SCTPEndpointOptions.loopback
            options.maxAssociations = 2
            let server = try await LoggedEndpoint(kind, options)
            var clients: [LoggedEndpoint] = []
            for number in 0..<3 {
                let client = try await LoggedEndpoint(kind)
                clients.append(client)
                let id = try await client.endpoint.connect(to: server.endpoint.peer).id
                if number == 2 { #expect(try await client.down(of: id) == .aborted) }
            }
            #expect(await server.endpoint.statistics.associationsRejected == 1)
            #expect(await server.endpoint.statistics.associationsUp == 2)
            for client in clients { await client.close() }
            await server.close()
        }

        @Test("A taken port is an error that names it", arguments: availableStacks)
        func portInUse(kind: SCTPStack.Kind) async throws {
            let first = try await LoggedEndpoint(kind)
            var options = SCTPEndpointOptions.loopback
            options.port = first.endpoint.port
            let error = await #expect(throws: SCTPError.self) { _ = try await LoggedEndpoint(kind, options) }
            #expect(error?.code == .addressInUse)
            #expect(error?.message.contains("port \(options.port)") == true)
            #expect(error?.message.contains("in use") == true)
            options.port = 0
            options.localAddresses = [.ipv4(0xc000_0201)]
            let foreign = await #expect(throws: SCTPError.self) { _ = try await LoggedEndpoint(kind, options) }
            #expect(foreign?.code == .addressUnavailable)
            #expect(foreign?.message.contains("192.0.2.1") == true)
            await first.close()
        }

        @Test("Both families at every address", arguments: availableStacks)
        func wildcard(kind: SCTPStack.Kind) async throws {
            var options = SCTPEndpointOptions.fast
            options.localAddresses = []
            let server = try await LoggedEndpoint(kind, options, reaction: echo)
            #expect(server.endpoint.localAddresses.contains(.loopbackIPv4))
            let client = try await LoggedEndpoint(kind, options)
            for address in [IPAddress.loopbackIPv4, .loopbackIPv6]
            where server.endpoint.localAddresses.contains(address) {
                var peer = server.endpoint.peer
                peer.addresses = [address]
                let association = try await client.endpoint.connect(to: peer)
                #expect(association.peer.addresses.contains(address))
                try await client.endpoint.send(SCTPMessage(bytes: [4, 6]), on: association.id)
                #expect(try await client.message().0.bytes == [4, 6])
                await client.endpoint.abort(association.id)
                _ = try await client.down(of: association.id)
            }
            await client.close()
            await server.close()
        }

        @Test("A closed endpoint refuses, ends its events and releases who waits", arguments: availableStacks)
        func closed(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            let client = try await SCTPEndpoint(on: .shared(kind), options: .loopback)
            let id = try await client.connect(to: server.endpoint.peer).id
            let reading = Task(executorPreference: sharedLoop.tasks) {
                var seen: [String] = []
                for await batch in client.events { seen += batch.map { "\($0)".prefix { $0 != "(" }.description } }
                return seen
            }
            await client.close(gracefulWithin: .zero)
            await client.close(gracefulWithin: .zero)
            #expect(await reading.value == ["up", "down"])
            let connecting = await #expect(throws: SCTPError.self) {
                _ = try await client.connect(to: server.endpoint.peer)
            }
            #expect(connecting?.code == .closed)
            let sending = await #expect(throws: SCTPError.self) {
                try await client.send(SCTPMessage(bytes: [1]), on: id)
            }
            #expect(sending?.code == .unknownAssociation)
            await server.close()
        }

        @Test("Dropping the last reference aborts the associations", arguments: availableStacks)
        func dropped(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            var client: SCTPEndpoint? = try await SCTPEndpoint(on: .shared(kind), options: .loopback)
            _ = try await client?.connect(to: server.endpoint.peer)
            let incoming = try await server.up()
            client = nil
            #expect(try await server.down(of: incoming.id) == .aborted)
            await server.close()
        }

        @Test(
            "A peer killed with SIGKILL is noticed: by ICMP over UDP, by its kernel's SHUTDOWN otherwise",
            arguments: availableStacks)
        func killed(kind: SCTPStack.Kind) async throws {
            let echoed = Locked<ContinuousClock.Instant?>(nil)
            let server = try await LoggedEndpoint(kind) { event, endpoint in
                echo(event, endpoint)
                if case .message = event { echoed.withLock { $0 = .now } }
            }
            let isKernel = kind == .kernel
            let port = server.endpoint.port
            let udp = Int(server.endpoint.encapsulationPort ?? 0)
            async let child: Void = Self.runVictim(isKernel, port, udp)
            let id = try await server.up().id
            let reason = try await server.down(of: id)
            let moment = try #require(echoed.withLock { $0 })
            // HB.interval 100 ms + RTO 50 ms ± 50 %, two probes, and the child's last moments.
            #expect(moment.duration(to: .now) < .milliseconds(500))
            #expect(reason == (isKernel ? .shutdown : .lost))
            await child
            await server.close()
        }

        /// Another process that associates, has one message echoed, and is killed.
        private static func runVictim(_ isKernel: Bool, _ port: UInt16, _ udp: Int) async {
            await #expect(processExitsWith: .signal(SIGKILL)) { [isKernel, port, udp] in
                let client = try await LoggedEndpoint(isKernel ? .kernel : .userland)
                let peer = SCTPPeer(
                    addresses: [.loopbackIPv4], port: port, encapsulationPort: udp == 0 ? nil : UInt16(udp))
                let id = try await client.endpoint.connect(to: peer).id
                try await client.endpoint.send(SCTPMessage(bytes: [1]), on: id)
                _ = try await client.message()
                kill(getpid(), SIGKILL)
            }
        }

        @Test("Hundreds of associations at once", arguments: availableStacks)
        func many(kind: SCTPStack.Kind) async throws {
            // A kernel endpoint is a descriptor; the usual limit is 1024.
            let count = kind == .userland ? 1000 : 300
            // Patient timers: on a slow machine a thousand handshakes take longer than a local network's patience.
            var options = SCTPEndpointOptions.default
            options.localAddresses = [.loopbackIPv4]
            let server = try await LoggedEndpoint(kind, options, reaction: echo)
            let peer = server.endpoint.peer
            var clients: [LoggedEndpoint] = []
            for _ in 0..<count { clients.append(try await LoggedEndpoint(kind, options)) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, client) in clients.enumerated() {
                    group.addTask {
                        let id = try await client.endpoint.connect(to: peer).id
                        let message = SCTPMessage(bytes: [UInt8(truncatingIfNeeded: number), UInt8(number >> 8)])
                        try await client.endpoint.send(message, on: id)
                        #expect(try await client.message().0 == message)
                    }
                }
                try await group.waitForAll()
            }
            #expect(await server.endpoint.upAssociations.count == count)
            #expect(await server.endpoint.statistics.associationsUp == UInt64(count))
            for client in clients { await client.close() }
            await server.close()
        }

        @Test("Endpoints open and close again and again without leaving anything behind", arguments: availableStacks)
        func cycles(kind: SCTPStack.Kind) async {
            let isKernel = kind == .kernel
            // In a process of its own: other tests would disturb what is measured.
            await #expect(processExitsWith: .success) { [isKernel = isKernel as Bool] in
                try await Self.openAndClose(isKernel ? .kernel : .userland, rounds: isKernel ? 150 : 1000)
            }
        }

        private static func openAndClose(_ kind: SCTPStack.Kind, rounds: Int) async throws {
            let server = try await LoggedEndpoint(kind)
            var options = SCTPEndpointOptions.loopback
            func cycle() async throws {
                let client = try await SCTPEndpoint(on: .shared(kind), options: options)
                // The same port each time: it must be free again at once.
                if options.port == 0 { options.port = client.port }
                _ = try await client.connect(to: server.endpoint.peer)
                await client.close(gracefulWithin: .zero)
            }
            for _ in 0..<rounds { try await cycle() }
            let before = Process.current
            for _ in 0..<rounds { try await cycle() }
            let after = Process.current
            #expect(after.descriptors <= before.descriptors + 2)
            // One association left behind each round (about 10 KiB) would be three times this on the userland stack.
            if kind == .userland {
                #expect(after.residentBytes - before.residentBytes < 3_000_000 + Process.sanitizerSlack)
            }
            await server.close()
        }
    }
}

extension SCTPEndpoint {
    fileprivate func startAndSubmit(to peer: SCTPPeer, count: UInt8) throws {
        let id = try self.startConnecting(to: peer)
        for number in 0..<count {
            try self.submit([number], stream: 0, payloadProtocol: 0, unordered: false, on: id)
        }
    }
}
