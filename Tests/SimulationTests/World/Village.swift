// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport
import SocketLoop

/// A process that asks others and answers them, with whatever concurrency offers: to see whether any of it escapes the
/// seed.
actor Villager: PortReceiver, DatagramReceiver {
    private static let port: UInt16 = 3863
    private static let group = SocketAddress(ip: .ipv4(0xef00_0001), port: 3863)

    private nonisolated let host: Host
    private let servers: [IPAddress]
    private var generator: HostGenerator
    private var door: (any Port)?
    private var phone: (any Port)?
    private var link: LinkID?
    private var outcome: Waiter<Bool>?
    private var end: Waiter<Void>?
    private var questions: [UInt32: Waiter<[UInt8]>] = [:]
    private var lastQuestion: UInt32 = 0
    private(set) var answers = 0
    private(set) var silences = 0
    private(set) var rumours = 0

    init(host: Host, servers: [IPAddress]) {
        self.host = host
        self.servers = servers
        self.generator = host.makeGenerator()
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    func run() async throws {
        self.door = try await self.host.transport.open(
            PortOptions(scheme: .sctp, port: Self.port, acceptsLinks: true, fastFailureDetection: true), receiver: self)
        self.phone = try await self.host.transport.open(
            PortOptions(scheme: .sctp, fastFailureDetection: true), receiver: self)
        let square = try await self.host.transport.open(DatagramOptions(group: Self.group, joins: true), receiver: self)
        let (gossip, teller) = AsyncStream<UInt32>.makeStream(bufferingPolicy: .bufferingNewest(4))
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.keepConnected() }
            for _ in 0..<3 {
                group.addTask {
                    while true {
                        try await self.pause(50, 400)
                        if let number = try await self.ask() { teller.yield(number) }
                    }
                }
            }
            group.addTask {
                for await number in gossip { await self.spread([UInt8(truncatingIfNeeded: number)], over: square) }
            }
        }
    }

    private func spread(_ bytes: [UInt8], over square: any DatagramPort) {
        if self.generator.chance(0.2) { square.send(bytes) }
    }

    private func keepConnected() async throws {
        while true {
            guard let phone = self.phone, !self.servers.isEmpty else { return }
            let server = self.servers[Int(self.generator.below(UInt64(self.servers.count)))]
            let outcome = Waiter<Bool>()
            self.outcome = outcome
            let link = try phone.connect(to: RemoteEndpoint(addresses: [server], port: Self.port))
            if try await outcome.value() {
                self.link = link
                let end = Waiter<Void>()
                self.end = end
                try await end.value()
                self.link = nil
            }
            try await self.pause(5, 200)
        }
    }

    /// - Returns: the number of the question, if it was answered.
    private func ask() async throws -> UInt32? {
        guard let link = self.link, let phone = self.phone else { return nil }
        self.lastQuestion += 1
        let number = self.lastQuestion
        let answer = Waiter<[UInt8]>()
        self.questions[number] = answer
        defer { self.questions[number] = nil }
        var bytes = withUnsafeBytes(of: number.bigEndian) { [0] + Array($0) }
        bytes += (0..<Int(self.generator.below(100))).map { _ in UInt8(truncatingIfNeeded: self.generator.next()) }
        do {
            let stream = UInt16(self.generator.below(3))
            try phone.send(OutboundMessage(bytes: bytes, payloadProtocol: 11, stream: stream), on: link)
        } catch {
            return nil
        }
        let clock = self.host.clock
        let isAnswered = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { [count = bytes.count] in try await answer.value().count == count }
            group.addTask {
                try await clock.sleep(for: .milliseconds(300))
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
        if isAnswered { self.answers += 1 } else { self.silences += 1 }
        return isAnswered ? number : nil
    }

    private func pause(_ least: UInt64, _ most: UInt64) async throws {
        let span = least + self.generator.below(most - least)
        try await self.host.clock.sleep(for: .milliseconds(Int(span)))
    }

    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { $0.take(event, from: port) }
    }

    nonisolated func received(datagram bytes: [UInt8], from source: SocketAddress) {
        self.assumeIsolated { $0.rumours += 1 }
    }

    private func take(_ event: LinkEvent, from port: any Port) {
        switch event {
        case .up(let link):
            if !link.isIncoming { self.outcome?.end(.success(true)) }
        case .message(let message, let link):
            guard let kind = message.bytes.first else { return }
            if kind == 0 {
                let bytes = [1] + message.bytes.dropFirst()
                try? port.send(
                    OutboundMessage(bytes: bytes, payloadProtocol: 11, stream: message.stream), on: link)
            } else {
                let number = message.bytes[1..<5].reduce(0) { $0 << 8 | UInt32($1) }
                self.questions[number]?.end(.success(message.bytes))
            }
        case .down(let link, _):
            guard link.port == self.phone?.id else { return }
            self.outcome?.end(.success(false))
            self.end?.end()
        case .writable, .unsent:
            break
        }
    }
}

/// Six villagers, and faults drawn from the seed.
enum Village {
    struct Report: Equatable {
        var fingerprint: UInt64
        var counters: WorldCounters
        var problems: [String]
    }

    static func simulate(seed: UInt64, for span: Duration) throws -> Report {
        let world = World(seed: seed)
        let names = ["a", "b", "c", "d", "e", "f"]
        let servers = (1...3).map { IPAddress.ipv4(0x0a00_0000 + $0) }
        for name in names { self.populate(world.startNode(name), servers) }
        let problems = Locked<[String]>([])
        var moment = Duration.zero
        while moment < span {
            moment += .milliseconds(Int(100 + world.generator.below(900)))
            let lasting = Duration.milliseconds(Int(10 + world.generator.below(1000)))
            let first = names[Int(world.generator.below(6))]
            let second = names[Int(world.generator.below(6))]
            let choice = Int(world.generator.below(8))
            world.at(moment) { [unowned world] in
                do {
                    try self.fault(choice, first, second, in: world, for: lasting) { self.populate($0, servers) }
                } catch {
                    problems.withLock { $0.append("\(error)") }
                }
            }
        }
        try world.run(until: span)
        let counters = world.counters
        try world.shutDown()
        return Report(fingerprint: world.fingerprint, counters: counters, problems: problems.withLock { $0 })
    }

    private static func populate(_ node: Node, _ servers: [IPAddress]) {
        let villager = Villager(host: node.host, servers: servers.filter { !node.addresses.contains($0) })
        node.start { try await villager.run() }
    }

    private static func fault(
        _ choice: Int, _ first: String, _ second: String, in world: World, for span: Duration,
        populate: @escaping (Node) -> Void
    ) throws {
        guard let one = world.node(first), let two = world.node(second), one.isAlive, !one.isFrozen else { return }
        if choice > 2, one === two { return }
        let end = world.now + span
        switch choice {
        case 0, 1:
            try world.crash(one, choice == 0 ? .process : .machine)
            world.at(end) { [unowned world] in populate(world.restart(one)) }
        case 2:
            world.freeze(one)
            world.at(end) { [unowned world] in if one.isFrozen { world.thaw(one) } }
        case 3, 4:
            world.partition(one, two, choice == 3 ? .both : .forth)
            world.at(end) { [unowned world] in world.heal(one, two) }
        case 5:
            world.clog(one, two, .back)
            world.at(end) { [unowned world] in world.healAll() }
        case 6:
            world.loseLinks(between: one, and: two)
        default:
            let conditions = PathConditions(latency: .milliseconds(5), jitter: span, loss: 0.2, duplication: 0.2)
            world.setConditions(conditions, between: one, and: two)
            world.at(end) { [unowned world] in world.setConditions(nil, between: one, and: two) }
        }
    }
}
