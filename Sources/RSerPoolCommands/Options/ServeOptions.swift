// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Foundation
internal import Logging
internal import RSerPool

/// How an element of a pool is set up, whatever it serves.
struct ServeOptions: ParsableArguments, Sendable {
    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @Option(help: ArgumentHelp("round-robin, random, least-used:LOAD, …", valueName: "policy")) var policy =
        "round-robin"
    @Option(help: ArgumentHelp("Pool element identifier; random by default.", valueName: "id")) var id: String?
    @Option(help: ArgumentHelp("Where to serve: sctp:HOST:PORT or tcp:HOST:PORT.", valueName: "endpoint"))
    var listen = "sctp:*:0"
    @Option(help: ArgumentHelp("How long a registration holds without being renewed.", valueName: "duration"))
    var lifetime = "300s"
    @Option(
        help: ArgumentHelp("How long sessions may go on after the element has left its pool.", valueName: "duration"))
    var drain = "10s"
    @Option(
        help: ArgumentHelp(
            "A file of at least 16 octets, the same for all elements: signs state cookies.", valueName: "file"))
    var cookieKey: String?
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    func handle() throws -> PoolHandle { try parsePool(self.pool, isHexadecimal: self.poolHex) }

    func configuration(_ common: Common) throws -> PoolElement.Configuration {
        var configuration = PoolElement.Configuration(registrars: try self.registrars.discovery(common))
        configuration.policy = try parsePolicy(self.policy, option: "--policy")
        configuration.id = try self.id.map { PoolElementID(rawValue: try parseIdentifier($0, option: "--id")) }
        configuration.listen = try parseEndpoint(self.listen, option: "--listen")
        configuration.life = try Self.life(self.lifetime)
        configuration.drainLimit = try parseDuration(self.drain, option: "--drain")
        configuration.cookieKey = try self.cookieKey.map(Self.key)
        configuration.timers = common.timers.timers
        configuration.fastFailureDetection = common.timers.fastFailureDetection
        return configuration
    }

    /// Runs it until it is told to stop, saying once that it is registered.
    func serve(_ common: Common, _ server: PoolElementServer) async throws {
        let element = server.element
        let options = self
        _ = try await withServices([server], logger: common.logger) { () async throws -> Never? in
            var isReady = false
            for await case .registered(let id, let home, let warnings) in element.events {
                for warning in warnings {
                    common.logger.warning(
                        "the registrar changed the registration", metadata: ["cause": "\(warning.code)"])
                }
                if !isReady { Terminal.print(options.ready(id, element.pool, home)) }
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

    private static func key(_ path: String) throws(CommandFailure) -> CookieKey {
        guard let octets = FileManager.default.contents(atPath: path), octets.count >= 16 else {
            throw CommandFailure(
                .usage,
                "--cookie-key \(path): no file of at least 16 octets there; make one with: head -c 32 /dev/urandom > FILE"
            )
        }
        return CookieKey(octets: Array(octets))
    }
}
