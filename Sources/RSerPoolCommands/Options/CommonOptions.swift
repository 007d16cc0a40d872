// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import NetworkAddress
internal import RSerPool
internal import RSerPoolCore
internal import RSerPoolTransport

/// What every command takes.
package struct CommonOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Which SCTP stack: auto, kernel or userland; auto takes the kernel's where it has one.", valueName: "stack")
    )
    var sctp: String?

    @Option(help: ArgumentHelp("UDP port of the userland SCTP stack (RFC 6951); 0 = any free one.", valueName: "port"))
    var encapsulationPort: UInt16?

    @Option(
        help: ArgumentHelp(
            "How long to stay awake for the next message where they follow one another closely; 0: never. (default: 50us)",
            valueName: "duration"))
    var busyPoll: String?

    @Option(
        help: ArgumentHelp(
            "A timer or threshold by its RFC name, keep-alive-timeout=500ms for example; repeatable.",
            discussion: "With --preset rfc they are \(TimerSettings.defaults).",
            valueName: "name=duration"))
    var timer: [String] = []

    @Option(
        help: ArgumentHelp("A set of timers: rfc, or lan for fast detection on a local network.", valueName: "preset"))
    var preset: String?

    @Option(help: ArgumentHelp("Multicast group of registrars' announcements.", valueName: "group:port"))
    var announce: String?

    @Flag(help: "No announcements, whatever the configuration says.")
    var noAnnounce = false

    @Option(
        help: ArgumentHelp("How a peer bends the RFCs: ENDPOINT=rsplib; repeatable.", valueName: "endpoint=dialect"))
    var dialect: [String] = []

    @Option(help: ArgumentHelp("The same settings from a JSON file.", valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical; on standard error.", valueName: "level"))
    var logLevel: String?

    @Option(help: ArgumentHelp("text or json.", valueName: "format"))
    var logFormat: String?

    package init() {}

    /// Everything together: options, environment, file.
    func common(defaultEncapsulationPort: UInt16, logLevel defaultLevel: Logger.Level) async throws -> Common {
        let settings = try await Settings(file: self.config)
        let logger = try makeLogger(
            level: self.logLevel ?? settings.value("log-level"), format: self.logFormat ?? settings.value("log-format"),
            defaultLevel: defaultLevel)
        let timers = try TimerSettings(
            preset: self.preset ?? settings.value("preset"), timers: settings.values("timer") + self.timer)
        var dialects: [Endpoint: Dialect] = [:]
        for text in settings.values("dialect") + self.dialect {
            let (endpoint, dialect) = try Self.parse(dialect: text)
            dialects[endpoint] = dialect
        }
        let group = self.noAnnounce ? nil : self.announce ?? settings.value("announce")
        return Common(
            settings: settings, logger: logger, timers: timers, dialects: dialects,
            announceGroup: try group.map { try parseGroup($0, option: "--announce") },
            hostOptions: try self.hostOptions(settings, defaultEncapsulationPort))
    }

    private func hostOptions(_ settings: Settings, _ defaultPort: UInt16) throws(CommandFailure) -> SocketHostOptions {
        let text = self.sctp ?? settings.value("sctp") ?? "auto"
        guard let stack = SocketHostOptions.Stack(rawValue: text) else {
            throw CommandFailure(.usage, "--sctp \(text): no such stack; write auto, kernel or userland")
        }
        var port = self.encapsulationPort
        if port == nil, let value = settings.value("encapsulation-port") {
            guard let number = UInt16(value) else {
                throw CommandFailure(.usage, "--encapsulation-port \(value): no UDP port; write 9899 for example")
            }
            port = number
        }
        var options = SocketHostOptions(stack: stack, encapsulationPort: port ?? defaultPort)
        if let text = self.busyPoll ?? settings.value("busy-poll") {
            options.busyPoll = try parseDuration(text, option: "--busy-poll")
            guard options.busyPoll <= .seconds(1) else {
                throw CommandFailure(.usage, "--busy-poll \(text): a second at most; write 50us or 0 for example")
            }
        }
        return options
    }

    private static func parse(dialect: String) throws(CommandFailure) -> (Endpoint, Dialect) {
        guard let equals = dialect.lastIndex(of: "="),
            let name = Dialect(rawValue: String(dialect[dialect.index(after: equals)...]))
        else {
            throw CommandFailure(
                .usage, "--dialect \(dialect): write ENDPOINT=rsplib, sctp:10.0.0.1:3863=rsplib for example")
        }
        return (try parseEndpoint(String(dialect[..<equals]), option: "--dialect"), name)
    }
}

/// The settings of one command, from wherever they came.
struct Common: Sendable {
    let settings: Settings
    let logger: Logger
    let timers: TimerSettings
    let dialects: [Endpoint: Dialect]
    let announceGroup: SocketAddress?
    let hostOptions: SocketHostOptions

    func host() throws -> Host { try SocketHost.shared(self.hostOptions) }
}

/// Where a command finds registrars.
package struct RegistrarOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "A registrar, sctp:192.0.2.1:3863 for example; repeatable, in order of preference.", valueName: "endpoint"))
    var registrar: [String] = []

    @Flag(help: "One JSON object per line, for scripts.")
    var json = false

    @Option(help: ArgumentHelp("Time allowed for the whole command; exit 75 when it is over.", valueName: "duration"))
    var timeout: String?

    package init() {}

    /// The list, else `RSERPOOL_REGISTRARS`, else announcements and this machine.
    func discovery(_ common: Common) throws(CommandFailure) -> RegistrarDiscovery {
        var registrars: [Endpoint] = []
        for text in self.registrar { registrars.append(try parseEndpoint(text, option: "--registrar")) }
        if registrars.isEmpty {
            for text in common.settings.values("registrars") {
                registrars.append(try parseEndpoint(text, option: "RSERPOOL_REGISTRARS"))
            }
        }
        if registrars.isEmpty { registrars = [.sctp("127.0.0.1"), .tcp("127.0.0.1")] }
        var discovery = RegistrarDiscovery(registrars: registrars, announceGroup: common.announceGroup)
        discovery.dialects = common.dialects
        return discovery
    }

    func user(_ common: Common, failsWithoutRegistrar: Bool) throws -> PoolUser {
        var configuration = PoolUser.Configuration(registrars: try self.discovery(common))
        configuration.timers = common.timers.timers
        configuration.fastFailureDetection = common.timers.fastFailureDetection
        configuration.failsWithoutRegistrar = failsWithoutRegistrar
        return PoolUser(configuration: configuration, host: try common.host(), logger: common.logger)
    }
}
