// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("The catalogue of policies (RFC 5356 §7.1)")
struct PolicyCatalogueTests {
    private static let own = SelectionPolicy(
        type: PolicyType(rawValue: 0x8000_0101), name: "own", listUse: .inTurn, makeOrder: { RoundRobinOrder() })

    @Test("All of RFC 5356 are in it, by number and by name")
    func standard() {
        let names = [
            "round-robin", "weighted-round-robin", "random", "weighted-random", "priority", "least-used",
            "least-used-degradation", "priority-least-used", "randomized-least-used",
        ]
        #expect(names.allSatisfy { PolicyCatalogue.standard[named: $0]?.name == $0 })
        for policy in PolicyCatalogue.standard.all {
            #expect(PolicyCatalogue.standard[policy.type]?.name == policy.name)
        }
        #expect(PolicyCatalogue.standard[PolicyType(rawValue: 6)] == nil)
    }

    @Test("One's own is added with a number of bit 31 and a new name")
    func adding() {
        var policies = PolicyCatalogue.standard
        policies.add(Self.own)
        #expect(policies[Self.own.type]?.name == "own")
        #expect(policies[named: "own"]?.type == Self.own.type)
        #expect(policies.all.count == PolicyCatalogue.standard.all.count + 1)
        #expect(PolicyCatalogue.standard[named: "own"] == nil)
    }

    @Test("Numbers without bit 31, ours, and names in use are refused")
    func refusals() async {
        await #expect(processExitsWith: .failure) {
            var policies = PolicyCatalogue.standard
            policies.add(
                SelectionPolicy(type: .roundRobin, name: "own", listUse: .inTurn, makeOrder: { RoundRobinOrder() }))
        }
        await #expect(processExitsWith: .failure) {
            var policies = PolicyCatalogue.standard
            policies.add(
                SelectionPolicy(
                    type: PolicyType(rawValue: 0x8000_0001), name: "random", listUse: .inTurn,
                    makeOrder: { RoundRobinOrder() }))
        }
        await #expect(processExitsWith: .failure) {
            var policies = PolicyCatalogue.standard
            for _ in 0..<2 {
                policies.add(
                    SelectionPolicy(
                        type: PolicyType(rawValue: 0x8000_0001), name: "own", listUse: .inTurn,
                        makeOrder: { RoundRobinOrder() }))
            }
        }
    }

    @Test("Values of one's own are words on the wire [POL-003]")
    func words() throws {
        let policy = PoolPolicy.custom(PolicyType(rawValue: 0x8000_0101), words: [1, 0xdead_beef])
        #expect(policy == .unknown(PolicyType(rawValue: 0x8000_0101), [0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef]))
        #expect(policy.words == [1, 0xdead_beef])
        #expect(PoolPolicy.unknown(PolicyType(rawValue: 0x8000_0101), [0, 0, 0, 1, 9]).words == [1])
        #expect(PoolPolicy.unknown(PolicyType(rawValue: 0x8000_0101), [9]).words == [])
        #expect(PoolPolicy.leastUsedDegradation(load: .full, degradation: Load(rawValue: 2)).words == [.max, 2])
    }
}
