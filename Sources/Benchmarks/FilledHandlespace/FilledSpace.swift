// SPDX-License-Identifier: Apache-2.0

import Benchmark
import NetworkAddress
import RSerPoolCore
import RSerPoolWire

/// A handlespace with so many members in so many pools, which came in random order.
package final class FilledSpace {
    package enum Policy: String, CaseIterable {
        case roundRobin = "round-robin"
        case weightedRoundRobin = "weighted-round-robin"
        case leastUsed = "least-used"
        case random = "random"
        case weightedRandom = "weighted-random"
    }

    /// Not copied, so that nothing but the handlespace counts references while it is measured.
    private struct Entry: ~Copyable {
        let key: ElementKey
        let member: PoolMember
    }

    private static let home = RegistrarID(rawValue: 7)

    private let policy: Policy
    private let entries: UnsafeMutableBufferPointer<Entry>
    /// Those that the next thousand operations are about, with other loads.
    private let renewed = UnsafeMutableBufferPointer<Entry>.allocate(capacity: 1_000)
    private var hasRenewed = false
    private var next = 0
    private var space = Handlespace()
    private var generator = ChoiceGenerator(seed: 1)

    /// - Parameter isFilled: whether they are registered already.
    package init(_ policy: Policy, pools: Int, members: Int, isFilled: Bool = true) {
        self.policy = policy
        var generator = ChoiceGenerator(seed: 2)
        var entries: [(key: ElementKey, member: PoolMember)] = []
        for pool in 0..<pools {
            let handle = PoolHandle("pool-\(pool)")
            for _ in 0..<members {
                let id = PoolElementID.random(using: &generator)
                let member = PoolMember(
                    id: id, home: Self.home, life: .seconds(300),
                    transport: .sctp(
                        SCTPTransport(port: 4711, addresses: [.ipv4(.random(in: 1 ... .max, using: &generator))])),
                    policy: Self.draw(policy, &generator),
                    asapTransport: SCTPTransport(
                        port: 3863, addresses: [.ipv4(.random(in: 1 ... .max, using: &generator))]))
                entries.append((ElementKey(pool: handle, id: id), member))
            }
        }
        entries.shuffle(using: &generator)
        self.entries = .allocate(capacity: entries.count)
        for (index, entry) in entries.enumerated() {
            self.entries.initializeElement(at: index, to: Entry(key: entry.key, member: entry.member))
        }
        if isFilled { self.fill() }
        self.shuffle()
    }

    deinit {
        for entries in [self.entries, self.renewed] {
            entries.deinitialize()
            entries.deallocate()
        }
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
        Self.register(self.entries, in: &self.space)
    }

    // MARK: Not measured

    package func beginAnewWhereFull() {
        guard self.next % self.entries.count == 0 else { return }
        self.next = 0
        self.space = Handlespace()
    }

    package func fillWhereEmpty() {
        guard self.next % self.entries.count == 0 else { return }
        self.next = 0
        self.space = Handlespace()
        self.fill()
    }

    package func shuffle() {
        if self.hasRenewed { self.renewed.deinitialize() }
        self.hasRenewed = true
        for index in self.renewed.indices {
            let drawn = Int.random(in: self.entries.indices, using: &self.generator)
            var member = self.entries[drawn].member
            if case .leastUsed = member.policy { member.policy = Self.draw(self.policy, &self.generator) }
            self.renewed.initializeElement(at: index, to: Entry(key: self.entries[drawn].key, member: member))
        }
    }

    // MARK: Measured

    package func register(_ count: Int) {
        Self.register(self.following(count), in: &self.space)
    }

    private static func register(_ entries: UnsafeMutableBufferPointer<Entry>, in space: inout Handlespace) {
        for index in entries.indices { self.register(entries[index], in: &space) }
    }

    private static func register(_ entry: borrowing Entry, in space: inout Handlespace) {
        blackHole(space.register(entry.member, in: entry.key.pool))
    }

    package func registerAgain(_ count: Int) {
        Self.register(self.renewed(count), in: &self.space)
    }

    package func resolve(_ count: Int, upTo members: Int) {
        Self.resolve(self.renewed(count), upTo: members, in: &self.space, &self.generator)
    }

    private static func resolve(
        _ entries: UnsafeMutableBufferPointer<Entry>, upTo members: Int, in space: inout Handlespace,
        _ generator: inout ChoiceGenerator
    ) {
        for index in entries.indices {
            self.resolve(entries[index], upTo: members, in: &space, &generator)
        }
    }

    private static func resolve(
        _ entry: borrowing Entry, upTo members: Int, in space: inout Handlespace, _ generator: inout ChoiceGenerator
    ) {
        blackHole(space.choose(from: entry.key.pool, upTo: members, using: &generator))
    }

    package func deregister(_ count: Int) {
        Self.deregister(self.following(count), in: &self.space)
    }

    private static func deregister(_ entries: UnsafeMutableBufferPointer<Entry>, in space: inout Handlespace) {
        for index in entries.indices { self.deregister(entries[index], in: &space) }
    }

    private static func deregister(_ entry: borrowing Entry, in space: inout Handlespace) {
        blackHole(space.remove(entry.key))
    }

    /// Elements leave and come back, one after the other.
    package func leaveAndJoin(_ count: Int) {
        Self.leaveAndJoin(self.renewed(count), in: &self.space)
    }

    private static func leaveAndJoin(_ entries: UnsafeMutableBufferPointer<Entry>, in space: inout Handlespace) {
        for index in entries.indices {
            self.deregister(entries[index], in: &space)
            self.register(entries[index], in: &space)
        }
    }

    /// What each heartbeat between registrars takes: the checksum over all elements of their home.
    package func compareChecksum(_ count: Int) {
        for _ in 0..<count { blackHole(self.space.checksum(of: Self.home)) }
    }

    private func following(_ count: Int) -> UnsafeMutableBufferPointer<Entry> {
        defer { self.next += count }
        return self.entries.extracting(self.next..<self.next + count)
    }

    private func renewed(_ count: Int) -> UnsafeMutableBufferPointer<Entry> {
        self.renewed.extracting(..<count)
    }
}
