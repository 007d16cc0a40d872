// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("A handlespace with many pools and elements")
struct LargeHandlespaceTests {
    @Test("Growing and shrinking, with elements of all lengths, it knows who registered what", arguments: [1, 2, 3])
    func twin(seed: UInt64) {
        var generator = ChoiceGenerator(seed: seed)
        var space = Handlespace()
        var twin: [ElementKey: PoolMember] = [:]
        for step in 0..<20_000 {
            let pool = PoolHandle("pool \(Int.random(in: 0..<300, using: &generator))")
            let key = ElementKey(pool: pool, id: id(Int.random(in: 0..<40, using: &generator)))
            // Mostly joining at first, mostly leaving later.
            if Int.random(in: 0..<20_000, using: &generator) > step {
                let addresses = (0..<Int.random(in: 1...9, using: &generator)).map { IPAddress.ipv4(UInt32($0)) }
                let element = member(
                    Int(key.id.rawValue), transport: .sctp(SCTPTransport(port: 7, addresses: addresses)),
                    life: .seconds(Int32.random(in: 1...9, using: &generator)))
                let outcome = space.register(element, in: pool)
                switch outcome {
                case .added(let createdPool):
                    #expect(twin[key] == nil)
                    #expect(createdPool == !twin.keys.contains { $0.pool == pool })
                case .updated(let changed): #expect(twin[key].map { $0 != element } == changed)
                case .rejected(let causes): Issue.record("\(causes)")
                }
                twin[key] = element
            } else {
                #expect(space.remove(key) == twin.removeValue(forKey: key)?.home)
            }
            #expect(space.elementCount == twin.count)
        }
        #expect(space.members == twin)
        #expect(space.poolCount == Set(twin.keys.map(\.pool)).count)
        for key in twin.keys { space.remove(key) }
        #expect(space.poolCount == 0)
        #expect(space.elementCount == 0)
        #expect(space.members.isEmpty)
    }

    @Test("A pool with more elements than fit a message is answered with as many as fit")
    func largePool() throws {
        var space = Handlespace()
        for number in 1...5_000 { _ = space.register(member(number), in: echo) }
        var generator = ChoiceGenerator(seed: 1)
        let answer = space.answer(from: echo, upTo: .max, updatesFollow: false, using: &generator)
        guard case .positive(let octets) = answer,
            case .handleResolutionResponse(let response) = try ASAPMessage.decode(octets[...]).message,
            case .members(_, let members) = response.outcome
        else {
            Issue.record("not positive")
            return
        }
        #expect(octets.count <= 65_536 && octets.count > 65_400)
        #expect(members.map(\.id.rawValue) == (1...UInt32(members.count)).map { $0 })
        let next = space.answer(from: echo, upTo: 1, updatesFollow: true, using: &generator)
        guard case .positive(let one) = next else {
            Issue.record("not positive")
            return
        }
        #expect(one[1] == 1)
        #expect(Array(one[28..<32]) == [0, 0, 0, 2], "round robin has moved on by one")
    }
}
