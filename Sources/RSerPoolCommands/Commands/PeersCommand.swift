// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPoolRegistrar
internal import RSerPoolWire

struct PeersCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers", abstract: "A registrar's list of other registrars, fetched over ENRP.")

    @OptionGroup var registrar: QueryOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrar.json }
    var timeLimit: String? { self.registrar.timeout }

    func execute() async throws {
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let listing = try await self.registrar.query(common).peers()
        if !self.registrar.json {
            Terminal.print(
                "registrar \(listing.registrar) at \(self.registrar.endpoint) lists \(listing.servers.count):")
        }
        for server in listing.servers.sorted(by: { $0.id < $1.id }) {
            Terminal.print(self.registrar.json ? server.json.text : "  \(server.line)")
        }
    }
}
