// SPDX-License-Identifier: Apache-2.0

import Benchmark
import BenchmarkSettings
import Logging
import NetworkAddress
import RSerPool
import RSerPoolTransport
import RSerPoolWire

/// What a session adds to the socket below it: questions of 100 octets and their answers, one after the other, by a port alone
/// and by a session, over TCP and SCTP. The far end is on the same thread, so that work is measured and nothing else, or on
/// another one, as it is in life. Times are for one question.
let benchmarks: @Sendable () -> Void = {
    let question = [UInt8](repeating: 7, count: 100)
    for (kind, isApart) in [(LinkScheme.tcp, false), (.sctp, false), (.tcp, true)] {
        // What a session makes of it.
        let framed = kind == .tcp ? SessionEnvelope.wrap(question, payloadProtocol: 0) : question
        func measure(_ name: String, _ body: @escaping @Sendable (Conversation, Benchmark) async throws -> Void) {
            Benchmark(
                "\(kind.rawValue).\(name)\(isApart ? ".two-threads" : "")",
                configuration: .init(
                    metrics: [.wallClock], warmupIterations: 0, scalingFactor: .kilo, maxDuration: .seconds(3),
                    maxIterations: 100, thresholds: [.wallClock: .twiceAsSlow])
            ) { benchmark in
                let conversation = try await Conversation.open(kind, isApart: isApart)
                try await body(conversation, benchmark)
                await conversation.echo.close()
            }
        }
        measure("port") { conversation, benchmark in
            let asker = Asker(conversation.host)
            try await asker.connect(conversation.scheme, to: conversation.remote, links: 1)
            try await asker.ask(100, framed)
            benchmark.startMeasurement()
            try await asker.ask(benchmark.scaledIterations.count, framed)
            benchmark.stopMeasurement()
            await asker.close()
        }
        measure("session") { conversation, benchmark in
            let user = PoolUser(
                registrars: .list(.tcp("127.0.0.1", port: 9)), host: conversation.host,
                logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() })
            // Used by one task at a time: this one waits for the session's.
            nonisolated(unsafe) let benchmark = benchmark
            try await withTaskExecutorPreference(conversation.host.tasks) {
                try await user.withSession(at: conversation.transport) { session in
                    for _ in 0..<100 { _ = try await session.request(question) }
                    benchmark.startMeasurement()
                    for _ in benchmark.scaledIterations { blackHole(try await session.request(question)) }
                    benchmark.stopMeasurement()
                }
            }
        }
    }
}

/// An echo, and how to reach it.
struct Conversation: Sendable {
    let host: Host
    let echo: Echo
    let scheme: PortOptions.Scheme
    let remote: RemoteEndpoint
    let transport: UserTransport

    static func open(_ kind: LinkScheme, isApart: Bool) async throws -> Conversation {
        let host = try SocketHost.shared(SocketHostOptions(stack: .userland))
        let scheme: PortOptions.Scheme =
            kind == .sctp ? .sctp : .tcp(framing: { try SessionEnvelope.frameLength($0) })
        let echo = Echo(host)
        if isApart {
            let address = SocketAddress(ip: .loopbackIPv4, port: try ThreadEcho.start())
            return Conversation(
                host: host, echo: echo, scheme: scheme,
                remote: RemoteEndpoint(addresses: [address.ip], port: address.port), transport: .tcp(address))
        }
        let local = try await echo.open(scheme)
        return Conversation(
            host: host, echo: echo, scheme: scheme,
            remote: RemoteEndpoint(
                addresses: [.loopbackIPv4], port: local.port, encapsulationPort: local.encapsulationPort),
            transport: kind == .sctp
                ? .sctp(SCTPTransport(port: local.port, addresses: [.loopbackIPv4]))
                : .tcp(SocketAddress(ip: .loopbackIPv4, port: local.port)))
    }
}
