// SPDX-License-Identifier: Apache-2.0

import Foundation
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

/// `RSERPOOL_SESSION_SEEDS` for more.
private let seedCount = ProcessInfo.processInfo.environment["RSERPOOL_SESSION_SEEDS"].flatMap(UInt64.init) ?? 40

@Suite("Long sessions under faults: each request is accounted for")
struct SessionFaultTests {
    @Test(
        "Answered means executed, not executed means that, at most once means that; nothing hangs",
        arguments: 1..<(1 + seedCount))
    func trial(seed: UInt64) throws {
        var trial = try SessionTrial(seed: seed)
        #expect(try trial.run() == [])
        #expect(trial.faults > 5)
    }

    @Test(
        "A hundred rolling restarts under load lose no request, and repeat none [ARC-006, ARC-037]",
        arguments: [false, true])
    func rollingRestarts(overTCP: Bool) throws {
        let lab = ClientWorld()
        let registrar = try lab.startRegistrar {
            $0.timers = .lan
            $0.enrpTimers = .lan
        }
        let executed = Gathered<UInt32>()
        func start(_ number: Int) throws -> TestElement {
            try lab.server(
                "element-\(number)", registrars: [registrar.endpoint],
                {
                    $0.timers = .lan
                    if overTCP { $0.listen = .tcp("*", port: 0) }
                }
            ) { session in
                for await request in session.requests {
                    executed.append(request.bytes.reduce(0) { $0 << 8 | UInt32($1) })
                    try await session.element.host.clock.sleep(for: .milliseconds(15))
                    try await session.send(request.bytes, answering: request)
                }
            }
        }
        var elements = try (1...3).map(start)
        let user = try lab.user(registrars: [registrar.endpoint]) { $0.timers = .lan }
        try lab.world.run(for: .seconds(1))
        let stop = Pending<Void>()
        let clock = user.node.host.clock
        let sessions = (0..<4 as Range<UInt32>).map { lane in
            user.session { session in
                var count: UInt32 = 0
                while stop.result == nil {
                    let number = lane << 24 | count
                    let answer = try await session.request(octets(number), options: .atMostOnce)
                    guard answer.bytes == octets(number) else { throw Unexpected("another one's answer") }
                    count += 1
                    try await clock.sleep(for: .milliseconds(5))
                }
                return count
            }
        }
        for restart in 0..<100 {
            let leaving = elements.removeFirst()
            leaving.deregister()
            try lab.value(leaving.end, within: .seconds(5))
            elements.append(try start(4 + restart))
            try lab.world.run(for: .milliseconds(200))
            #expect(sessions.allSatisfy { $0.result == nil }, "after restart \(restart)")
        }
        stop.resolve(.success(()))
        var total = 0
        for session in sessions { total += Int(try lab.value(session)) }
        #expect(executed.all.count == total)
        #expect(Set(executed.all).count == total)
        #expect(total > 3_000)
        try lab.world.shutDown()
    }
}
