// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("Keep-alives and reports at the registrar (RFC 5352 §3.4, §3.5)")
struct RegistrarKeepAliveTests {
    /// An element that acknowledges.
    private static let living: ScriptedPeer.Script = { heard, _ in
        heard.type == 0x07 ? [Say.alive("EchoPool", UInt32(heard.bytes.last ?? 0))] : []
    }

    private let lab: RegistrarWorld
    private let peer: ScriptedPeer

    init() throws {
        self.lab = try RegistrarWorld()
        self.peer = try self.lab.peer()
    }

    private static func periodic() throws -> RegistrarWorld {
        try RegistrarWorld { $0.timers.keepAliveInterval = .seconds(10) }
    }

    @Test(
        "Periodic keep-alives with H = 0, from the owner, naming the element [ASAP-015, ASAP-158, ASAP-162, ASAP-172]")
    func periodic() throws {
        let lab = try Self.periodic()
        let peer = try lab.peer()
        peer.follow(Self.living)
        try lab.register(peer, 1, life: .max)
        try lab.world.run(for: .seconds(600))
        let keepAlives = peer.heard(.endpointKeepAlive)
        #expect((40...120).contains(keepAlives.count))
        for heard in keepAlives { #expect(heard.bytes == Say.keepAlive(RegistrarWorld.id, "EchoPool", idTLV(1))) }
        for (earlier, later) in zip(keepAlives, keepAlives.dropFirst()) {
            #expect((.seconds(5) ... .milliseconds(15_010)).contains(later.time - earlier.time))
        }
        #expect(try lab.resolve(peer) == [1])
    }

    @Test("Without naming the element, for old peers: the octets of E9a, H = 0")
    func unnamed() throws {
        let lab = try RegistrarWorld { $0.namesElementInKeepAlive = false }
        let peer = try lab.peer()
        try lab.register(peer, 1)
        #expect(
            try lab.exchange(peer, Say.unreachable("EchoPool", 1))
                == [hex("07000014 cafe0001 0009000c 4563686f 506f6f6c")])
    }

    @Test("A hundred elements that register together are asked spread over time [ASAP-160]")
    func spread() throws {
        let lab = try Self.periodic()
        let peer = try lab.peer()
        peer.follow(Self.living)
        for id in 1...100 as ClosedRange<UInt32> {
            try peer.send(Say.register("EchoPool", elementTLV(id, life: .max, sctpTLV(peer.address), roundRobinTLV)))
        }
        try lab.world.run(for: .seconds(300))
        let times = peer.heard(.endpointKeepAlive).map(\.time)
        #expect(times.count > 2_000)
        // No burst: over 10 ms not more than a few of a hundred.
        for (index, time) in times.enumerated() where index + 5 < times.count {
            #expect(times[index + 5] - time > .milliseconds(10), "six within 10 ms at \(time)")
        }
        #expect(lab.size.elements == 100)
    }

    @Test("Connected but mute: removed after the time to acknowledge, and told so [ASAP-161]")
    func mute() throws {
        let lab = try Self.periodic()
        let peer = try lab.peer()
        try lab.register(peer, 1, life: .max)
        let other = try lab.peer()
        try lab.world.run(for: .milliseconds(9_900))
        #expect(try lab.resolve(other) == [1])
        try lab.world.run(for: .seconds(11))
        #expect(try lab.resolve(other) == nil)
        #expect(peer.allHeard.last?.bytes == Say.left("EchoPool", 1))
        let keepAlive = peer.heard(.endpointKeepAlive)
        #expect(keepAlive.count == 1)
        if let asked = keepAlive.first?.time, let removed = peer.allHeard.last?.time {
            #expect((.milliseconds(4_990) ... .milliseconds(5_010)).contains(removed - asked))
        }
    }

    @Test("Its host dies: gone as soon as the association is known to be lost [ASAP-159]")
    func hostDies() throws {
        let lab = try RegistrarWorld { $0.fastFailureDetection = true }
        let peer = try lab.peer()
        try lab.register(peer, 1, life: .max)
        let other = try lab.peer()
        try lab.world.crash(peer.node, .machine)
        try lab.world.run(for: .milliseconds(200))
        #expect(try lab.resolve(other) == nil)
    }

    @Test("An acknowledgement for nobody, or from a stranger, has no effect [ASAP-163]")
    func strangeAcknowledgements() throws {
        try self.lab.register(self.peer, 1)
        let stranger = try self.lab.peer()
        _ = try self.lab.exchange(stranger, Say.unreachable("EchoPool", 1))
        #expect(
            try self.lab.exchange(stranger, Say.alive("EchoPool", 1), Say.alive("EchoPool", 9), Say.alive("x", 1))
                .isEmpty)
        #expect(self.lab.statistics(.keepAlivesAcknowledged) == 0)
        try self.lab.world.run(for: .seconds(6))
        #expect(try self.lab.resolve(stranger) == nil, "the stranger could not save it")
    }

    @Test("A report asks the element at once, with H = 0; it lives and stays [ASAP-171, ASAP-172, ASAP-174]")
    func report() throws {
        self.peer.follow(Self.living)
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user")
        _ = self.peer.newlyHeard()
        try user.send(Say.unreachable("EchoPool", 1))
        let moment = self.lab.world.now
        try self.lab.world.run(for: .seconds(10))
        let heard = self.peer.newlyHeard()
        #expect(heard.map(\.bytes) == [Say.keepAlive(RegistrarWorld.id, "EchoPool", idTLV(1))])
        #expect(heard.first.map { $0.time - moment < .milliseconds(5) } == true)
        #expect(user.allHeard.isEmpty, "a report has no answer")
        #expect(try self.lab.resolve(user) == [1])
    }

    @Test("A report over TCP counts as well")
    func reportOverTCP() throws {
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user", .tcp)
        _ = try self.lab.exchange(user, Say.unreachable("EchoPool", 1))
        #expect(self.peer.newlyHeard().last?.type == 0x07)
    }

    @Test("A reported element that cannot be reached is removed [ASAP-173]")
    func reportOfTheDead() throws {
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user")
        // Silent in a way that no association notices.
        self.lab.world.clog(self.lab.node, self.peer.node)
        _ = try self.lab.exchange(user, Say.unreachable("EchoPool", 1))
        #expect(try self.lab.resolve(user) == [1])
        try self.lab.world.run(for: .seconds(5))
        #expect(try self.lab.resolve(user) == nil)
    }

    @Test(
        """
        More reporters than MAX-BAD-PE-REPORT remove it although it lives; a registration clears the record \
        [ASAP-085, ASAP-175]
        """
    )
    func manyReporters() throws {
        self.peer.follow(Self.living)
        try self.lab.register(self.peer, 1)
        let users = try (0..<4).map { _ in try self.lab.peer() }
        for user in users.prefix(3) {
            for _ in 0..<5 { _ = try self.lab.exchange(user, Say.unreachable("EchoPool", 1)) }
            try self.lab.world.run(for: .seconds(2))
        }
        #expect(try self.lab.resolve(users[0]) == [1], "each reporter counts once")
        try self.lab.register(self.peer, 1)
        _ = try self.lab.exchange(users[3], Say.unreachable("EchoPool", 1))
        #expect(try self.lab.resolve(users[0]) == [1], "a clean record")
        for user in users.prefix(3) { _ = try self.lab.exchange(user, Say.unreachable("EchoPool", 1)) }
        #expect(try self.lab.resolve(users[0]) == nil)
    }

    @Test("The threshold is a setting [ASAP-175, ASAP-265]", arguments: [0, 1, 5])
    func threshold(value: Int) throws {
        let lab = try RegistrarWorld { $0.timers.maxBadPEReport = value }
        let peer = try lab.peer()
        peer.follow(Self.living)
        try lab.register(peer, 1)
        let users = try (0...value).map { _ in try lab.peer() }
        for (index, user) in users.enumerated() {
            #expect(try lab.resolve(user) == [1], "after \(index) reports")
            _ = try lab.exchange(user, Say.unreachable("EchoPool", 1))
        }
        #expect(try lab.resolve(users[0]) == nil)
    }

    @Test("Reports on nobody are ignored without answer [ASAP-176]")
    func unknownElement() throws {
        try self.lab.register(self.peer, 1)
        #expect(try self.lab.exchange(self.peer, Say.unreachable("EchoPool", 9), Say.unreachable("other", 1)).isEmpty)
        #expect(try self.lab.resolve(self.peer) == [1])
    }

    @Test("Fifty reports while it is being asked are one keep-alive [ASAP-179]")
    func oneCheck() throws {
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user")
        _ = self.peer.newlyHeard()
        for _ in 0..<50 { try user.send(Say.unreachable("EchoPool", 1)) }
        try self.lab.world.run(for: .milliseconds(10))
        #expect(self.peer.newlyHeard().map(\.type) == [0x07])
        #expect(self.lab.statistics(.unreachableReports) == 50)
    }

    @Test("A flood of reports on a living element: at most one keep-alive a second [ASAP-301]")
    func flood() throws {
        self.peer.follow(Self.living)
        try self.lab.register(self.peer, 1)
        let user = try self.lab.peer("user")
        _ = self.peer.newlyHeard()
        for _ in 0..<1_000 {
            try user.send(Say.unreachable("EchoPool", 1))
            try self.lab.world.run(for: .milliseconds(10))
        }
        #expect((9...12).contains(self.peer.newlyHeard().count))
        #expect(try self.lab.resolve(user) == [1])
    }

    @Test("An element is asked where it registered from, over a new association if need be [ASAP-074]")
    func asapTransport() throws {
        self.peer.follow(Self.living)
        try self.lab.register(self.peer, 1)
        self.peer.shutdown()
        try self.lab.world.run(for: .milliseconds(50))
        let heard = self.peer.newlyHeard()
        #expect(heard.map(\.type) == [0x07])
        #expect(self.peer.openLinks.last?.isIncoming == true)
        #expect(self.peer.openLinks.last?.remote.port == 3863, "from the registrar's own port")
    }
}
