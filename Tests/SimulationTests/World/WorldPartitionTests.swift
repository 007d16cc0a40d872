// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import RSerPoolTransport
import Testing

@Suite("The simulated network: faults")
struct WorldPartitionTests {
    @Test("A partition holds back what is sent; healed in time, all of it arrives in order")
    func shortPartition() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        world.partition(a.node, b.node)
        for number in 1...5 { try a.send([UInt8(number)], on: link) }
        try world.run(for: .seconds(2))
        #expect(try b.heard == ["up in"])
        world.heal(a.node, b.node)
        try a.send([6], on: link)
        try world.run(for: .seconds(60))
        #expect(try a.heard == ["up out"])
        #expect(try b.heard == ["up in", "1", "2", "3", "4", "5", "6"])
    }

    @Test("A long partition loses the link on both ends; after it a new one comes up", arguments: [true, false])
    func longPartition(isFast: Bool) throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair { $0.fastFailureDetection = isFast }
        let link = try world.connect(a, to: b)
        world.partition(a.node, b.node)
        try a.send([1], on: link)
        let began = world.now
        try world.run(atMost: .seconds(60), until: { try a.heard.count + b.heard.count == 4 })
        #expect(try a.heard == ["up out", "down lost"])
        #expect(try b.heard == ["up in", "down lost"])
        #expect(world.now - began <= (isFast ? world.options.fastDetection : world.options.normalDetection).upperBound)
        try world.connect(a, to: b)
        #expect(try a.heard.last == "down refused")
        world.healAll()
        try world.connect(a, to: b)
        #expect(try a.heard.last == "up out")
        #expect(try b.heard == ["up in", "down lost", "up in"])
    }

    @Test("Cut in one direction: the other one still carries messages, but no heartbeat is answered")
    func asymmetric() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        let back = try b.act { $0.links[0].id }
        world.partition(a.node, b.node, .forth)
        try a.send([1], on: link)
        try b.send([2], on: back)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "2"])
        #expect(try b.heard == ["up in"])
        try world.run(for: .seconds(10))
        #expect(try a.heard == ["up out", "2", "down lost"])
        #expect(try b.heard == ["up in", "down lost"])
    }

    @Test("Who alone has given up is told so by the far end when it hears of it")
    func oneSided() throws {
        let world = World(seed: 1)
        let a = try world.station("a", Station.sctp(port: 0))
        var options = Station.sctp(port: 3863)
        options.fastFailureDetection = true
        let b = try world.station("b", options)
        try world.connect(a, to: b)
        world.isolate(b.node)
        try world.run(for: .milliseconds(500))
        #expect(try a.heard == ["up out"])
        #expect(try b.heard == ["up in", "down lost"])
        world.healAll()
        try world.run(for: .milliseconds(100))
        #expect(try a.heard == ["up out", "down aborted"])
    }

    @Test("A link may be lost although the way is fine")
    func lostLink() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair { $0.fastFailureDetection = true }
        let link = try world.connect(a, to: b)
        world.loseLinks(between: a.node, and: b.node)
        try a.send([1], on: link)
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out", "down lost"])
        #expect(try b.heard == ["up in", "down lost"])
        try world.connect(a, to: b)
        #expect(try b.heard.last == "up in")
        #expect(world.counters.linksLost == 2)
    }

    @Test("TCP notices a partition by its keep-alives, and a short one not at all")
    func silentTCP() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair(.tcp)
        let link = try world.connect(a, to: b)
        world.partition(a.node, b.node)
        try world.run(for: .seconds(55))
        #expect(try a.heard == ["up out"])
        world.healAll()
        try world.run(for: .seconds(600))
        #expect(try a.heard == ["up out"])
        let cut = world.now
        world.partition(a.node, b.node)
        try a.send([0, 3, 1], on: link)
        try world.run(atMost: .seconds(70), until: { try a.heard.count == 2 })
        #expect(try a.heard == ["up out", "down lost"])
        #expect(world.options.tcpDetection.contains(world.now - cut))
        try world.run(for: .seconds(10))
        #expect(try b.heard == ["up in", "down lost"])
    }

    @Test("A shutdown across a partition ends when the far end is given up")
    func shutdownAcrossPartition() throws {
        let world = World(seed: 1)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        world.partition(a.node, b.node)
        try a.onPort { $0.shutdown(link) }
        try world.run(for: .seconds(1))
        #expect(try a.heard == ["up out"])
        try world.run(for: .seconds(10))
        #expect(try a.heard == ["up out", "down closed"])
        #expect(try b.heard == ["up in", "down lost"])
    }

    @Test("With kernel SCTP a killed process says goodbye after what it had sent, if anything comes through")
    func kernelDeath() throws {
        var options = WorldOptions()
        options.sctpStack = .kernel
        let world = World(seed: 1, options: options)
        let (a, b) = try world.pair()
        let link = try world.connect(a, to: b)
        for number in 1...5 { try a.send([UInt8(number)], on: link) }
        try world.crash(a.node)
        try world.run(for: .seconds(1))
        #expect(try b.heard == ["up in", "1", "2", "3", "4", "5", "down shutdown"])

        let c = try world.station("c", Station.sctp(port: 0))
        let clogged = try world.connect(c, to: b)
        world.clog(c.node, b.node)
        try c.send([1], on: clogged)
        try world.crash(c.node)
        try world.run(for: .seconds(1))
        #expect(try b.heard.suffix(2) == ["up in", "down aborted"])
    }
}
