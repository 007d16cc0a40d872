// SPDX-License-Identifier: Apache-2.0

/// A registrar of this build with a free port, and how to reach it.
package struct RunningRegistrar {
    package let program: RunningProgram
    package let sctp: String
    package let tcp: String
    /// Its endpoint for other registrars.
    package let enrp: String
    package let ready: String

    package static func start(_ more: [String] = []) async throws -> RunningRegistrar {
        let program = try RunningProgram(
            [
                "--enrp", "sctp:127.0.0.1:0", "--asap", "sctp:127.0.0.1:0", "--asap", "tcp:127.0.0.1:0", "--sctp",
                "userland", "--encapsulation-port", "0", "--preset", "lan",
            ]
                + more, program: "rserpool-registrar")
        return RunningRegistrar(program: program, ready: try await program.line { $0.hasPrefix("ready ") })
    }

    /// - Parameter ready: what the registrar said when it began to serve.
    package init(program: RunningProgram, ready: String) {
        let endpoints = ready.split(separator: " ")
        func endpoint(_ beginning: String) -> String {
            endpoints.first { $0.hasPrefix(beginning) }.map { String($0.dropFirst(5)) } ?? ""
        }
        self.program = program
        self.sctp = endpoint("asap=sctp:")
        self.tcp = endpoint("asap=tcp:")
        self.enrp = endpoint("enrp=sctp:")
        self.ready = ready
    }

    /// Several that know one another; each meets those before it.
    package static func startScope(ids: [String]) async throws -> [RunningRegistrar] {
        var scope: [RunningRegistrar] = []
        for id in ids { scope.append(try await .start(["--id", id] + scope.flatMap { ["--peer", $0.enrp] })) }
        return scope
    }

    /// The options of a command that uses it.
    package var options: [String] { ["--registrar", self.sctp, "--preset", "lan", "--sctp", "userland"] }

    package func serveEcho(_ pool: String, _ more: [String] = []) async throws -> (program: RunningProgram, id: String)
    {
        let element = try RunningProgram(["serve", "echo", pool, "--listen", "sctp:127.0.0.1:0"] + self.options + more)
        let ready = try await element.line { $0.hasPrefix("ready ") }
        let id = ready.split(separator: " ").first { $0.hasPrefix("id=") }?.dropFirst(3) ?? ""
        return (element, String(id))
    }
}
