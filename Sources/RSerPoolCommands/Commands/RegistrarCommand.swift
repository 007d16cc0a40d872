// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
internal import Logging
internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire
internal import ServiceLifecycle

/// `rserpool-registrar`, and `rserpool registrar`: a registrar.
package struct RegistrarArguments: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("Registrar identifier, decimal or 0x…, not 0; random by default.", valueName: "id"))
    var id: String?

    @Option(
        help: ArgumentHelp(
            "Listen for pool elements and pool users; repeatable; sctp:*:3863 and tcp:*:3863 by default.",
            valueName: "endpoint"))
    var asap: [String] = []

    @Option(
        help: ArgumentHelp(
            "Listen for other registrars; repeatable; sctp:*:9901 by default.", valueName: "endpoint"))
    var enrp: [String] = []

    @Option(
        help: ArgumentHelp(
            "A registrar to meet, by its ENRP endpoint; repeatable, in order of preference.", valueName: "endpoint"))
    var peer: [String] = []

    @Option(
        help: ArgumentHelp(
            "Find other registrars, and be found, by multicast, 239.0.0.51:9901 for example.", valueName: "group:port"))
    var discover: String?

    @Flag(help: "No discovery of registrars, whatever the configuration says.")
    var noDiscover = false

    @Option(
        help: ArgumentHelp(
            "A bound by its name, max-answer-elements=3 for example; repeatable. The README lists them.",
            valueName: "name=n"))
    var limit: [String] = []

    @OptionGroup var common: CommonOptions

    package init() {}

    func execute() async throws {
        let common = try await self.common.common(defaultEncapsulationPort: 9899, logLevel: .info)
        let configuration = try self.configuration(common)
        let registrar = Registrar(configuration: configuration, host: try common.host(), logger: common.logger)
        _ = try await withServices([registrar], logger: common.logger) { () async throws -> Never? in
            let bound = try await registrar.endpoints
            let endpoints = bound.map { " \($0.service.rawValue)=\($0.endpoint)" }.joined()
            Terminal.print("ready id=\(registrar.id)\(endpoints)")
            try await gracefulShutdown()
            return nil
        }
    }

    private func configuration(_ common: Common) throws(CommandFailure) -> RegistrarConfiguration {
        var configuration = RegistrarConfiguration()
        if let id = self.id ?? common.settings.value("id") {
            configuration.id = RegistrarID(rawValue: try parseIdentifier(id, option: "--id"))
        }
        let endpoints = self.asap.isEmpty ? common.settings.values("asap") : self.asap
        if !endpoints.isEmpty {
            configuration.asapEndpoints = []
            for text in endpoints { configuration.asapEndpoints.append(try parseEndpoint(text, option: "--asap")) }
        }
        configuration.announceGroup = common.announceGroup
        configuration.timers = common.timers.timers
        configuration.fastFailureDetection = common.timers.fastFailureDetection
        for text in common.settings.values("limit") + self.limit { try configuration.limits.apply(text) }
        try self.configurePeers(of: &configuration, common)
        return configuration
    }

    private func configurePeers(of configuration: inout RegistrarConfiguration, _ common: Common) throws(CommandFailure)
    {
        let enrp = self.enrp.isEmpty ? common.settings.values("enrp") : self.enrp
        if !enrp.isEmpty {
            configuration.enrpEndpoints = []
            for text in enrp { configuration.enrpEndpoints.append(try parseEndpoint(text, option: "--enrp")) }
        }
        for text in self.peer.isEmpty ? common.settings.values("peer") : self.peer {
            configuration.peers.append(try parseEndpoint(text, option: "--peer"))
        }
        if !self.noDiscover, let group = self.discover ?? common.settings.value("discover") {
            configuration.discoverGroup = try parseGroup(group, option: "--discover")
        }
        configuration.dialects = common.dialects
        configuration.enrpTimers = common.timers.enrpTimers
        let timers = configuration.enrpTimers
        if timers.maxTimeLastHeard <= timers.peerHeartbeatCycle {
            common.logger.warning(
                "max-time-last-heard is not above peer-heartbeat-cycle: peers that live will be asked all the time",
                metadata: [
                    "max-time-last-heard": "\(timers.maxTimeLastHeard)",
                    "peer-heartbeat-cycle": "\(timers.peerHeartbeatCycle)",
                ])
        }
    }
}

package struct RegistrarProgram: FailingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "rserpool-registrar", abstract: "A registrar: pool elements register with it, pool users ask it.")

    @OptionGroup var arguments: RegistrarArguments

    package init() {}

    func execute() async throws { try await self.arguments.execute() }
}

struct RegistrarCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "registrar", abstract: "A registrar, the same as rserpool-registrar.")

    @OptionGroup var arguments: RegistrarArguments

    func execute() async throws { try await self.arguments.execute() }
}

extension RegistrarLimits {
    private static let names: [(name: String, field: any WritableKeyPath<RegistrarLimits, Int> & Sendable)] = [
        ("max-pools", \.maxPools), ("max-elements", \.maxElements), ("max-handle-length", \.maxHandleLength),
        ("max-elements-per-link", \.maxElementsPerLink), ("max-links", \.maxLinks),
        ("max-subscriptions", \.maxSubscriptions), ("max-subscriptions-per-link", \.maxSubscriptionsPerLink),
        ("send-buffer", \.sendBuffer), ("max-answer-elements", \.maxAnswerElements),
        ("max-challenges", \.maxChallenges), ("max-peers", \.maxPeers), ("max-downloads", \.maxDownloads),
        ("peer-send-buffer", \.peerSendBuffer),
    ]

    /// Sets one limit from `NAME=N`.
    fileprivate mutating func apply(_ setting: String) throws(CommandFailure) {
        let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
        guard let entry = Self.names.first(where: { $0.name == parts.first }) else {
            let names = Self.names.map(\.name).joined(separator: ", ")
            throw CommandFailure(.usage, "--limit \(setting): no such limit; there are \(names)")
        }
        guard parts.count == 2, let value = Int(parts[1]), value > 0 else {
            throw CommandFailure(.usage, "--limit \(setting): no positive number; write \(entry.name)=1000 for example")
        }
        self[keyPath: entry.field] = value
    }
}
