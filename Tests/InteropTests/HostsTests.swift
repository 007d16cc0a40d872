// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

/// Registrars of ours on three hosts of the guest, an element and a user on the fourth.
@Suite(
    "Three registrars on three hosts over kernel SCTP", .serialized,
    .enabled(if: ReferencePeer.isWanted, "the hosts are network namespaces of the guest"), .timeLimit(.minutes(5)))
struct HostsTests {
    private static func registrar(_ host: Int) -> String { "sctp:10.98.0.\(host):3863" }

    private static let registrars = (1...3).flatMap { ["--registrar", Self.registrar($0)] }

    /// A program of this build on one of the hosts.
    private static func start(
        on host: Int, _ arguments: [String], program: String = "rserpool"
    ) throws -> RunningProgram {
        try RunningProgram(
            path: "ip", ["netns", "exec", "host\(host)", "\(Program.path(program))"] + arguments)
    }

    private static func startRegistrar(on host: Int) async throws -> RunningProgram {
        let peers = (1...3).filter { $0 != host }.flatMap { ["--peer", "sctp:10.98.0.\($0):9901"] }
        let program = try Self.start(
            on: host, ["--id", "0x\(host)", "--preset", "lan", "--log-level", "debug"] + peers,
            program: "rserpool-registrar")
        _ = try await program.line(within: 40) { $0.hasPrefix("ready ") }
        return program
    }

    /// Asks one registrar until the homes of the pool's elements are as wanted.
    private static func homes(
        at host: Int, within seconds: Double = 30, _ isEnough: ([Int]) -> Bool
    ) async throws -> [Int] {
        let end = Date(timeIntervalSinceNow: seconds)
        var outcome = Program.Outcome(exit: nil, output: "", errors: "")
        repeat {
            outcome = try await Program.shell(
                "ip netns exec host\(host) \(Program.path("rserpool")) resolve P --json --preset lan --timeout 5s "
                    + "--registrar \(Self.registrar(host))")
            let homes = outcome.output.components(separatedBy: #""home":"0x"#).dropFirst()
                .compactMap { Int($0.prefix(8), radix: 16) }.sorted()
            if isEnough(homes) { return homes }
        } while Date() < end
        throw RunningProgram.Missing(description: "host\(host): \(outcome)")
    }

    private enum Fault: String, CaseIterable {
        case killed, stopped, cutOff
    }

    @Test(
        "The home registrar is killed, stopped or cut off: its elements have another home, requests go on, all agree when it is back [ENRP-093, ENRP-126, ENRP-161]",
        arguments: ["killed", "stopped", "cutOff"])
    func homeFails(how: String) async throws {
        let fault = try #require(Fault(rawValue: how))
        // Started by hand one after the other, so that each finds the earlier ones.
        var registrars: [RunningProgram] = []
        for host in 1...3 { registrars.append(try await Self.startRegistrar(on: host)) }
        var elements: [RunningProgram] = []
        for _ in 1...3 {
            let element = try Self.start(
                on: 4, ["serve", "echo", "P", "--listen", "sctp:10.98.0.4:0", "--preset", "lan"] + Self.registrars)
            _ = try await element.line { $0.hasPrefix("ready ") }
            elements.append(element)
        }
        for host in 1...3 { _ = try await Self.homes(at: host) { $0 == [1, 1, 1] } }
        let user = try Self.start(on: 4, ["connect", "P", "--preset", "lan"] + Self.registrars)
        try user.write("before")
        _ = try await user.line { $0 == "before" }

        switch fault {
        case .killed: registrars[0].signal(SIGKILL)
        case .stopped: registrars[0].signal(SIGSTOP)
        case .cutOff: _ = try await Program.shell("ip link set wire1 down")
        }
        let homes = try await Self.homes(at: 2) { $0.count == 3 && !$0.contains(1) }
        _ = try await Self.homes(at: 3) { $0 == homes }
        try user.write("meanwhile")
        _ = try await user.line { $0 == "meanwhile" }

        switch fault {
        case .killed: registrars[0] = try await Self.startRegistrar(on: 1)
        case .stopped: registrars[0].signal(SIGCONT)
        case .cutOff: _ = try await Program.shell("ip link set wire1 up")
        }
        let settled = try await Self.homes(at: 1) { $0.count == 3 && Set($0).count == 1 }
        for host in 2...3 { _ = try await Self.homes(at: host) { $0 == settled } }
        try user.write("after")
        _ = try await user.line { $0 == "after" }
        for program in registrars + elements + [user] { program.signal(SIGKILL) }
    }
}
