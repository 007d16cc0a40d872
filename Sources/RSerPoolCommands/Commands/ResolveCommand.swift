// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPool
internal import RSerPoolWire

struct ResolveCommand: FailingCommand {
    static let configuration = CommandConfiguration(commandName: "resolve", abstract: "Asks once who is in a pool.")

    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @Option(help: ArgumentHelp("How many elements are wanted.", valueName: "n")) var count: Int?
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrars.json }
    var timeLimit: String? { self.registrars.timeout }

    func execute() async throws {
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        if let count, count < 1 { throw CommandFailure(.usage, "--count \(count): at least 1") }
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let user = try self.registrars.user(common, failsWithoutRegistrar: true)
        let count = self.count
        let clock = ContinuousClock()
        let begin = clock.now
        let resolution = try await withServices([user], logger: common.logger) {
            try await user.resolve(handle, count: count)
        }
        guard let resolution else { return }
        self.show(resolution, elapsed: (clock.now - begin) / .seconds(1))
    }

    private func show(_ resolution: Resolution, elapsed: Double) {
        guard self.registrars.json else {
            Terminal.print(
                "pool \(resolution.pool), policy \(resolution.policy.type.name), says \(resolution.registrar):")
            for member in resolution.members { Terminal.print("  \(member.line)") }
            return
        }
        Terminal.print(
            JSON.object([
                ("pool", .string(resolution.pool.description)),
                ("policy", .object([("type", .string(resolution.policy.type.name))])),
                ("elements", .array(resolution.members.map(\.json))), ("registrar", .string(resolution.registrar)),
                ("elapsed", .number((elapsed * 1e6).rounded() / 1e6)),
            ]).text)
    }
}
