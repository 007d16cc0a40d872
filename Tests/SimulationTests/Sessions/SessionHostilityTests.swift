// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

@Suite("Sessions among elements and users that do harm")
struct SessionHostilityTests {
    @Test("A request that kills whoever gets it is tried at each element once, and fails")
    func poison() throws {
        var lab = try SessionLab()
        let executed = Gathered<Int>()
        for index in 1...3 {
            try lab.addServer(index) { session in
                for await _ in session.requests {
                    executed.append(index)
                    throw Unexpected("poison")
                }
            }
        }
        let error = try lab.lab.failure(lab.user.session { try await $0.request([1]) }, within: .seconds(20))
        #expect(error.code == .noPoolElement)
        #expect(error.fate == .perhapsExecuted)
        #expect(executed.all.sorted() == [1, 2, 3])
    }

    @Test("What comes behind a cookie that is refused is not executed [ASAP-219]")
    func behindRefusedCookie() throws {
        var lab = try SessionLab()
        let executed = Gathered<UInt8>()
        try lab.addServer(1, { $0.cookieKey = CookieKey(octets: [UInt8](repeating: 1, count: 16)) }) { session in
            for await request in session.requests { executed.append(request.bytes[0]) }
        }
        let registered = try lab.lab.value(lab.user.resolve()).members.first
        let port = try #require(registered?.transport.port)
        let peer = try lab.lab.world.startPeer("forger")
        try lab.lab.world.connect(peer, to: lab.element(1).node, port: port)
        for _ in 0..<3 { try peer.send(message(0x0c, tlv(0x000d, [UInt8](repeating: 9, count: 40)))) }
        try peer.send([7], payloadProtocol: 0)
        try lab.lab.world.run(for: .seconds(1))
        #expect(executed.all == [])
        let element = try lab.element(1)
        #expect(element.node.inspect { element.element.assumeIsolated { $0.rejectedCookies } } == 1)
        #expect(peer.allHeard.map(\.type) == [0x0e])
    }

    @Test("A user over TCP cannot pass for a registrar")
    func userAsRegistrar() throws {
        var lab = try SessionLab()
        try lab.addServer(1, { $0.listen = .tcp("*", port: 0) }) { session in
            for await request in session.requests { try await session.send(request.bytes, answering: request) }
        }
        let element = try lab.element(1)
        let home = element.node.inspect { element.element.assumeIsolated { $0.homeBelief.addresses } }
        let transport = try #require(try lab.lab.value(lab.user.resolve()).members.first?.transport)
        let forged = try KeepAliveForger.keepAlive()
        _ = try lab.lab.value(
            lab.user.node.call { [user = lab.user.user] in
                var configuration = Session.Configuration()
                // Its own envelope around what only ASAP may say.
                configuration.streamFraming = .none
                _ = try await user.withSession(at: transport, configuration: configuration) { session in
                    try await session.send(forged)
                }
            })
        try lab.lab.world.run(for: .seconds(2))
        #expect(element.node.inspect { element.element.assumeIsolated { $0.homeBelief.addresses } } == home)
        #expect(element.isRegistered)
        #expect(element.end.result == nil)
    }

    @Test("Whoever reads the events may ask meanwhile, however much waits to be read")
    func readerAsks() throws {
        var lab = try SessionLab()
        try lab.addServer(1) { session in
            for await request in session.requests {
                if request.bytes[0] == 0 {
                    for _ in 0..<200 { try await session.send([UInt8](repeating: 1, count: 1_000)) }
                } else {
                    try await session.send([42], answering: request)
                }
            }
        }
        let outcome = lab.user.session({ $0.maxPendingEvents = 16 }) { session in
            try await session.send([0])
            var messages = 0
            for await event in session.events {
                guard case .message = event else { continue }
                messages += 1
                // The stream is in full flow; the answer to this is whatever comes next.
                if messages == 20 { _ = try await session.request([5]) }
                if messages == 190 { break }
            }
            return messages
        }
        #expect(try lab.lab.value(outcome, within: .seconds(4)) == 190)
        #expect(lab.registrar.statistics(.unreachableReports) == 0)
    }

    @Test(
        "Behind an answer an element is held back again while the reader is behind, and read on where nobody reads any more",
        arguments: [true, false])
    func heldBackAgain(hasReader: Bool) throws {
        var lab = try SessionLab()
        try lab.addServer(1) { session in
            for await request in session.requests where request.bytes == [0] {
                for number in 1...200 { try await session.send([UInt8(number)]) }
            }
        }
        let (isFull, isOver) = (Gate(), Gate())
        let outcome = lab.user.session({ $0.maxPendingEvents = 16 }) { session in
            let events = session.events
            var reader: SessionEvents.Iterator? = events.makeAsyncIterator()
            try await session.send([0])
            try await isFull.pass()
            if !hasReader { reader = nil }
            // The answer is whatever comes next.
            _ = try await session.request([5])
            try await isOver.pass()
            withExtendedLifetime(reader) {}
            return events
        }
        try lab.lab.world.run(for: .seconds(1))
        isFull.open()
        try lab.lab.world.run(for: .seconds(1))
        isOver.open()
        // What it had taken when it was closed is still handed out.
        let taken = try lab.lab.value(outcome)
        let waiting = Gathered<UInt8>()
        _ = try lab.lab.value(
            lab.user.node.call {
                for await event in taken {
                    if case .message(let message) = event { waiting.append(message.bytes[0]) }
                }
            })
        if hasReader {
            #expect(waiting.all == Array(1...waiting.all.count).map(UInt8.init))
            #expect(waiting.all.count < 20)
        } else {
            #expect(waiting.all.last == 200)
        }
    }

    @Test("Asked to connect where nobody is, it says so to who listens")
    func connectToNobody() throws {
        let lab = try SessionLab()
        let outcome = lab.user.session { session in
            await session.connect()
            for await event in session.events {
                if case .interrupted(let error) = event { return error.code }
            }
            throw Unexpected("nothing was told")
        }
        #expect(try lab.lab.value(outcome, within: .seconds(5)) == .unknownPool)
    }

    @Test("An element that ends each session at once is not run at: pauses grow")
    func endsAtOnce() throws {
        var lab = try SessionLab()
        try lab.addServer(1) { session in
            for await request in session.requests {
                try await session.keep([1])
                try await session.send(request.bytes, answering: request)
                return
            }
        }
        var attempts = 0
        let user = lab.user.node.name
        lab.lab.world.observer = { event in
            if event.node == user, case .connecting = event.kind { attempts += 1 }
        }
        let outcome = lab.user.session { session in
            _ = try await session.request([1])
            for await _ in session.events {}
        }
        try lab.lab.world.run(for: .seconds(20))
        #expect(outcome.result == nil)
        #expect(attempts < 30, "\(attempts) in 20 s")
    }

    @Test("A service that ends each session behind its answer is asked again at once, and is not reported")
    func oneShot() throws {
        var lab = try SessionLab()
        try lab.addServer(1) { session in
            for await request in session.requests {
                try await session.send(request.bytes, answering: request)
                return
            }
        }
        let clock = lab.user.node.host.clock
        let outcome = lab.user.session { session in
            for number in 0..<20 as Range<UInt8> {
                #expect(try await session.request([number]).bytes == [number])
                // Until the end of the session has been heard of.
                try await clock.sleep(for: .milliseconds(10))
            }
        }
        try lab.lab.value(outcome, within: .seconds(1))
        #expect(lab.registrar.statistics(.unreachableReports) == 0)
    }

    @Test("A card full of names leads nowhere but to elements that the registrar knows")
    func forgedCard() throws {
        var lab = try SessionLab()
        try lab.addEchoes(2)
        let element = try lab.element(1)
        // A victim's identifier at an address where nobody is.
        let forged = (0..<50 as Range<UInt32>).map {
            PoolMember(
                id: PoolElementID(rawValue: $0 == 0 ? 2 : 1_000 + $0), life: .infinite,
                transport: .sctp(SCTPTransport(port: 1, addresses: [.ipv4(0xc0a8_0101)])), policy: .roundRobin)
        }
        let gate = Gate()
        let outcome = lab.user.session(element: 1) { session in
            _ = try await session.request([1])
            try await gate.pass()
            return try await session.request([2]).element.rawValue
        }
        try lab.lab.world.run(for: .seconds(1))
        element.node.inspect { element.element.assumeIsolated { $0.setSuccessors(forged) } }
        try lab.lab.world.run(for: .seconds(1))
        try lab.crash(1)
        gate.open()
        #expect(try lab.lab.value(outcome, within: .seconds(2)) == 2)
        #expect(lab.registrar.size.elements >= 1)
    }

    @Test("A session that is closed while it looks for an element ends at once, and reports nobody")
    func closedWhileBinding() throws {
        var lab = try SessionLab()
        try lab.addEchoes(2)
        _ = try lab.lab.value(lab.user.resolve())
        for id in [1, 2] as [UInt32] { lab.lab.world.freeze(try lab.element(id).node) }
        let outcome = lab.user.session { session in
            do {
                _ = try await session.request([1], timeout: .milliseconds(200))
                throw Unexpected("it was answered")
            } catch let error as PoolError { return error }
        }
        let error = try lab.lab.value(outcome, within: .seconds(3))
        #expect(error.code == .timedOut)
        #expect(error.fate == .notExecuted)
        try lab.lab.world.run(for: .seconds(1))
        #expect(lab.registrar.statistics(.unreachableReports) == 0)
    }

    @Test("A reader of a served session that was cancelled leaves what comes to the next one")
    func cancelledReader() throws {
        var lab = try SessionLab()
        try lab.addServer(1) { session in
            for await request in session.requests {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { for await _ in session.requests {} }
                    try? await session.element.host.clock.sleep(for: .milliseconds(20))
                    group.cancelAll()
                }
                try await session.send(request.bytes, answering: request)
            }
        }
        let answers = try lab.lab.value(
            lab.user.session { session in
                var answers: [[UInt8]] = []
                for number in 0..<5 as Range<UInt8> { answers.append(try await session.request([number]).bytes) }
                return answers
            })
        #expect(answers == [[0], [1], [2], [3], [4]])
    }
}

private enum KeepAliveForger {
    /// A keep-alive with the home bit in our envelope, and a rejection behind it.
    static func keepAlive() throws -> [UInt8] {
        SessionEnvelope.wrap(Say.keepAlive(0xbad, "EchoPool", h: true), payloadProtocol: 11)
            + SessionEnvelope.wrap(Say.rejected("EchoPool", 1, errorTLV((0x0005, roundRobinTLV))), payloadProtocol: 11)
    }
}
