// SPDX-License-Identifier: Apache-2.0

import Benchmark
import NetworkAddress
import RSerPoolCore
import RSerPoolWire

/// A handlespace with so many members in so many pools, which came in random order.
final class FilledSpace {
    enum Policy: String, CaseIterable {
        case roundRobin = "round-robin"
        case weightedRoundRobin = "weighted-round-robin"
        case leastUsed = "least-used"
        case random = "random"
        case weightedRandom = "weighted-random"
    }

    private struct Entry {
        var key: ElementKey
        var member: PoolMember
    }

    private let policy: Policy
    private var entries: [Entry]
    /// Those that the next thousand operations are about, with other loads.
    private var renewed: [Entry] = []
    private var next = 0
    private var space = Handlespace()
    private var generator = ChoiceGenerator(seed: 1)

    init(_ policy: Policy, pools: Int, members: Int) {
        self.policy = policy
        var generator = ChoiceGenerator(seed: 2)
        self.entries = []
        for pool in 0..<pools {
            let handle = PoolHandle("pool-\(pool)")
            for _ in 0..<members {
                let id = PoolElementID.random(using: &generator)
                let member = PoolMember(
                    id: id, home: RegistrarID(rawValue: 7), life: .seconds(300),
                    transport: .sctp(
                        SCTPTransport(port: 4711, addresses: [.ipv4(.random(in: 1 ... .max, using: &generator))])),
                    policy: Self.draw(policy, &generator),
                    asapTransport: SCTPTransport(
                        port: 3863, addresses: [.ipv4(.random(in: 1 ... .max, using: &generator))]))
                self.entries.append(Entry(key: ElementKey(pool: handle, id: id), member: member))
            }
        }
        self.entries.shuffle(using: &generator)
        self.fill()
        self.shuffle()
    }

    private static func draw(_ policy: Policy, _ generator: inout ChoiceGenerator) -> PoolPolicy {
        switch policy {
        case .roundRobin: .roundRobin
        case .weightedRoundRobin: .weightedRoundRobin(weight: .random(in: 1...10, using: &generator))
        case .leastUsed: .leastUsed(load: Load(rawValue: .random(in: 0 ... .max, using: &generator)))
        case .random: .random
        case .weightedRandom: .weightedRandom(weight: .random(in: 1...10, using: &generator))
        }
    }

    private func fill() {
        for entry in self.entries { _ = self.space.register(entry.member, in: entry.key.pool) }
    }

    // MARK: Not measured

    func beginAnewWhereFull() {
        guard self.next % self.entries.count == 0 else { return }
        self.next = 0
        self.space = Handlespace()
    }

    func fillWhereEmpty() {
        guard self.next % self.entries.count == 0 else { return }
        self.next = 0
        self.space = Handlespace()
        self.fill()
    }

    func shuffle() {
        self.renewed = (0..<1_000).map { _ in
            var entry = self.entries[Int.random(in: self.entries.indices, using: &self.generator)]
            if case .leastUsed = entry.member.policy {
                entry.member.policy = Self.draw(self.policy, &self.generator)
            }
            return entry
        }
    }

    // MARK: Measured

    func register(_ count: Int) {
        Self.register(self.entries[self.next..<self.next + count], in: &self.space)
        self.next += count
    }

    private static func register(_ entries: ArraySlice<Entry>, in space: inout Handlespace) {
        for index in entries.indices {
            blackHole(space.register(entries[index].member, in: entries[index].key.pool))
        }
    }

    func registerAgain(_ count: Int) {
        Self.register(self.renewed[..<count], in: &self.space)
    }

    func resolve(_ count: Int, upTo members: Int) {
        Self.resolve(self.renewed[..<count], upTo: members, in: &self.space, &self.generator)
    }

    private static func resolve(
        _ entries: ArraySlice<Entry>, upTo members: Int, in space: inout Handlespace,
        _ generator: inout ChoiceGenerator
    ) {
        for index in entries.indices {
            blackHole(space.choose(from: entries[index].key.pool, upTo: members, using: &generator))
        }
    }

    func deregister(_ count: Int) {
        Self.deregister(self.entries[self.next..<self.next + count], in: &self.space)
        self.next += count
    }

    private static func deregister(_ entries: ArraySlice<Entry>, in space: inout Handlespace) {
        for index in entries.indices { blackHole(space.remove(entries[index].key)) }
    }

    /// Elements leave and come back, one after the other.
    func leaveAndJoin(_ count: Int) {
        Self.leaveAndJoin(self.renewed[..<count], in: &self.space)
    }

    private static func leaveAndJoin(_ entries: ArraySlice<Entry>, in space: inout Handlespace) {
        for index in entries.indices {
            blackHole(space.remove(entries[index].key))
            blackHole(space.register(entries[index].member, in: entries[index].key.pool))
        }
    }
}
