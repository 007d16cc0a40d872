// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop

/// A session's life drawn from a seed: elements are killed, lose power, freeze, are cut off and leave in good order while
/// requests go on; afterwards each request is accounted for.
struct SessionTrial {
    struct Outcome: Sendable {
        let options: SendOptions
        /// Nil: answered.
        var failure: PoolError?
        /// The answer was the one to this request.
        var isRight = true
    }

    private static let requests: UInt32 = 150

    let seed: UInt64
    private let lab: ClientWorld
    private let registrar: TestRegistrar
    private var chance: HostGenerator
    private let overTCP: Bool
    private let executed = Gathered<UInt32>()
    private var elements: [TestElement] = []
    private var started = 0
    private(set) var faults = 0

    init(seed: UInt64) throws {
        self.seed = seed
        var chance = HostGenerator(seed: (seed, 31, seed, 37))
        var options = WorldOptions()
        options.sctpStack = chance.below(2) == 0 ? .kernel : .userland
        self.overTCP = chance.below(3) == 0
        self.chance = chance
        self.lab = ClientWorld(seed: seed, options: options)
        self.registrar = try self.lab.startRegistrar {
            $0.timers = .lan
            $0.enrpTimers = .lan
        }
    }

    /// Lives it, and returns what is wrong with it; empty if all is well.
    mutating func run() throws -> [String] {
        for _ in 0..<4 { try self.addElement() }
        let user = try self.lab.user(registrars: [self.registrar.endpoint]) {
            $0.timers = .lan
            $0.fastFailureDetection = true
        }
        try self.lab.world.run(for: .seconds(1))
        let outcomes = Gathered<Outcome>()
        let patience: Duration = self.chance.below(2) == 0 ? .seconds(10) : .zero
        var draws = self.chance
        let plan = (0..<Self.requests).map { _ in
            (
                [.useDefault, .useDefault, .atMostOnce, .noFailover][Int(draws.below(4))] as SendOptions,
                Duration.milliseconds(Int(draws.below(60))),
                draws.below(8) == 0 ? Duration.milliseconds(30 + Int(draws.below(300))) : nil
            )
        }
        let clock = user.node.host.clock
        let end = user.session({
            $0.attemptTimeout = .milliseconds(500)
            $0.patience = patience
        }) { session in
            for (number, (options, pause, timeout)) in plan.enumerated() {
                var outcome = Outcome(options: options)
                do {
                    let answer = try await session.request(
                        octets(UInt32(number)), options: options, timeout: timeout)
                    outcome.isRight = answer.bytes == octets(UInt32(number))
                } catch let error as PoolError {
                    outcome.failure = error
                }
                outcomes.append(outcome)
                try await clock.sleep(for: pause)
            }
        }
        var limit = 2_000
        while end.result == nil, limit > 0 {
            limit -= 1
            try self.lab.world.run(for: .milliseconds(50 + Int(self.chance.below(300))))
            if end.result == nil { try self.fault(user.node) }
        }
        var wrong: [String] = []
        guard case .success? = end.result else {
            return [
                "the session hangs or failed: \(String(describing: end.result)), \(outcomes.all.count) requests done"
            ]
        }
        self.lab.world.healAll()
        for element in self.elements where element.node.isFrozen { self.lab.world.thaw(element.node) }
        try self.lab.world.run(for: .seconds(5))
        var counts: [UInt32: Int] = [:]
        for number in self.executed.all { counts[number, default: 0] += 1 }
        for (number, outcome) in outcomes.all.enumerated() {
            let count = counts[UInt32(number)] ?? 0
            if !outcome.isRight { wrong.append("\(number) got another one's answer") }
            switch outcome.failure?.fate {
            case nil where outcome.failure == nil:
                if count == 0 { wrong.append("\(number) was answered and not executed") }
            case nil: wrong.append("\(number) failed without a word on its fate")
            case .notExecuted:
                if count > 0 { wrong.append("\(number) was executed \(count) times, and was said not to be") }
            case .perhapsExecuted: break
            }
            let isOnce = outcome.options.contains(.atMostOnce) || outcome.options.contains(.noFailover)
            if isOnce, count > 1 { wrong.append("\(number) was executed \(count) times in spite of its options") }
        }
        try self.lab.world.shutDown()
        return wrong
    }

    private mutating func addElement() throws {
        self.started += 1
        let executed = self.executed
        let overTCP = self.overTCP
        let delay = Duration.milliseconds(Int(self.chance.below(20)))
        self.elements.append(
            try self.lab.server(
                "element-\(self.started)", registrars: [self.registrar.endpoint],
                {
                    $0.timers = .lan
                    $0.fastFailureDetection = true
                    if overTCP { $0.listen = .tcp("*", port: 0) }
                }
            ) { session in
                for await request in session.requests {
                    executed.append(request.bytes.reduce(0) { $0 << 8 | UInt32($1) })
                    try await session.element.host.clock.sleep(for: delay)
                    try await session.send(request.bytes, answering: request)
                }
            })
    }

    private mutating func fault(_ user: Node) throws {
        self.elements.removeAll { !$0.node.isAlive || $0.end.result != nil }
        for element in self.elements where element.node.isFrozen && self.chance.below(3) == 0 {
            self.lab.world.thaw(element.node)
        }
        if self.chance.below(3) == 0 { self.lab.world.healAll() }
        if self.elements.count < 3 || self.chance.below(6) == 0, self.elements.count < 6 { try self.addElement() }
        let running = self.elements.filter { !$0.node.isFrozen }
        guard running.count > 1, self.chance.below(3) > 0 else { return }
        self.faults += 1
        let victim = running[Int(self.chance.below(UInt64(running.count)))]
        switch self.chance.below(6) {
        case 0, 1: try self.lab.world.crash(victim.node, .process)
        case 2: try self.lab.world.crash(victim.node, .machine)
        case 3: self.lab.world.freeze(victim.node)
        case 4: victim.deregister()
        default: self.lab.world.partition(user, victim.node)
        }
    }
}
