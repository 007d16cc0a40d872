// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

@Suite(
    "With rsplib over kernel SCTP", .serialized,
    .enabled(if: ReferencePeer.isWanted, "rsplib needs kernel SCTP: Configuration/test runs this in the guest"),
    .timeLimit(.minutes(3)))
struct InteropTests {
    @Test(
        "rspserver registers with our registrar, serves rspterminal and rserpool connect, and is dropped when killed [ASAP-230]"
    )
    func serverAtOurs() async throws {
        let registrar = try await ReferencePeer.startOurs()
        let server = try ReferencePeer.startServer()
        let resolved = try await ReferencePeer.resolve(1)
        #expect(resolved.output.contains(#""transport":"sctp","addresses":["10.99.0.1"],"port":1234"#), "\(resolved)")

        let terminal = try ReferencePeer.startTerminal()
        try await Self.converse(terminal)
        terminal.signal(SIGKILL)

        let connected = try await Program.run(
            ["connect", "EchoPool", "--registrar", ReferencePeer.registrar], input: "from swift\n")
        #expect(connected.exit == 0)
        #expect(connected.output == "from swift\n", "\(connected)")

        let watch = try RunningProgram(["watch", "EchoPool", "--json", "--registrar", ReferencePeer.registrar])
        _ = try await watch.line { $0.contains(#""change":"snapshot""#) && $0.contains("1234") }
        server.signal(SIGKILL)
        _ = try await watch.line(within: 3) { $0.contains(#""change":"left""#) }
        watch.signal(SIGKILL)
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }

    @Test("rserpool serve echo registers with rspregistrar, answers rspterminal, and deregisters [ASAP-229]")
    func elementAtTheirs() async throws {
        let registrar = try ReferencePeer.startRegistrar()
        let dialect = ["--dialect", "\(ReferencePeer.registrar)=rsplib"]
        let element = try RunningProgram(
            ["serve", "echo", "EchoPool", "--listen", "sctp:10.99.0.1:0", "--registrar", ReferencePeer.registrar]
                + dialect)
        _ = try await element.line(within: 30) { $0.hasPrefix("ready ") }
        let resolved = try await ReferencePeer.resolve(1, dialect)
        #expect(resolved.output.contains(#""life":300"#), "\(resolved)")
        let terminal = try ReferencePeer.startTerminal()
        try await Self.converse(terminal)
        terminal.signal(SIGKILL)
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        let gone = try await Program.run(["resolve", "EchoPool", "--registrar", ReferencePeer.registrar] + dialect)
        #expect(gone.exit == 68, "\(gone)")
        registrar.signal(SIGKILL)
    }

    @Test(
        "rserpool connect uses a pool of rspservers at rspregistrar, and goes on with the next when one is killed [ASAP-228]"
    )
    func userAtTheirs() async throws {
        let registrar = try ReferencePeer.startRegistrar()
        let servers = [try ReferencePeer.startServer(port: 1234), try ReferencePeer.startServer(port: 1235)]
        let dialect = ["--dialect", "\(ReferencePeer.registrar)=rsplib"]
        _ = try await ReferencePeer.resolve(2, dialect, within: 40)
        let session = try RunningProgram(
            ["connect", "EchoPool", "--json", "--registrar", ReferencePeer.registrar] + dialect)
        try session.write("one")
        _ = try await session.line { $0.contains(#""answer":"one""#) }
        servers[0].signal(SIGKILL)
        try session.write("two")
        _ = try await session.line(within: 30) { $0.contains(#""answer":"two""#) }
        servers[1].signal(SIGKILL)
        session.signal(SIGKILL)
        registrar.signal(SIGKILL)
    }

    @Test(
        "tshark finds no malformed ASAP message in a capture of our programs with theirs, and PPID 11 on each [ASAP-006, ASAP-271]"
    )
    func capture() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("rserpool-\(UUID()).pcap").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let capture = try RunningProgram(path: "dumpcap", ["-i", "any", "-f", "sctp", "-w", file, "-q"])
        try await Self.wait(for: file) { !$0.isEmpty }
        let registrar = try await ReferencePeer.startOurs()
        let server = try ReferencePeer.startServer()
        let element = try RunningProgram(
            ["serve", "echo", "EchoPool", "--listen", "sctp:10.99.0.1:0", "--registrar", ReferencePeer.registrar])
        _ = try await element.line { $0.hasPrefix("ready ") }
        _ = try await ReferencePeer.resolve(2)
        element.signal(SIGTERM)
        _ = try await element.end()
        server.signal(SIGKILL)
        let unknown = try await Program.run(["resolve", "NoPool", "--registrar", ReferencePeer.registrar])
        #expect(unknown.exit == 68)
        // What dumpcap has not yet written when it is ended is lost: with the last message all others are there.
        try await Self.wait(for: file) { $0.range(of: Data("NoPool".utf8)) != nil }
        registrar.signal(SIGTERM)
        _ = try await registrar.end()
        capture.signal(SIGINT)
        _ = try await capture.end()
        // One line for each packet with data: ports, payload protocols, ASAP's message types, and what is malformed.
        let seen = try await Program.shell(
            "tshark -r \(file) -Y sctp.data_payload_proto_id -T fields -e sctp.port "
                + "-e sctp.data_payload_proto_id -e asap.message_type -e _ws.malformed 2>/dev/null")
        let packets = seen.lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
        var types: Set<Substring> = []
        for packet in packets {
            try #require(packet.count == 4, "\(packet)")
            types.formUnion(packet[2].split(separator: ","))
            #expect(packet[3].isEmpty, "malformed: \(packet)")
            if packet[0].split(separator: ",").contains("3863") {
                #expect(packet[1].split(separator: ",").allSatisfy { $0 == "11" }, "foreign protocol: \(packet)")
            }
        }
        #expect(types.isSuperset(of: ["1", "2", "3", "4", "5", "6"]), "\(types)")
    }

    @Test("The demo loses no request over kernel SCTP")
    func demo() async throws {
        let outcome = try await Program.run(["demo", "--sctp", "kernel"], limit: 90)
        #expect(outcome.exit == 0, "\(outcome)")
    }

    /// rspterminal loses lines while it looks for a registrar: each is said until an answer comes.
    private static func converse(_ terminal: RunningProgram) async throws {
        for attempt in 0..<30 {
            try terminal.write("hello \(attempt)")
            if (try? await terminal.line(within: 1, where: { $0.contains("> hello") })) != nil { return }
        }
        throw RunningProgram.Missing(description: "rspterminal got no answer: \(terminal.output)")
    }

    private static func wait(for file: String, until isEnough: (Data) -> Bool) async throws {
        for _ in 0..<200 {
            if let content = FileManager.default.contents(atPath: file), isEnough(content) { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw RunningProgram.Missing(description: "dumpcap does not write what it should to \(file)")
    }
}
