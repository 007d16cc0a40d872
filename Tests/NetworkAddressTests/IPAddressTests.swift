// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import Testing

@Suite("IP addresses as text (RFC 4291 §2.2, RFC 5952)")
struct IPAddressTextTests {
    @Test(
        "Text is read, and printed in its canonical form",
        arguments: [
            ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
            ("::1", "::1"), ("1::", "1::"), ("2001:DB8::1", "2001:db8::1"), ("2001:0db8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"), ("0:0:0:0:0:0:0:1", "::1"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::FFFF:c000:0201", "::ffff:192.0.2.1"),
            ("::192.0.2.1", "::c000:201"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("fe80::1", "fe80::1"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ])
    func canonical(_ text: String, _ expected: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == expected)
        #expect(IPAddress(expected) == address)
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2..4", ".1.2.3.4", "1.2.3.4.",
            "1.2.3.4 ",
            " 1.2.3.4", "+1.2.3.4", "1.2.3.-4", "0x1.2.3.4", "1.2.3.1000", "１.2.3.4", ":", ":::", "::1::", "1::2::3",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", ":1::", "1::2:", "[::1]",
            "::1%eth0",
            "::1/64", "1.2.3.4::", "::1.2.3", "::1.2.3.256", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "fe80::1 ",
            "a.b.c.d",
            "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555",
        ])
    func refused(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("Every address reads back from its text", arguments: 0..<8 as Range<UInt64>)
    func roundTrip(_ seed: UInt64) {
        var state = seed
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
        for _ in 0..<500 {
            // Whole groups of zeros are what makes text differ.
            var octets = (0..<16).map { _ in UInt8(truncatingIfNeeded: random() >> 11) }
            let zeros = random()
            for group in 0..<8 where zeros >> UInt64(20 + group) & 1 == 1 {
                octets[2 * group] = 0
                octets[2 * group + 1] = 0
            }
            for count in [4, 16] {
                let address = IPAddress(octets: octets.prefix(count))
                #expect(address != nil)
                #expect(address.map(\.description).flatMap { IPAddress($0) } == address, "seed \(seed)")
            }
        }
    }
}

@Suite("IP addresses as values")
struct IPAddressTests {
    @Test("Octets and numbers are the same address")
    func octets() {
        #expect(IPAddress(octets: [192, 0, 2, 1]) == .ipv4(0xc000_0201))
        #expect(IPAddress.ipv4(0xc000_0201).octets == [192, 0, 2, 1])
        #expect(IPAddress.ipv4(0xc000_0201).ipv4Value == 0xc000_0201)
        #expect(IPAddress.ipv4(1).ipv6Value == nil)
        let octets = (1...16).map(UInt8.init)
        #expect(IPAddress(octets: octets) == .ipv6(0x0102_0304_0506_0708, 0x090a_0b0c_0d0e_0f10))
        #expect(IPAddress(octets: octets)?.octets == octets)
        #expect(IPAddress(octets: octets)?.ipv6Value?.low == 0x090a_0b0c_0d0e_0f10)
        #expect(IPAddress.ipv6(1, 2).ipv4Value == nil)
        for count in [0, 1, 3, 5, 15, 17, 255, 260, 272] {
            #expect(IPAddress(octets: [UInt8](repeating: 1, count: count)) == nil)
        }
    }

    @Test("Addresses are told apart by family, and ordered by family and octets")
    func order() {
        #expect(IPAddress.ipv4(0) != .ipv6(0, 0))
        let sorted: [IPAddress] = [.ipv4(1), .ipv4(2), .ipv4(.max), .ipv6(0, 1), .ipv6(0, 2), .ipv6(1, 0)]
        #expect(sorted.reversed().sorted() == sorted)
    }

    @Test("What an address is for")
    func kinds() throws {
        let cases: [(String, wildcard: Bool, loopback: Bool, linkLocal: Bool, multicast: Bool)] = [
            ("0.0.0.0", true, false, false, false), ("::", true, false, false, false),
            ("127.0.0.1", false, true, false, false),
            ("127.255.0.1", false, true, false, false), ("::1", false, true, false, false),
            ("::2", false, false, false, false),
            ("128.0.0.1", false, false, false, false), ("169.254.0.1", false, false, true, false),
            ("169.253.0.1", false, false, false, false), ("fe80::1", false, false, true, false),
            ("febf::1", false, false, true, false), ("fec0::1", false, false, false, false),
            ("224.0.1.185", false, false, false, true), ("239.255.255.255", false, false, false, true),
            ("240.0.0.1", false, false, false, false), ("ff05::133", false, false, false, true),
            ("fe00::1", false, false, false, false), ("0.0.0.1", false, false, false, false),
        ]
        for kind in cases {
            let address = try #require(IPAddress(kind.0))
            #expect(address.isWildcard == kind.wildcard, "\(address)")
            #expect(address.isLoopback == kind.loopback, "\(address)")
            #expect(address.isLinkLocal == kind.linkLocal, "\(address)")
            #expect(address.isMulticast == kind.multicast, "\(address)")
        }
        #expect(IPAddress.anyIPv4.description == "0.0.0.0")
        #expect(IPAddress.anyIPv6.description == "::")
        #expect(IPAddress.loopbackIPv4.description == "127.0.0.1")
        #expect(IPAddress.loopbackIPv6.description == "::1")
    }

    @Test("Only ::ffff:0:0/96 has an IPv4 address inside")
    func unmapped() {
        #expect(IPAddress("::ffff:192.0.2.1")?.unmapped == .ipv4(0xc000_0201))
        #expect(IPAddress("::192.0.2.1")?.unmapped == .ipv6(0, 0xc000_0201))
        #expect(IPAddress("1::ffff:192.0.2.1")?.unmapped.family == .ipv6)
        #expect(IPAddress("192.0.2.1")?.unmapped == .ipv4(0xc000_0201))
    }

    @Test("An address and a port, IPv6 in brackets")
    func socketAddress() {
        #expect(SocketAddress(ip: .loopbackIPv4, port: 3863).description == "127.0.0.1:3863")
        #expect(SocketAddress(ip: .loopbackIPv6, port: 0).description == "[::1]:0")
    }
}
