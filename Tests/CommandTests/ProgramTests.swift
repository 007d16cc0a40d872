// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

@Suite("The commands as processes (contract)", .serialized)
struct ProgramTests {
    @Test("A registrar says what it is bound to in one line, and ends with 0 on SIGTERM [ASAP-010]")
    func ready() async throws {
        let registrar = try await RunningRegistrar.start(["--id", "0x1a2b3c4d"])
        // In the order of the options, but ASAP before ENRP, which was asked for first.
        let pattern =
            /ready id=0x1a2b3c4d asap=sctp:127\.0\.0\.1:[1-9]\d*\/udp=[1-9]\d* asap=tcp:127\.0\.0\.1:[1-9]\d* enrp=sctp:127\.0\.0\.1:[1-9]\d*\/udp=[1-9]\d*/
        #expect(registrar.ready.wholeMatch(of: pattern) != nil, "\(registrar.ready)")
        registrar.program.signal(SIGTERM)
        #expect(try await registrar.program.end() == 0)
        #expect(registrar.program.output.split(separator: "\n").count == 1)
    }

    @Test("A pool is served, resolved over SCTP and TCP, used, and left")
    func pool() async throws {
        let registrar = try await RunningRegistrar.start()
        let (element, id) = try await registrar.serveEcho("EchoPool", ["--id", "0x11"])
        #expect(id == "0x00000011")
        for endpoint in [registrar.sctp, registrar.tcp] {
            let resolved = try await Program.run([
                "resolve", "EchoPool", "--json", "--registrar", endpoint, "--sctp", "userland",
            ])
            #expect(resolved.exit == 0)
            #expect(resolved.lines.count == 1)
            #expect(
                resolved.output.hasPrefix(
                    #"{"pool":"EchoPool","policy":{"type":"round-robin"},"elements":[{"id":"0x00000011","home":"0x"#))
            #expect(resolved.output.contains("\"registrar\":\"\(endpoint)\",\"elapsed\":"))
        }
        let connected = try await Program.run(
            ["connect", "0x4563686f506f6f6c"] + registrar.options, input: "one\n\ntwo\n")
        #expect(connected.exit == 0)
        // SCTP carries no empty messages: the empty line asks nothing.
        #expect(connected.output == "one\ntwo\n", "\(connected)")
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        let gone = try await Program.run(["resolve", "EchoPool"] + registrar.options)
        #expect(gone.exit == 68)
        #expect(gone.errorLines.count == 1)
    }

    @Test("watch shows members, a death within a second, and a deregistration")
    func watch() async throws {
        let registrar = try await RunningRegistrar.start()
        let (first, firstID) = try await registrar.serveEcho("P")
        let watch = try RunningProgram(["watch", "P", "--json"] + registrar.options)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"snapshot","pool":"P","elements":[{"id":"\#(firstID)""#) }
        let (second, secondID) = try await registrar.serveEcho("P")
        _ = try await watch.line { $0.hasPrefix(#"{"change":"joined","pool":"P","element":{"id":"\#(secondID)""#) }
        first.signal(SIGKILL)
        _ = try await watch.line(within: 1.5) {
            $0.hasPrefix(#"{"change":"left","pool":"P","element":{"id":"\#(firstID)""#)
        }
        second.signal(SIGTERM)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"left","pool":"P","element":{"id":"\#(secondID)""#) }
        watch.signal(SIGINT)
        #expect(try await watch.end() == 0)
    }

    @Test("A session goes on with the next element when its own is killed")
    func failover() async throws {
        let registrar = try await RunningRegistrar.start()
        var elements: [String: RunningProgram] = [:]
        for _ in 0..<2 {
            let (program, id) = try await registrar.serveEcho("P")
            elements[id] = program
        }
        let before = try await Program.run(["connect", "P", "--json"] + registrar.options, input: "x\n")
        let served = try #require(elements.keys.first { before.output.contains($0) })
        elements[served]?.signal(SIGKILL)
        // At once, before anybody has noticed: whoever is chosen first, the answer comes.
        for _ in 0..<2 {
            let after = try await Program.run(["connect", "P", "--json"] + registrar.options, input: "y\n")
            #expect(after.exit == 0)
            #expect(after.output.contains(#""answer":"y""#) && !after.output.contains(served), "\(after)")
        }
        withExtendedLifetime(elements) {}
    }

    @Test("A registrar that was stopped for longer than every timer removes nobody")
    func stopped() async throws {
        let registrar = try await RunningRegistrar.start()
        let (element, id) = try await registrar.serveEcho("P")
        registrar.program.signal(SIGSTOP)
        try await Task.sleep(for: .seconds(3))
        registrar.program.signal(SIGCONT)
        let after = try await Program.run(["resolve", "P", "--registrar", registrar.tcp, "--json"])
        #expect(after.exit == 0 && after.output.contains(id), "\(after)")
        withExtendedLifetime(element) {}
    }

    @Test(
        "Wrong usage is one line that names the option and the text, and exit 64",
        arguments: [
            (["resolve", "P", "--registrar", "foo:1"], "--registrar", "foo:1"),
            (["resolve", "P", "--registrar", "tls:127.0.0.1:3864"], "--registrar", "tls:127.0.0.1:3864"),
            (["resolve", "P", "--timeout", "soon"], "--timeout", "soon"),
            (["resolve", "P", "--timer", "t9=1s"], "--timer", "t9"),
            (["resolve", "P", "--preset", "wan"], "--preset", "wan"),
            (["resolve", "P", "--sctp", "magic"], "--sctp", "magic"),
            (["resolve", "P", "--busy-poll", "2s"], "--busy-poll", "2s"),
            (["resolve", "P", "--busy-poll", "fast"], "--busy-poll", "fast"),
            (["resolve", "P", "--log-level", "loud"], "--log-level", "loud"),
            (["resolve", "P", "--announce", "10.0.0.1:3863"], "--announce", "10.0.0.1:3863"),
            (["resolve", "P", "--count", "0"], "--count", "0"),
            (["resolve", "P", "--dialect", "klingon"], "--dialect", "klingon"),
            (["resolve", "0xzz"], "POOL", "0xzz"),
            (["serve", "echo", "P", "--policy", "fastest"], "--policy", "fastest"),
            (["serve", "echo", "P", "--id", "0"], "--id", "0"),
            (["serve", "echo", "P", "--lifetime", "0s"], "--lifetime", "0s"),
            (["registrar", "--limit", "max-pools=none"], "--limit", "max-pools=none"),
            (["resolve", "P", "--no-such-option"], "--no-such-option", "Unknown"),
            (["decode", "snmp"], "snmp", "asap"),
            (["dump"], "Missing", "<endpoint>"),
            (["dump", "foo:1"], "ENDPOINT", "foo:1"),
            (["dump", "tls:127.0.0.1:9902"], "ENDPOINT", "tls:127.0.0.1:9902"),
            (["dump", "tcp:127.0.0.1:9901"], "ENDPOINT", "sctp:192.0.2.1:9901"),
            (["peers", "sctp:*:9901"], "ENDPOINT", "sctp:*:9901"),
            (["peers", "sctp:127.0.0.1:9901", "--timeout", "soon"], "--timeout", "soon"),
            (["demo", "--sctp", "magic"], "--sctp", "magic"),
        ])
    func usage(arguments: [String], option: String, text: String) async throws {
        let outcome = try await Program.run(arguments)
        #expect(outcome.exit == 64)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errorLines.count == 1)
        #expect(outcome.errors.contains(option) && outcome.errors.contains(text), "\(outcome.errors)")
    }

    @Test("Nobody there is exit 69 at once, with --json as one object; the time allowed is exit 75")
    func unreachable() async throws {
        for registrar in ["sctp:127.0.0.1:1/udp=1", "tcp:127.0.0.1:1"] {
            let outcome = try await Program.run([
                "resolve", "P", "--json", "--sctp", "userland", "--registrar", registrar,
            ])
            #expect(outcome.exit == 69)
            #expect(outcome.errorLines.count == 1)
            #expect(
                outcome.errors.hasPrefix(#"{"error":""#) && outcome.errors.hasSuffix("\"exit\":69}\n"),
                "\(outcome.errors)")
        }
        let late = try await Program.run(["watch", "P", "--timeout", "300ms", "--registrar", "tcp:127.0.0.1:1"])
        #expect(late.exit == 75)
    }

    @Test("A port in use is exit 69 and one line that names it")
    func portInUse() async throws {
        let registrar = try await RunningRegistrar.start()
        let outcome = try await Program.run(["registrar", "--asap", registrar.tcp, "--log-level", "error"])
        #expect(outcome.exit == 69)
        #expect(outcome.errorLines.count == 1)
        #expect(outcome.errors.contains(registrar.tcp), "\(outcome.errors)")
    }

    @Test("Options beat the environment, the environment beats the file")
    func settings() async throws {
        let registrar = try await RunningRegistrar.start()
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("rserpool-\(UUID()).json")
        try Data(#"{"registrars": ["tcp:127.0.0.1:1"], "logLevel": "error"}"#.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let byFile = try await Program.run(["resolve", "P", "--config", file.path])
        #expect(byFile.exit == 69)
        let byEnvironment = try await Program.run(
            ["resolve", "P", "--config", file.path], environment: ["RSERPOOL_REGISTRARS": registrar.tcp])
        #expect(byEnvironment.exit == 68)
        let byOption = try await Program.run(
            ["resolve", "P", "--config", file.path, "--registrar", registrar.tcp],
            environment: ["RSERPOOL_REGISTRARS": "tcp:127.0.0.1:1"])
        #expect(byOption.exit == 68)
        let unreadable = try await Program.run(["resolve", "P", "--config", "/nowhere.json"])
        #expect(unreadable.exit == 64)
    }

    @Test("decode shows messages, and says where one is malformed, exit 65")
    func decode() async throws {
        let good = try await Program.run(["decode", "asap", "--json"], input: "05000010 0009000c 4563686f 506f6f6c\n")
        #expect(good.exit == 0)
        #expect(good.output.hasPrefix(#"{"message":"ASAP_HANDLE_RESOLUTION","type":5,"flags":0,"length":16"#))
        let bad = try await Program.run(
            ["decode", "asap", "--json"], input: "05000010\n05000010 0009000c 4563686f 506f6f6c\n")
        #expect(bad.exit == 65)
        #expect(bad.lines.count == 2 && bad.lines[0].contains(#""offset":2"#), "\(bad)")
    }

    @Test("A full disk under standard output, and no descriptor left, end nothing that is registered")
    func shortages() async throws {
        let registrar = try await RunningRegistrar.start()
        let (element, id) = try await registrar.serveEcho("P")
        let command = "\(Program.path("rserpool")) resolve P --registrar \(registrar.tcp)"
        let full = try await Program.shell("\(command) > /dev/full")
        #expect(full.exit == 0)
        // With one fewer libdispatch, which needs a descriptor as the main thread ends, may abort before we have said why.
        let few = try await Program.shell("ulimit -n 8; exec \(command)")
        #expect(few.exit == 69, "\(few)")
        #expect(few.errorLines.count == 1)
        let after = try await Program.run(["resolve", "P", "--json", "--registrar", registrar.tcp])
        #expect(after.output.contains(id), "\(after)")
        withExtendedLifetime(element) {}
    }

    @Test("The demo loses no request", .timeLimit(.minutes(2)))
    func demo() async throws {
        let outcome = try await Program.run(["demo", "--sctp", "userland"], limit: 60)
        #expect(outcome.exit == 0, "\(outcome)")
        #expect(outcome.errors == "")
        #expect(outcome.lines.last == "no request was lost")
        for event in ["kill -9 element", "kill -9 registrar", "registrar 1 starts again", "SIGTERM to element"] {
            let rows = outcome.lines.filter { $0.hasPrefix(event) }
            #expect(rows.count == 1 && rows.allSatisfy { $0.contains(/\d+ ms +\d+ ms$/) }, "\(outcome.output)")
        }
    }
}
