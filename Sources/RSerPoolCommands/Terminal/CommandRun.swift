// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
internal import Glibc
internal import Logging
internal import RSerPool
internal import ServiceLifecycle
internal import UnixSignals

/// A command whose failures are one line and an exit code.
protocol FailingCommand: AsyncParsableCommand, Sendable {
    /// Whether a failure is told as a JSON object.
    var wantsJSON: Bool { get }
    /// Time allowed, as it was written.
    var timeLimit: String? { get }
    func execute() async throws
}

extension FailingCommand {
    var wantsJSON: Bool { false }
    var timeLimit: String? { nil }

    package mutating func run() async throws {
        let command = self
        do {
            guard let limit = try command.timeLimit.map({ try parseDuration($0, option: "--timeout") }) else {
                return try await command.execute()
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await command.execute() }
                group.addTask {
                    try await Task.sleep(for: limit)
                    throw CommandFailure(.timedOut, "the time allowed, \(command.timeLimit ?? ""), ran out")
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            if let exit = error as? ExitCode { throw exit }
            let failure = CommandFailure(error)
            if command.wantsJSON {
                Terminal.printError(
                    JSON.object([("error", .string(failure.message)), ("exit", .integer(failure.exit.rawValue))]).text)
            } else {
                Terminal.printError("\(Self._commandName): \(failure.message)")
            }
            throw ExitCode(failure.exit.rawValue)
        }
    }
}

/// Parses the command line and runs what it names; wrong usage is one line too.
package func runCommandLine<Root: AsyncParsableCommand>(_ root: Root.Type) async {
    // A reader that goes away is an error of that write, not our end.
    signal(SIGPIPE, SIG_IGN)
    do {
        var command = try root.parseAsRoot()
        if var asynchronous = command as? any AsyncParsableCommand {
            try await asynchronous.run()
        } else {
            try command.run()
        }
    } catch {
        let code = root.exitCode(for: error)
        guard code != .success, !(error is ExitCode) else { root.exit(withError: error) }
        Terminal.printError(
            "\(root._commandName): \(root.message(for: error).split(separator: "\n").joined(separator: " "))")
        Glibc.exit(CommandExit.usage.rawValue)
    }
}

/// Runs services until they end or SIGTERM or SIGINT asks them to, and `body` beside them. When `body` returns a value
/// the services are ended; when the services end first, `body` is cancelled.
func withServices<Value: Sendable>(
    _ services: [any Service], logger: Logger, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value? {
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    let group = ServiceGroup(
        configuration: ServiceGroupConfiguration(
            services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet))
    return try await withThrowingTaskGroup(of: Value?.self) { tasks in
        tasks.addTask {
            try await group.run()
            return nil
        }
        tasks.addTask { try await body() }
        defer { tasks.cancelAll() }
        let first = try await tasks.next() ?? nil
        if first != nil {
            await group.triggerGracefulShutdown()
            while try await tasks.next() != nil {}
        }
        return first
    }
}
