// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("A registrar starts: its ID, its mentor, its list, its table (RFC 5353 §3.2)")
struct PeerStartUpTests {
    private let lab = PeerWorld()

    /// Whether the ASAP endpoint takes associations.
    private func serves(_ registrar: TestRegistrar, _ user: ScriptedPeer) throws -> Bool {
        let link = try user.connect(to: registrar.node.addresses)
        try self.lab.pass()
        return user.openLinks.contains { $0.id == link }
    }

    // MARK: Identity

    @Test("Without a configured ID it is random, not 0, and never the same [ENRP-036]")
    func randomIDs() throws {
        let ids = try (1...20).map { try self.lab.start("registrar-\($0)", id: nil).registrar.id.rawValue }
        #expect(!ids.contains(0))
        #expect(Set(ids).count == 20)
        for (earlier, later) in zip(ids, ids.dropFirst()) {
            #expect(abs(Int64(later) - Int64(earlier)) > 1_000, "\(ids)")
        }
    }

    @Test("It has one ID in all that it says, in ENRP and ASAP, until it is restarted [ENRP-005, ENRP-037]")
    func oneID() throws {
        let first = try self.lab.fake(0x1111_1111)
        let second = try self.lab.fake(0x2222_2222)
        let registrar = try self.lab.start(id: nil, peers: [first.endpoint, second.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let element = try self.lab.element(registrar, "element")
        try self.lab.register(element, 1, life: .max)
        try self.lab.world.run(for: .seconds(300))
        second.fallSilent()
        try self.lab.world.run(for: .seconds(100))
        let said = (first.peer.allHeard + second.peer.allHeard).map { number($0.bytes, at: 4) }
        #expect(said.count > 20)
        #expect(Set(said) == [registrar.registrar.id.rawValue])
        #expect(registrar.home(1) == registrar.registrar.id.rawValue)
    }

    @Test("IDs of registrars and of elements have nothing to do with each other [ENRP-038]")
    func separateSpaces() throws {
        let registrar = try self.lab.start()
        let element = try self.lab.element(registrar, "element")
        try self.lab.register(element, PeerWorld.id)
        #expect(try self.lab.ids(element) == [PeerWorld.id])
    }

    // MARK: Mentor

    @Test(
        """
        One known peer is the mentor: its list is asked for first, 12 octets, then its whole handlespace \
        [ENRP-010, ENRP-016, ENRP-039, ENRP-042, ENRP-050]
        """
    )
    func oneMentor() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        _ = try self.lab.start(peers: [mentor.endpoint])
        try self.lab.world.run(for: .seconds(1))
        let said = mentor.peer.allHeard.filter { $0.type != 0x01 }.map(\.bytes)
        #expect(said.count == 2, "\(self.lab.transcript)")
        for (heard, type) in zip(said, [0x05, 0x02] as [UInt8]) {
            #expect(heard.prefix(8) == hex("\(type == 0x05 ? "05" : "02")00000c cafe0001")[...])
            #expect(heard.count == 12)
            #expect([0, mentor.id].contains(number(heard, at: 8)))
        }
        #expect(mentor.peer.allHeard.first?.type == 0x01)
    }

    @Test("Of several, one at a time is the mentor; when it is gone the next one is asked [ENRP-040]")
    func backupMentors() throws {
        let peers = try (1...3).map { try self.lab.fake(0x1111_1111 * UInt32($0)) }
        peers[0].behave { $0.servers = nil }
        peers[1].behave { $0.tables = nil }
        _ = try self.lab.start(peers: peers.map(\.endpoint)) { $0.enrpTimers.mentorSearchTime = .seconds(60) }
        try self.lab.world.run(for: .seconds(1))
        #expect(peers.map { $0.heard(.listRequest).count } == [1, 0, 0])
        try self.lab.world.crash(peers[0].peer.node)
        try self.lab.world.run(for: .seconds(7))
        #expect(peers.map { $0.heard(.listRequest).count } == [1, 1, 0], "\(self.lab.transcript)")
        #expect(peers.map { $0.heard(.handleTableRequest).count } == [0, 1, 0])
        try self.lab.world.crash(peers[1].peer.node)
        try self.lab.world.run(for: .seconds(7))
        #expect(peers.map { $0.heard(.listRequest).count } == [1, 1, 1])
        #expect(peers.map { $0.heard(.handleTableRequest).count } == [0, 1, 1])
    }

    @Test("Without any it is alone, asks nobody, and serves at once [ENRP-041]")
    func alone() throws {
        let registrar = try self.lab.start()
        let element = try self.lab.element(registrar, "element")
        try self.lab.register(element, 1)
        #expect(self.lab.world.now < .milliseconds(100))
    }

    @Test("A mentor that does not answer in MAX-TIME-NO-RESPONSE is given up for a backup [ENRP-043]")
    func silentMentor() throws {
        let silent = try self.lab.fake(0x1111_1111)
        silent.behave { $0.servers = nil }
        let backup = try self.lab.fake(0x2222_2222)
        _ = try self.lab.start(peers: [silent.endpoint, backup.endpoint])
        try self.lab.world.run(for: .milliseconds(4_900))
        #expect(silent.heard(.listRequest).count == 1)
        #expect(backup.heard(.listRequest).isEmpty)
        try self.lab.world.run(for: .milliseconds(200))
        #expect(backup.heard(.listRequest).count == 1)
        #expect(backup.heard(.handleTableRequest).count == 1)
    }

    @Test(
        """
        Its peers are those in the list, which it contacts; its own ID, double ones and 0 are left out \
        [ENRP-045, ENRP-048]
        """
    )
    func listInitializesPeers() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        let second = try self.lab.fake(0x2222_2222)
        let third = try self.lab.fake(0x3333_3333)
        let nobody = try self.lab.fake(0x4444_4444)
        mentor.behave {
            $0.servers = [
                second.information, third.information, second.information,
                serverTLV(PeerWorld.id, nobody.address), serverTLV(0, nobody.address),
            ]
        }
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        try self.lab.world.run(for: .seconds(2))
        #expect(registrar.activePeers == [mentor.id, second.id, third.id], "\(self.lab.transcript)")
        #expect(second.peer.linkCount == 1)
        #expect(third.peer.linkCount == 1)
        #expect(nobody.peer.linkCount == 0)
        #expect(registrar.peers.count == 3)
    }

    @Test("While it waits for its own mentor it rejects, with nothing in it [ENRP-011, ENRP-017, ENRP-046, ENRP-060]")
    func rejectsWhileStarting() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave { $0.servers = nil }
        let other = try self.lab.fake(0x2222_2222)
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        try self.lab.world.run(for: .seconds(1))
        try self.lab.meet(registrar, other)
        try other.say(.listRequest, to: PeerWorld.id)
        try other.say(.handleTableRequest, to: PeerWorld.id)
        try self.lab.pass()
        #expect(other.heard(.listResponse).map(\.bytes) == [hex("0601000c cafe0001 22222222")])
        #expect(other.heard(.handleTableResponse).map(\.bytes) == [hex("0301000c cafe0001 22222222")])
    }

    @Test(
        "A mentor that rejects is asked again after a few seconds [ENRP-047, ENRP-061]",
        arguments: [ENRPMessage.MessageType.listRequest, .handleTableRequest])
    func rejectingMentor(type: ENRPMessage.MessageType) throws {
        // Its ID is the larger one: else the registrar under test would begin, as both may be starting.
        let mentor = try self.lab.fake(0xf000_0001)
        mentor.behave {
            $0.rejectsList = type == .listRequest
            $0.rejectsTable = true
        }
        _ = try self.lab.start(peers: [mentor.endpoint]) { $0.enrpTimers.mentorSearchTime = .zero }
        try self.lab.world.run(for: .seconds(60))
        let times = mentor.heard(type).map(\.time)
        #expect(times.count > 8)
        for (earlier, later) in zip(times, times.dropFirst()) {
            #expect((.seconds(1) ... .seconds(10)).contains(later - earlier), "\(times)")
        }
        mentor.behave {
            $0.rejectsList = false
            $0.rejectsTable = false
        }
        try self.lab.world.run(for: .seconds(10))
        let user = try self.lab.world.startPeer("user")
        #expect(throws: Never.self) { try self.lab.world.connect(user, to: self.lab.world.livingNodes[1]) }
    }

    @Test("A backup is asked at once when the mentor rejects [ENRP-047]")
    func rejectingMentorWithBackup() throws {
        let mentor = try self.lab.fake(0xf000_0001)
        mentor.behave { $0.rejectsList = true }
        let backup = try self.lab.fake(0xf000_0002)
        _ = try self.lab.start(peers: [mentor.endpoint, backup.endpoint])
        try self.lab.world.run(for: .seconds(1))
        // Once we serve, who has not told whom it knows is asked again.
        #expect((1...2).contains(mentor.heard(.listRequest).count))
        #expect(backup.heard(.listRequest).count == 1)
        #expect(backup.heard(.handleTableRequest).count == 1)
    }

    // MARK: Table

    @Test(
        """
        The parts of a table are stored as they come, each is asked for with W = 0; it serves after the last one \
        [ENRP-013, ENRP-054, ENRP-055, ENRP-056, ENRP-057, ENRP-059]
        """
    )
    func wholeTable() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave {
            $0.tables = [
                handleTLV("EchoPool") + mentor.element(1) + handleTLV("Chance") + mentor.element(7, policy: randomTLV),
                handleTLV("EchoPool") + mentor.element(2) + mentor.element(3),
                [],
            ]
            $0.partsLeft = 2
            $0.checksum = checksum(("EchoPool", 1), ("EchoPool", 2), ("EchoPool", 3), ("Chance", 7))
        }
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        let user = try self.lab.world.startPeer("user")
        try self.lab.world.run(for: .seconds(1))
        #expect(mentor.heard(.handleTableRequest).count == 3)
        #expect(mentor.heard(.handleTableRequest).count { $0.flags == 0 } == 3)
        #expect(try !self.serves(registrar, user))
        try mentor.say(.handleTableResponse)
        try self.lab.pass()
        #expect(try self.serves(registrar, user))
        #expect(try self.lab.ids(user) == [1, 2, 3])
        let chance = try self.lab.resolve(user, "Chance")
        #expect(chance?.members.map(\.id.rawValue) == [7])
        #expect(chance?.policy?.type.rawValue == 3)
        #expect(registrar.home(1) == mentor.id)
    }

    @Test("What an update says during the download, the table may change, and later updates again [ENRP-058, ENRP-065]")
    func updatesDuringDownload() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave { $0.checksum = checksum(("EchoPool", 1)) }
        let other = try self.lab.fake(0x2222_2222)
        other.behave { $0.checksum = checksum(("Other", 2)) }
        func weighted(_ weight: UInt32) -> [UInt8] { mentor.element(1, policy: policyTLV(2, weight)) }
        mentor.behave {
            $0.tables = [handleTLV("Other") + mentor.element(9), handleTLV("EchoPool") + weighted(20)]
            $0.partsLeft = 1
        }
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        try self.lab.world.run(for: .seconds(1))
        try self.lab.meet(registrar, other)
        try mentor.add("EchoPool", weighted(10))
        try other.add("Other", other.element(2))
        try self.lab.pass()
        #expect(registrar.member(1)?.policy == .weightedRoundRobin(weight: 10))
        #expect(registrar.member(2, "Other") != nil)
        try mentor.say(.handleTableResponse, handleTLV("EchoPool"), weighted(20))
        try self.lab.pass()
        #expect(registrar.member(1)?.policy == .weightedRoundRobin(weight: 20))
        try mentor.add("EchoPool", weighted(30))
        let user = try self.lab.element(registrar, "user")
        try self.lab.pass()
        #expect(try self.lab.resolve(user)?.members.map(\.policy) == [.weightedRoundRobin(weight: 30)])
        #expect(try self.lab.ids(user, "Other") == [2, 9])
    }

    @Test("A mentor that falls silent in the middle: a new download from a backup, nothing lost or doubled [ENRP-062]")
    func mentorDiesHalfWay() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave {
            $0.tables = [handleTLV("EchoPool") + mentor.element(1), handleTLV("EchoPool") + mentor.element(2)]
            $0.partsLeft = 1
            $0.checksum = checksum(("EchoPool", 1), ("EchoPool", 2))
        }
        let backup = try self.lab.fake(0x2222_2222)
        backup.behave {
            $0.tables = [handleTLV("EchoPool") + mentor.element(2) + backup.element(3)]
            $0.checksum = checksum(("EchoPool", 3))
        }
        let registrar = try self.lab.start(peers: [mentor.endpoint, backup.endpoint])
        try self.lab.world.run(for: .milliseconds(4_900))
        #expect(mentor.heard(.handleTableRequest).count == 2)
        #expect(backup.heard(.handleTableRequest).isEmpty)
        try self.lab.world.run(for: .milliseconds(300))
        #expect(backup.heard(.handleTableRequest).first?.flags == 0, "\(self.lab.transcript)")
        let user = try self.lab.element(registrar, "user")
        #expect(try self.lab.ids(user) == [1, 2, 3])
    }

    @Test(
        "Nobody answers: it serves after a while and says so; a peer that comes up later is met and audited [ENRP-064]")
    func nobodyAnswers() throws {
        let address = IPAddress.ipv4(0x0a00_0063)
        let registrar = try self.lab.start(peers: [.sctp("\(address)", port: 9901)])
        let user = try self.lab.world.startPeer("user")
        try self.lab.world.run(for: .milliseconds(9_500))
        #expect(try !self.serves(registrar, user))
        // The time is over at 10 s; an attempt that runs then has 5 s more.
        try self.lab.world.run(for: .seconds(6))
        #expect(try self.serves(registrar, user))
        #expect(self.lab.log.all.contains { $0.hasPrefix("warning: no mentor answered") })
        let late = try self.lab.fake(0x1111_1111, addresses: [address])
        late.behave {
            $0.checksum = checksum(("EchoPool", 1))
            $0.ownTables = [handleTLV("EchoPool") + late.element(1)]
        }
        try self.lab.world.run(for: .seconds(61))
        #expect(registrar.activePeers == [late.id])
        #expect(late.heard(.handleTableRequest).map(\.flags) == [1])
        #expect(try self.lab.ids(user) == [1])
    }

    @Test("With nobody there its tries are paced, and with no limit set it never serves alone [ENRP-064]")
    func neverAlone() throws {
        let registrar = try self.lab.start(peers: [.sctp("10.0.0.99", port: 9901)]) {
            $0.enrpTimers.mentorSearchTime = .zero
        }
        var tries = 0
        self.lab.world.observer = { if case .connecting = $0.kind { tries += 1 } }
        try self.lab.world.run(for: .seconds(600))
        #expect((60...320).contains(tries), "\(tries) tries in 600 s")
        #expect(try !self.serves(registrar, self.lab.world.startPeer("user")))
    }

    // MARK: As a mentor

    @Test("A mentor lists all that it knows, not itself, not who asks [ENRP-044, ENRP-048]")
    func givesItsList() throws {
        let registrar = try self.lab.start()
        let first = try self.lab.fake(0x1111_1111)
        let second = try self.lab.fake(0x2222_2222)
        let third = try self.lab.fake(0x3333_3333)
        try self.lab.meet(registrar, first, second, third)
        try third.say(.listRequest)
        try self.lab.pass()
        #expect(
            third.heard(.listResponse).map(\.bytes) == [
                enrp(.listResponse, from: PeerWorld.id, to: third.id, first.information, second.information)
            ])
    }

    /// A registrar with 500 elements of its own and one of a peer.
    private func mentor() throws -> (TestRegistrar, other: FakePeer) {
        let registrar = try self.lab.start { $0.limits.maxDownloads = 2 }
        let element = try self.lab.element(registrar, "element")
        for id in 1...500 as ClosedRange<UInt32> {
            try element.send(
                Say.register(
                    id % 2 == 0 ? "EchoPool" : "Other", elementTLV(id, sctpTLV(element.address), roundRobinTLV)))
        }
        let other = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, other)
        try other.add("EchoPool", other.element(1_000))
        try self.lab.pass()
        #expect(registrar.size == (2, 501))
        return (registrar, other)
    }

    private func download(_ peer: FakePeer, flags: UInt8 = 0) throws -> [ScriptedPeer.Heard] {
        let begin = self.lab.world.now
        repeat {
            try peer.say(.handleTableRequest, flags: flags)
            try self.lab.pass()
        } while peer.heard(.handleTableResponse).last?.flags == 2
        return peer.heard(.handleTableResponse, since: begin)
    }

    @Test(
        """
        Its whole handlespace in parts, everybody's elements, each once, all with their ASAP transport; then from the \
        beginning again [ENRP-012, ENRP-051, ENRP-052, ENRP-053, ENRP-084]
        """
    )
    func givesItsTable() throws {
        let (registrar, _) = try self.mentor()
        let client = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, client)
        for _ in 1...2 {
            let parts = try self.download(client)
            #expect(parts.count > 1)
            #expect(parts.dropLast().count { $0.flags == 2 } == parts.count - 1)
            #expect(parts.last?.flags == 0)
            let told = elements(parts)
            #expect(told.count == 501)
            #expect(Set(told.map(\.member.id.rawValue)) == Set([1_000] + Array(1...500)))
            #expect(told.count { $0.member.asapTransport == nil } == 0)
            #expect(told.count { $0.member.home.rawValue == PeerWorld.id } == 500)
        }
    }

    @Test("With W = 1 it gives its own elements at once, and only those [ENRP-142]")
    func givesItsOwn() throws {
        let (registrar, _) = try self.mentor()
        let client = try self.lab.fake(0x2222_2222)
        try self.lab.meet(registrar, client)
        let told = elements(try self.download(client, flags: 1))
        #expect(Set(told.map(\.member.id.rawValue)) == Set(1...500))
        #expect(told.count == 500)
    }

    @Test("More downloads than it allows are rejected, with nothing in it [ENRP-011, ENRP-060]")
    func tooManyDownloads() throws {
        let (registrar, other) = try self.mentor()
        let clients = try (2...3).map { try self.lab.fake(0x1111_1111 * UInt32($0)) }
        try self.lab.meet(registrar, clients[0], clients[1])
        for client in [other] + clients { try client.say(.handleTableRequest) }
        try self.lab.pass()
        #expect(other.heard(.handleTableResponse).map(\.flags) == [2])
        #expect(clients[0].heard(.handleTableResponse).map(\.flags) == [2])
        #expect(clients[1].heard(.handleTableResponse).map(\.bytes) == [hex("0301000c cafe0001 33333333")])
        try clients[1].say(.handleTableRequest)
        try self.lab.pass()
        #expect(registrar.statistics(.downloadsRefused) == 2)
        #expect(self.lab.log.all.count { $0.hasPrefix("warning:") && $0.contains("max-downloads is the limit") } == 1)
    }

    @Test("A download that is not continued in time begins anew [ENRP-063]")
    func downloadExpires() throws {
        let (registrar, other) = try self.mentor()
        for pause in [.seconds(7), .seconds(8)] as [Duration] {
            let begin = self.lab.world.now
            try other.say(.handleTableRequest)
            try self.lab.world.run(for: pause)
            try other.say(.handleTableRequest)
            try self.lab.pass()
            let parts = other.heard(.handleTableResponse, since: begin)
            try #require(parts.count == 2)
            let isTheSame = elements([parts[0]]).map(\.member.id) == elements([parts[1]]).map(\.member.id)
            #expect(isTheSame == (pause > .milliseconds(7_500)))
            // The session that is open now goes away.
            try self.lab.world.run(for: .seconds(8))
        }
        _ = registrar
    }

    @Test("An empty handlespace is 12 octets without flags [ENRP-013]")
    func emptyTable() throws {
        let registrar = try self.lab.start()
        let client = try self.lab.fake(0x1111_1111)
        try self.lab.meet(registrar, client)
        try client.say(.handleTableRequest)
        try self.lab.pass()
        #expect(client.heard(.handleTableResponse).map(\.bytes) == [hex("0300000c cafe0001 11111111")])
    }

    @Test("All wait for one another: the largest ID begins, the others learn from it")
    func firstOfAll() throws {
        let mentor = try self.lab.fake(0x1111_1111)
        mentor.behave { $0.rejectsList = true }
        let registrar = try self.lab.start(peers: [mentor.endpoint])
        try self.lab.world.run(for: .milliseconds(100))
        #expect(try self.serves(registrar, self.lab.world.startPeer("user")))
    }
}
