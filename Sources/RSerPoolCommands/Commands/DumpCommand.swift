// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPoolRegistrar
internal import RSerPoolWire

struct DumpCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump", abstract: "A registrar's whole handlespace, fetched over ENRP.")

    @OptionGroup var registrar: QueryOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrar.json }
    var timeLimit: String? { self.registrar.timeout }

    func execute() async throws {
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let table = try await self.registrar.query(common).handlespace()
        HandlespaceDump(table).write(asJSON: self.registrar.json) { Terminal.write($0) }
    }
}
