// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import Testing

@Suite("Endpoints as people write them")
struct EndpointTests {
    @Test(
        "Every form is read, and written as it was read",
        arguments: [
            ("sctp:192.0.2.1:3863", Endpoint(scheme: .sctp, hosts: ["192.0.2.1"], port: 3863)),
            ("sctp:192.0.2.1,192.0.2.2:3863", Endpoint(scheme: .sctp, hosts: ["192.0.2.1", "192.0.2.2"], port: 3863)),
            (
                "sctp:192.0.2.1,[2001:db8::1]:0/udp=9899",
                Endpoint(scheme: .sctp, hosts: ["192.0.2.1", "2001:db8::1"], port: 0, encapsulationPort: 9899)
            ),
            ("sctp:*:3863", Endpoint(scheme: .sctp, hosts: ["*"], port: 3863)),
            ("sctp:*", Endpoint(scheme: .sctp, hosts: ["*"])),
            ("sctp:one.example/udp=1", Endpoint(scheme: .sctp, hosts: ["one.example"], encapsulationPort: 1)),
            ("tcp:localhost:65535", Endpoint(scheme: .tcp, hosts: ["localhost"], port: 65535)),
            ("tcp:[::1]:3863", Endpoint(scheme: .tcp, hosts: ["::1"], port: 3863)),
            ("tcp:[::1]", Endpoint(scheme: .tcp, hosts: ["::1"])),
            ("tls:pool_1.example:3864", Endpoint(scheme: .tls, hosts: ["pool_1.example"], port: 3864)),
            ("stls:a,b:3864", Endpoint(scheme: .stls, hosts: ["a", "b"], port: 3864)),
        ])
    func forms(text: String, endpoint: Endpoint) throws {
        #expect(try Endpoint(parsing: text) == endpoint)
        #expect(endpoint.description == text)
    }

    @Test(
        "What is wrong is said in one line, with the text and a correct example",
        arguments: [
            "", ":", "sctp", "sctp:", "http://one.example", "udp:192.0.2.1:1", "sctp:192.0.2.1:", "sctp::3863",
            "sctp:192.0.2.1:x", "sctp:192.0.2.1:65536", "sctp:192.0.2.1:+5", "sctp:192.0.2.1:-1", "sctp:192.0.2.1:1/",
            "sctp:192.0.2.1:3863/tcp=1", "sctp:192.0.2.1:3863/udp=", "sctp:192.0.2.1:3863/udp=0", "sctp:h:1/udp=65536",
            "tcp:192.0.2.1:3863/udp=9899", "sctp:192.0.2.1,:3863", "sctp:,192.0.2.1", "tcp:a,b:1", "tls:a,b:1",
            "sctp:*,192.0.2.1:1", "sctp:2001:db8::1:3863", "sctp:[2001:db8::1:3863", "sctp:[192.0.2.1]:1",
            "sctp:[::1]x:1", "sctp:192.0.2.256:1", "sctp:127.1:1", "tcp:3863", "sctp:a b:1", "sctp:-a:1", "sctp:.a:1",
            "sctp:ü.example:1", "sctp:[fe80::1%eth0]:1", "sctp:a:1:2", "sctp:a\nb:1", "sctp:a:1 ", " sctp:a:1",
        ])
    func mistakes(text: String) throws {
        let error = #expect(throws: EndpointError.self) { try Endpoint(parsing: text) }
        let line = try #require(error).message
        #expect(!line.contains { $0.isNewline })
        #expect(text.contains("\n") || line.contains("\"\(text)\""))
        let example = try #require(line.split(separator: " ").last)
        #expect(throws: Never.self) { try Endpoint(parsing: String(example)) }
    }

    @Test("An endless text gives a short line, many hosts an error")
    func bounds() throws {
        let long = String(repeating: "ä", count: 100_000)
        let error = #expect(throws: EndpointError.self) { try Endpoint(parsing: "sctp:" + long) }
        #expect(try #require(error).message.count < 500)
        let hosts = (1...33).map { "192.0.2.\($0)" }
        #expect(throws: EndpointError.self) { try Endpoint(parsing: "sctp:\(hosts.joined(separator: ",")):1") }
        #expect(throws: Never.self) { try Endpoint(parsing: "sctp:\(hosts.dropLast().joined(separator: ",")):1") }
    }

    @Test("Any text is read or refused, and what is read is written back the same", arguments: 0..<20)
    func random(seed: UInt64) throws {
        var chance = HostGenerator(seed: (seed, 1, 2, 3))
        let pieces = [
            "sctp", "tcp", "tls", "stls", ":", ":", ",", "/", "/udp=", "[", "]", "*", "::1", "2001:db8::", "192.0.2.1",
            "0",
            "3863", "65536", "99999999999999999999", "a", "-", "_", ".", " ", "\n", "\u{0}",
            "é", "👩‍👩‍👧", "\u{202e}", "%eth0",
        ]
        for _ in 0..<2000 {
            let count = Int.random(in: 0...9, using: &chance)
            var text = Bool.random(using: &chance) ? "sctp:" : ""
            for _ in 0..<count { text += pieces.randomElement(using: &chance) ?? "" }
            do throws(EndpointError) {
                let endpoint = try Endpoint(parsing: text)
                let again = try Endpoint(parsing: endpoint.description)
                #expect(again == endpoint, "\(text)")
            } catch {
                #expect(!error.message.contains { $0.isNewline })
            }
        }
    }

    @Test("Addresses, names and ports are filled in")
    func resolution() async throws {
        let plain = try Endpoint(parsing: "sctp:192.0.2.1,[2001:db8::1],192.0.2.1/udp=7").resolved(defaultPort: 3863)
        #expect(plain.port == 3863 && plain.encapsulationPort == 7)
        #expect(plain.addresses == [.ipv4(0xc000_0201), .ipv6(0x2001_0db8_0000_0000, 1)])
        #expect(plain.remote?.addresses == plain.addresses)
        let everywhere = try Endpoint(parsing: "sctp:*:0").resolved(defaultPort: 3863)
        #expect(everywhere.addresses.isEmpty && everywhere.port == 0 && everywhere.remote == nil)
        let named = try await Endpoint.tcp("localhost", port: 1).lookedUp(defaultPort: 3863)
        #expect(!named.addresses.isEmpty && !named.addresses.contains { !$0.isLoopback } && named.port == 1)
    }

    @Test("A name that nobody knows is named in the error")
    func unknownName() async throws {
        let error = await #expect(throws: EndpointError.self) {
            try await Endpoint.tcp("nobody.invalid").lookedUp(defaultPort: 1)
        }
        #expect(try #require(error).message.contains("nobody.invalid"))
        #expect(throws: EndpointError.self) { try Endpoint(scheme: .sctp, hosts: []).resolved(defaultPort: 1) }
    }

    @Test("Endpoints in code need no ceremony")
    func convenience() throws {
        #expect(Endpoint.sctp("192.0.2.1").description == "sctp:192.0.2.1:3863")
        #expect(Endpoint.sctp("192.0.2.1", "[::1]", port: 1, udp: 2).description == "sctp:192.0.2.1,[::1]:1/udp=2")
        #expect(Endpoint.tcp("localhost").description == "tcp:localhost:3863")
        #expect(try Endpoint(parsing: "tls:a:1").isSecured && !Endpoint.tcp("a").isSecured)
        #expect(try Endpoint(parsing: "SCTP:*:1").isEveryLocalAddress)
    }
}
