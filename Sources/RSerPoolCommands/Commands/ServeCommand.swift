// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPool
internal import RSerPoolTransport
internal import RSerPoolWire

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "A pool element with a small service.", subcommands: [ServeEchoCommand.self])
}

struct ServeEchoCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo", abstract: "Sends back what it gets, on the same stream with the same payload protocol.")

    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @Option(help: ArgumentHelp("round-robin, random, least-used:LOAD, …", valueName: "policy")) var policy =
        "round-robin"
    @Option(help: ArgumentHelp("Pool element identifier; random by default.", valueName: "id")) var id: String?
    @Option(help: ArgumentHelp("Where to serve.", valueName: "endpoint")) var listen = "sctp:*:0"
    @Option(help: ArgumentHelp("How long a registration holds without being renewed.", valueName: "duration"))
    var lifetime = "300s"
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrars.json }
    var timeLimit: String? { self.registrars.timeout }

    func execute() async throws {
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .info)
        var configuration = PoolElement.Configuration(registrars: try self.registrars.discovery(common))
        configuration.policy = try parsePolicy(self.policy, option: "--policy")
        configuration.id = try self.id.map { PoolElementID(rawValue: try parseIdentifier($0, option: "--id")) }
        configuration.listen = try parseEndpoint(self.listen, option: "--listen")
        configuration.life = try Self.life(self.lifetime)
        configuration.timers = common.timers.timers
        configuration.fastFailureDetection = common.timers.fastFailureDetection
        let element = PoolElement(
            pool: handle, configuration: configuration, host: try common.host(), logger: common.logger
        ) { $0.bytes }
        let command = self
        _ = try await withServices([element], logger: common.logger) { () async throws -> Never? in
            var isReady = false
            for await case .registered(let id, let home, let warnings) in element.events {
                for warning in warnings {
                    common.logger.warning(
                        "the registrar changed the registration", metadata: ["cause": "\(warning.code)"])
                }
                if !isReady { Terminal.print(command.ready(id, handle, home)) }
                isReady = true
            }
            return nil
        }
    }

    private func ready(_ id: PoolElementID, _ pool: PoolHandle, _ home: String) -> String {
        guard self.registrars.json else { return "ready id=\(id) pool=\(pool) home=\(home)" }
        return JSON.object([
            ("event", .string("ready")), ("id", id.json), ("pool", .string(pool.description)), ("home", .string(home)),
        ]).text
    }

    private static func life(_ text: String) throws(CommandFailure) -> RegistrationLife {
        if text == "infinite" { return .infinite }
        let seconds = (try parseDuration(text, option: "--lifetime")) / .seconds(1)
        guard seconds >= 1, seconds <= Double(Int32.max) else {
            throw CommandFailure(.usage, "--lifetime \(text): from 1s on, or infinite")
        }
        return .seconds(Int32(seconds))
    }
}
