// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

@Suite(
    "Sessions with rsplib's services and clients over kernel SCTP", .serialized,
    .enabled(if: ReferencePeer.isWanted, "rsplib needs kernel SCTP: Configuration/test runs this in the guest"),
    .timeLimit(.minutes(3)))
struct SessionInteropTests {
    private static func serve(_ service: [String], pool: String, port: Int) async throws -> RunningProgram {
        let element = try RunningProgram(
            ["serve"] + service
                + [
                    pool, "--listen", "sctp:10.99.0.1:\(port)", "--registrar", ReferencePeer.registrar, "--preset",
                    "lan",
                ])
        _ = try await element.line { $0.hasPrefix("ready ") }
        return element
    }

    /// Our session with a pool of ping-pong services.
    private static func connect(_ pool: String) throws -> RunningProgram {
        try RunningProgram(
            ["connect", pool, "--service", "ping-pong", "--attempt", "1s", "--events", "--preset", "lan"]
                + ["--registrar", ReferencePeer.registrar])
    }

    private static func waitForElements(_ count: Int, of pool: String) async throws {
        for _ in 0..<60 {
            let found = try await Program.run(["resolve", pool, "--json", "--registrar", ReferencePeer.registrar])
            if found.output.components(separatedBy: "\"id\":").count - 1 == count { return }
            try await Task.sleep(for: .milliseconds(500))
        }
        throw RunningProgram.Missing(description: "no \(count) elements of \(pool)")
    }

    @Test("Our session with rspserver -pingpong: its cookie goes to the next one, and the numbering goes on [ASAP-216]")
    func pingPongAtTheirs() async throws {
        let registrar = try await ReferencePeer.startOurs()
        var servers: [String: RunningProgram] = [:]
        for port in [1301, 1302] {
            servers["\(port)"] = try ReferencePeer.startServer("pingpong", pool: "PingPongPool", port: port)
        }
        try await Self.waitForElements(2, of: "PingPongPool")
        let session = try Self.connect("PingPongPool")
        let first = try await Self.pong(1, of: session)
        _ = try await Self.pong(2, of: session)
        let resolved = try await Program.run(
            ["resolve", "PingPongPool", "--json", "--registrar", ReferencePeer.registrar])
        let port = try #require(
            ["1301", "1302"].first { port in
                resolved.output.components(separatedBy: #"{"id":""#).contains {
                    $0.hasPrefix(first) && $0.contains("\"port\":\(port)")
                }
            }, "\(first) in \(resolved.output)")
        servers.removeValue(forKey: port)?.signal(SIGKILL)
        let second = try await Self.pong(3, of: session)
        #expect(first != second)
        try await session.errorLine { $0.contains("with the state") }
        session.signal(SIGKILL)
        for server in servers.values { server.signal(SIGKILL) }
        registrar.signal(SIGKILL)
    }

    @Test("pingpongclient at our services: it echoes our cookie to the next one when one is killed [ASAP-214]")
    func pingPongAtOurs() async throws {
        let registrar = try await ReferencePeer.startOurs()
        var elements = [try await Self.serve(["ping-pong"], pool: "PingPongPool", port: 1311)]
        let client = try ReferencePeer.startClient("pingpongclient", pool: "PingPongPool")
        _ = try await client.line(within: 20) { $0.contains("Ack #5 ") && $0.contains("reply #5") }
        elements.append(try await Self.serve(["ping-pong"], pool: "PingPongPool", port: 1312))
        elements.removeFirst().signal(SIGKILL)
        // Its own retries may lose pings, but the replies are numbered on, not from 1.
        let line = try await client.line(within: 40) { line in
            guard line.contains("Ack #"), let number = Self.number(after: "reply #", in: line) else { return false }
            return number >= 12
        }
        #expect(
            !client.output.components(separatedBy: "\n").dropFirst(8).contains { $0.contains("(reply #1)") }, "\(line)")
        client.signal(SIGKILL)
        for element in elements { element.signal(SIGKILL) }
        registrar.signal(SIGKILL)
    }

    @Test("Across: the cookie of an rspserver goes to an element of ours, and back [ASAP-215, ASAP-217]")
    func across() async throws {
        let registrar = try await ReferencePeer.startOurs()
        let theirs = try ReferencePeer.startServer("pingpong", pool: "PingPongPool", port: 1321)
        try await Self.waitForElements(1, of: "PingPongPool")
        let session = try Self.connect("PingPongPool")
        for reply in 1...3 { _ = try await Self.pong(reply, of: session) }
        let ours = try await Self.serve(["ping-pong"], pool: "PingPongPool", port: 1322)
        theirs.signal(SIGKILL)
        for reply in 4...6 { _ = try await Self.pong(reply, of: session) }
        let again = try ReferencePeer.startServer("pingpong", pool: "PingPongPool", port: 1323)
        try await Self.waitForElements(2, of: "PingPongPool")
        ours.signal(SIGKILL)
        for reply in 7...8 { _ = try await Self.pong(reply, of: session) }
        for program in [session, again, registrar] { program.signal(SIGKILL) }
        _ = try await session.end()
        #expect(session.errorOutput.components(separatedBy: "with the state").count == 3, "\(session.errorOutput)")
    }

    @Test("Our calculations at rspserver -calcapp, and calcappclient's at our service")
    func calculation() async throws {
        let registrar = try await ReferencePeer.startOurs()
        let theirs = try ReferencePeer.startServer("calcapp", pool: "Theirs", policy: "LeastUsed", port: 1331)
        try await Self.waitForElements(1, of: "Theirs")
        let done = try await Program.run(
            ["connect", "Theirs", "--service", "calculation", "--registrar", ReferencePeer.registrar],
            input: "300000\n200000\n")
        #expect(done.exit == 0, "\(done)")
        #expect(done.lines.count == 2)
        theirs.signal(SIGKILL)

        let ours = try await Self.serve(["calculation", "--policy", "least-used:0"], pool: "Ours", port: 1332)
        let client = try ReferencePeer.startClient(
            "calcappclient", pool: "Ours", ["-jobinterval=1", "-jobsize=200000", "-runtime=60"])
        _ = try await client.line(within: 40) { $0.contains("Job #2 completed") }
        for program in [client, ours, registrar] { program.signal(SIGKILL) }
    }

    /// Pings until the pong with this number comes.
    /// - Returns: who gave it.
    private static func pong(_ reply: Int, of session: RunningProgram) async throws -> String {
        try session.write("hello")
        let line = try await session.line(within: 15) { $0.hasPrefix("pong \(reply) from ") }
        return String(line.split(separator: " ").last ?? "")
    }

    private static func number(after text: String, in line: String) -> Int? {
        guard let range = line.range(of: text) else { return nil }
        return Int(line[range.upperBound...].prefix { $0.isNumber })
    }
}
