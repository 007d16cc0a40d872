// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

extension ProgramTests {
    @Test(
        "A registrar without a descriptor left says so, serves who is there, and takes newcomers as soon as it has one")
    func noDescriptorLeft() async throws {
        let registrar = try await Self.startLimited("ulimit -n 40")
        let (element, id) = try await registrar.serveEcho("P")
        let crowd = try Self.connect(80, to: registrar.tcp)
        _ = try await registrar.program.line { $0.contains("no descriptor") && $0.contains(registrar.tcp) }
        _ = try await crowd.line { $0 == "open" }
        // SCTP needs no further descriptor; the association is the proof that the loop goes round.
        let during = try await Program.run(["resolve", "P", "--json"] + registrar.options)
        #expect(during.exit == 0 && during.output.contains(id), "\(during)")
        try crowd.write("enough")
        #expect(try await crowd.end() == 0)
        let after = try await Program.run(["resolve", "P", "--json", "--registrar", registrar.tcp])
        #expect(after.exit == 0 && after.output.contains(id), "\(after)")
        let warnings = registrar.program.output.split(separator: "\n").filter { $0.contains("no descriptor") }
        #expect(warnings.count == 1, "once a minute, not with each attempt")
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
    }

    @Test("Links above max-links are refused, and the log says so once")
    func tooManyLinks() async throws {
        let registrar = try await Self.startLimited("true", ["--limit", "max-links=2"])
        let crowd = try Self.connect(2, to: registrar.tcp)
        _ = try await crowd.line { $0 == "open" }
        for _ in 0..<2 {
            let refused = try await Program.run(["resolve", "P", "--registrar", registrar.tcp])
            #expect(refused.exit == 69, "\(refused)")
        }
        _ = try await registrar.program.line { $0.contains("max-links") && $0.contains(registrar.tcp) }
        try crowd.write("enough")
        #expect(try await crowd.end() == 0)
        let after = try await Program.run(["resolve", "P", "--registrar", registrar.tcp])
        #expect(after.exit == 68, "\(after)")
        #expect(registrar.program.output.split(separator: "\n").filter { $0.contains("max-links") }.count == 1)
    }

    @Test("A registrar that is killed and started again finds its elements back, and a watcher hears of both")
    func registrarReturns() async throws {
        let registrar = try await RunningRegistrar.start()
        let (element, id) = try await registrar.serveEcho("P")
        let watch = try RunningProgram(["watch", "P", "--json"] + registrar.options)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"snapshot""#) && $0.contains(id) }
        registrar.program.signal(SIGKILL)
        _ = try await watch.line { $0 == #"{"change":"interrupted","pool":"P"}"# }
        let again = try RunningProgram(
            ["--asap", registrar.sctp, "--sctp", "userland", "--preset", "lan"], program: "rserpool-registrar")
        let ready = try await again.line { $0.hasPrefix("ready ") }
        #expect(ready.contains("asap=\(registrar.sctp)"))
        _ = try await watch.line { $0 == #"{"change":"resumed","pool":"P"}"# }
        // A fresh snapshot follows, with the element in it or, if the watcher was the faster one, an empty pool and a join.
        _ = try await watch.line(skipping: 3) { !$0.contains(#""left""#) && $0.contains(id) }
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"left""#) && $0.contains(id) }
        watch.signal(SIGTERM)
        #expect(try await watch.end() == 0)
        #expect(watch.output.components(separatedBy: #""interrupted""#).count == 2, "ending is no interruption")
        again.signal(SIGTERM)
        #expect(try await again.end() == 0)
    }

    @Test("--count asks for so many, and --pool-hex and 0x name the same pool")
    func count() async throws {
        let registrar = try await RunningRegistrar.start()
        let elements = [
            try await registrar.serveEcho("P"), try await registrar.serveEcho("0x50"),
            try await registrar.serveEcho("50", ["--pool-hex"]),
        ]
        let all = try await Program.run(["resolve", "P", "--json"] + registrar.options)
        for element in elements { #expect(all.output.contains(element.id), "\(all)") }
        let two = try await Program.run(["resolve", "P", "--json", "--count", "2"] + registrar.options)
        #expect(two.output.components(separatedBy: #"{"id":""#).count - 1 == 2, "\(two)")
    }

    /// A registrar in a shell that has first run `setting`; its log goes where its `ready` line goes.
    private static func startLimited(_ setting: String, _ options: [String] = []) async throws -> RunningRegistrar {
        let command =
            [
                "\(Program.path("rserpool-registrar"))", "--asap", "sctp:127.0.0.1:0", "--asap", "tcp:127.0.0.1:0",
                "--sctp", "userland", "--encapsulation-port", "0", "--preset", "lan", "--log-level", "warning",
            ] + options
        let program = try RunningProgram(
            path: "sh", ["-c", "\(setting) && exec \(command.joined(separator: " ")) 2>&1"])
        return RunningRegistrar(program: program, ready: try await program.line { $0.hasPrefix("ready ") })
    }

    /// So many idle TCP connections to an endpoint, until a line is written to what comes back.
    private static func connect(_ count: Int, to endpoint: String) throws -> RunningProgram {
        let port = endpoint.split(separator: ":").last ?? ""
        return try RunningProgram(
            path: "bash",
            [
                "-c",
                "for i in $(seq \(count)); do exec {fd}<>/dev/tcp/127.0.0.1/\(port) || exit 1; done; echo open; read -r",
            ])
    }
}
