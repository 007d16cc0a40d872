// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

@Suite("Audit of copies (RFC 5353 §3.6)")
struct PeerAuditTests {
    private let lab: PeerWorld
    private let registrar: TestRegistrar
    private let first: FakePeer
    private let second: FakePeer
    private let element: ScriptedPeer

    init() throws {
        self.lab = PeerWorld()
        self.registrar = try self.lab.start()
        self.first = try self.lab.fake(0x1111_1111)
        self.second = try self.lab.fake(0x2222_2222)
        try self.lab.meet(self.registrar, self.first, self.second)
        self.element = try self.lab.element(self.registrar, "element")
    }

    /// Our own checksum, as a peer hears it.
    private func ownChecksum() throws -> UInt16? {
        let begin = self.lab.world.now
        try self.first.sayPresence(replyRequired: true)
        try self.lab.pass()
        return self.first.heard(.presence, since: begin).last.flatMap { checksum(in: $0.bytes) }
    }

    private func requests(since moment: Duration = .zero) -> [ScriptedPeer.Heard] {
        self.first.heard(.handleTableRequest, since: moment)
    }

    // MARK: Checksums

    @Test("Our own checksum follows each change at once; copies are not in it [ENRP-132, ENRP-136, ENRP-137, ENRP-138]")
    func ownChecksums() throws {
        #expect(try self.ownChecksum() == 0xffff)
        try self.lab.register(self.element, 0x1234_5678)
        #expect(try self.ownChecksum() == 0x29a5)
        try self.lab.register(self.element, 1, in: "abc")
        #expect(try self.ownChecksum() == 0x6541)
        try self.lab.register(self.element, 0x9abc_def0)
        #expect(try self.ownChecksum() == 0x7de5)
        try self.lab.register(self.element, 0x9abc_def0, life: 77)
        #expect(try self.ownChecksum() == 0x7de5)
        try self.second.add("EchoPool", self.second.element(7))
        #expect(try self.ownChecksum() == 0x7de5)
        try self.element.send(Say.deregister("abc", 1))
        try self.lab.pass()
        #expect(try self.ownChecksum() == 0x4249)
    }

    @Test("A sum that folds to 0xffff is told as 0 [ENRP-139]")
    func zero() throws {
        try self.lab.register(self.element, 0xbebe_bebe, in: "AAAA")
        #expect(try self.ownChecksum() == 0)
    }

    @Test("The expected checksum, or none: nothing is asked [ENRP-130, ENRP-133, ENRP-134]")
    func equal() throws {
        try self.first.add("EchoPool", self.first.element(0x1234_5678))
        try self.first.say(.presence, checksumTLV(0x29a5), self.first.information)
        try self.first.say(.presence, self.first.information)
        try self.lab.world.run(for: .seconds(5))
        #expect(self.requests().isEmpty)
    }

    @Test(
        "Another checksum: the peer's own table is asked for, at once [ENRP-010, ENRP-130, ENRP-133, ENRP-135, ENRP-141]"
    )
    func different() throws {
        try self.first.add("EchoPool", self.first.element(0x1234_5678))
        let said = self.lab.world.now
        try self.first.say(.presence, checksumTLV(0x29a6), self.first.information)
        try self.lab.world.run(for: .seconds(1))
        #expect(self.requests().map(\.bytes) == [hex("0201000c cafe0001 11111111")])
        #expect(self.requests().first.map { $0.time - said < .milliseconds(10) } == true)
        #expect(self.second.heard(.handleTableRequest).isEmpty)
    }

    // MARK: Resynchronization

    @Test(
        """
        Its table replaces, adds, and in the end silently removes what it does not name; others' elements stay \
        [ENRP-055, ENRP-140, ENRP-143, ENRP-144, ENRP-145]
        """
    )
    func resynchronization() throws {
        for id in [1, 2, 3] as [UInt32] {
            try self.first.add("EchoPool", self.first.element(id, policy: policyTLV(2, 10)))
        }
        try self.second.add("EchoPool", self.second.element(8, policy: policyTLV(2, 10)))
        // Weighted pools come from others only, so theirs has to be there first.
        try self.lab.pass()
        try self.lab.register(self.element, 9, policy: policyTLV(2, 10))
        let before = self.second.heard(.handleUpdate).count
        self.first.behave { manners in
            manners.ownTables = [
                handleTLV("EchoPool") + self.first.element(2, policy: policyTLV(2, 20)),
                handleTLV("EchoPool") + self.first.element(4, policy: policyTLV(2, 10)),
            ]
            manners.partsLeft = 1
            manners.checksum = checksum(("EchoPool", 2), ("EchoPool", 4))
        }
        try self.first.sayPresence()
        try self.lab.pass()
        #expect(self.requests().map(\.flags) == [1, 1])
        #expect(try self.lab.ids(self.element) == [1, 2, 3, 8, 9], "nothing vanishes before the last part")
        try self.first.say(
            .handleTableResponse, handleTLV("EchoPool"), self.first.element(4, policy: policyTLV(2, 10)))
        try self.lab.pass()
        let pool = try self.lab.resolve(self.element)
        #expect(pool?.members.map(\.id.rawValue) == [2, 4, 8, 9])
        #expect(pool?.members.first?.policy == .weightedRoundRobin(weight: 20))
        #expect(self.second.heard(.handleUpdate).count == before, "nobody is told")
        try self.first.sayPresence()
        try self.lab.world.run(for: .seconds(20))
        #expect(self.requests().count == 2)
    }

    @Test(
        "Rejected, or not answered: nothing is removed, and a later PRESENCE begins it anew [ENRP-145]",
        arguments: [true, false])
    func rejected(isRejected: Bool) throws {
        try self.first.add("EchoPool", self.first.element(1))
        self.first.behave {
            if isRejected { $0.rejectsTable = true } else { $0.ownTables = nil }
            $0.checksum = 0xffff
        }
        try self.first.sayPresence()
        try self.lab.world.run(for: .seconds(10))
        #expect(self.requests().count == 1)
        #expect(try self.lab.ids(self.element) == [1])
        self.first.behave {
            $0.rejectsTable = false
            $0.ownTables = [[]]
        }
        try self.lab.world.run(for: .seconds(20))
        try self.first.sayPresence()
        try self.lab.pass()
        if !isRejected {
            // The answer may be on its way, as its PRESENCE was; but not for ever.
            #expect(self.requests().count == 1)
            try self.lab.world.run(for: .seconds(5))
            try self.first.sayPresence()
            try self.lab.pass()
        }
        #expect(self.requests().count == 2)
        #expect(try self.lab.ids(self.element) == nil)
    }

    @Test("However often a wrong checksum comes: one at a time, and not often [ENRP-146]", arguments: [true, false])
    func limited(isAnswering: Bool) throws {
        self.first.behave { if !isAnswering { $0.ownTables = nil } }
        for _ in 1...6_000 {
            try self.first.say(.presence, checksumTLV(0x1234), self.first.information)
            try self.lab.world.run(for: .milliseconds(10))
        }
        let times = self.requests().map(\.time)
        #expect((3...5).contains(times.count), "\(times)")
        for (earlier, later) in zip(times, times.dropFirst()) { #expect(later - earlier >= .seconds(15)) }
    }

    @Test("An update that comes while the table is under way is not undone by it")
    func updateDuringAudit() throws {
        try self.first.add("EchoPool", self.first.element(1))
        self.first.behave {
            $0.ownTables = [handleTLV("Other") + self.first.element(9), []]
            $0.partsLeft = 1
            $0.checksum = 0x1234
        }
        try self.first.sayPresence()
        try self.lab.pass()
        try self.first.add("EchoPool", self.first.element(2))
        try self.first.say(.handleTableResponse)
        try self.lab.pass()
        #expect(try self.lab.ids(self.element) == [2])
    }

    @Test("An element that a peer claims and that is linked to us comes back to us when the peer does not list it")
    func strays() throws {
        try self.lab.register(self.element, 1)
        try self.first.add(
            "EchoPool", ownedTLV(1, home: self.first.id, at: self.element.address, asap: self.element.number))
        try self.lab.pass()
        #expect(self.registrar.home(1) == self.first.id)
        self.first.behave { $0.checksum = 0xffff }
        try self.first.sayPresence()
        try self.lab.world.run(for: .seconds(1))
        #expect(self.registrar.home(1) == PeerWorld.id)
        #expect(self.registrar.statistics(.elementsReclaimed) == 1)
        #expect(self.second.heard(.handleUpdate).count == 2)
    }
}
