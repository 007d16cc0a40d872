// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Synchronization
import Testing

extension ProgramTests {
    /// Each kind of fault once; `RSERPOOL_SOAK_ROUNDS` asks for more.
    @Test(
        "Three registrars, six elements, two users: who is killed or stopped, every question is answered",
        .timeLimit(.minutes(60)))
    func soak() async throws {
        let wanted = ProcessInfo.processInfo.environment["RSERPOOL_SOAK_ROUNDS"].flatMap(Int.init)
        var soak = try await Soak()
        try await soak.agree(members: 6)
        for _ in 0..<(wanted ?? Soak.Fault.allCases.count) { try await soak.round() }
        if wanted != nil { print("soak: \(soak.rounds) rounds, \(soak.answered) questions, each answered") }
        #expect(soak.answered >= soak.rounds * 2)
    }
}

/// A scope of processes on this machine, and what can happen to them.
private struct Soak {
    enum Fault: CaseIterable { case registrarKilled, registrarStopped, elementKilled, elementStopped }

    private final class Flag: Sendable {
        private let value = Mutex(false)

        var isRaised: Bool { self.value.withLock { $0 } }

        func raise() { self.value.withLock { $0 = true } }
    }

    private struct Element {
        var process: RunningProgram
        var id: String
    }

    private(set) var rounds = 0
    private(set) var answered = 0
    private var registrars: [RunningRegistrar]
    private var elements: [Element] = []
    private let users: [RunningProgram]

    init() async throws {
        self.registrars = try await RunningRegistrar.startScope(ids: ["0x1", "0x2", "0x3"])
        for index in 0..<6 { self.elements.append(try await Self.element(index, of: self.registrars)) }
        let registrars = self.registrars
        self.users = try [0, 1].map { index in
            try RunningProgram(
                ["connect", "P", "--json", "--sctp", "userland", "--preset", "lan"]
                    + Self.options(registrars, first: index))
        }
    }

    private static func options(_ registrars: [RunningRegistrar], first: Int) -> [String] {
        registrars.indices.flatMap { ["--registrar", registrars[(first + $0) % registrars.count].sctp] }
    }

    private static func element(_ index: Int, of registrars: [RunningRegistrar]) async throws -> Element {
        let process = try RunningProgram(
            [
                "serve", "echo", "P", "--listen", "sctp:127.0.0.1:0", "--sctp", "userland", "--preset", "lan", "--id",
                "0x1\(index)",
            ] + self.options(registrars, first: index))
        _ = try await process.line { $0.hasPrefix("ready ") }
        return Element(process: process, id: "0x0000001\(index)")
    }

    /// The next fault, and its repair; meanwhile both users ask all the time.
    mutating func round() async throws {
        let isOver = Flag()
        let (users, round) = (self.users, self.rounds)
        self.answered += try await withThrowingTaskGroup(of: Int.self) { group in
            for (index, user) in users.enumerated() {
                group.addTask {
                    var count = 0
                    while !isOver.isRaised {
                        let question = "\(round)-\(index)-\(count)"
                        // It writes a line per answer: those that are there are of older questions.
                        let known = user.output.utf8.count { $0 == UInt8(ascii: "\n") }
                        try user.write(question)
                        _ = try await user.line(skipping: known) { $0.contains(#""answer":"\#(question)""#) }
                        count += 1
                    }
                    return count
                }
            }
            defer { isOver.raise() }
            try await self.cause(Fault.allCases[round % Fault.allCases.count], victim: round / Fault.allCases.count)
            isOver.raise()
            return try await group.reduce(0, +)
        }
        self.rounds += 1
    }

    private mutating func cause(_ fault: Fault, victim: Int) async throws {
        let (registrar, element) = (victim % self.registrars.count, victim % self.elements.count)
        switch fault {
        case .registrarKilled:
            self.registrars[registrar].program.signal(SIGKILL)
            _ = try await self.registrars[registrar].program.end()
            try await self.agree(members: 6, without: registrar)
            try await self.restart(registrar)
        case .registrarStopped:
            self.registrars[registrar].program.signal(SIGSTOP)
            try await self.agree(members: 6, without: registrar)
            self.registrars[registrar].program.signal(SIGCONT)
        case .elementKilled:
            self.elements[element].process.signal(SIGKILL)
            try await self.agree(members: 5)
            self.elements[element] = try await Self.element(element, of: self.registrars)
        case .elementStopped:
            self.elements[element].process.signal(SIGSTOP)
            try await self.agree(members: 5)
            self.elements[element].process.signal(SIGCONT)
        }
        try await self.agree(members: 6)
    }

    private mutating func restart(_ index: Int) async throws {
        let dead = self.registrars[index]
        let others = self.registrars.indices.filter { $0 != index }
        let program = try RunningProgram(
            [
                "--id", "0x\(index + 1)", "--asap", dead.sctp, "--enrp", dead.enrp, "--sctp", "userland", "--preset",
                "lan",
            ] + others.flatMap { ["--peer", self.registrars[$0].enrp] }, program: "rserpool-registrar")
        self.registrars[index] = RunningRegistrar(
            program: program, ready: try await program.line { $0.hasPrefix("ready ") })
    }

    /// Waits until all registrars that run say the same: so many elements, each with a home that runs.
    func agree(members: Int, without stopped: Int? = nil) async throws {
        let running = self.registrars.indices.filter { $0 != stopped }
        let limit = Date(timeIntervalSinceNow: 30)
        var views: [[String]] = []
        while Date() < limit {
            views = []
            for index in running {
                let outcome = try await Program.run(
                    ["dump", self.registrars[index].enrp, "--json", "--sctp", "userland", "--timeout", "2s"])
                views.append(outcome.exit == 0 ? Array(outcome.lines.dropLast()) : [outcome.errors])
            }
            let text = views[0].joined()
            let homes = text.matches(of: /"home":"0x0000000(\d)"/).compactMap { Int($0.1).map { $0 - 1 } }
            if Set(views).count == 1, homes.count == members, homes.allSatisfy(running.contains) { return }
        }
        throw RunningProgram.Missing(description: "no agreement on \(members) elements: \(views)")
    }
}
