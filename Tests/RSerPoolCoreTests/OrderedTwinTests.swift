// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Ordered extension policies beside a list that is sorted for each answer")
struct OrderedTwinTests {
    private struct Entry {
        var name: Character
        var number: UInt64
        var step: UInt64
        var turn: Int
    }

    /// Values with small numbers, so that there are ties, and what a plain reading of the formulas makes of them.
    private static func draw(
        _ type: PolicyType, using generator: inout SeededGenerator
    ) -> (policy: PoolPolicy, number: UInt64, step: UInt64) {
        let (value, step) = (UInt32.random(in: 0...9, using: &generator), UInt32.random(in: 0...2, using: &generator))
        let (dpf, distance) = (UInt32.random(in: 0...1, using: &generator), UInt32.random(in: 0...3, using: &generator))
        let (load, degradation, penalty) = (Load(rawValue: value), Load(rawValue: step), Load(rawValue: dpf))
        switch type {
        case .leastUsedDPF:
            return (.leastUsedDPF(load: load, dpf: penalty, distance: distance), UInt64(value + dpf * distance), 0)
        case .leastUsedDegradationDPF:
            let policy = PoolPolicy.leastUsedDegradationDPF(
                load: load, degradation: degradation, dpf: penalty, distance: distance)
            return (policy, UInt64(value + dpf * distance), UInt64(step))
        default:
            let policy = PoolPolicy.priorityLeastUsedDegradation(load: load, degradation: degradation)
            return (policy, UInt64(value + step), UInt64(step))
        }
    }

    @Test(
        "They list as it does, whatever comes",
        arguments: [.leastUsedDPF, .leastUsedDegradationDPF, .priorityLeastUsedDegradation] as [PolicyType],
        0..<15 as Range<UInt64>)
    func twin(type: PolicyType, seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var lineup = Lineup(try #require(PolicyCatalogue.standard[type]).makeOrder())
        var twin: [Entry] = []
        var turn = 0
        for _ in 0..<400 {
            turn += 1
            let name = Character(Unicode.Scalar(UInt8.random(in: 65...72, using: &generator)))
            let (policy, number, step) = Self.draw(type, using: &generator)
            let index = twin.firstIndex { $0.name == name }
            switch (Int.random(in: 0..<5, using: &generator), index) {
            case (0, nil):
                lineup.join(name, policy)
                twin.append(Entry(name: name, number: number, step: step, turn: turn))
            case (0, let index?):
                lineup.renew(name, policy)
                // Who has the number that it had keeps its turn.
                if twin[index].number != number { twin[index].turn = turn }
                twin[index].number = number
                twin[index].step = step
            case (1, _):
                lineup.leave(name)
                twin.removeAll { $0.name == name }
            default:
                let count = Int.random(in: 0...4, using: &generator)
                twin.sort { ($0.number, $0.turn) < ($1.number, $1.turn) }
                #expect(lineup.answer(count) == String(twin.prefix(count).map(\.name)))
                // Who gets another number goes behind its new equals, and the one that led behind all of them.
                for index in twin.indices.prefix(count).dropFirst() where twin[index].step > 0 {
                    turn += 1
                    twin[index].number += twin[index].step
                    twin[index].turn = turn
                }
                if count > 0, !twin.isEmpty {
                    turn += 1
                    twin[0].number += twin[0].step
                    twin[0].turn = turn
                }
            }
        }
    }
}
