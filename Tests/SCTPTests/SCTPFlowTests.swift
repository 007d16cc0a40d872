// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import SCTP
import SocketLoop
import Testing

extension SCTPSuite {
    /// Back-pressure, cancellation, and that one peer's trouble stays its own.
    @Suite("Flow and cancellation", .timeLimit(.minutes(3)))
    struct Flow {
        /// A client whose association to a server that does not read is full.
        private struct Stuck {
            let client: LoggedEndpoint
            let server: SCTPEndpoint
            let id: AssociationID
            /// Messages accepted so far.
            var accepted: Int
        }

        private static let messageLength = 16_000

        private static func stuck(_ kind: SCTPStack.Kind) async throws -> Stuck {
            var options = SCTPEndpointOptions.loopback
            options.eventBufferLimit = 100_000
            let server = try await SCTPEndpoint(on: .shared(kind), options: options)
            let client = try await LoggedEndpoint(kind)
            let id = try await client.endpoint.connect(to: server.peer).id
            var accepted = 0
            // Until the queue is full and does not move any more.
            var isMoving = true
            while isMoving {
                do {
                    while true {
                        try await client.endpoint.submitted(Self.messageLength, on: id)
                        accepted += 1
                        // The queue, both stacks' buffers, and what the server holds: a few MiB at most.
                        try #require(accepted * Self.messageLength < 16 << 20, "the queue has no bound")
                    }
                } catch let error as SCTPError {
                    #expect(error.code == .bufferFull)
                }
                do {
                    try await client.next(within: .seconds(1), "writable") {
                        if case .writable(id) = $0 { () } else { nil }
                    }
                } catch is LoggedEndpoint.Missing {
                    isMoving = false
                }
            }
            // It may have come to rest between its two marks: fill it up.
            while (try? await client.endpoint.submitted(Self.messageLength, on: id)) != nil { accepted += 1 }
            return Stuck(client: client, server: server, id: id, accepted: accepted)
        }

        @Test(
            "A reader that stops holds the sender back; nothing is lost, and reading on lets it go on",
            arguments: availableStacks)
        func backPressure(kind: SCTPStack.Kind) async throws {
            let stuck = try await Self.stuck(kind)
            #expect(stuck.accepted * Self.messageLength > 262_144)
            #expect(await stuck.client.endpoint.statistics.sendsRefused > 0)
            // A sender that waits, and its message is the last to arrive.
            let last = SCTPMessage(bytes: [1, 2, 3])
            let sending = Task(executorPreference: sharedLoop.tasks) {
                for _ in 0..<200 {
                    try await stuck.client.endpoint.send(
                        SCTPMessage(bytes: [UInt8](repeating: 7, count: Self.messageLength)), on: stuck.id)
                }
                try await stuck.client.endpoint.send(last, on: stuck.id)
            }
            var received = 0
            reading: for await batch in stuck.server.events {
                for event in batch {
                    guard case .message(let message, _) = event else { continue }
                    if message == last { break reading }
                    #expect(message.bytes.count == Self.messageLength)
                    received += 1
                }
            }
            try await sending.value
            #expect(received == stuck.accepted + 200)
            await stuck.client.close()
            await stuck.server.close(gracefulWithin: .zero)
        }

        @Test("A stuck peer does not block another association of the same endpoint", arguments: availableStacks)
        func independence(kind: SCTPStack.Kind) async throws {
            let stuck = try await Self.stuck(kind)
            let other = try await LoggedEndpoint(kind, reaction: echo)
            let id = try await stuck.client.endpoint.connect(to: other.endpoint.peer).id
            for number in 0..<UInt8(50) {
                let message = SCTPMessage(
                    bytes: [UInt8](repeating: number, count: 3_000), stream: 1, payloadProtocol: 1)
                try await stuck.client.endpoint.send(message, on: id)
                #expect(try await stuck.client.message().0 == message)
            }
            if kind == .kernel { #expect(await stuck.client.endpoint.statistics.associationsPeeledOff > 0) }
            // And the stuck one can still be ended.
            await stuck.client.endpoint.abort(stuck.id)
            #expect(try await stuck.client.down(of: stuck.id) == .closed)
            await stuck.client.close()
            await stuck.server.close(gracefulWithin: .zero)
            await other.close()
        }

        @Test("Waiting for a peer that does not read costs no processor time", arguments: availableStacks)
        func noSpinning(kind: SCTPStack.Kind) async throws {
            let stuck = try await Self.stuck(kind)
            let before = await sharedLoop.run { Process.threadTime }
            try await sharedLoop.clock.sleep(for: .seconds(1))
            let used = await sharedLoop.run { Process.threadTime } - before
            // The userland stack's timers tick a hundred times a second; a loop that spins would use all of it.
            #expect(used < .milliseconds(400))
            await stuck.client.close()
            await stuck.server.close(gracefulWithin: .zero)
        }

        @Test("Cancelling a sender that waits ends it alone", arguments: availableStacks)
        func cancelSend(kind: SCTPStack.Kind) async throws {
            let stuck = try await Self.stuck(kind)
            let bytes = [UInt8](repeating: 7, count: Self.messageLength)
            let tasks = (0..<20).map { _ in
                Task { () -> SCTPError.Code? in
                    do {
                        try await stuck.client.endpoint.send(SCTPMessage(bytes: bytes), on: stuck.id)
                        return nil
                    } catch {
                        return (error as? SCTPError)?.code
                    }
                }
            }
            for task in tasks.prefix(10) { task.cancel() }
            // Window probes may make room for one or two of them.
            var cancelled = 0
            for task in tasks.prefix(10) {
                let code = await task.value
                #expect(code == .cancelled || code == nil)
                if code == .cancelled { cancelled += 1 }
            }
            #expect(cancelled >= 5)
            // The others wait on, until the association ends.
            await stuck.client.endpoint.abort(stuck.id)
            var released = 0
            for task in tasks.suffix(10) {
                let code = await task.value
                #expect(code == .lost || code == .unknownAssociation || code == nil)
                if code != nil { released += 1 }
            }
            #expect(released >= 5)
            await stuck.client.close()
            await stuck.server.close(gracefulWithin: .zero)
        }

        @Test("Closing in an orderly way gives up after its limit", arguments: availableStacks)
        func closeLimit(kind: SCTPStack.Kind) async throws {
            let stuck = try await Self.stuck(kind)
            let start = ContinuousClock.now
            await stuck.client.endpoint.close(gracefulWithin: .milliseconds(200))
            let duration = start.duration(to: .now)
            #expect(duration >= .milliseconds(200))
            #expect(duration < .seconds(2))
            #expect(try await stuck.client.down(of: stuck.id) == .closed)
            await stuck.server.close(gracefulWithin: .zero)
        }

        @Test("Cancelling connect aborts the attempt", arguments: availableStacks)
        func cancelConnect(kind: SCTPStack.Kind) async throws {
            let hole = try await BlackHole(kind)
            let client = try await LoggedEndpoint(kind, hole.options)
            let connecting = Task { () -> SCTPError.Code? in
                do {
                    _ = try await client.endpoint.connect(to: hole.peer)
                    return nil
                } catch {
                    return (error as? SCTPError)?.code
                }
            }
            // Under way, or not even begun: either way the answer is the same and comes at once.
            let start = ContinuousClock.now
            connecting.cancel()
            #expect(await connecting.value == .cancelled)
            #expect(start.duration(to: .now) < .seconds(1))
            // Nothing is left that would stand in the way of another attempt.
            let id = try await client.endpoint.startConnecting(to: hole.peer)
            await client.endpoint.abort(id)
            #expect(try await client.down(of: id) == .closed)
            let again = try await client.endpoint.startConnecting(to: hole.peer)
            await client.endpoint.abort(again)
            await client.close()
            await hole.close()
        }

        @Test("Connecting to a silent host ends at connectTimeout", arguments: availableStacks)
        func connectTimeout(kind: SCTPStack.Kind) async throws {
            let hole = try await BlackHole(kind)
            var options = hole.options
            options.connectTimeout = .milliseconds(300)
            let client = try await LoggedEndpoint(kind, options)
            let start = ContinuousClock.now
            let error = await #expect(throws: SCTPError.self) { _ = try await client.endpoint.connect(to: hole.peer) }
            #expect(error?.code == .timedOut)
            #expect(start.duration(to: .now) >= .milliseconds(300))
            #expect(start.duration(to: .now) < .seconds(3))
            await client.close()
            await hole.close()
        }

        @Test("Cancelling connect at any moment resumes it exactly once", arguments: availableStacks)
        func cancelRace(kind: SCTPStack.Kind) async throws {
            let server = try await LoggedEndpoint(kind)
            let client = try await LoggedEndpoint(kind)
            var outcomes: [String: Int] = [:]
            for round in 0..<100 {
                let connecting = Task { () -> Result<AssociationID, any Error> in
                    do { return .success(try await client.endpoint.connect(to: server.endpoint.peer).id) } catch {
                        return .failure(error)
                    }
                }
                // Later and later in the handshake.
                for _ in 0..<(round % 50) { await Task.yield() }
                connecting.cancel()
                switch await connecting.value {
                case .success(let id):
                    outcomes["up", default: 0] += 1
                    await client.endpoint.abort(id)
                    #expect(try await client.down(of: id) == .closed)
                case .failure(let error):
                    outcomes["cancelled", default: 0] += 1
                    #expect((error as? SCTPError)?.code == .cancelled)
                }
            }
            #expect(outcomes.values.reduce(0, +) == 100)
            #expect(await client.endpoint.upAssociations.isEmpty)
            await client.close()
            await server.close()
        }

        @Test("Cancelling the reader of events ends its loop, and another may go on", arguments: availableStacks)
        func cancelReader(kind: SCTPStack.Kind) async throws {
            let server = try await SCTPEndpoint(on: .shared(kind), options: .loopback)
            let reading = Task(executorPreference: sharedLoop.tasks) {
                for await _ in server.events { Issue.record("nothing has happened yet") }
            }
            reading.cancel()
            await reading.value
            let client = try await LoggedEndpoint(kind)
            let id = try await client.endpoint.connect(to: server.peer).id
            try await client.endpoint.send(SCTPMessage(bytes: [5]), on: id)
            reading: for await batch in server.events {
                for case .message(let message, _) in batch {
                    #expect(message.bytes == [5])
                    break reading
                }
            }
            await client.close()
            await server.close(gracefulWithin: .zero)
        }
    }
}
