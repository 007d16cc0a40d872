// SPDX-License-Identifier: Apache-2.0

import Foundation
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolWire
import Testing

/// What registrars say to one another, and what they know then, written down beside this file, one text a scenario, for
/// people who want to see the protocol at work. A change of what is said shows as a difference of the text; with
/// RSERPOOL_WRITE_TRANSCRIPTS in the environment the texts are written anew, to be read before they are committed.
@Suite("Transcripts: what is said in a scope, word by word")
struct TranscriptTests {
    private let lab = TranscriptWorld()

    @Test("Start-up: a newcomer learns peers and handlespace from its mentor")
    func startUp() throws {
        try self.lab.startRegistrar(1, peers: [])
        try self.lab.startRegistrar(2, peers: [1])
        try self.lab.startElement(1, registrars: [1, 2])
        try self.lab.startElement(2, registrars: [2, 1])
        try self.lab.pass(2)
        try self.lab.write("start-up") {
            try self.lab.startRegistrar(3, peers: [1])
            try self.lab.pass(1)
        }
    }

    @Test("Update: a registration, a change of policy and a deregistration reach everybody")
    func update() throws {
        try self.lab.startThree()
        try self.lab.write("update") {
            try self.lab.startElement(1, registrars: [1])
            try self.lab.pass(0.05)
            self.lab.state("registered")
            self.lab.elements[1]?.setLoad(7)
            try self.lab.pass(0.05)
            self.lab.elements[1]?.deregister()
            try self.lab.pass(0.05)
        }
    }

    @Test("Audit: an update that was lost with an association is made good by checksum")
    func audit() throws {
        try self.lab.startTwo()
        try self.lab.startElement(1, registrars: [1])
        try self.lab.pass(1)
        try self.lab.write("audit") {
            let (first, second) = (try self.lab.node(1), try self.lab.node(2))
            self.lab.world.partition(first, second)
            try self.lab.startElement(2, registrars: [1])
            try self.lab.pass(0.3)
            self.lab.state("registrar-2 has missed an update")
            self.lab.world.healAll()
            try self.lab.pass(3)
        }
    }

    @Test("Takeover: a registrar dies, its elements have another home")
    func takeover() throws {
        try self.lab.startThree()
        for id in 1...2 as ClosedRange<UInt32> { try self.lab.startElement(id, registrars: [1, 2, 3]) }
        try self.lab.pass(2)
        try self.lab.write("takeover") {
            try self.lab.world.crash(try self.lab.node(1), .process)
            try self.lab.pass(1)
        }
    }

    @Test("Contested takeover: two begin at once, the smaller ID gives way")
    func contested() throws {
        try self.lab.startThree()
        try self.lab.startElement(1, registrars: [1, 2, 3])
        try self.lab.pass(2)
        try self.lab.write("contested-takeover") {
            self.lab.world.freeze(try self.lab.node(1))
            try self.lab.pass(1.5)
        }
    }

    @Test("Return: a registrar that was stopped and taken over speaks again")
    func returns() throws {
        try self.lab.startThree()
        try self.lab.startElement(1, registrars: [1, 2, 3])
        try self.lab.pass(2)
        self.lab.world.freeze(try self.lab.node(1))
        try self.lab.pass(5)
        try self.lab.write("return") {
            self.lab.world.thaw(try self.lab.node(1))
            try self.lab.pass(2)
        }
    }
}

/// Registrars, numbered 1 to 3, and elements with numbers of their own.
private final class TranscriptWorld {
    private let clients: ClientWorld
    private var transcript = ScopeTranscript(limit: 0)
    private var registrars: [UInt32: TestRegistrar] = [:]
    private(set) var elements: [UInt32: TestElement] = [:]

    init() {
        var options = WorldOptions()
        options.sctpStack = .kernel
        options.conditions = PathConditions(latency: .milliseconds(1), jitter: .zero)
        self.clients = ClientWorld(options: options)
    }

    var world: World { self.clients.world }

    func node(_ number: UInt32) throws -> Node { try #require(self.registrars[number]).node }

    func startRegistrar(_ number: UInt32, peers: [UInt32]) throws {
        let peers = try peers.map { try #require(self.registrars[$0]).enrpEndpoint }
        self.registrars[number] = try self.clients.startRegistrar("registrar-\(number)", id: number) {
            $0.peers = peers
            ($0.timers, $0.enrpTimers, $0.fastFailureDetection) = (.lan, .lan, true)
            $0.timers.keepAliveInterval = .zero
        }
    }

    /// Each starts when the ones before it serve.
    func startTwo() throws {
        try self.startRegistrar(1, peers: [])
        try self.pass(2)
        try self.startRegistrar(2, peers: [1])
        try self.pass(2)
    }

    func startThree() throws {
        try self.startTwo()
        try self.startRegistrar(3, peers: [1])
        try self.pass(2)
    }

    func startElement(_ id: UInt32, registrars: [UInt32]) throws {
        let endpoints = try registrars.map { try #require(self.registrars[$0]).endpoint }
        self.elements[id] = try self.clients.element("element-\(id)", registrars: endpoints) {
            $0.id = PoolElementID(rawValue: id)
            $0.policy = .leastUsed(load: Load(rawValue: 0))
            ($0.timers, $0.fastFailureDetection) = (.lan, true)
        }
    }

    func pass(_ seconds: Double) throws { try self.world.run(for: .seconds(seconds)) }

    /// What each registrar knows.
    func state(_ title: String) {
        self.remark("\(title):")
        for (number, registrar) in self.registrars.sorted(by: { $0.key < $1.key }) where registrar.node.isAlive {
            let peers = registrar.peers.map { "\($0.id) \($0.status.rawValue)" }.joined(separator: ", ")
            let members = registrar.members.sorted { $0.key.id < $1.key.id }.map { "\($0.key.id)@\($0.value.home)" }
            self.remark("  registrar-\(number): EchoPool [\(members.joined(separator: " "))]; peers \(peers)")
        }
    }

    private func remark(_ text: String) { self.transcript.remark(text, at: self.world.now) }

    /// Compares what is said meanwhile, and what is known before and after, with what is written down.
    func write(_ name: String, _ body: () throws -> Void) throws {
        let transcript = ScopeTranscript(limit: 2_000)
        self.transcript = transcript
        self.world.observer = { transcript.note($0) }
        self.state("before")
        try body()
        self.state("after")
        self.world.observer = nil
        let text = transcript.text.joined(separator: "\n") + "\n"
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("\(name).txt")
        if ProcessInfo.processInfo.environment["RSERPOOL_WRITE_TRANSCRIPTS"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let written = try String(contentsOf: file, encoding: .utf8)
        let (new, old) = (text.split(separator: "\n"), written.split(separator: "\n"))
        let place =
            zip(new, old).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(new.count, old.count)
        #expect(new == old, "\(name).txt differs from line \(place + 1) on: \(new.dropFirst(place).prefix(5))")
        try self.world.shutDown()
    }
}
