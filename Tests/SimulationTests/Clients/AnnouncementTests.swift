// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Server announcements (RFC 5352 §3.6)")
struct AnnouncementTests {
    /// 224.0.1.185, port 3863.
    private static let group = SocketAddress(ip: .ipv4(0xe000_01b9), port: 3863)

    private let lab = ClientWorld()

    private func startRegistrar(
        _ name: String, id: UInt32, _ adjust: (inout RegistrarConfiguration) -> Void = { _ in }
    ) throws -> Node {
        try self.lab.startRegistrar(name, id: id) {
            $0.announceGroup = Self.group
            adjust(&$0)
        }.node
    }

    private static func announce(_ id: UInt32, _ transports: [UInt8]...) -> [UInt8] {
        message(0x0a, octets(id), Array(transports.joined()))
    }

    @Test("Alone it announces each second, next to another every two seconds each [ASAP-181]")
    func interval() throws {
        let ears = try self.lab.world.startAnnouncer("ears", Self.group)
        _ = try self.startRegistrar("first", id: 1)
        try self.lab.world.run(until: .seconds(10))
        #expect((10...11).contains(ears.allHeard.count))
        let second = try self.startRegistrar("second", id: 2)
        try self.lab.world.run(until: .seconds(20))
        let before = ears.allHeard.count
        try self.lab.world.run(until: .seconds(60))
        for id in [1, 2] as [UInt32] {
            let count = ears.allHeard[before...].count { Array($0.bytes[4..<8]) == octets(id) }
            #expect((19...21).contains(count), "registrar \(id): \(count)")
        }
        try self.lab.world.crash(second)
        try self.lab.world.run(until: .seconds(80))
        let alone = ears.allHeard.count
        try self.lab.world.run(until: .seconds(100))
        #expect((19...21).contains(ears.allHeard.count - alone))
    }

    @Test(
        """
        It lists its transports, SCTP and TCP and no others, as octets of E10b; the port is the configured one \
        [ASAP-010, ASAP-033, ASAP-182]
        """
    )
    func content() throws {
        let ears = try self.lab.world.startAnnouncer("ears", Self.group)
        let address = IPAddress.ipv4(0x0a01_0001)
        _ = try self.lab.startRegistrar("registrar", id: 0xcafe_0001, addresses: [address]) {
            $0.announceGroup = Self.group
            $0.asapEndpoints = [.sctp("\(address)", port: 4_000), .tcp("\(address)", port: 4_001)]
        }
        try self.lab.world.run(for: .seconds(1))
        #expect(
            ears.allHeard.first?.bytes
                == Self.announce(0xcafe_0001, sctpTLV(port: 4_000, address), tcpTLV(port: 4_001, address)))
    }

    @Test("Without multicast nothing is announced")
    func silent() throws {
        let ears = try self.lab.world.startAnnouncer("ears", Self.group)
        _ = try self.lab.startRegistrar("registrar", id: 1)
        try self.lab.world.run(for: .seconds(10))
        #expect(ears.allHeard.isEmpty)
    }

    @Test(
        """
        Element and user find an announced registrar, whatever its port, without any list [ASAP-010, ASAP-019, \
        ASAP-180, ASAP-183]
        """
    )
    func discovery() throws {
        let element = try self.lab.element(registrars: [], announceGroup: Self.group)
        let user = try self.lab.user(registrars: [], announceGroup: Self.group)
        try self.lab.world.run(for: .seconds(30))
        #expect(element.events.all.isEmpty)
        _ = try self.startRegistrar("registrar", id: 1) { $0.asapEndpoints = [.sctp("*", port: 4_000)] }
        try self.lab.world.run(for: .seconds(2))
        #expect(element.isRegistered)
        #expect(try self.lab.value(user.resolve()).members.map(\.id.rawValue) == [element.id])
    }

    @Test("An announcement without transports stands for SCTP at its source, port 3863: E10a [ASAP-185, WIRE-051]")
    func withoutTransports() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let announcer = try self.lab.world.startAnnouncer("announcer", Self.group, addresses: registrar.node.addresses)
        let user = try self.lab.user(registrars: [], announceGroup: Self.group)
        announcer.send(hex("0a000008 cafe0001"))
        #expect(try self.lab.value(user.resolve(), within: .seconds(2)).members.count == 1)
    }

    @Test("Transports of other types are skipped, the rest is used [WIRE-050]")
    func otherTransports() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let announcer = try self.lab.world.startAnnouncer("announcer", Self.group)
        let user = try self.lab.user(registrars: [], announceGroup: Self.group)
        announcer.send(
            Self.announce(
                1, udpTLV(port: 5, registrar.address), sctpTLV(port: 3863, registrar.address),
                tlv(0x0010, [1, 2, 3, 4])))
        #expect(try self.lab.value(user.resolve(), within: .seconds(2)).members.count == 1)
    }

    @Test("Not announced for T7, an address is tried no more [ASAP-186]")
    func outdated() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let announcer = try self.lab.world.startAnnouncer("announcer", Self.group, addresses: registrar.node.addresses)
        let user = try self.lab.user(registrars: [], announceGroup: Self.group) { $0.fastFailureDetection = true }
        announcer.send(Self.announce(1))
        try self.lab.world.run(for: .seconds(1))
        #expect(registrar.openLinks.count == 1)
        try self.lab.world.run(for: .seconds(6))
        registrar.abort()
        var attempts = 0
        self.lab.world.observer = { event in
            if case .connecting = event.kind, event.node == "user" { attempts += 1 }
        }
        try self.lab.world.run(for: .seconds(60))
        #expect(attempts == 0)
        announcer.send(Self.announce(1))
        #expect(try self.lab.value(user.resolve(), within: .seconds(2)).members.count == 1)
    }

    @Test("A configured registrar is tried though nothing is announced [ASAP-188]")
    func configuredStays() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let user = try self.lab.user(registrars: [registrar.endpoint], announceGroup: Self.group)
        try self.lab.world.run(for: .seconds(100))
        registrar.abort()
        #expect(try self.lab.value(user.resolve(), within: .seconds(5)).members.count == 1)
    }

    @Test("An element does not use an announced TCP transport; it waits for SCTP [ASAP-202]")
    func onlyTCP() throws {
        let registrar = try self.lab.registrar("tcp", .tcp)
        let announcer = try self.lab.world.startAnnouncer("announcer", Self.group)
        let element = try self.lab.element(registrars: [], announceGroup: Self.group)
        for _ in 0..<10 {
            announcer.send(Self.announce(1, tcpTLV(port: 3863, registrar.address)))
            try self.lab.world.run(for: .seconds(1))
        }
        #expect(registrar.linkCount == 0)
        let sctp = try self.lab.registrar("sctp")
        announcer.send(Self.announce(1, tcpTLV(port: 3863, registrar.address), sctpTLV(port: 3863, sctp.address)))
        try self.lab.world.run(for: .seconds(1))
        #expect(element.isRegistered)
        #expect(sctp.heard(.registration).count == 1)
    }

    @Test(
        """
        Ten thousand forged announcements: the configured registrar is found all the same, the work is bounded \
        [ASAP-203, ASAP-302]
        """
    )
    func flood() throws {
        let registrar = try self.lab.registrar(script: FakeRegistrar.listing([1]))
        let announcer = try self.lab.world.startAnnouncer("announcer", Self.group)
        let user = try self.lab.user(registrars: [registrar.endpoint], announceGroup: Self.group)
        var attempts = 0
        self.lab.world.observer = { event in
            if case .connecting = event.kind, event.node == "user" { attempts += 1 }
        }
        try self.lab.world.run(for: .seconds(1))
        for number in 0..<10_000 as Range<UInt32> {
            announcer.send(Self.announce(number, sctpTLV(port: 3863, .ipv4(0x0b00_0000 + number))))
            if number % 100 == 0 { try self.lab.world.run(for: .milliseconds(1)) }
        }
        registrar.abort()
        #expect(try self.lab.value(user.resolve(), within: .seconds(15)).members.count == 1)
        #expect(attempts < 10, "\(attempts)")
    }

    @Test("Announcements that cannot be read harm nobody and are never answered [WIRE-053]")
    func unreadable() throws {
        let ears = try self.lab.world.startAnnouncer("ears", Self.group)
        let node = try self.startRegistrar("registrar", id: 1)
        let user = try self.lab.user(registrars: [], announceGroup: Self.group)
        for bytes in [
            [], [0x0a], hex("0a000004"), hex("41000004"), hex("0a00ffff cafe0001"),
            Self.announce(7, tlv(0x4123), tlv(0xc123)), Say.resolve("EchoPool"),
        ] {
            ears.send(bytes)
        }
        try self.lab.world.run(for: .seconds(5))
        let answers = ears.allHeard.filter { $0.source.ip == node.addresses[0] && $0.bytes.first != 0x0a }
        #expect(answers.isEmpty)
        #expect(try self.lab.failure(user.resolve()).code == .unknownPool, "it found the registrar")
    }
}
