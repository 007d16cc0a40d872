// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCommands
import RSerPoolWire
import Testing

@Suite("JSON values (RFC 8259)")
struct JSONTests {
    @Test("Values are written without blanks, members in their order")
    func compact() {
        let value: JSON = ["b": [1, -2, 0.5], "a": ["x": true, "y": false], "z": .null, "e": [:], "l": []]
        #expect(value.text == #"{"b":[1,-2,0.5],"a":{"x":true,"y":false},"z":null,"e":{},"l":[]}"#)
    }

    @Test(
        "Strings are escaped so that they stay on their line",
        arguments: [
            ("plain", #""plain""#), (#"a"b\c"#, #""a\"b\\c""#), ("\n\r\t\u{8}\u{c}", #""\n\r\t\b\f""#),
            ("\u{0}\u{1f}\u{7f}\u{9b}", #""\u0000\u001f\u007f\u009b""#), ("\u{2028}\u{2029}", #""\u2028\u2029""#),
            ("Büro €𝄞/", #""Büro €𝄞/""#), ("e\u{301}\r\n", "\"e\u{301}\\r\\n\""), ("", #""""#),
        ])
    func strings(_ string: String, _ text: String) {
        #expect(JSON.string(string).text == text)
        let key = JSON.object([(string, 1)]).text
        #expect(key == "{\(text):1}")
    }

    @Test("Octets that are no text become hexadecimal digits before they become a string")
    func invalidUTF8() {
        #expect(PoolHandle(octets: [0xff, 0xfe, 0x00]).json.text == #""0xfffe00""#)
        #expect(PoolHandle(octets: [0xc3, 0x28]).json.text == #""0xc328""#)
        #expect(PoolHandle("Büro").json.text == #""Büro""#)
    }

    @Test(
        "Numbers read back as themselves; what JSON cannot say is null",
        arguments: [
            (0, "0"), (300, "300"), (-1.5, "-1.5"), (0.1, "0.1"), (1e-9, "1e-09"), (.infinity, "null"), (.nan, "null"),
            (-.infinity, "null"), (1e300, "1e+300"),
        ] as [(Double, String)])
    func numbers(_ value: Double, _ text: String) {
        #expect(JSON.number(value).text == text)
        if value.isFinite { #expect(Double(text) == value) }
    }

    @Test("Whole numbers beyond 64 bits are the nearest one")
    func integers() {
        #expect(JSON.integer(UInt32.max).text == "4294967295")
        #expect(JSON.integer(Int64.min).text == "-9223372036854775808")
        #expect(JSON.integer(UInt64.max).text == "9223372036854775807")
    }

    @Test("Equality knows values, kinds and order")
    func equality() {
        #expect(["a": 1, "b": 2] as JSON == ["a": 1, "b": 2])
        #expect(["a": 1, "b": 2] as JSON != ["b": 2, "a": 1])
        #expect("1" as JSON != 1)
    }

    @Test("The outline for people has a line per member")
    func outline() {
        let value: JSON = [
            "pool": "a\nb\"c", "flags": [1, 2], "none": [], "life": .null, "ok": true,
            "elements": [["id": 1, "policy": ["type": "random"]], ["id": 2]], "more": ["x": 0.5],
        ]
        #expect(
            value.outline == """
                pool: a\\nb"c
                flags: 1, 2
                none: none
                life: for ever
                ok: yes
                elements:
                  - id: 1
                    policy:
                      type: random
                  - id: 2
                more:
                  x: 0.5
                """)
    }
}

@Suite("Elements, policies and transports as the commands print them")
struct ElementRenderingTests {
    private let address = IPAddress.ipv4(0xc000_0201)

    @Test("An element has the contract's keys in the contract's order")
    func element() {
        var member = PoolMember(
            id: PoolElementID(rawValue: 0x1234), home: RegistrarID(rawValue: 0xcafe_0001), life: .seconds(300),
            transport: .sctp(
                SCTPTransport(
                    port: 7, use: .dataAndControl, addresses: [self.address, .ipv6(0x2001_0db8_0000_0000, 1)])),
            policy: .leastUsed(load: Load(fraction: 0.5)))
        let start =
            #"{"id":"0x00001234","home":"0xcafe0001","transport":"sctp","addresses":["192.0.2.1","2001:db8::1"],"#
            + #""port":7,"use":"data+control","life":300,"policy":{"type":"least-used","load":0.5}"#
        #expect(member.json.text == start + "}")
        member.encapsulationPort = 9899
        member.asapTransport = SCTPTransport(port: 3863, addresses: [self.address])
        let end =
            #","udp":9899,"asap":{"transport":"sctp","addresses":["192.0.2.1"],"port":3863,"use":"data"}}"#
        #expect(member.json.text == start + end)
        #expect(
            member.line
                == "0x00001234  sctp:192.0.2.1,[2001:db8::1]:7/udp=9899  data+control  least-used:0.5  for 300 s  home 0xcafe0001"
        )
    }

    @Test("Infinite life is null")
    func life() {
        #expect(RegistrationLife.infinite.json.text == "null")
        #expect(RegistrationLife.seconds(1).json.text == "1")
        #expect(RegistrationLife(rawValue: -2).json.text == "-2")
    }

    @Test("Every transport has its name and its own fields")
    func transports() {
        let socket = SocketAddress(ip: self.address, port: 7)
        let rest = #""addresses":["192.0.2.1"],"port":7,"#
        for (transport, text) in [
            (.tcp(socket), #"{"transport":"tcp",\#(rest)"use":"data"}"#),
            (.udp(socket), #"{"transport":"udp",\#(rest)"use":"data"}"#),
            (.udpLite(socket), #"{"transport":"udp-lite",\#(rest)"use":"data"}"#),
            (
                .dccp(socket, serviceCode: 0x10),
                #"{"transport":"dccp",\#(rest)"service-code":"0x00000010","use":"data"}"#
            ),
            (.opaque([0xde, 0xad]), #"{"transport":"opaque","data":"dead","use":"data"}"#),
        ] as [(UserTransport, String)] {
            #expect(JSON.object(transport.members).text == text)
        }
        #expect(UserTransport.tcp(socket).endpointText() == "tcp:192.0.2.1:7")
        #expect(UserTransport.opaque([1]).endpointText() == "opaque:01")
    }

    @Test(
        "Every policy has the command line's name and its values",
        arguments: [
            (.roundRobin, #"{"type":"round-robin"}"#, "round-robin"),
            (.weightedRoundRobin(weight: 5), #"{"type":"weighted-round-robin","weight":5}"#, "weighted-round-robin:5"),
            (.random, #"{"type":"random"}"#, "random"),
            (
                .weightedRandom(weight: .max), #"{"type":"weighted-random","weight":4294967295}"#,
                "weighted-random:4294967295"
            ),
            (.priority(3), #"{"type":"priority","priority":3}"#, "priority:3"),
            (.leastUsed(load: .full), #"{"type":"least-used","load":1}"#, "least-used:1"),
            (
                .leastUsedDegradation(load: Load(fraction: 0.25), degradation: Load(fraction: 0.125)),
                #"{"type":"least-used-degradation","load":0.25,"degradation":0.125}"#,
                "least-used-degradation:0.25:0.125"
            ),
            (
                .priorityLeastUsed(load: .idle, degradation: Load(fraction: 0.1)),
                #"{"type":"priority-least-used","load":0,"degradation":0.1}"#, "priority-least-used:0:0.1"
            ),
            (
                .randomizedLeastUsed(load: Load(fraction: 0.3)), #"{"type":"randomized-least-used","load":0.3}"#,
                "randomized-least-used:0.3"
            ),
            (
                .randomizedPriorityLeastUsedDegradation(load: .full, degradation: .idle),
                #"{"type":"randomized-priority-least-used-degradation","load":1,"degradation":0}"#,
                "randomized-priority-least-used-degradation:1:0"
            ),
            (
                .weightedRandomDPF(weight: 7, dpf: Load(fraction: 0.001), distance: 150),
                #"{"type":"weighted-random-dpf","weight":7,"dpf":0.001,"distance":150}"#, "weighted-random-dpf:7:0.001"
            ),
            (
                .leastUsedDegradationDPF(
                    load: .idle, degradation: Load(fraction: 0.1), dpf: Load(fraction: 0.001), distance: 50),
                #"{"type":"least-used-degradation-dpf","load":0,"degradation":0.1,"dpf":0.001,"distance":50}"#,
                "least-used-degradation-dpf:0:0.1:0.001"
            ),
            (
                .unknown(PolicyType(rawValue: 0x8000_0001), [1, 2]), #"{"type":"0x80000001","data":"0102"}"#,
                "0x80000001:0102"
            ),
        ] as [(PoolPolicy, String, String)])
    func policies(_ policy: PoolPolicy, _ json: String, _ argument: String) {
        #expect(policy.json.text == json)
        #expect(policy.argument == argument)
        if case .unknown = policy { return }
        #expect(PoolPolicy(argument: argument) == policy.at(distance: 0), "it is read as it is written")
    }

    @Test(
        "Anything else is no policy",
        arguments: [
            "", "least-used", "least-used:", "least-used:2", "least-used:0.5:0.5", "random:1", "priority:-1",
            "weighted-random-dpf:1", "least-used-dpf:0.5:0.1:50", "0x80000001:0102",
        ])
    func noPolicies(_ text: String) {
        #expect(PoolPolicy(argument: text) == nil)
    }

    @Test(
        "A load's fraction stands for that very load",
        arguments: [0, 1, 2, 0x1999_9999, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, .max] as [UInt32])
    func loads(_ raw: UInt32) throws {
        let fraction = try #require(Double(Load(rawValue: raw).json.text))
        #expect(Load(fraction: fraction).rawValue == raw)
    }

    @Test("A registrar has its endpoint as a command line would")
    func serverInformation() {
        let information = ServerInformation(
            id: RegistrarID(rawValue: 1),
            transport: SCTPTransport(port: 9901, addresses: [self.address, .loopbackIPv6]),
            encapsulationPort: 9899)
        #expect(
            information.json.text
                == #"{"id":"0x00000001","endpoint":"sctp:192.0.2.1,[::1]:9901/udp=9899","addresses":["192.0.2.1","::1"],"udp":9899}"#
        )
    }
}

@Suite("Messages as `rserpool decode` prints them")
struct MessageRenderingTests {
    private func json(_ dialect: MessageRendering.Dialect, _ text: String) throws -> String {
        let bytes = try #require(octets(hexadecimal: text))
        return try MessageRendering(decoding: bytes, as: dialect).json.text
    }

    @Test("A registration, field by field")
    func registration() throws {
        let text =
            "01000038 0009000c 4563686f 506f6f6c 000a0028 12345678 00000000 0000012c 00040010 00070000 00010008 c0000201 00080008 00000001"
        #expect(
            try self.json(.asap, text)
                == #"{"message":"ASAP_REGISTRATION","type":1,"flags":0,"length":56,"pool":"EchoPool","element":"#
                + #"{"id":"0x12345678","home":"0x00000000","transport":"sctp","addresses":["192.0.2.1"],"port":7,"#
                + #""use":"data","life":300,"policy":{"type":"round-robin"}}}"#)
        let bytes = try #require(octets(hexadecimal: text))
        #expect(
            try MessageRendering(decoding: bytes, as: .asap).text == """
                ASAP_REGISTRATION (type 1, flags 0, length 56)
                  pool: EchoPool
                  element:
                    id: 0x12345678
                    home: 0x00000000
                    transport: sctp
                    addresses: 192.0.2.1
                    port: 7
                    use: data
                    life: 300
                    policy:
                      type: round-robin
                """)
    }

    @Test(
        "Every other ASAP message",
        arguments: [
            (
                "0200001400090008 4563686f 000e0008 00000007",
                #""message":"ASAP_DEREGISTRATION","type":2,"flags":0,"length":20,"pool":"Echo","id":"0x00000007""#
            ),
            (
                "0301001c 00090008 4563686f 000e0008 00000007 000c0008 00040004",
                #""message":"ASAP_REGISTRATION_RESPONSE","type":3,"flags":1,"length":28,"pool":"Echo","id":"0x00000007","rejected":true,"errors":[{"code":4,"cause":"pool element identifier in use"}]"#
            ),
            (
                "04000014 00090008 4563686f 000e0008 00000007",
                #""message":"ASAP_DEREGISTRATION_RESPONSE","type":4,"flags":0,"length":20,"pool":"Echo","id":"0x00000007""#
            ),
            (
                "05010020 00090008 4563686f 803f0008 00000003 a952000c 00000000 00000000",
                #""message":"ASAP_HANDLE_RESOLUTION","type":5,"flags":1,"length":32,"pool":"Echo","updates":true,"count":3,"increments":true"#
            ),
            (
                "06000014 00090008 4563686f 000c0008 00090004",
                #""message":"ASAP_HANDLE_RESOLUTION_RESPONSE","type":6,"flags":0,"length":20,"pool":"Echo","updates":false,"errors":[{"code":9,"cause":"unknown pool handle"}]"#
            ),
            (
                "06010028 00090008 4563686f 00080008 00000003 000e0008 00000007 a952000c 00000003 00000105",
                #""message":"ASAP_HANDLE_RESOLUTION_RESPONSE","type":6,"flags":1,"length":40,"pool":"Echo","updates":true,"policy":{"type":"random"},"elements":[],"gone":["0x00000007"],"increment":{"snapshot":true,"more":true,"sequence":261}"#
            ),
            (
                "07010010 cafe0001 00090008 4563686f",
                #""message":"ASAP_ENDPOINT_KEEP_ALIVE","type":7,"flags":1,"length":16,"registrar":"0xcafe0001","pool":"Echo","wants-home":true"#
            ),
            (
                "07000018 cafe0001 00090008 4563686f 000e0008 00000007",
                #""message":"ASAP_ENDPOINT_KEEP_ALIVE","type":7,"flags":0,"length":24,"registrar":"0xcafe0001","pool":"Echo","id":"0x00000007","wants-home":false"#
            ),
            (
                "08000014 00090008 4563686f 000e0008 00000007",
                #""message":"ASAP_ENDPOINT_KEEP_ALIVE_ACK","type":8,"flags":0,"length":20,"pool":"Echo","id":"0x00000007""#
            ),
            (
                "09000014 00090008 4563686f 000e0008 00000007",
                #""message":"ASAP_ENDPOINT_UNREACHABLE","type":9,"flags":0,"length":20,"pool":"Echo","id":"0x00000007""#
            ),
            (
                "0a000020 cafe0001 00050010 0f170000 00010008 c000020a a9510008 26ab0000",
                #""message":"ASAP_SERVER_ANNOUNCE","type":10,"flags":0,"length":32,"registrar":"0xcafe0001","transports":[{"transport":"tcp","addresses":["192.0.2.10"],"port":3863,"use":"data"}],"udp":9899"#
            ),
            ("0b00000a 000d0006 68650000", #""message":"ASAP_COOKIE","type":11,"flags":0,"length":10,"cookie":"6865""#),
            ("0c000008 000d0004", #""message":"ASAP_COOKIE_ECHO","type":12,"flags":0,"length":8,"cookie":"""#),
            (
                "0d00002c 00090008 4563686f 000a0020 00000007 00000000 ffffffff 00100007 61626300 00080008 00000003",
                #""message":"ASAP_BUSINESS_CARD","type":13,"flags":0,"length":44,"pool":"Echo","elements":[{"id":"0x00000007","home":"0x00000000","transport":"opaque","data":"616263","use":"data","life":null,"policy":{"type":"random"}}]"#
            ),
            (
                "0e000010 000c000c 00020008 41000004",
                #""message":"ASAP_ERROR","type":14,"flags":0,"length":16,"errors":[{"code":2,"cause":"unrecognized message","data":"41000004"}]"#
            ),
        ])
    func asap(_ text: String, _ members: String) throws {
        #expect(try self.json(.asap, text) == "{\(members)}")
    }

    @Test(
        "Every ENRP message",
        arguments: [
            (
                "0101002c 11111111 00000000 000f0006 0fff0000 000b0018 11111111 00040010 26ad0000 00010008 c0000201",
                #""message":"ENRP_PRESENCE","type":1,"flags":1,"length":44,"sender":"0x11111111","receiver":"0x00000000","reply-required":true,"checksum":"0x0fff","server":{"id":"0x11111111","endpoint":"sctp:192.0.2.1:9901","addresses":["192.0.2.1"]}"#
            ),
            (
                "0201000c 11111111 22222222",
                #""message":"ENRP_HANDLE_TABLE_REQUEST","type":2,"flags":1,"length":12,"sender":"0x11111111","receiver":"0x22222222","own-children-only":true"#
            ),
            (
                "0302003c 11111111 22222222 00090008 4563686f 000a0028 00000007 00000000 0000003c 00060010 00350000 00010008 c0000201 00080008 00000003",
                #""message":"ENRP_HANDLE_TABLE_RESPONSE","type":3,"flags":2,"length":60,"sender":"0x11111111","receiver":"0x22222222","rejected":false,"more":true,"pools":[{"pool":"Echo","elements":[{"id":"0x00000007","home":"0x00000000","transport":"udp","addresses":["192.0.2.1"],"port":53,"use":"data","life":60,"policy":{"type":"random"}}]}]"#
            ),
            (
                "04010038 11111111 00000000 00010000 00090008 4563686f 000a0020 00000007 00000000 0000003c 00100007 61626300 00080008 00000003",
                #""message":"ENRP_HANDLE_UPDATE","type":4,"flags":1,"length":56,"sender":"0x11111111","receiver":"0x00000000","action":"delete","pool":"Echo","element":{"id":"0x00000007","home":"0x00000000","transport":"opaque","data":"616263","use":"data","life":60,"policy":{"type":"random"}},"takeover-suggested":true"#
            ),
            (
                "0500000c 11111111 22222222",
                #""message":"ENRP_LIST_REQUEST","type":5,"flags":0,"length":12,"sender":"0x11111111","receiver":"0x22222222""#
            ),
            (
                "0601000c 11111111 22222222",
                #""message":"ENRP_LIST_RESPONSE","type":6,"flags":1,"length":12,"sender":"0x11111111","receiver":"0x22222222","rejected":true,"servers":[]"#
            ),
            (
                "07000010 11111111 00000000 33333333",
                #""message":"ENRP_INIT_TAKEOVER","type":7,"flags":0,"length":16,"sender":"0x11111111","receiver":"0x00000000","target":"0x33333333""#
            ),
            (
                "08000010 11111111 00000000 33333333",
                #""message":"ENRP_INIT_TAKEOVER_ACK","type":8,"flags":0,"length":16,"sender":"0x11111111","receiver":"0x00000000","target":"0x33333333""#
            ),
            (
                "09000010 11111111 00000000 33333333",
                #""message":"ENRP_TAKEOVER_SERVER","type":9,"flags":0,"length":16,"sender":"0x11111111","receiver":"0x00000000","target":"0x33333333""#
            ),
            (
                "0a000014 11111111 22222222 000c0008 00060004",
                #""message":"ENRP_ERROR","type":10,"flags":0,"length":20,"sender":"0x11111111","receiver":"0x22222222","errors":[{"code":6,"cause":"lack of resources"}]"#
            ),
        ])
    func enrp(_ text: String, _ members: String) throws {
        #expect(try self.json(.enrp, text) == "{\(members)}")
    }

    @Test("Parameters that were skipped with a report are mentioned")
    func unrecognized() throws {
        #expect(
            try self.json(.asap, "05000013 00090008 4563686f c1230007 616263")
                == #"{"message":"ASAP_HANDLE_RESOLUTION","type":5,"flags":0,"length":19,"pool":"Echo","updates":false,"unrecognized":["c1230007616263"]}"#
        )
        #expect(
            try self.json(.enrp, "05000010 11111111 22222222 c1240004")
                == #"{"message":"ENRP_LIST_REQUEST","type":5,"flags":0,"length":16,"sender":"0x11111111","receiver":"0x22222222","unrecognized":["c1240004"]}"#
        )
    }

    @Test("What is malformed says why and where")
    func malformed() throws {
        let bytes = try #require(octets(hexadecimal: "05000010 00090003 4563686f 506f6f6c"))
        let error = #expect(throws: WireError.self) { try MessageRendering(decoding: bytes, as: .asap) }
        #expect(
            error?.json.text
                == #"{"error":"parameter 0x9 has length 3, 12 octets are there","offset":6,"code":"badLength"}"#)
        let empty = #expect(throws: WireError.self) { try MessageRendering(decoding: [], as: .enrp) }
        #expect(empty?.offset == 0)
    }

    @Test("Hexadecimal digits may be grouped; anything else is refused")
    func hexadecimalText() {
        #expect(octets(hexadecimal: "") == [])
        #expect(octets(hexadecimal: "0x0aFF") == [10, 255])
        #expect(octets(hexadecimal: " 0a ff:10\t0 1") == [10, 255, 16, 1])
        #expect(octets(hexadecimal: "0a f") == nil)
        #expect(octets(hexadecimal: "0g") == nil)
        #expect(octets(hexadecimal: "١٢") == nil)
    }

    @Test("Checksums have four digits")
    func checksums() {
        #expect(checksumText(0xff) == "0x00ff")
        #expect(checksumText(0xffff) == "0xffff")
    }
}
