// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import RSerPoolTransport

struct DemoCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Starts registrars, pool elements and a user on this machine, kills some, and shows what happens.")

    @Option(help: ArgumentHelp("Which SCTP stack: auto, kernel or userland.", valueName: "stack")) var sctp = "auto"
    @Option(help: ArgumentHelp("Time allowed for the whole command; exit 75 when it is over.", valueName: "duration"))
    var timeout = "60s"

    var timeLimit: String? { self.timeout }

    func execute() async throws {
        guard let stack = SocketHostOptions.Stack(rawValue: self.sctp) else {
            throw CommandFailure(.usage, "--sctp \(self.sctp): no such stack; write auto, kernel or userland")
        }
        let host = try SocketHost.shared(SocketHostOptions(stack: stack, encapsulationPort: 0))
        try await Demo(host: host, options: ["--sctp", self.sctp]).play()
        Terminal.print("no request was lost")
    }
}
