// SPDX-License-Identifier: Apache-2.0

import RSerPool
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolWire
import Testing

// MARK: The whole policy

extension SelectionPolicy {
    /// Most Used: who is busiest, but not full, is served first, so that the idle ones can be switched off.
    fileprivate static let mostUsed = SelectionPolicy(
        type: PolicyType(rawValue: 0x8000_0101), name: "most-used", listUse: .inOrder, makeOrder: { MostUsedOrder() })
}

extension PoolPolicy {
    fileprivate static func mostUsed(load: Load) -> PoolPolicy {
        .custom(SelectionPolicy.mostUsed.type, words: [load.rawValue])
    }
}

/// The greatest load below full first; those that are full come last.
private struct MostUsedOrder: MemberOrder {
    private var loads: [(slot: Slot, load: UInt32)] = []

    mutating func insert(_ slot: Slot, _ id: PoolElementID, _ policy: PoolPolicy) {
        let load = policy.words.first ?? 0
        let place = self.loads.firstIndex { Self.precedes(load, $0.load) } ?? self.loads.count
        self.loads.insert((slot, load), at: place)
    }

    mutating func update(_ slot: Slot, _ policy: PoolPolicy) {
        self.remove(slot)
        self.insert(slot, PoolElementID(rawValue: 0), policy)
    }

    mutating func remove(_ slot: Slot) {
        self.loads.removeAll { $0.slot == slot }
    }

    mutating func list(_ members: inout OutputSpan<Slot>, using generator: inout ChoiceGenerator) {
        for (slot, _) in self.loads.prefix(members.freeCapacity) { members.append(slot) }
    }

    mutating func choose(_ members: Span<Slot>) {}

    private static func precedes(_ left: UInt32, _ right: UInt32) -> Bool {
        left != .max && (right == .max || left > right)
    }
}

// MARK: What it does

@Suite("A policy of one's own, end to end (RFC 5356 §7.1)")
struct CustomPolicyTests {
    private let lab = ClientWorld()

    private func element(_ name: String, _ load: Double, at registrar: TestRegistrar) throws -> TestElement {
        try self.lab.element(name, registrars: [registrar.endpoint]) {
            $0.policy = .mostUsed(load: Load(fraction: load))
        }
    }

    @Test("Registrar and pool user that have it go by it, as loads change too [ARC-047]")
    func everywhere() throws {
        let registrar = try self.lab.startRegistrar { $0.policies.add(.mostUsed) }
        let idle = try self.element("idle", 0.1, at: registrar)
        let busy = try self.element("busy", 0.8, at: registrar)
        let full = try self.element("full", 1, at: registrar)
        let user = try self.lab.user(registrars: [registrar.endpoint]) { $0.policies.add(.mostUsed) }
        try self.lab.world.run(for: .seconds(1))

        let resolution = try self.lab.value(user.resolve())
        #expect(resolution.policy.type == SelectionPolicy.mostUsed.type)
        #expect(resolution.members.map(\.id.rawValue) == [busy.id, idle.id, full.id])
        #expect(resolution.members.first?.policy == .mostUsed(load: Load(fraction: 0.8)))
        for _ in 0..<3 { #expect(try self.lab.value(user.choose()).id.rawValue == busy.id) }

        busy.node.inspect { busy.element.assumeIsolated { $0.setPolicy(.mostUsed(load: .idle)) } }
        try self.lab.world.run(for: .seconds(2))
        user.purge()
        #expect(try self.lab.value(user.choose()).id.rawValue == idle.id)
    }

    @Test("A pool user that does not have it takes the first, as the registrar has listed them")
    func userWithout() throws {
        let registrar = try self.lab.startRegistrar { $0.policies.add(.mostUsed) }
        _ = try self.element("idle", 0.1, at: registrar)
        let busy = try self.element("busy", 0.8, at: registrar)
        let user = try self.lab.user(registrars: [registrar.endpoint])
        try self.lab.world.run(for: .seconds(1))
        for _ in 0..<3 { #expect(try self.lab.value(user.choose()).id.rawValue == busy.id) }
    }

    @Test("A registrar that does not have it refuses its elements: cause 3 and the policy [POL-002, POL-005]")
    func registrarWithout() throws {
        let registrar = try self.lab.startRegistrar()
        let element = try self.element("element", 0.5, at: registrar)
        let error = try self.lab.failure(element.end)
        let words = PoolPolicy.mostUsed(load: Load(fraction: 0.5)).words
        let parameter = tlv(0x0008, octets(0x8000_0101 as UInt32) + words.flatMap { octets($0) })
        #expect(error.causes == [ErrorCause(.invalidValues, data: parameter)])
        #expect(registrar.size.elements == 0)
    }
}
