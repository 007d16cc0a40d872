// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

@Suite("rserpool bench, against a registrar on this machine", .timeLimit(.minutes(3)))
struct BenchTests {
    private static let userland = ["--sctp", "userland"]

    private func bench(_ endpoint: String, _ options: [String]) async throws -> (code: Int32, object: [String: Any]) {
        let outcome = try await Program.run(["bench", endpoint, "--json"] + Self.userland + options)
        let text = outcome.exit == 0 ? outcome.output : outcome.errors
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        return (outcome.exit ?? -1, object ?? [:])
    }

    @Test("Each work is measured, over each transport, and the registrar is left as it was")
    func works() async throws {
        let registrar = try await RunningRegistrar.start()
        let load = ["--seconds", "0.3", "--members", "20", "--in-flight", "8", "--connections", "2"]
        for (endpoint, work) in [
            (registrar.sctp, "resolve"), (registrar.tcp, "resolve"), (registrar.sctp, "register"),
            (registrar.sctp, "re-register"), (registrar.sctp, "subscribe"), (registrar.tcp, "subscribe"),
        ] {
            let more = endpoint == registrar.tcp ? ["--elements-at", registrar.sctp] : []
            let (code, object) = try await self.bench(endpoint, load + more + ["--work", work, "--pools", "3"])
            #expect(code == 0, "\(work) at \(endpoint): \(object)")
            #expect(object["work"] as? String == work)
            #expect(object["errors"] as? Int == 0, "\(work) at \(endpoint)")
            let (p50, p99, max) = (object["p50"] as? Double, object["p99"] as? Double, object["max"] as? Double)
            #expect(try #require(object["requests"] as? Int) > 5)
            #expect(try #require(p50) > 0)
            #expect(try #require(p50) <= #require(p99))
            #expect(try #require(p99) <= #require(max) * 1.01)
            let dump = try await Program.run(["dump", registrar.enrp] + Self.userland)
            #expect(dump.output.contains("elements 0") || !dump.output.contains("bench"), "\(work): \(dump.output)")
        }
    }

    @Test("Elements that die at once are all told, over one association or over many")
    func deaths() async throws {
        let registrar = try await RunningRegistrar.start()
        for (endpoint, connections) in [(registrar.sctp, "1"), (registrar.sctp, "30"), (registrar.tcp, "250")] {
            let (code, object) = try await self.bench(
                endpoint,
                ["--work", "die", "--members", "30", "--connections", connections, "--elements-at", registrar.sctp])
            #expect(code == 0, "\(connections) at \(endpoint): \(object)")
            #expect(object["errors"] as? Int == 0)
            #expect(object["requests"] as? Int == max(30, Int(connections) ?? 0))
            #expect(try #require((object["meanwhile"] as? [String: Any])?["requests"] as? Int) > 0)
            let dump = try await Program.run(["dump", registrar.enrp] + Self.userland)
            #expect(!dump.output.contains("bench"), "\(dump.output)")
        }
    }

    @Test("What cannot be measured is one line that says why")
    func misuse() async throws {
        let registrar = try await RunningRegistrar.start()
        for (options, code) in [
            (["--work", "nothing"], 64), (["--members", "0", "--work", "register"], 64), (["--in-flight", "0"], 64),
            (["--seconds", "0"], 64), (["--work", "die", "--pools", "2"], 64), (["--process", "999999999"], 64),
            (["--policy", "nonsense"], 64),
        ] as [([String], Int32)] {
            let outcome = try await self.bench(registrar.sctp, options)
            #expect(outcome.code == code, "\(options)")
            #expect((outcome.object["error"] as? String)?.contains("\n") == false, "\(options)")
        }
        let overTCP = try await self.bench(registrar.tcp, ["--work", "register"])
        #expect(overTCP.code == 64)
        let nowhere = try await self.bench("tcp:127.0.0.1:9", ["--members", "0", "--seconds", "1"])
        #expect(nowhere.code == 69)
        let small = try await RunningRegistrar.start(["--limit", "max-elements-per-link=1"])
        let tooMany = try await self.bench(small.sctp, ["--members", "2", "--seconds", "0.2"])
        #expect(tooMany.code == 69)
        #expect((tooMany.object["error"] as? String)?.contains("its log says which") == true, "\(tooMany.object)")
        // Every answer is negative: counted, and said.
        let unknown = try await Program.run(
            ["bench", registrar.sctp, "--members", "0", "--seconds", "0.2", "--json"] + Self.userland)
        #expect(unknown.errors.contains("unknownPoolHandle") || unknown.errors.contains("unknown pool handle"))
    }
}
