// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProgramKit
import Testing

// More of both worlds over kernel SCTP: how members go, and our own programs among themselves.
extension InteropTests {
    @Test(
        "rspserver that ends in good order deregisters with our registrar, which tells a subscriber over TCP [ASAP-230]"
    )
    func serverLeaves() async throws {
        let registrar = try await ReferencePeer.startOurs(["--asap", "tcp:10.99.0.1:3863"])
        let watch = try RunningProgram(["watch", "EchoPool", "--json", "--registrar", "tcp:10.99.0.1:3863"])
        _ = try await watch.line { $0 == #"{"change":"snapshot","pool":"EchoPool","elements":[]}"# }
        let server = try ReferencePeer.startServer()
        _ = try await watch.line(skipping: 1) { $0.contains(#""port":1234"#) }
        server.signal(SIGINT)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"left""#) && $0.contains(#""port":1234"#) }
        try await registrar.errorLine { $0.contains("deregistered") }
        watch.signal(SIGKILL)
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }

    @Test("watch polls where the registrar knows no subscriptions: joined and left at rspregistrar [ASAP-228]")
    func watchTheirs() async throws {
        let registrar = try ReferencePeer.startRegistrar()
        let servers = [try ReferencePeer.startServer(port: 1234)]
        let dialect = ["--dialect", "\(ReferencePeer.registrar)=rsplib"]
        _ = try await ReferencePeer.resolve(1, dialect)
        let watch = try RunningProgram(
            ["watch", "EchoPool", "--json", "--registrar", ReferencePeer.registrar] + dialect)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"snapshot""#) && $0.contains(#""port":1234"#) }
        let second = try ReferencePeer.startServer(port: 1235)
        _ = try await watch.line { $0.hasPrefix(#"{"change":"joined""#) && $0.contains(#""port":1235"#) }
        servers[0].signal(SIGKILL)
        _ = try await watch.line(within: 30) { $0.hasPrefix(#"{"change":"left""#) && $0.contains(#""port":1234"#) }
        second.signal(SIGKILL)
        watch.signal(SIGKILL)
        registrar.signal(SIGKILL)
    }

    @Test(
        "An element at every address of its machine registers all of them, and is gone within a second when killed; 3863 is the port of both [ASAP-011]"
    )
    func everyAddress() async throws {
        let registrar = try RunningProgram(["--preset", "lan"], program: "rserpool-registrar")
        let ready = try await registrar.line { $0.hasPrefix("ready ") }
        #expect(ready.hasSuffix(" asap=sctp:0.0.0.0:3863 asap=tcp:0.0.0.0:3863 enrp=sctp:0.0.0.0:9901"))
        let options = ["--registrar", ReferencePeer.registrar, "--preset", "lan"]
        let element = try RunningProgram(["serve", "echo", "P"] + options)
        _ = try await element.line { $0.hasPrefix("ready ") }
        let resolved = try await Program.run(["resolve", "P", "--json"] + options)
        for address in ["10.99.0.1", "10.99.1.1", "fd99::1", "fd99:1::1"] {
            #expect(resolved.output.contains("\"\(address)\""), "\(resolved)")
        }
        // Link-local addresses mean nothing to others.
        #expect(!resolved.output.contains("\"fe80:"), "\(resolved)")
        let answer = try await Program.run(["connect", "P"] + options, input: "hello\n")
        #expect(answer.output == "hello\n", "\(answer)")
        let watch = try RunningProgram(["watch", "P", "--json", "--registrar", "tcp:10.99.0.1:3863"])
        _ = try await watch.line { $0.hasPrefix(#"{"change":"snapshot""#) && $0.contains("10.99.0.1") }
        element.signal(SIGKILL)
        _ = try await watch.line(within: 2) { $0.hasPrefix(#"{"change":"left""#) }
        watch.signal(SIGKILL)
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }

    @Test(
        "A multi-homed element registers the addresses it listens at and no others, and leaves without a new association"
    )
    func multiHomed() async throws {
        let registrar = try await ReferencePeer.startOurs()
        let options = ["--registrar", ReferencePeer.registrar, "--preset", "lan"]
        let element = try RunningProgram(
            ["serve", "echo", "P", "--listen", "sctp:10.99.0.1,10.99.1.1:0"] + options)
        _ = try await element.line { $0.hasPrefix("ready ") }
        let resolved = try await Program.run(["resolve", "P", "--json"] + options)
        #expect(resolved.output.contains(#""addresses":["10.99.0.1","10.99.1.1"],"#), "\(resolved)")
        element.signal(SIGTERM)
        #expect(try await element.end() == 0)
        #expect(!element.errorOutput.contains("home registrar lost"), "\(element.errorOutput)")
        let gone = try await Program.run(["resolve", "P"] + options)
        #expect(gone.exit == 68, "\(gone)")
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }

    @Test("A kernel SCTP port in use is exit 69 and one line that names it")
    func kernelPortInUse() async throws {
        let registrar = try await ReferencePeer.startOurs()
        let second = try await Program.run(
            ["--asap", ReferencePeer.registrar, "--enrp", "sctp:10.99.0.1:0", "--log-level", "error"],
            program: "rserpool-registrar")
        #expect(second.exit == 69, "\(second)")
        #expect(second.errorLines.count == 1)
        #expect(second.errors.contains(ReferencePeer.registrar), "\(second.errors)")
        registrar.signal(SIGTERM)
        #expect(try await registrar.end() == 0)
    }
}
