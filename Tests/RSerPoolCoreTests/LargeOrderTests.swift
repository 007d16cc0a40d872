// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Orders with many members")
struct LargeOrderTests {
    @Test("Growing and shrinking, least used is as a plain sort says", arguments: [3, 1_000, .max] as [UInt32])
    func leastUsed(loads: UInt32) {
        var generator = ChoiceGenerator(seed: UInt64(loads))
        var order = AscendingOrder(.load)
        var model: [Int: (load: UInt32, turn: Int)] = [:]
        var free = Array(0..<4_000)
        for step in 0..<12_000 {
            // The pool grows, shrinks to nothing nearly, and grows again.
            let isGrowing = step % 6_000 < 3_500
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where isGrowing, 1 where isGrowing:
                guard let slot = free.popLast() else { continue }
                let load = UInt32.random(in: 0..<loads, using: &generator)
                model[slot] = (load, step)
                order.insert(Slot(slot), PoolElementID(rawValue: UInt32(slot)), .leastUsed(load: Load(rawValue: load)))
            case 0, 1:
                guard let slot = model.keys.min(by: { ($0 * 7_919) % 4_001 < ($1 * 7_919) % 4_001 }) else { continue }
                order.remove(Slot(slot))
                model[slot] = nil
                free.append(slot)
            case 2:
                let slot = Int.random(in: 0..<4_000, using: &generator)
                guard let old = model[slot] else { continue }
                let load = UInt32.random(in: 0..<loads, using: &generator)
                order.update(Slot(slot), .leastUsed(load: Load(rawValue: load)))
                if old.load != load { model[slot] = (load, step) }
            default:
                guard step % 40 == 3 else { continue }
                let count = Int.random(in: 1...200, using: &generator)
                let sorted = model.sorted { ($0.value.load, $0.value.turn) < ($1.value.load, $1.value.turn) }
                let answer = order.answer(upTo: count, using: &generator)
                #expect(answer.map(\.index) == sorted.prefix(count).map(\.key), "step \(step)")
                if let first = sorted.first { model[first.key]?.turn = step }
            }
        }
        let rest = model.sorted { ($0.value.load, $0.value.turn) < ($1.value.load, $1.value.turn) }
        #expect(order.answer(upTo: .max, using: &generator).map(\.index) == rest.map(\.key))
        for slot in model.keys { order.remove(Slot(slot)) }
        #expect(order.answer(upTo: 1, using: &generator).isEmpty)
    }

    /// The c-th occurrence of a member lies at (2c + 1)/(2w): compared as fractions.
    private struct Occurrence {
        var passed: UInt128
        var weight: UInt32
        var id: UInt32

        func precedes(_ other: Occurrence) -> Bool {
            let (left, right) = (
                (self.passed * 2 + 1) * UInt128(other.weight), (other.passed * 2 + 1) * UInt128(self.weight)
            )
            return (left, self.id) < (right, other.id)
        }

        func isBefore(_ head: Occurrence) -> Bool {
            self.precedes(head)
        }
    }

    @Test(
        "Weighted round robin is as fractions say, small weights and weights of 32 bits, also when rounds are taken off [POL-036, POL-041]",
        arguments: [7, 1_000, .max] as [UInt32], [(3, 50), (1 << 29, 50), (3, 28), (3, 14)] as [(UInt32, Int)])
    func weightedRoundRobin(weights: UInt32, _ rounds: (limit: UInt32, slots: Int)) {
        let (maxRounds, slots) = rounds
        var generator = ChoiceGenerator(seed: UInt64(weights))
        var order = WeightedRoundRobinOrder(maxRounds: maxRounds)
        var model: [Int: Occurrence] = [:]
        // Near the greatest, where fractions are closest to each other.
        func draw() -> UInt32 {
            let drawn = UInt32.random(in: 1...min(weights, 1_000), using: &generator)
            return Bool.random(using: &generator) ? drawn : weights - drawn + 1
        }
        func enter(_ slot: Int, _ weight: UInt32) {
            var entry = Occurrence(passed: 0, weight: weight, id: UInt32(1_000 - slot))
            if let head = model.values.min(by: { $0.precedes($1) }) {
                let product = (head.passed * 2 + 1) * UInt128(weight)
                entry.passed = product / UInt128(head.weight) / 2
                while entry.precedes(head) { entry.passed += 1 }
            }
            model[slot] = entry
        }
        for step in 0..<6_000 {
            let slot = Int.random(in: 0..<slots, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0 where model[slot] == nil:
                let weight = draw()
                enter(slot, weight)
                let id = PoolElementID(rawValue: UInt32(1_000 - slot))
                order.insert(Slot(slot), id, .weightedRoundRobin(weight: weight))
            case 1 where model[slot] != nil && model.count > (step < 5_000 ? 5 : 0):
                model[slot] = nil
                order.remove(Slot(slot))
            case 2 where model[slot] != nil:
                let weight = Bool.random(using: &generator) ? draw() : model[slot]?.weight ?? 0
                order.update(Slot(slot), .weightedRoundRobin(weight: weight))
                if model[slot]?.weight != weight {
                    model[slot] = nil
                    enter(slot, weight)
                }
            default:
                let count = Bool.random(using: &generator) ? 1 : Int.random(in: 1...60, using: &generator)
                let sorted = model.sorted { $0.value.precedes($1.value) }
                let answer = order.answer(upTo: count, using: &generator)
                #expect(answer.map(\.index) == sorted.prefix(count).map(\.key), "step \(step)")
                if let first = sorted.first { model[first.key]?.passed += 1 }
                #expect(order.rounds <= maxRounds + 1)
            }
        }
    }

    @Test("Rounds are taken off in good time, with a few members and with many", arguments: [1, 40])
    func rounds(members: Int) {
        var generator = ChoiceGenerator(seed: 1)
        var order = WeightedRoundRobinOrder(maxRounds: 3)
        for slot in 0..<members {
            order.insert(Slot(slot), PoolElementID(rawValue: UInt32(slot + 1)), .weightedRoundRobin(weight: 1))
        }
        var most: UInt32 = 0
        for _ in 0..<20 * members {
            _ = order.answer(upTo: 1, using: &generator)
            most = max(most, order.rounds)
        }
        #expect(most == 3)
    }
}
