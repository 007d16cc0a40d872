// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit

/// rsplib's own programs, on the guest's address 10.99.0.1: they refuse pool elements on loopback.
enum ReferencePeer {
    static let address = "10.99.0.1"
    static let registrar = "sctp:10.99.0.1:3863"

    /// Where kernel SCTP has to be there (Configuration/test, in the guest) these tests run; elsewhere they say why not.
    static var isWanted: Bool { ProcessInfo.processInfo.environment["RSERPOOL_REQUIRE_KERNEL_SCTP"] != nil }

    static func startRegistrar() throws -> RunningProgram {
        try RunningProgram(
            path: "rspregistrar",
            [
                "-disable-ipv6", "-asap=10.99.0.1:3863", "-enrp=10.99.0.1:9901", "-asapannounce=off",
                "-enrpannounce=off",
                "-mentordiscoverytimeout=500", "-loglevel=2", "-logcolor=off",
            ])
    }

    static func startServer(port: Int = 1234, policy: String = "RoundRobin") throws -> RunningProgram {
        try RunningProgram(
            path: "rspserver",
            [
                "-echo", "-poolhandle=EchoPool", "-policy=\(policy)", "-local=10.99.0.1:\(port)", "-asapannounce=off",
                "-registrar=10.99.0.1:3863", "-loglevel=2", "-logcolor=off",
            ])
    }

    /// rspserver with another of its services.
    static func startServer(
        _ service: String, pool: String, policy: String = "RoundRobin", port: Int
    ) throws
        -> RunningProgram
    {
        try RunningProgram(
            path: "env",
            [
                "-C", Self.directory, "rspserver", "-\(service)", "-poolhandle=\(pool)", "-policy=\(policy)",
                "-local=10.99.0.1:\(port)",
                "-asapannounce=off",
                "-registrar=10.99.0.1:3863", "-loglevel=2", "-logcolor=off",
            ])
    }

    /// Where services and clients write the statistics that they cannot be asked to keep to themselves.
    private static var directory: String { FileManager.default.temporaryDirectory.path }

    /// pingpongclient or calcappclient.
    static func startClient(_ name: String, pool: String, _ more: [String] = []) throws -> RunningProgram {
        try RunningProgram(
            path: "env",
            [
                "-C", Self.directory, "stdbuf", "-oL", name, "-poolhandle=\(pool)", "-asapannounce=off",
                "-registrar=10.99.0.1:3863",
            ] + more)
    }

    static func startTerminal() throws -> RunningProgram {
        try RunningProgram(
            path: "rspterminal", ["-poolhandle=EchoPool", "-asapannounce=off", "-registrar=10.99.0.1:3863"])
    }

    /// Our registrar, where rsplib's programs look for one.
    static func startOurs(_ more: [String] = []) async throws -> RunningProgram {
        let program = try RunningProgram(
            ["--asap", "sctp:10.99.0.1:3863", "--preset", "lan", "--log-level", "debug"] + more,
            program: "rserpool-registrar")
        _ = try await program.line { $0.hasPrefix("ready ") }
        return program
    }

    /// Asks until the pool has so many elements.
    static func resolve(_ count: Int, _ more: [String] = [], within seconds: Int = 20) async throws -> Program.Outcome {
        var outcome = Program.Outcome(exit: nil, output: "", errors: "")
        let end = Date(timeIntervalSinceNow: Double(seconds))
        repeat {
            outcome = try await Program.run(["resolve", "EchoPool", "--json", "--registrar", Self.registrar] + more)
            if outcome.output.components(separatedBy: "\"id\":").count - 1 == count { return outcome }
        } while Date() < end
        throw RunningProgram.Missing(description: "no \(count) elements: \(outcome)")
    }
}
