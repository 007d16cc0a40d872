// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport
import SocketLoop
import Testing

@Suite("The simulated world: crash, freeze, restart")
struct WorldFaultTests {
    @Test("A crash frees all that lived in the process, and nothing of it runs afterwards", arguments: 0..<10)
    func crashFreesEverything(seed: UInt64) throws {
        let world = World(seed: seed)
        let server = world.startNode("server")
        server.start { [host = server.host] in try await Villager(host: host, servers: []).run() }
        try world.settle()
        weak var villager: Villager?
        var node = world.startNode("villager")
        do {
            let created = Villager(host: node.host, servers: server.addresses)
            villager = created
            node.start { [created] in try await created.run() }
        }
        try world.run(until: .milliseconds(Int(1000 + world.generator.below(3000))))
        #expect(villager != nil)
        #expect(node.inspect { villager?.assumeIsolated { $0.answers } ?? 0 } > 0)
        for incarnation in 2...5 {
            try world.crash(node)
            #expect(villager == nil)
            #expect(node.liveRoots == 0)
            let dead = node
            node = world.restart(node)
            #expect(node.incarnation == incarnation)
            let host = node.host
            do {
                let created = Villager(host: host, servers: server.addresses)
                villager = created
                node.start { [created] in try await created.run() }
            }
            try world.run(for: .seconds(30))
            #expect(dead.lateJobs == 0)
            #expect(node.inspect { villager?.assumeIsolated { $0.answers } ?? 0 } > 0, "it lives again")
        }
        try world.shutDown()
        #expect(villager == nil)
    }

    @Test("The world takes its nodes with it")
    func worldGoes() throws {
        weak var weakNode: Node?
        weak var weakVillager: Villager?
        weak var weakWorld: World?
        do {
            let world = World(seed: 1)
            let node = world.startNode("a")
            let villager = Villager(host: node.host, servers: node.addresses)
            node.start { try await villager.run() }
            try world.run(until: .seconds(5))
            (weakNode, weakVillager, weakWorld) = (node, villager, world)
            #expect(node.inspect { villager.assumeIsolated { $0.answers } } > 0, "a process can talk to itself")
        }
        #expect(weakWorld == nil)
        #expect(weakVillager == nil)
        #expect(weakNode == nil)
    }

    @Test("A task that does not hear of its cancellation is reported")
    func survivesCrash() throws {
        let world = World(seed: 1)
        let node = world.startNode("deaf")
        let kept = Locked<CheckedContinuation<Void, Never>?>(nil)
        node.start { await withCheckedContinuation { continuation in kept.withLock { $0 = continuation } } }
        try world.settle()
        #expect(throws: WorldError.survivedCrash(node: "deaf", roots: 1)) { try world.crash(node) }
        // Late, but it ends: what is left of a dead process is run, and counted.
        kept.withLock { $0.take() }?.resume()
        try world.settle()
        #expect(node.liveRoots == 0)
        #expect(node.lateJobs > 0)
    }

    @Test("Nobody hears what a dying process says")
    func dyingIsMute() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        let said = Locked(false)
        a.node.start {
            defer {
                said.withLock { $0 = (try? a.send([9], on: link)) != nil }
            }
            try await a.host.clock.sleep(for: .seconds(99))
        }
        try world.settle()
        try world.crash(a.node)
        #expect(said.withLock { $0 })
        try world.run(for: .seconds(10))
        #expect(try b.heard == ["up in", "down lost"])
    }

    @Test(
        "On userland SCTP a killed process falls silent: its peer knows after the time of failure detection",
        arguments: [true, false])
    func silentDeath(isFast: Bool) throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair { $0.fastFailureDetection = isFast }
        try world.connect(a, to: b)
        let death = world.now
        try world.crash(a.node)
        try world.run(atMost: .seconds(60), until: { try b.heard.count > 1 })
        #expect(try b.heard == ["up in", "down lost"])
        let allowed: ClosedRange<Duration> = isFast ? world.options.fastDetection : world.options.normalDetection
        #expect(allowed.contains(world.now - death), "\(world.now - death)")
    }

    @Test("With kernel SCTP, and over TCP, a killed process is missed at once", arguments: [LinkScheme.sctp, .tcp])
    func audibleDeath(scheme: LinkScheme) throws {
        var options = WorldOptions()
        options.sctpStack = scheme == .sctp ? .kernel : .userland
        let world = World(seed: 1, options: options)
        let (a, b) = try world.pair(scheme)
        try world.connect(a, to: b)
        let death = world.now
        try world.crash(a.node)
        try world.run(atMost: .seconds(60), until: { try b.heard.count > 1 })
        #expect(try b.heard == ["up in", "down shutdown"])
        #expect(world.now - death < .milliseconds(2))
    }

    @Test("Who connects to a dead process is refused at once, to a dead machine only after the time limit")
    func connectToTheDead() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        try world.crash(b.node)
        var began = world.now
        try world.connect(a, to: b)
        #expect(try a.heard == ["down refused"])
        #expect(world.now - began < .milliseconds(3))

        let c = try world.station("c", Station.sctp(port: 3863))
        try world.crash(c.node, .machine)
        began = world.now
        try world.connect(a, to: c)
        #expect(try a.heard == ["down refused", "down refused"])
        #expect(world.now - began == world.options.connectTimeout)

        // When the machine is there again, the attempt that goes on succeeds.
        let attempt = world.now
        world.at(attempt + .milliseconds(3100)) { [unowned world] in
            let again = Station(node: world.restart(c.node))
            again.node.start { try await again.open(Station.sctp(port: 3863)) }
        }
        try world.connect(a, to: c)
        #expect(try a.heard.last == "up out")
        #expect((Duration.milliseconds(3500) ... .milliseconds(3510)).contains(world.now - attempt))
    }

    @Test("A frozen process does nothing; its mail and timers wait, and its clock has jumped")
    func freeze() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let world = World(seed: 1, options: options)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        let ticks = Locked<[Duration]>([])
        b.node.start {
            let start = b.host.clock.now
            for _ in 0..<3 {
                try await b.host.clock.sleep(for: .seconds(1))
                ticks.withLock { $0.append(b.host.clock.now - start) }
            }
        }
        try world.run(for: .milliseconds(1500))
        world.freeze(b.node)
        for number in 1...5 { try a.send([UInt8(number)], on: link) }
        try world.run(for: .seconds(60))
        #expect(try b.heard == ["up in"])
        #expect(ticks.withLock { $0.count } == 1)
        world.thaw(b.node)
        try world.run(for: .seconds(2))
        #expect(try b.heard == ["up in", "1", "2", "3", "4", "5"])
        #expect(ticks.withLock { $0.map { $0.components.seconds } } == [1, 61, 62])
        #expect(try a.heard == ["up out"], "the kernel answered for it")
    }

    @Test("On userland SCTP a process frozen for long is lost to its peers, and hears of that when it goes on")
    func freezeUserland() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair { $0.fastFailureDetection = true }
        try world.connect(a, to: b)
        world.freeze(b.node)
        try world.run(for: .milliseconds(50))
        world.thaw(b.node)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out"], "too short to be noticed")
        world.freeze(b.node)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down lost"])
        #expect(try b.heard == ["up in"])
        world.thaw(b.node)
        try world.run(for: .seconds(1))
        #expect(try b.heard == ["up in", "down aborted"])
    }

    @Test("A process that comes back under its address before anybody missed it replaces its old association")
    func peerRestart() throws {
        let world = World(seed: 1)
        let b = try world.station("b", Station.sctp(port: 3863))
        let a = try world.station("a", Station.sctp(port: 4000))
        try world.connect(a, to: b)
        try world.crash(a.node)
        let again = try world.station(on: world.restart(a.node), Station.sctp(port: 4000))
        try world.connect(again, to: b)
        try world.run(for: .seconds(20))
        #expect(try again.heard == ["up out"])
        #expect(try b.heard == ["up in", "down lost", "up in"])
    }
}
