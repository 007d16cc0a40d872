// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Logging
import RSerPool
import RSerPoolTransport
import RSerPoolWire

/// So many pool elements in one process, registered with the registrar at an endpoint and left alone: what they cost.
/// Usage: IdleElements ENDPOINT ELEMENTS SECONDS.
func usage() -> (kilobytes: Int, seconds: Double) {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    var spent = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &spent)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return (Int(line?.filter(\.isNumber) ?? "") ?? 0, seconds(spent.ru_utime) + seconds(spent.ru_stime))
}

guard CommandLine.arguments.count == 4, let registrar = try? Endpoint(parsing: CommandLine.arguments[1]),
    let count = Int(CommandLine.arguments[2]), let seconds = Int(CommandLine.arguments[3])
else {
    print("usage: IdleElements ENDPOINT ELEMENTS SECONDS")
    exit(64)
}
let host = try SocketHost.shared(SocketHostOptions(stack: .userland))
let logger = Logger(label: "idle") { _ in SwiftLogNoOpLogHandler() }
let empty = usage()
let begin = ContinuousClock.now
try await withTaskExecutorPreference(host.tasks) {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<count {
            var configuration = PoolElement.Configuration(registrars: .list(registrar))
            configuration.listen = .sctp("127.0.0.1", port: 0)
            let element = PoolElement(
                pool: PoolHandle("idle"), configuration: configuration, host: host, logger: logger
            ) { _ in nil }
            group.addTask { try await element.run() }
            // One after the other: each opens an endpoint and an association of its own.
            for await event in element.events {
                if case .registered = event { break }
            }
        }
        let registered = usage()
        print(
            "\(count) elements registered after \(ContinuousClock.now - begin):",
            "\((registered.kilobytes - empty.kilobytes) / count) kB each")
        try await host.clock.sleep(for: .seconds(seconds))
        let idle = usage()
        let share = (idle.seconds - registered.seconds) / Double(seconds)
        print(
            "idle for \(seconds) s: \((share * 1e5).rounded() / 1e3) % of a processor,",
            "\((share / Double(count) * 1e8).rounded() / 1e2) µs a second for each;",
            "\((idle.kilobytes - empty.kilobytes) / count) kB each")
        group.cancelAll()
    }
}
