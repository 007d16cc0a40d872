// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import SocketLoop
import Testing

/// What every kind of link does alike.
@Suite("Ports, whatever carries their links", .serialized, .timeLimit(.minutes(3)))
struct PortContractTests {
    @Test("Both ends hear that a link is up, echo a message, and hear how it ends", arguments: Carrier.available)
    func talk(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, reaction: TestPort.echo)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let (here, there) = try await client.link(to: server)
        #expect(!here.isIncoming && there.isIncoming)
        #expect(here.scheme == (carrier.isSCTP ? .sctp : .tcp) && here.scheme == there.scheme)
        #expect(here.remote.port == server.port.local.port && here.remote.addresses.contains(.loopbackIPv4))
        #expect(there.remote.encapsulationPort == client.port.local.encapsulationPort)
        #expect(there.remote.addresses.contains(.loopbackIPv4))

        let id = here.id
        let sent = message(77)
        try await client.onLoop { try $0.send(OutboundMessage(sent, stream: 3), on: id) }
        let answer = try await client.message()
        #expect(answer.message.bytes == sent && answer.link == id)
        // TCP has neither.
        #expect(answer.message.payloadProtocol == (carrier.isSCTP ? 11 : 0))
        #expect(answer.message.stream == (carrier.isSCTP ? 3 : 0))

        try await client.shutdown(id)
        #expect(try await client.down() == .closed)
        #expect(try await server.down(there.id) == .shutdown)
        #expect(client.pending.isEmpty, "nothing follows a down")
        await client.close()
        await server.close()
    }

    @Test("A message of 65 536 octets arrives whole, one more is refused", arguments: Carrier.available)
    func longest(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, reaction: TestPort.echo)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let id = try await client.link(to: server).here.id
        let sent = message(5, length: 65_536)
        for _ in 0..<3 {
            try await client.send(sent, on: id)
            #expect(try await client.message().message.bytes == sent)
        }
        let error = await #expect(throws: TransportError.self) {
            try await client.send(message(6, length: 65_537), on: id)
        }
        #expect(error?.code == .messageTooLong)
        try await client.send(message(7), on: id)
        #expect(number(of: try await client.message().message) == 7)
        await client.close()
        await server.close()
    }

    @Test("Where nobody listens a link is refused at once, and never inside the call", arguments: Carrier.available)
    func refused(_ carrier: Carrier) async throws {
        let gone = try await TestPort.open(carrier)
        let place = gone.endpoint
        await gone.close()
        // Another test may get its port next, or still hold it: nobody gets port 1. (The process's SCTP endpoints share a UDP
        // port.)
        let nowhere = RemoteEndpoint(
            addresses: place.addresses, port: 1, encapsulationPort: place.encapsulationPort)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let begin = ContinuousClock.now
        let (id, early) = try await client.onLoop { [client] port in
            (try port.connect(to: nowhere), client.pending.count)
        }
        #expect(early == 0)
        #expect(try await client.down(id) == .refused)
        #expect(begin.duration(to: .now) < .seconds(4))
        let error = await #expect(throws: TransportError.self) { try await client.send(message(1), on: id) }
        #expect(error?.code == .noSuchLink)
        await client.close()
    }

    @Test("What was sent before a shutdown arrives, then the end", arguments: Carrier.available)
    func gracefulEnd(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let (here, there) = try await client.link(to: server)
        let id = here.id
        try await client.onLoop { port in
            for index in 0..<200 { try port.send(OutboundMessage(message(index, length: 4000)), on: id) }
            port.shutdown(id)
            let error = #expect(throws: TransportError.self) { try port.send(OutboundMessage(message(0)), on: id) }
            #expect(error?.code == .noSuchLink)
        }
        for index in 0..<200 {
            let (message, link) = try await server.message()
            #expect(number(of: message) == index && link == there.id && message.bytes.count == 4000)
        }
        #expect(try await server.down(there.id) == .shutdown)
        #expect(try await client.down(id) == .closed)
        await client.close()
        await server.close()
    }

    @Test("An abort reaches the far end as one", arguments: Carrier.available)
    func abort(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let (here, there) = try await client.link(to: server)
        try await server.abort(there.id)
        #expect(try await server.down(there.id) == .closed)
        #expect(try await client.down(here.id) == .aborted)
        await client.close()
        await server.close()
    }

    @Test("Above its bound a link takes no more, tells when it does again, loses nothing", arguments: Carrier.available)
    func backPressure(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let client = try await TestPort.open(carrier, acceptsLinks: false, options: { $0.sendBufferLimit = 100_000 })
        let id = try await client.link(to: server).here.id
        // In one turn of the loop the far end, which lives on it too, cannot read.
        let taken = try await client.onLoop { port in
            var taken = 0
            while taken < 100_000 {
                do throws(TransportError) {
                    try port.send(OutboundMessage(message(taken, length: 1000)), on: id)
                } catch {
                    #expect(error.code == .bufferFull)
                    return taken
                }
                taken += 1
            }
            return taken
        }
        // The bound, and with SCTP what the stack has taken.
        #expect(taken >= 100 && taken <= (carrier.isSCTP ? 10_000 : 100))
        #expect(try await client.writable() == id)
        try await client.send(message(taken, length: 1000), on: id)
        for index in 0...taken { #expect(number(of: try await server.message().message) == index) }
        await client.close()
        await server.close()
    }

    @Test("Messages sent before a link is up wait for it", arguments: Carrier.available)
    func early(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, reaction: TestPort.echo)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let remote = server.endpoint
        let id = try await client.onLoop { port in
            let id = try port.connect(to: remote)
            try port.send(OutboundMessage(message(1)), on: id)
            try port.send(OutboundMessage(message(2)), on: id)
            return id
        }
        #expect(try await client.up().id == id)
        #expect(number(of: try await client.message().message) == 1)
        #expect(number(of: try await client.message().message) == 2)
        await client.close()
        await server.close()
    }

    @Test("A hundred links to one port do not mix", arguments: Carrier.available)
    func manyLinks(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, reaction: TestPort.echo)
        var clients: [(port: TestPort, link: LinkID)] = []
        // SCTP has one association between two endpoints.
        let ports = carrier.isSCTP ? 100 : 1
        for _ in 0..<ports {
            let client = try await TestPort.open(carrier, acceptsLinks: false)
            for _ in 0..<(100 / ports) { clients.append((client, try await client.link(to: server).here.id)) }
        }
        #expect(Set(clients.map(\.link)).count == 100)
        for (index, client) in clients.enumerated() { try await client.port.send(message(index), on: client.link) }
        var answers: [LinkID: Int] = [:]
        for client in clients {
            let (message, link) = try await client.port.message()
            #expect(answers.updateValue(number(of: message), forKey: link) == nil)
        }
        for (index, client) in clients.enumerated() { #expect(answers[client.link] == index) }
        for client in clients { await client.port.close() }
        await server.close()
    }

    @Test("Links above the limit are refused, the others stay", arguments: Carrier.available)
    func incomingLimit(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, options: { $0.maxIncomingLinks = 2 }, reaction: TestPort.echo)
        var clients: [(port: TestPort, link: Link)] = []
        for _ in 0..<2 {
            let client = try await TestPort.open(carrier, acceptsLinks: false)
            clients.append((client, try await client.link(to: server).here))
        }
        let third = try await TestPort.open(carrier, acceptsLinks: false)
        let id = try await third.connect(to: server.endpoint)
        #expect([.refused, .aborted].contains(try await third.down(id)))
        for client in clients {
            try await client.port.send(message(9), on: client.link.id)
            #expect(number(of: try await client.port.message().message) == 9)
        }
        #expect(server.pending.isEmpty, "nobody was told of the third")
        // One leaves, another may come.
        await clients[0].port.close()
        _ = try await server.down()
        let again = try await third.link(to: server).here.id
        try await third.send(message(10), on: again)
        #expect(number(of: try await third.message().message) == 10)
        await clients[1].port.close()
        await third.close()
        await server.close()
    }

    @Test("Closing a port ends its links in good order, and frees its number", arguments: Carrier.available)
    func close(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let here = try await client.link(to: server).here
        let local = server.port.local
        let begin = ContinuousClock.now
        await server.close(within: .seconds(10))
        #expect(begin.duration(to: .now) < .seconds(5), "it does not wait for its limit")
        #expect(try await client.down(here.id) == .shutdown)
        #expect(try await server.down() == .closed)
        await #expect(throws: TransportError.self) { _ = try await server.connect(to: client.endpoint) }
        await server.close()

        let next = try await TestPort.whenFree { try await TestPort.open(carrier, options: { $0.port = local.port }) }
        #expect(next.port.local.port == local.port)
        await next.close()
        await client.close()
    }

    @Test("A cancelled task closes in good order as well: that is how a run() ends", arguments: Carrier.available)
    func closeCancelled(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let (here, there) = try await client.link(to: server)
        try await client.send(message(1, length: 60_000), on: here.id)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.close() }
            group.cancelAll()
        }
        #expect(try await client.down(here.id) == .closed)
        #expect(number(of: try await server.message().message) == 1)
        #expect(try await server.down(there.id) == .shutdown)
        await server.close()
    }

    /// An actor on the loop that opens a port, and hears of its first link as soon as there is one.
    private actor Opener: PortReceiver {
        nonisolated let host: Host
        private var port: (any Port)?
        private(set) var earlyEvents = 0
        private(set) var events = 0

        nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.loop.asUnownedSerialExecutor() }

        init(_ host: Host) { self.host = host }

        func open(_ options: PortOptions) async throws {
            self.port = try await self.host.transport.open(options, receiver: self)
        }

        func close() async { await self.port?.close(within: .zero) }

        nonisolated func received(_ event: LinkEvent, from port: any Port) {
            self.assumeIsolated { opener in
                opener.events += 1
                if opener.port == nil { opener.earlyEvents += 1 }
            }
        }
    }

    @Test("No event comes before open has returned, even if somebody is waiting", arguments: Carrier.available)
    func noEarlyEvents(_ carrier: Carrier) async throws {
        // Any free port would be the next test's as soon as it is closed, or that of a TCP socket that connects to itself: one
        // that is not given out.
        let first = try await TestPort.open(carrier, options: { $0.port = 29_999 })
        let local = first.port.local
        let remote = first.endpoint
        await first.close()
        // Tries again and again to connect to that port, so that somebody is there the moment it is open.
        let impatient = try await TestPort.open(
            carrier, acceptsLinks: false,
            reaction: { event, port in
                if case .down = event { _ = try? port.connect(to: remote) }
                return true
            })
        _ = try await impatient.connect(to: remote)
        let opener = Opener(try carrier.host())
        var options = carrier.options(acceptsLinks: true)
        options.port = local.port
        options.encapsulationPort = carrier == .userlandSCTP ? local.encapsulationPort : nil
        try await TestPort.whenFree { [options] in try await opener.open(options) }
        _ = try await impatient.up()
        while await opener.events == 0 {}
        #expect(await opener.earlyEvents == 0)
        await impatient.close(within: .zero)
        await opener.close()
    }

    @Test("A port that is taken is named in the error", arguments: Carrier.available)
    func taken(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier)
        let port = server.port.local.port
        let error = await #expect(throws: TransportError.self) {
            _ = try await TestPort.open(carrier, options: { $0.port = port })
        }
        #expect(error?.code == .addressInUse)
        #expect(error?.message.contains("\(port)") == true)
        #expect(error?.message.contains("\n") == false)
        await server.close()
    }

    @Test("An address of somebody else cannot be bound", arguments: Carrier.available)
    func foreignAddress(_ carrier: Carrier) async throws {
        let error = await #expect(throws: TransportError.self) {
            _ = try await TestPort.open(carrier, options: { $0.localAddresses = [.ipv4(0xcb00_7155)] })
        }
        #expect(error?.code == .addressNotAvailable)
        #expect(error?.message.contains("203.0.113.85") == true)
    }

    @Test("A link tells the address it leaves from", arguments: Carrier.available)
    func localAddress(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(carrier, options: { $0.localAddresses = [] })
        let client = try await TestPort.open(carrier, acceptsLinks: false, options: { $0.localAddresses = [] })
        var remote = server.endpoint
        #expect(!remote.addresses.contains { !$0.isWildcard })
        remote.addresses = [.loopbackIPv4]
        let id = try await client.connect(to: remote)
        _ = try await client.up()
        let there = try await server.up()
        let addresses = try await client.onLoop { $0.localAddresses(of: id) }
        // On loopback it may be less than can be measured.
        if let time = try await client.onLoop({ $0.smoothedRoundTripTime(of: id) }) {
            #expect(.zero < time && time < .seconds(2))
        }
        #expect(addresses.contains(.loopbackIPv4) && !addresses.contains(where: \.isWildcard))
        #expect(try await server.onLoop { $0.localAddresses(of: there.id) }.contains(.loopbackIPv4))
        try await client.shutdown(id)
        _ = try await client.down(id)
        #expect(try await client.onLoop { $0.localAddresses(of: id) } == [])
        #expect(try await client.onLoop { $0.smoothedRoundTripTime(of: id) } == nil)
        await client.close()
        await server.close()
    }

    @Test("IPv6 links work like the others", arguments: Carrier.available)
    func ipv6(_ carrier: Carrier) async throws {
        let onIPv6: (inout PortOptions) -> Void = { $0.localAddresses = [.loopbackIPv6] }
        let server = try await TestPort.open(carrier, options: onIPv6, reaction: TestPort.echo)
        let client = try await TestPort.open(carrier, acceptsLinks: false, options: onIPv6)
        let here = try await client.link(to: server).here
        #expect(here.remote.addresses == [.loopbackIPv6])
        try await client.send(message(6), on: here.id)
        #expect(number(of: try await client.message().message) == 6)
        await client.close()
        await server.close()
    }

    @Test("A link that sends without end does not keep others from being served", arguments: Carrier.available)
    func fairness(_ carrier: Carrier) async throws {
        let counted = Locked(0)
        let server = try await TestPort.open(
            carrier,
            reaction: { event, port in
                guard case .message(let message, let link) = event else { return true }
                // The flood has long messages.
                if message.bytes.count > 16 {
                    counted.withLock { $0 += 1 }
                } else {
                    do { try port.send(OutboundMessage(message.bytes), on: link) } catch { Issue.record("\(error)") }
                }
                return false
            })
        let isFlooding = Locked(true)
        let flood: @Sendable (any Port, LinkID) -> Void = { port, link in
            while isFlooding.withLock({ $0 }) {
                do throws(TransportError) {
                    try port.send(OutboundMessage(message(1, length: 1000)), on: link)
                } catch {
                    return
                }
            }
        }
        let flooder = try await TestPort.open(
            carrier, acceptsLinks: false,
            reaction: { event, port in
                if case .writable(let link) = event { flood(port, link) }
                return true
            })
        let loud = try await flooder.link(to: server).here.id
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let quiet = try await client.link(to: server).here.id
        try await flooder.onLoop { flood($0, loud) }
        for index in 0..<100 {
            try await client.send(message(index), on: quiet)
            #expect(number(of: try await client.message().message) == index)
        }
        #expect(counted.withLock { $0 } > 100, "the flood flowed meanwhile")
        isFlooding.withLock { $0 = false }
        try await flooder.abort(loud)
        await flooder.close()
        await client.close()
        await server.close()
    }

    @Test("Answers to a flood come in order, none lost, also while nobody reads them", arguments: Carrier.available)
    func answers(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(
            carrier, options: { $0.sendBufferLimit = 16 << 20 }, reaction: TestPort.echo)
        let client = try await TestPort.open(
            carrier, acceptsLinks: false, options: { $0.sendBufferLimit = 16 << 20 })
        let link = try await client.link(to: server).here.id
        for length in [16, 2_000, 60_000] {
            let count = 6_000_000 / (length + 4_000)
            try await client.onLoop { port in
                port.setReading(false, on: link)
                for number in 0..<count { try port.send(OutboundMessage(message(number, length: length)), on: link) }
            }
            // Time for the answers to pile up: it is no more than a chance for them.
            try await client.loop.clock.sleep(for: .milliseconds(200))
            try await client.onLoop { $0.setReading(true, on: link) }
            for expected in 0..<count {
                let answer = try await client.message().message
                try #require(number(of: answer) == expected && answer.bytes.count == length)
            }
        }
        await client.close()
        await server.close()
    }

    @Test("Who does not read holds the far end back; nothing is lost, and it goes on", arguments: Carrier.available)
    func paused(_ carrier: Carrier) async throws {
        let sent = Locked(0)
        let fill: @Sendable (any Port, LinkID) -> Void = { port, link in
            while sent.withLock({ $0 }) < 3_000 {
                let number = sent.withLock { $0 }
                guard (try? port.send(OutboundMessage(message(number, length: 4_000)), on: link)) != nil else { return }
                sent.withLock { $0 = number + 1 }
            }
        }
        let server = try await TestPort.open(
            carrier, options: { $0.sendBufferLimit = 65_536 },
            reaction: { event, port in
                switch event {
                case .up(let link): fill(port, link.id)
                case .writable(let link): fill(port, link)
                default: break
                }
                return true
            })
        let client = try await TestPort.open(
            carrier, acceptsLinks: false,
            reaction: { event, port in
                if case .up(let link) = event { port.setReading(false, on: link.id) }
                return true
            })
        let link = try await client.link(to: server).here.id
        // Until the server stands still: nothing has come for a while.
        var before = -1
        while before != sent.withLock({ $0 }) {
            before = sent.withLock { $0 }
            try await client.loop.clock.sleep(for: .milliseconds(300))
        }
        #expect(before < 3_000, "\(before) messages of 4 000 octets have left without being read")
        try await client.onLoop { $0.setReading(true, on: link) }
        for expected in 0..<3_000 { try #require(number(of: try await client.message().message) == expected) }
        await client.close()
        await server.close()
    }

    @Test(
        "What SCTP had not begun to send when its link ends is handed back, in order, before the end [ARC-065]",
        arguments: Carrier.available.filter(\.isSCTP))
    func unsent(_ carrier: Carrier) async throws {
        let server = try await TestPort.open(
            carrier,
            reaction: { event, port in
                if case .up(let link) = event { port.setReading(false, on: link.id) }
                return true
            })
        let client = try await TestPort.open(carrier, acceptsLinks: false)
        let (here, there) = try await client.link(to: server)
        let count = try await client.onLoop { port in
            var count = 0
            while (try? port.send(OutboundMessage(message(count, length: 8_000)), on: here.id)) != nil { count += 1 }
            return count
        }
        try await server.onLoop { $0.abort(there.id) }
        var unsent: [Int] = []
        let reason: LinkDownReason = try await client.next("the end") { event in
            if case .unsent(let message, _) = event {
                unsent.append(number(of: InboundMessage(bytes: message.bytes)))
                #expect(message.payloadProtocol == 11)
            }
            if case .down(_, let reason) = event { return reason }
            return nil
        }
        #expect(reason == .aborted)
        #expect(!unsent.isEmpty)
        #expect(unsent == Array((count - unsent.count)..<count), "the last ones, in order")
        await client.close()
        await server.close()
    }
}
