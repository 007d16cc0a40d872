// SPDX-License-Identifier: Apache-2.0

import Benchmark
import RSerPoolCore
import RSerPoolWire

/// The order of a pool with so many members, whose values are drawn.
final class FullPool {
    private let size: Int
    private let type: PolicyType
    private var order: any MemberOrder
    private let room = UnsafeMutableBufferPointer<Slot>.allocate(capacity: 10)
    private var generator = ChoiceGenerator(seed: 1)

    init(_ policy: SelectionPolicy, size: Int) {
        self.size = size
        self.type = policy.type
        self.order = policy.makeOrder()
        for number in 0..<size { self.join(number) }
    }

    deinit {
        self.room.deallocate()
    }

    func select(_ count: Int) {
        let room = UnsafeMutableBufferPointer(rebasing: self.room[..<count])
        var list = OutputSpan(buffer: room, initializedCount: 0)
        self.order.list(&list, using: &self.generator)
        let listed = list.finalize(for: room)
        self.order.choose(UnsafeBufferPointer(rebasing: room[..<listed]).span)
    }

    func joinAndLeave() {
        self.join(self.size)
        self.order.remove(Slot(self.size))
    }

    func renew() {
        let slot = Slot(Int.random(in: 0..<self.size, using: &self.generator))
        self.order.update(slot, self.drawPolicy())
    }

    private func join(_ number: Int) {
        self.order.insert(Slot(number), PoolElementID(rawValue: UInt32(number + 1)), self.drawPolicy())
    }

    private func drawPolicy() -> PoolPolicy {
        let weight = UInt32.random(in: 1...100, using: &self.generator)
        let load = Load(rawValue: UInt32.random(in: 0 ... .max, using: &self.generator))
        let (step, dpf) = (Load(fraction: 0.01), Load(fraction: 0.0001))
        let distance = UInt32.random(in: 0...6, using: &self.generator) * 50
        return switch self.type {
        case .roundRobin: .roundRobin
        case .weightedRoundRobin: .weightedRoundRobin(weight: weight)
        case .random: .random
        case .weightedRandom: .weightedRandom(weight: weight)
        case .priority: .priority(weight)
        case .leastUsed: .leastUsed(load: load)
        case .leastUsedDegradation: .leastUsedDegradation(load: load, degradation: step)
        case .priorityLeastUsed: .priorityLeastUsed(load: load, degradation: step)
        case .randomizedLeastUsed: .randomizedLeastUsed(load: load)
        case .randomizedPriorityLeastUsed: .randomizedPriorityLeastUsed(load: load, degradation: step)
        case .randomizedLeastUsedDegradation: .randomizedLeastUsedDegradation(load: load, degradation: step)
        case .priorityLeastUsedDegradation: .priorityLeastUsedDegradation(load: load, degradation: step)
        case .randomizedPriorityLeastUsedDegradation:
            .randomizedPriorityLeastUsedDegradation(load: load, degradation: step)
        case .weightedRandomDPF: .weightedRandomDPF(weight: weight, dpf: dpf, distance: distance)
        case .leastUsedDPF: .leastUsedDPF(load: load, dpf: dpf, distance: distance)
        case .leastUsedDegradationDPF:
            .leastUsedDegradationDPF(load: load, degradation: step, dpf: dpf, distance: distance)
        default: preconditionFailure("policy \(self.type) has no values here")
        }
    }
}
