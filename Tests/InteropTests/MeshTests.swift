// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

/// Registrars of ours and rspregistrars in one scope. rsplib completes a takeover only where there are three.
@Suite(
    "Registrars together with rsplib's over kernel SCTP", .serialized,
    .enabled(if: ReferencePeer.isWanted, "rsplib needs kernel SCTP: Configuration/test runs this in the guest"),
    .timeLimit(.minutes(5)))
struct MeshTests {
    private static let address = "10.99.0.1"
    /// Short enough for a test; rsplib's own are 2.4 s, 5 s and 5 s.
    private static let timers = [
        "--timer", "peer-heartbeat-cycle=1s", "--timer", "max-time-last-heard=3s", "--timer",
        "max-time-no-response=1s",
    ]
    private static let first = Place(asap: 3863, enrp: 9901)
    private static let second = Place(asap: 3864, enrp: 9902)
    private static let third = Place(asap: 3865, enrp: 9903)

    private struct Place {
        var asap: Int
        var enrp: Int
        var registrar: String { "sctp:\(MeshTests.address):\(self.asap)" }
        var peer: String { "sctp:\(MeshTests.address):\(self.enrp)" }
    }

    private static func startTheirs(_ id: String, at place: Place, peers: [Place] = []) throws -> RunningProgram {
        try RunningProgram(
            path: "rspregistrar",
            [
                "-disable-ipv6", "-asap=\(self.address):\(place.asap)", "-enrp=\(self.address):\(place.enrp)",
                "-asapannounce=off", "-enrpannounce=off", "-mentordiscoverytimeout=500", "-identifier=\(id)",
                "-loglevel=2", "-logcolor=off",
            ] + peers.map { "-peer=\(self.address):\($0.enrp)" })
    }

    private static func startOurs(
        _ id: String, at place: Place, peers: [Place] = [], theirs: [Place] = []
    ) async throws -> RunningProgram {
        let program = try RunningProgram(
            ["--id", id, "--asap", place.registrar, "--enrp", place.peer, "--log-level", "debug"]
                + peers.flatMap { ["--peer", $0.peer] } + theirs.flatMap { ["--dialect", "\($0.peer)=rsplib"] }
                + self.timers, program: "rserpool-registrar")
        _ = try await program.line(within: 40) { $0.hasPrefix("ready ") }
        return program
    }

    private static func startElement(at place: Place, isTheirs: Bool = false) async throws -> RunningProgram {
        let element = try RunningProgram(
            ["serve", "echo", "EchoPool", "--listen", "sctp:\(self.address):0", "--registrar", place.registrar]
                + (isTheirs ? ["--dialect", "\(place.registrar)=rsplib"] : []))
        _ = try await element.line(within: 30) { $0.hasPrefix("ready ") }
        return element
    }

    /// Asks a registrar until it says what is wanted of the homes of the pool's elements, in order.
    private static func homes(
        at place: Place, within seconds: Double = 60, _ isEnough: ([String]) -> Bool
    ) async throws -> [String] {
        let end = Date(timeIntervalSinceNow: seconds)
        var outcome = Program.Outcome(exit: nil, output: "", errors: "")
        repeat {
            outcome = try await Program.run(["resolve", "EchoPool", "--json", "--registrar", place.registrar])
            let homes = outcome.output.components(separatedBy: #""home":""#).dropFirst().map { String($0.prefix(10)) }
            if isEnough(homes.sorted()) { return homes.sorted() }
        } while Date() < end
        throw RunningProgram.Missing(description: "\(place): \(outcome)")
    }

    private static let ours = "0x22222222"
    private static let alsoOurs = "0x33333333"
    private static let theirs = "0x11111111"
    private static let alsoTheirs = "0x44444444"

    @Test(
        "Ours learns from theirs and theirs from ours; updates go both ways; nobody resynchronises all the time [ENRP-042, ENRP-050, ENRP-066, ENRP-084, ENRP-134]"
    )
    func bothDirections() async throws {
        let theirs = try Self.startTheirs(Self.theirs, at: Self.first)
        let server = try ReferencePeer.startServer()
        _ = try await Self.homes(at: Self.first) { $0 == [Self.theirs] }
        let ours = try await Self.startOurs(Self.ours, at: Self.second, peers: [Self.first], theirs: [Self.first])
        try await ours.errorLine { $0.contains("handlespace learned") }
        _ = try await Self.homes(at: Self.second) { $0 == [Self.theirs] }
        let element = try await Self.startElement(at: Self.second)
        _ = try await Self.homes(at: Self.first) { $0 == [Self.theirs, Self.ours] }
        let alsoTheirs = try Self.startTheirs(Self.alsoTheirs, at: Self.third, peers: [Self.second])
        _ = try await Self.homes(at: Self.third) { $0 == [Self.theirs, Self.ours] }

        let dump = try await Program.shell("hsdump \(Self.address):\(Self.second.enrp)")
        #expect(dump.output.contains("$22222222 -> \"EchoPool\""), "\(dump)")
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        _ = try await Self.homes(at: Self.first) { $0 == [Self.theirs] }
        _ = try await Self.homes(at: Self.third) { $0 == [Self.theirs] }
        server.signal(SIGINT)
        _ = try await Self.homes(at: Self.second) { $0.isEmpty }
        for registrar in [theirs, alsoTheirs] { registrar.signal(SIGKILL) }
        ours.signal(SIGTERM)
        #expect(try await ours.end() == 0)
        let fetched = ours.errorOutput.components(separatedBy: "checksums differ").count - 1
        #expect(fetched <= 3, "\(fetched) resynchronisations")
    }

    @Test(
        "Two of ours take over an rspregistrar that is killed, or stopped and comes back [ENRP-094, ENRP-117, ENRP-120, ENRP-129]",
        arguments: [SIGKILL, SIGSTOP])
    func oursTakeOver(signal: Int32) async throws {
        let ours = try await Self.startOurs(Self.ours, at: Self.second, theirs: [Self.first])
        let theirs = try Self.startTheirs(Self.theirs, at: Self.first, peers: [Self.second])
        let alsoOurs = try await Self.startOurs(
            Self.alsoOurs, at: Self.third, peers: [Self.second, Self.first], theirs: [Self.first])
        let server = try ReferencePeer.startServer()
        let element = try await Self.startElement(at: Self.first, isTheirs: true)
        for place in [Self.second, Self.third] {
            _ = try await Self.homes(at: place) { $0 == [Self.theirs, Self.theirs] }
        }
        theirs.signal(signal)
        let homes = try await Self.homes(at: Self.second) { $0.count == 2 && !$0.contains(Self.theirs) }
        _ = try await Self.homes(at: Self.third) { $0 == homes }
        if signal == SIGSTOP {
            theirs.signal(SIGCONT)
            // Whoever is home then: all agree, and nobody is lost.
            let settled = try await Self.homes(at: Self.first) { $0.count == 2 && Set($0).count == 1 }
            for place in [Self.second, Self.third] { _ = try await Self.homes(at: place) { $0 == settled } }
        }
        for program in [theirs, server, element] { program.signal(SIGKILL) }
        for registrar in [ours, alsoOurs] {
            registrar.signal(SIGTERM)
            #expect(try await registrar.end() == 0)
        }
    }

    @Test(
        "Two rspregistrars take over one of ours that is killed, or stopped and comes back [ENRP-108, ENRP-123, ENRP-125]",
        arguments: [SIGKILL, SIGSTOP])
    func theirsTakeOver(signal: Int32) async throws {
        let theirs = try Self.startTheirs(Self.theirs, at: Self.first)
        let ours = try await Self.startOurs(
            Self.ours, at: Self.second, peers: [Self.first], theirs: [Self.first, Self.third])
        let alsoTheirs = try Self.startTheirs(Self.alsoTheirs, at: Self.third, peers: [Self.first, Self.second])
        let elements = [try await Self.startElement(at: Self.second), try await Self.startElement(at: Self.second)]
        for place in [Self.first, Self.third] {
            _ = try await Self.homes(at: place) { $0 == [Self.ours, Self.ours] }
        }
        ours.signal(signal)
        let homes = try await Self.homes(at: Self.first) { $0.count == 2 && !$0.contains(Self.ours) }
        _ = try await Self.homes(at: Self.third) { $0 == homes }
        if signal == SIGSTOP {
            ours.signal(SIGCONT)
            let settled = try await Self.homes(at: Self.second) { $0.count == 2 && Set($0).count == 1 }
            for place in [Self.first, Self.third] { _ = try await Self.homes(at: place) { $0 == settled } }
            ours.signal(SIGTERM)
            #expect(try await ours.end() == 0)
        }
        for program in [theirs, alsoTheirs] + elements { program.signal(SIGKILL) }
    }
}
