// SPDX-License-Identifier: Apache-2.0

import Foundation
import NetworkAddress
import RSerPool
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import Testing

/// What the ways between all nodes are like.
struct Way: CustomTestStringConvertible, Sendable {
    let milliseconds: Int
    let loss: Double

    static let all = [1, 50, 200, 500].flatMap { milliseconds in
        [0, 0.01, 0.05].map { Way(milliseconds: milliseconds, loss: $0) }
    }

    var latency: Duration { .milliseconds(self.milliseconds) }
    var conditions: PathConditions {
        PathConditions(latency: self.latency, jitter: self.latency / 10, loss: self.loss)
    }
    var testDescription: String { "\(self.milliseconds) ms, \(Int(self.loss * 100)) % lost" }
}

/// What has to be measured is printed where RSERPOOL_PRINT_MEASURES is set: `Configuration/measure-sessions` does so.
private enum Measures {
    static let arePrinted = ProcessInfo.processInfo.environment["RSERPOOL_PRINT_MEASURES"] != nil
    /// Of each kind: where nobody looks at the 99th percentile, fewer do.
    static let trials: UInt64 = arePrinted ? 100 : 10

    static func print(_ line: @autoclosure () -> String) {
        if self.arePrinted { Swift.print("| \(line())") }
    }

    static func text(_ spans: [Duration]) -> String {
        let sorted = spans.sorted()
        let picked = [
            sorted[(sorted.count - 1) / 2], sorted[(sorted.count * 99 + 99) / 100 - 1], sorted[sorted.count - 1],
        ]
        let words = picked.map { "\(Int(($0 / .milliseconds(1)).rounded())) ms" }
        return zip(["median", "99 %", "max"], words).map { "\($0) \($1)" }.joined(separator: ", ")
    }
}

/// A registrar, three echoing elements and a user on ways of one kind; all with the RFC's timers.
private struct WayLab {
    static let attempt = Session.Configuration().attemptTimeout

    let lab: ClientWorld
    let registrar: TestRegistrar
    let user: TestUser
    private(set) var elements: [TestElement] = []

    init(_ way: Way, seed: UInt64 = 1) throws {
        var options = WorldOptions()
        options.conditions = way.conditions
        self.lab = ClientWorld(seed: seed, options: options)
        self.registrar = try self.lab.startRegistrar()
        self.user = try self.lab.user(registrars: [self.registrar.endpoint])
        for index in 1...3 as ClosedRange<UInt32> {
            self.elements.append(
                try self.lab.element(
                    "element-\(index)", registrars: [self.registrar.endpoint],
                    {
                        $0.id = PoolElementID(rawValue: index)
                    }))
        }
        let (elements, world) = (self.elements, self.lab.world)
        let outcome = try world.run(atMost: .seconds(60), until: { elements.allSatisfy(\.isRegistered) })
        guard outcome == .reached else { throw Unexpected("not all elements are registered") }
    }

    func element(_ id: UInt32) throws -> TestElement { try #require(self.elements.first { $0.id == id }) }
}

@Suite("Sessions over long and lossy ways")
struct SessionWayTests {
    @Test("Nobody is taken for dead: no fail-over, no report, no removal", arguments: Way.all)
    func noFalseFailure(way: Way) throws {
        let lab = try WayLab(way)
        let world = lab.lab.world
        let requests: UInt32 = 600
        let clock = lab.user.node.host.clock
        let events = Gathered<Session.Event>()
        let session = lab.user.session { session in
            try await withThrowingTaskGroup(of: [PoolElementID].self) { group in
                group.addTask {
                    for await event in session.events { events.append(event) }
                    return []
                }
                var elements: [PoolElementID] = []
                for number in 0..<requests {
                    let answer = try await session.request(octets(number))
                    guard answer.bytes == octets(number) else { throw Unexpected("another one's answer") }
                    elements.append(answer.element)
                    try await clock.sleep(for: .seconds(1))
                }
                group.cancelAll()
                return elements
            }
        }
        var isWhole = true
        try world.run(
            atMost: .seconds(3_600),
            until: {
                isWhole = isWhole && lab.registrar.size.elements == lab.elements.count
                return session.result != nil
            })
        let served = try #require(session.result).get()
        #expect(served.count == requests)
        #expect(Set(served).count == 1)
        #expect(events.all.count == 1, "connected, and nothing else: \(events.all)")
        #expect(lab.registrar.statistics(.unreachableReports) == 0)
        #expect(isWhole, "an element was removed")
        for element in lab.elements {
            #expect(!element.events.all.contains { if case .registered = $0 { false } else { true } })
        }
        Measures.print(
            "\(way.testDescription): \(requests) requests in \(Int(world.now / .seconds(1))) s, "
                + "\(events.all.count - 1) changes of the element, "
                + "\(lab.registrar.statistics(.unreachableReports)) reports, \(isWhole ? "no" : "a") removal")
        try world.shutDown()
    }

    enum Fault: String, CaseIterable, Sendable {
        case killed
        case cutOff = "cut off"
    }

    @Test(
        "The gap after an element's end is at most the attempt's time and what the way takes", arguments: Way.all,
        Fault.allCases)
    func gap(way: Way, fault: Fault) throws {
        // To be asked who else is there, to set up an association, and the request: all that may be lost and sent again.
        let bound = WayLab.attempt + way.latency * 12 + (way.loss > 0 ? .seconds(3) : .zero) + .milliseconds(50)
        var gaps: [Duration] = []
        for seed in 1...Measures.trials {
            let lab = try WayLab(way, seed: seed)
            let world = lab.lab.world
            let clock = lab.user.node.host.clock
            let served = Gathered<UInt32>()
            let session = lab.user.session { session in
                while true {
                    served.append(try await session.request([1]).element.rawValue)
                    try await clock.sleep(for: .milliseconds(5))
                }
            }
            try world.run(atMost: .seconds(60), until: { served.all.count >= 5 })
            try world.run(for: .milliseconds(Int(world.generator.below(1_000))))
            let victim = try #require(served.all.last)
            let begin = world.now
            switch fault {
            case .killed: try world.crash(try lab.element(victim).node)
            case .cutOff: world.isolate(try lab.element(victim).node)
            }
            let outcome = try world.run(atMost: .seconds(60), until: { served.all.last != victim })
            #expect(outcome == .reached)
            #expect(session.result == nil, "a request failed")
            gaps.append(world.now - begin)
            try world.shutDown()
        }
        #expect(try #require(gaps.max()) <= bound)
        Measures.print("\(way.testDescription), \(fault.rawValue): gap \(Measures.text(gaps)); bound \(bound)")
    }

    @Test(
        "Sessions prefer the near element where the policy knows distances (draft-dreibholz-rserpool-delay)",
        arguments: [0, 0.01, 0.05], [PolicyType.leastUsedDPF, .leastUsedDegradationDPF, .weightedRandomDPF])
    func nearIsPreferred(loss: Double, type: PolicyType) throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar()
        let user = try lab.user(registrars: [registrar.endpoint])
        let ways = [1, 50, 200, 500].map { Way(milliseconds: $0, loss: loss) }
        for (index, way) in ways.enumerated() {
            let element = try lab.element(
                "element-\(index)", registrars: [registrar.endpoint],
                {
                    $0.id = PoolElementID(rawValue: UInt32(index))
                    // A millisecond costs 0.1 % of the whole.
                    let dpf = Load(fraction: 0.001)
                    $0.policy =
                        switch type {
                        case .leastUsedDPF: .leastUsedDPF(load: .idle, dpf: dpf, distance: 0)
                        case .leastUsedDegradationDPF:
                            .leastUsedDegradationDPF(load: .idle, degradation: .idle, dpf: dpf, distance: 0)
                        default: .weightedRandomDPF(weight: 1_000, dpf: dpf, distance: 0)
                        }
                })
            for node in [registrar.node, user.node] {
                lab.world.setConditions(way.conditions, between: element.node, and: node)
            }
        }
        // By then each way has been measured.
        try lab.world.run(for: .seconds(60))
        #expect(registrar.size.elements == ways.count)
        let sessions = 200
        var counts = [Int](repeating: 0, count: ways.count)
        for _ in 0..<sessions {
            counts[Int(try lab.value(user.session { try await $0.request([1]).element.rawValue }))] += 1
            try lab.world.run(for: .seconds(2))
        }
        Measures.print(
            "\(PolicyCatalogue.standard[type]?.name ?? "\(type)"), \(Int(loss * 100)) % lost: sessions at 1, 50, 200, 500 ms: \(counts)"
        )
        if type == .weightedRandomDPF {
            // The weight of each is lessened by its distance, 0.1 % a millisecond.
            let weights = ways.map { 1 - Double($0.milliseconds) / 1_000 }
            for (count, weight) in zip(counts, weights) {
                let share = weight / weights.reduce(0, +)
                let deviation = (Double(sessions) * share * (1 - share)).squareRoot()
                #expect(abs(Double(count) - Double(sessions) * share) <= 6 * deviation)
            }
        } else {
            #expect(counts == [sessions, 0, 0, 0])
        }
        #expect(registrar.statistics(.unreachableReports) == 0)
        try lab.world.shutDown()
    }
}
