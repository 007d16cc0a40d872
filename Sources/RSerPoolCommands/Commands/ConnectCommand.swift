// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPool
internal import RSerPoolWire

struct ConnectCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect",
        abstract:
            "Each line of standard input is a request to a pool, each answer a line of output, failing over as needed. Empty lines are left out: SCTP carries none."
    )

    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrars.json }
    var timeLimit: String? { self.registrars.timeout }

    func execute() async throws {
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let user = try self.registrars.user(common, failsWithoutRegistrar: true)
        let command = self
        _ = try await withServices([user], logger: common.logger) {
            try await user.withSession(with: handle) { session in
                for await line in InputLines() where !line.isEmpty { try await command.exchange(line, session) }
            }
        }
    }

    private func exchange(_ line: String, _ session: Session) async throws {
        let clock = ContinuousClock()
        let begin = clock.now
        let answer = try await session.request(Array(line.utf8))
        let text = String(decoding: answer.bytes, as: UTF8.self)
        guard self.registrars.json else { return Terminal.print(text) }
        let elapsed = ((clock.now - begin) / .microseconds(1)).rounded() / 1e6
        Terminal.print(
            JSON.object([
                ("answer", .string(text)), ("element", answer.element.json), ("elapsed", .number(elapsed)),
            ]).text)
    }
}
