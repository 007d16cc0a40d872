// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser

/// `rserpool`
package struct RSerPoolCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "rserpool", abstract: "Highly available server pools: join them, use them, watch them.",
        version: "0.1.0",
        subcommands: [
            DemoCommand.self, ResolveCommand.self, WatchCommand.self, ServeCommand.self, ConnectCommand.self,
            DumpCommand.self, PeersCommand.self, DecodeCommand.self, BenchCommand.self, RegistrarCommand.self,
        ])

    package init() {}
}
