// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import RSerPoolWire
import Testing

extension ProgramTests {
    @Test("dump shows what every registrar knows, peers whom it knows, and neither leaves a trace")
    func dumpAndPeers() async throws {
        let scope = try await RunningRegistrar.startScope(ids: ["0x11", "0x22", "0x33"])
        let elements = [
            try await scope[0].serveEcho("B", ["--id", "0x3"]), try await scope[0].serveEcho("A", ["--id", "0x2"]),
            try await scope[1].serveEcho("A", ["--id", "0x1"]),
        ]
        var pools: Set<[String]> = []
        for (registrar, id) in zip(scope, ["0x00000011", "0x00000022", "0x00000033"]) {
            let lines = try await Self.dump(registrar, elements: 3)
            #expect(lines.count == 3)
            #expect(lines[0].hasPrefix(#"{"pool":"A","elements":[{"id":"0x00000001","home":"0x00000022","transport":"#))
            #expect(lines[0].contains(#"},{"id":"0x00000002","home":"0x00000011","transport":"#))
            #expect(lines[1].hasPrefix(#"{"pool":"B","elements":[{"id":"0x00000003","home":"0x00000011","transport":"#))
            let sum = Self.checksum(["0x00000011": [("A", 2), ("B", 3)], "0x00000022": [("A", 1)]][id] ?? [])
            #expect(lines[2] == #"{"registrar":"\#(id)","pools":2,"elements":3,"checksum":"\#(sum)"}"#)
            pools.insert(Array(lines.prefix(2)))
        }
        #expect(pools.count == 1, "all say the same")

        let text = try await Program.run(["dump", scope[1].enrp, "--sctp", "userland"])
        #expect(text.exit == 0 && text.errors == "")
        #expect(
            text.lines.map { $0.prefix(14) } == [
                "pool A: 2", "  0x00000001  ", "  0x00000002  ", "pool B: 1", "  0x00000003  ", "registrar 0x00",
            ])
        #expect(
            text.lines.last == "registrar 0x00000022: pools 2, elements 3; own 1, checksum \(Self.checksum([("A", 1)]))"
        )

        // After all these: each still lists the two others, and nobody else.
        for (index, registrar) in scope.enumerated() {
            let others = scope.indices.filter { $0 != index }
            let listed = try await Program.run(["peers", registrar.enrp, "--json", "--sctp", "userland"])
            #expect(listed.exit == 0 && listed.errors == "")
            #expect(
                listed.lines
                    == others.map {
                        let udp = scope[$0].enrp.split(separator: "=").last ?? ""
                        return
                            #"{"id":"0x000000\#($0 + 1)\#($0 + 1)","endpoint":"\#(scope[$0].enrp)","addresses":["127.0.0.1"],"udp":\#(udp)}"#
                    })
        }
        let list = try await Program.run(["peers", scope[2].enrp, "--sctp", "userland"])
        #expect(list.exit == 0)
        #expect(
            list.lines == [
                "registrar 0x00000033 at \(scope[2].enrp) lists 2:", "  0x00000011  \(scope[0].enrp)",
                "  0x00000022  \(scope[1].enrp)",
            ])
        withExtendedLifetime(elements) {}
    }

    @Test("A killed registrar is in no list any more, its elements have another home, and it comes back")
    func takeover() async throws {
        let scope = try await RunningRegistrar.startScope(ids: ["0x11", "0x22", "0x33"])
        // It knows only the registrar that dies: whoever takes over has to find it.
        let (element, id) = try await scope[0].serveEcho("A")
        _ = try await Self.dump(scope[1], elements: 1)
        scope[0].program.signal(SIGKILL)
        for (registrar, other) in [(scope[1], "0x00000033"), (scope[2], "0x00000022")] {
            try await Self.peers(registrar, ids: [other])
            _ = try await Self.dump(registrar, elements: 1) {
                $0.contains { $0.contains(id) && !$0.contains(#""home":"0x00000011""#) }
            }
        }
        let program = try RunningProgram(
            [
                "--id", "0x11", "--asap", scope[0].sctp, "--enrp", scope[0].enrp, "--peer", scope[1].enrp, "--peer",
                scope[2].enrp, "--sctp", "userland", "--preset", "lan",
            ], program: "rserpool-registrar")
        let again = RunningRegistrar(program: program, ready: try await program.line { $0.hasPrefix("ready ") })
        #expect(again.ready == "ready id=0x00000011 asap=\(scope[0].sctp) enrp=\(scope[0].enrp)")
        _ = try await Self.dump(again, elements: 1)
        try await Self.peers(again, ids: ["0x00000022", "0x00000033"])
        try await Self.peers(scope[1], ids: ["0x00000011", "0x00000033"])
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        for registrar in [again, scope[1], scope[2]] { _ = try await Self.dump(registrar, elements: 0) }
        again.program.signal(SIGTERM)
        #expect(try await again.program.end() == 0)
    }

    @Test("The thresholds and their defaults can be read in the help [ENRP-096, ENRP-158]")
    func thresholds() async throws {
        let help = try await Program.run(["registrar", "--help"])
        #expect(help.exit == 0)
        let text = help.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        for threshold in ["peer-heartbeat-cycle=30s", "max-time-last-heard=61s", "max-time-no-response=5s"] {
            #expect(text.contains(threshold), "\(text)")
        }
    }

    @Test("A time after which peers are asked that their heartbeats exceed is warned of, in one line [ENRP-159]")
    func heartbeatTooSlow() async throws {
        for (lastHeard, isWarned) in [("20s", true), ("30s", true), ("31s", false)] {
            let registrar = try await RunningRegistrar.start([
                "--timer", "peer-heartbeat-cycle=30s", "--timer", "max-time-last-heard=\(lastHeard)",
            ])
            registrar.program.signal(SIGTERM)
            #expect(try await registrar.program.end() == 0)
            let warnings = registrar.program.errorOutput.split(separator: "\n").filter { $0.contains("warning") }
            #expect(warnings.count == (isWarned ? 1 : 0), "\(lastHeard): \(warnings)")
            #expect(warnings.allSatisfy { $0.contains("max-time-last-heard") && $0.contains("peer-heartbeat-cycle") })
        }
    }

    @Test("dump and peers: nobody there, and an endpoint that is not ENRP's, are one line and exit 69; late is 75")
    func queriesThatFail() async throws {
        let registrar = try await RunningRegistrar.start()
        for command in ["dump", "peers"] {
            let nobody = try await Program.run([command, "sctp:127.0.0.1:1/udp=1", "--json", "--sctp", "userland"])
            #expect(nobody.exit == 69 && nobody.output == "" && nobody.errorLines.count == 1, "\(nobody)")
            #expect(nobody.errors.hasPrefix(#"{"error":""#) && nobody.errors.hasSuffix("\"exit\":69}\n"))
            let wrong = try await Program.run([command, registrar.sctp, "--sctp", "userland", "--preset", "lan"])
            #expect(wrong.exit == 69 && wrong.output == "" && wrong.errorLines.count == 1, "\(wrong)")
            #expect(wrong.errors.contains(registrar.sctp) && wrong.errors.contains("ENRP"), "\(wrong)")
            let late = try await Program.run([command, registrar.sctp, "--sctp", "userland", "--timeout", "200ms"])
            #expect(late.exit == 75 && late.output == "" && late.errorLines.count == 1, "\(late)")
        }
        let alone = try await Program.run(["peers", registrar.enrp, "--json", "--sctp", "userland"])
        #expect(alone.exit == 0 && alone.output == "", "\(alone)")
        let empty = try await Program.run(["dump", registrar.enrp, "--json", "--sctp", "userland"])
        #expect(empty.lines.count == 1 && empty.output.contains(#""pools":0,"elements":0,"checksum":"0xffff"}"#))
    }

    /// The lines of a registrar's dump, as soon as it knows so many elements and they are right. Asking takes its time, and
    /// nobody tells when a registrar has heard something.
    private static func dump(
        _ registrar: RunningRegistrar, elements: Int, where isRight: ([String]) -> Bool = { _ in true }
    ) async throws -> [String] {
        try await self.ask(registrar, "dump") { lines in
            lines.last?.contains("\"elements\":\(elements),") == true && isRight(lines)
        }
    }

    /// Waits until a registrar lists exactly these.
    private static func peers(_ registrar: RunningRegistrar, ids: [String]) async throws {
        _ = try await self.ask(registrar, "peers") { lines in
            lines.count == ids.count && zip(lines, ids).allSatisfy { $0.hasPrefix(#"{"id":"\#($1)""#) }
        }
    }

    private static func ask(
        _ registrar: RunningRegistrar, _ command: String, until isRight: ([String]) -> Bool
    ) async throws -> [String] {
        let limit = Date(timeIntervalSinceNow: 20)
        while true {
            let outcome = try await Program.run([command, registrar.enrp, "--json", "--sctp", "userland"])
            if outcome.exit == 0, isRight(outcome.lines) { return outcome.lines }
            guard Date() < limit else {
                throw RunningProgram.Missing(description: "\(command) of \(registrar.ready): \(outcome)")
            }
        }
    }

    private static func checksum(_ elements: [(pool: String, id: UInt32)]) -> String {
        var checksum = PEChecksum()
        for (pool, id) in elements { checksum.add(PoolHandle(pool), PoolElementID(rawValue: id)) }
        let digits = String(checksum.value, radix: 16)
        return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
