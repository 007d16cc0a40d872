// SPDX-License-Identifier: Apache-2.0

import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolWire
import Testing

/// What one answer after the other leads with, at a registrar that elements with these values have registered with.
@Suite("The policies of RFC 5356 at a registrar")
struct PolicyTests {
    private let lab = PeerWorld()

    private func world(_ policies: [[UInt8]]) throws -> ScriptedPeer {
        let registrar = try self.lab.start()
        for (index, policy) in policies.enumerated() {
            let element = try self.lab.element(registrar, "element-\(index + 1)")
            try self.lab.register(element, UInt32(index + 1), policy: policy)
        }
        return try self.lab.element(registrar, "user")
    }

    /// The members of an answer in the order in which they are listed.
    private func answer(_ user: ScriptedPeer) throws -> (type: UInt32, ids: [UInt32])? {
        _ = user.newlyHeard()
        try user.send(Say.resolve("EchoPool"))
        try self.lab.pass()
        let answers = user.newlyHeard().map(\.bytes).filter { $0.first == 0x06 }
        guard answers.count == 1, case .handleResolutionResponse(let response)? = decoded(answers[0]) else {
            throw Unexpected("answered by \(answers.map(\.hex))")
        }
        guard case .members(let policy, let members) = response.outcome else {
            #expect(answers == [negative])
            return nil
        }
        return (policy?.type.rawValue ?? 1, members.map(\.id.rawValue))
    }

    private var negative: [UInt8] { message(0x06, handleTLV("EchoPool"), errorTLV((6, []))) }

    @Test(
        "Each is accepted, and executed by its own rules [POL-002, POL-016, POL-020]",
        arguments: [
            (2, [[1], [3]], [[1, 2], [2, 1]]), (5, [[1], [9], [5]], [[2, 3, 1], [2, 3, 1]]),
            (0x4000_0001, [[20], [10]], [[2, 1], [2, 1]]), (0x4000_0002, [[0, 30], [20, 30]], [[1, 2], [1, 2]]),
            (0x4000_0003, [[50, 50], [50, 10]], [[2, 1], [2, 1]]),
        ] as [(UInt32, [[UInt32]], [[UInt32]])])
    func deterministic(type: UInt32, values: [[UInt32]], expected: [[UInt32]]) throws {
        let user = try self.world(values.map { tlv(0x0008, octets(type) + $0.flatMap(octets)) })
        for ids in expected {
            let answer = try #require(try self.answer(user))
            #expect(answer.type == type)
            #expect(Set(answer.ids) == Set(ids))
            if type != 2 { #expect(answer.ids == ids) }
        }
    }

    @Test(
        "The random ones too: nobody twice, nobody missing [POL-002, POL-054, POL-104]",
        arguments: [(4, [[1], [3]]), (0x4000_0004, [[0], [0x8000_0000]])] as [(UInt32, [[UInt32]])])
    func random(type: UInt32, values: [[UInt32]]) throws {
        let user = try self.world(values.map { tlv(0x0008, octets(type) + $0.flatMap(octets)) })
        for _ in 0..<5 {
            let answer = try #require(try self.answer(user))
            #expect(answer.type == type)
            #expect(answer.ids.sorted() == [1, 2])
        }
    }

    @Test("Where all weights are 0 nobody can give service: cause 0006 [POL-010]", arguments: [2, 4] as [UInt32])
    func noService(type: UInt32) throws {
        let user = try self.world([tlv(0x0008, octets(type) + octets(0 as UInt32))])
        #expect(try self.answer(user) == nil)
    }
}
