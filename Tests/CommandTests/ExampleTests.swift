// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

/// One of several elements of a pool, by its identifier.
private struct Element {
    let id: String
    let program: RunningProgram

    static func start(
        _ service: [String], pool: String, id: Int, at registrar: RunningRegistrar, listen: String = "sctp:127.0.0.1:0"
    ) async throws -> Element {
        let program = try RunningProgram(
            ["serve"] + service + [pool, "--id", "\(id)", "--listen", listen] + registrar.options)
        _ = try await program.line { $0.hasPrefix("ready ") }
        return Element(id: String(format: "0x%08x", id), program: program)
    }
}

@Suite("The examples as processes", .serialized)
struct ExampleTests {
    private static let transports = ["sctp:127.0.0.1:0", "tcp:127.0.0.1:0"]

    @Test(
        "A download survives the deaths of three elements in a row, to the last octet [ARC-008, ARC-009, ARC-064]",
        arguments: transports)
    func download(listen: String) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("rserpool-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
        let key = (0..<32).map { _ in UInt8.random(in: 0...255) }
        try Data(key).write(to: URL(fileURLWithPath: path("key")))
        let content = Data(
            (0..<4_000_000).flatMap { (word: UInt32) in withUnsafeBytes(of: word &* 2_654_435_761) { Array($0) } })
        // Sixteen times the same, so that it takes a while.
        _ = FileManager.default.createFile(atPath: path("file"), contents: nil)
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path("file")))
        for _ in 0..<16 { try file.write(contentsOf: content) }
        try file.close()

        let registrar = try await RunningRegistrar.start()
        var elements: [String: RunningProgram] = [:]
        for id in 1...4 {
            let element = try await Element.start(
                ["download", "--files", directory.path, "--cookie-key", path("key")], pool: "Files", id: id,
                at: registrar, listen: listen)
            elements[element.id] = element.program
        }
        let command =
            [
                "\(Program.path("rserpool"))", "connect", "Files", "--service", "download", "--element", "1",
                "--events",
            ]
            + ["--attempt", "1s"] + registrar.options
        let fetch = try RunningProgram(
            path: "sh", ["-c", "echo file | exec \(command.joined(separator: " ")) > '\(path("copy"))'"])
        var serving = "0x00000001"
        for kill in 1...3 {
            try await Self.wait("octets before kill \(kill)") {
                let size = try? FileManager.default.attributesOfItem(atPath: path("copy"))[.size] as? Int
                return size ?? 0 > kill * 30_000_000
            }
            elements.removeValue(forKey: serving)?.signal(SIGKILL)
            let line = try await fetch.errorLine(kill) { _ in true }
            #expect(line.contains("with the state"), "\(line)")
            serving = String(try #require(line.split(separator: " ").drop { $0 != "to" }.dropFirst().first).dropLast())
        }
        #expect(try await fetch.end(within: 60) == 0, "\(fetch.errorOutput)")
        #expect(try await Program.shell("cmp '\(path("file"))' '\(path("copy"))'").exit == 0)
        for element in elements.values { element.signal(SIGKILL) }
    }

    @Test(
        "A pair by priority: the standby goes on with the numbering of the active one, which gets its users back [ARC-072]",
        arguments: transports)
    func pair(listen: String) async throws {
        let registrar = try await RunningRegistrar.start()
        let active = try await Element.start(
            ["ping-pong", "--policy", "priority:10"], pool: "Pair", id: 10, at: registrar, listen: listen)
        let standby = try await Element.start(
            ["ping-pong", "--policy", "priority:5"], pool: "Pair", id: 5, at: registrar, listen: listen)
        let session = try RunningProgram(
            ["connect", "Pair", "--service", "ping-pong", "--attempt", "1s"] + registrar.options)
        for reply in 1...3 {
            try session.write("hello")
            _ = try await session.line { $0 == "pong \(reply) from \(active.id)" }
        }
        active.program.signal(SIGKILL)
        for reply in 4...5 {
            try session.write("hello")
            _ = try await session.line { $0 == "pong \(reply) from \(standby.id)" }
        }
        // New sessions go to the one with the greatest priority that is there.
        let back = try await Element.start(
            ["ping-pong", "--policy", "priority:10"], pool: "Pair", id: 11, at: registrar, listen: listen)
        let fresh = try await Program.run(
            ["connect", "Pair", "--service", "ping-pong"] + registrar.options, input: "hello\n")
        #expect(fresh.output == "pong 1 from \(back.id)\n", "\(fresh)")
        // Leaving in good order: the session moves with its numbering, and nothing fails.
        standby.program.signal(SIGTERM)
        #expect(try await standby.program.end() == 0)
        try session.write("hello")
        _ = try await session.line { $0 == "pong 6 from \(back.id)" }
        session.signal(SIGKILL)
        back.program.signal(SIGKILL)
    }

    @Test("Jobs go where there is room, and one whose element dies is finished by another [ARC-049, ARC-072, ARC-023]")
    func calculation() async throws {
        let registrar = try await RunningRegistrar.start()
        var elements: [String: RunningProgram] = [:]
        for id in 1...3 {
            let element = try await Element.start(
                ["calculation", "--policy", "least-used:0", "--speed", "1000000", "--jobs", "4"], pool: "Calc", id: id,
                at: registrar)
            elements[element.id] = element.program
        }
        let options = ["connect", "Calc", "--service", "calculation", "--json"] + registrar.options
        let one = try await Program.run(options, input: "100000\n50000\n")
        #expect(one.lines.count == 2, "\(one)")
        #expect(one.exit == 0)
        // A long one whose element is killed.
        let watched = try RunningProgram(options)
        try watched.write("4000000")
        try await Task.sleep(for: .seconds(2))
        let resolved = try await Program.run(["resolve", "Calc", "--json"] + registrar.options)
        let loaded = resolved.output.components(separatedBy: #""load":"#).map { $0.prefix(4) }
        #expect(loaded.contains { $0.hasPrefix("0.25") }, "\(resolved.output)")
        let busy = try #require(
            resolved.output.components(separatedBy: #"{"id":""#).first { $0.contains(#""load":0.25"#) }?.prefix(10))
        elements.removeValue(forKey: String(busy))?.signal(SIGKILL)
        let line = try await watched.line(within: 15) { $0.contains("4000000") }
        #expect(!line.contains(busy), "\(line)")
        watched.signal(SIGKILL)
        for element in elements.values { element.signal(SIGKILL) }
    }

    private static func wait(_ what: String, until isDone: () -> Bool) async throws {
        for _ in 0..<600 {
            if isDone() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw RunningProgram.Missing(description: "no \(what)")
    }
}
