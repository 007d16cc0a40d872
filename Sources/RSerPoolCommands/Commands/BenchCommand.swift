// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPoolTransport
internal import RSerPoolWire

struct BenchCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Puts load on any registrar and prints what it measured.",
        discussion: """
            Works: resolve (who is in a pool), register (new elements; when --members are there, those that came first \
            leave again), re-register (elements that are there), subscribe (one change at a time of one element, told to \
            --connections subscribers; latencies are from the registration to each subscriber), die (the elements' \
            --connections end at once; latencies are from the end of each element's association until a subscriber is told).
            It registers --members elements before, and takes them away afterwards. Elements register over SCTP: with a TCP \
            endpoint, --elements-at says where.
            """)

    @Argument(
        help: ArgumentHelp("A registrar's ASAP endpoint, sctp:192.0.2.1:3863 for example.", valueName: "endpoint"))
    var endpoint: String
    @Option(help: ArgumentHelp("resolve, register, re-register, subscribe or die.", valueName: "work")) var work =
        "resolve"
    @Option(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool = "bench"
    @Flag(help: "The pool handle is octets in hexadecimal.") var poolHex = false
    @Option(help: ArgumentHelp("So many pools, named after the first, number by number.", valueName: "n")) var pools = 1
    @Option(
        help: ArgumentHelp(
            "Elements over all pools (1000); 0 with resolve: the pools are there already.", valueName: "n"))
    var members: Int?
    @Option(help: ArgumentHelp("The elements' policy, least-used:0.5 for example.", valueName: "policy"))
    var policy: String?
    @Option(help: ArgumentHelp("An SCTP endpoint of the same registrar, for the elements.", valueName: "endpoint"))
    var elementsAt: String?
    @Option(help: ArgumentHelp("Associations or connections.", valueName: "n")) var connections = 1
    @Option(help: ArgumentHelp("Requests that wait for an answer, over all connections.", valueName: "n"))
    var inFlight = 1
    @Option(
        help: ArgumentHelp("How many elements an answer shall list; 0: as many as the registrar likes.", valueName: "n")
    )
    var count = 1
    @Option(help: ArgumentHelp("How long to measure.", valueName: "seconds")) var seconds = 10.0
    @Option(help: ArgumentHelp("The registrar's process on this machine, for its processor time.", valueName: "pid"))
    var process: Int32?
    @Flag(help: "One JSON object, for scripts.") var json = false
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.json }

    func execute() async throws {
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let plan = try await self.plan()
        let host = try common.host()
        let generator = LoadGenerator(plan, host: host)
        let before = self.process.flatMap(processorTime)
        if let process, before == nil { throw CommandFailure(.usage, "--process \(process): there is no such process") }
        let report = try await withTaskExecutorPreference(host.tasks) { try await generator.run() }
        var processor: Double?
        if let before, let after = self.process.flatMap(processorTime), report.answers > 0 {
            processor = (after - before) / Double(report.answers)
        }
        self.show(report, plan, processor: processor)
        if let error = report.firstError {
            Terminal.printError("bench: \(report.errors) of the requests failed, the first one: \(error)")
        }
    }

    private func plan() async throws -> LoadPlan {
        guard let work = LoadPlan.Work(rawValue: self.work) else {
            let works = LoadPlan.Work.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandFailure(.usage, "--work \(self.work): no such work; there are \(works)")
        }
        for (name, value) in [
            ("--pools", self.pools), ("--connections", self.connections), ("--in-flight", self.inFlight),
        ] where value < 1 || value > 1_000_000 {
            throw CommandFailure(.usage, "\(name) \(value): 1 to 1000000")
        }
        guard self.seconds > 0, self.seconds <= 86_400 else {
            throw CommandFailure(.usage, "--seconds \(self.seconds): more than 0, at most 86400")
        }
        guard self.count >= 0, self.count < 65_536 else {
            throw CommandFailure(.usage, "--count \(self.count): 0 to 65535")
        }
        let members = self.members ?? 1_000
        guard members > 0 || members == 0 && work == .resolve, members <= 10_000_000 else {
            throw CommandFailure(.usage, "--members \(members): \(work == .resolve ? 0 : 1) to 10000000")
        }
        guard work != .die || self.pools == 1 else {
            throw CommandFailure(.usage, "--work die --pools \(self.pools): the elements of one pool die")
        }
        let (target, scheme) = try await Self.remote(self.endpoint, option: "ENDPOINT")
        var home: (remote: RemoteEndpoint, scheme: LinkScheme)?
        if let elementsAt { home = try await Self.remote(elementsAt, option: "--elements-at") }
        if let home, home.scheme != .sctp {
            throw CommandFailure(.usage, "--elements-at \(self.elementsAt ?? ""): elements register over SCTP only")
        }
        if scheme == .tcp, work == .register || work == .registerAgain {
            throw CommandFailure(
                .usage, "--work \(work.rawValue): elements register over SCTP only; name an sctp: endpoint")
        }
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        let policy = try self.policy.map { try parsePolicy($0, option: "--policy") }
        return LoadPlan(
            work: work, target: target, scheme: scheme, home: home?.remote ?? (scheme == .sctp ? target : nil),
            pools: self.pools == 1
                ? [handle] : (0..<self.pools).map { PoolHandle(octets: handle.octets + Array("\($0)".utf8)) },
            members: work == .die ? max(members, self.connections) : members,
            policy: policy ?? (work == .subscribe ? .leastUsed(load: .idle) : .roundRobin),
            connections: self.connections, inFlight: max(self.inFlight, 1),
            count: self.count == 0 ? nil : UInt32(self.count), duration: .seconds(self.seconds))
    }

    private static func remote(
        _ text: String, option: String
    ) async throws -> (remote: RemoteEndpoint, scheme: LinkScheme) {
        let endpoint = try parseEndpoint(text, option: option)
        guard let remote = try await endpoint.lookedUp(defaultPort: ASAPMessage.port).remote else {
            throw CommandFailure(
                .usage, "\(option) \(text): one host and a port; write sctp:192.0.2.1:3863 for example")
        }
        return (remote, endpoint.scheme == .tcp ? .tcp : .sctp)
    }

    private func show(_ report: LoadReport, _ plan: LoadPlan, processor: Double?) {
        func rounded(_ value: Double) -> JSON { .number((value * 1e9).rounded() / 1e9) }
        let rate = report.seconds > 0 ? Double(report.answers) / report.seconds : 0
        guard self.json else {
            func microseconds(_ value: Double) -> String { "\((value * 1e7).rounded() / 10) µs" }
            Terminal.print(
                "\(plan.work.rawValue) at \(self.endpoint), \(plan.connections) connections, \(plan.inFlight) in flight:"
            )
            Terminal.print("  \(report.answers) in \((report.seconds * 100).rounded() / 100) s, \(Int(rate)) a second")
            func times(_ latencies: Latencies) -> String {
                "half within \(microseconds(latencies.median)), 99 % within \(microseconds(latencies.percentile99)), all within \(microseconds(latencies.longest))"
            }
            Terminal.print("  \(times(report.latencies))")
            if let meanwhile = report.meanwhile {
                Terminal.print("  meanwhile \(meanwhile.count) unrelated registrations: \(times(meanwhile))")
            }
            if let processor { Terminal.print("  the registrar's processor time for each: \(microseconds(processor))") }
            return
        }
        func times(_ latencies: Latencies) -> [(String, JSON)] {
            [
                ("p50", rounded(latencies.median)), ("p99", rounded(latencies.percentile99)),
                ("max", rounded(latencies.longest)),
            ]
        }
        var members: [(String, JSON)] =
            [
                ("work", .string(plan.work.rawValue)), ("endpoint", .string(self.endpoint)),
                ("connections", .int(Int64(plan.connections))), ("in-flight", .int(Int64(plan.inFlight))),
                ("seconds", rounded(report.seconds)), ("requests", .int(Int64(report.answers + report.unanswered))),
                ("errors", .int(Int64(report.errors))), ("rate", .number(rate.rounded())),
            ] + times(report.latencies)
        if let meanwhile = report.meanwhile {
            members.append(
                ("meanwhile", .object([("requests", .int(Int64(meanwhile.count)))] + times(meanwhile))))
        }
        if let processor { members.append(("processor", rounded(processor))) }
        Terminal.print(JSON.object(members).text)
    }
}
