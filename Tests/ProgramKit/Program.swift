// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Subprocess
package import SystemPackage

/// Who writes to a program that has ended gets an error; the signal would end the test process.
let brokenPipesAreErrors: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

/// The programs of this build, run as people run them.
package enum Program {
    package struct Outcome: Sendable {
        /// Nil: a signal ended it.
        package var exit: Int32?
        package var output: String
        package var errors: String

        package init(exit: Int32?, output: String, errors: String) {
            self.exit = exit
            self.output = output
            self.errors = errors
        }

        package var lines: [String] { self.output.split(separator: "\n").map(String.init) }
        package var errorLines: [String] { self.errors.split(separator: "\n").map(String.init) }
    }

    /// Beside the test bundle, whichever program runs that.
    package static func path(_ name: String) -> FilePath {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        return FilePath(URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent(name).path)
    }

    package static func shell(_ line: String) async throws -> Outcome {
        try await Self.run("sh", ["-c", line], input: "", environment: [:], limit: 30)
    }

    /// Runs a command to its end, at most `limit` seconds.
    package static func run(
        _ arguments: [String], program: String = "rserpool", input: String = "", environment: [String: String] = [:],
        limit: Int = 30
    ) async throws -> Outcome {
        try await Self.run(
            Self.path(program).string, arguments, input: input, environment: environment, limit: limit)
    }

    private static func run(
        _ program: String, _ arguments: [String], input: String, environment: [String: String], limit: Int
    ) async throws -> Outcome {
        _ = brokenPipesAreErrors
        let variables = Dictionary(
            uniqueKeysWithValues: environment.map { (Environment.Key(rawValue: $0.key)!, Optional($0.value)) })
        let result = try await Subprocess.run(
            .name("timeout"), arguments: Arguments(["\(limit)", program] + arguments),
            environment: .inherit.updating(variables), input: .string(input), output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20))
        guard case .exited(let code) = result.terminationStatus else {
            return Outcome(exit: nil, output: result.standardOutput, errors: result.standardError)
        }
        return Outcome(exit: code, output: result.standardOutput, errors: result.standardError)
    }
}
