// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser

struct DemoCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Starts a registrar, pool elements and a user on this machine, kills some, and shows what happens.")

    @Option(help: ArgumentHelp("Which SCTP stack: auto, kernel or userland.", valueName: "stack")) var sctp: String?
    @Option(help: ArgumentHelp("Time allowed for the whole command; exit 75 when it is over.", valueName: "duration"))
    var timeout = "60s"

    var timeLimit: String? { self.timeout }

    func execute() async throws {
        let outcome = try await Demo(options: self.sctp.map { ["--sctp", $0] } ?? []).play()
        if let failure = outcome.failures.first { throw CommandFailure(.unreachable, failure) }
        guard outcome.answers == outcome.requests else {
            throw CommandFailure(.unreachable, "\(outcome.requests - outcome.answers) requests were never answered")
        }
        Terminal.print("no request was lost")
    }
}
