// SPDX-License-Identifier: Apache-2.0

import Foundation
import Subprocess
import SystemPackage

/// The programs of this build, run as people run them.
enum Program {
    struct Outcome: Sendable {
        var exit: Int32?
        var output: String
        var errors: String

        var lines: [String] { self.output.split(separator: "\n").map(String.init) }
        var errorLines: [String] { self.errors.split(separator: "\n").map(String.init) }
    }

    /// Beside the test bundle, whichever program runs that.
    static func path(_ name: String) -> FilePath {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        return FilePath(URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent(name).path)
    }

    static func shell(_ line: String) async throws -> Outcome {
        try await Self.run("sh", ["-c", line], input: "", environment: [:], limit: 30)
    }

    /// Runs a command to its end, at most `limit` seconds.
    static func run(
        _ arguments: [String], program: String = "rserpool", input: String = "", environment: [String: String] = [:],
        limit: Int = 30
    ) async throws -> Outcome {
        try await Self.run(
            Self.path(program).string, arguments, input: input, environment: environment, limit: limit)
    }

    private static func run(
        _ program: String, _ arguments: [String], input: String, environment: [String: String], limit: Int
    ) async throws -> Outcome {
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

/// A program that runs until it is told to end.
final class RunningProgram: @unchecked Sendable {
    // Proof of @unchecked Sendable: all mutable state is guarded by `condition`.

    private let process = Process()
    private let condition = NSCondition()
    private var text = ""
    private var errors = ""
    private var hasEnded = false

    init(_ arguments: [String], program: String = "rserpool") throws {
        self.process.executableURL = URL(fileURLWithPath: Program.path(program).string)
        self.process.arguments = arguments
        let output = Pipe()
        let error = Pipe()
        self.process.standardOutput = output
        self.process.standardError = error
        self.process.standardInput = FileHandle.nullDevice
        output.fileHandleForReading.readabilityHandler = { [weak self] handle in self?.take(handle, isError: false) }
        error.fileHandleForReading.readabilityHandler = { [weak self] handle in self?.take(handle, isError: true) }
        self.process.terminationHandler = { [weak self] _ in self?.change { $0.hasEnded = true } }
        try self.process.run()
    }

    deinit {
        if self.process.isRunning { kill(self.process.processIdentifier, SIGKILL) }
    }

    private func take(_ handle: FileHandle, isError: Bool) {
        let data = handle.availableData
        guard !data.isEmpty else {
            handle.readabilityHandler = nil
            return
        }
        self.change { if isError { $0.errors += String(decoding: data, as: UTF8.self) } else { $0.text += String(decoding: data, as: UTF8.self) } }
    }

    private func change(_ body: (RunningProgram) -> Void) {
        self.condition.lock()
        body(self)
        self.condition.broadcast()
        self.condition.unlock()
    }

    func signal(_ signal: Int32) { kill(self.process.processIdentifier, signal) }

    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    /// The first line of standard output that matches, from the `skipping`th line on.
    func line(skipping: Int = 0, within seconds: Double = 20, where matches: @escaping @Sendable (String) -> Bool) async throws -> String {
        try await self.wait(seconds) { program in
            program.text.split(separator: "\n").dropFirst(skipping).map(String.init).first(where: matches)
        }
    }

    /// Waits for its end.
    func end(within seconds: Double = 20) async throws -> Int32 {
        try await self.wait(seconds) { $0.hasEnded ? $0.process.terminationStatus : nil }
    }

    var output: String {
        self.condition.lock()
        defer { self.condition.unlock() }
        return self.text
    }

    var errorOutput: String {
        self.condition.lock()
        defer { self.condition.unlock() }
        return self.errors
    }

    /// On a thread of its own: a condition blocks.
    private func wait<Value: Sendable>(
        _ seconds: Double, _ value: @escaping @Sendable (RunningProgram) -> Value?
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                let limit = Date(timeIntervalSinceNow: seconds)
                self.condition.lock()
                defer { self.condition.unlock() }
                while true {
                    if let found = value(self) { return continuation.resume(returning: found) }
                    guard self.condition.wait(until: limit) else {
                        return continuation.resume(
                            throwing: Missing(description: "not within \(seconds) s; output: \(self.text); errors: \(self.errors)"))
                    }
                }
            }
        }
    }
}

/// A registrar of this build with a free port, and how to reach it.
struct RunningRegistrar {
    let program: RunningProgram
    let sctp: String
    let tcp: String
    let ready: String

    static func start(_ more: [String] = []) async throws -> RunningRegistrar {
        let program = try RunningProgram(
            ["--asap", "sctp:127.0.0.1:0", "--asap", "tcp:127.0.0.1:0", "--sctp", "userland", "--encapsulation-port", "0", "--preset", "lan"]
                + more, program: "rserpool-registrar")
        let ready = try await program.line { $0.hasPrefix("ready ") }
        let endpoints = ready.split(separator: " ").filter { $0.hasPrefix("asap=") }.map { String($0.dropFirst(5)) }
        return RunningRegistrar(
            program: program, sctp: endpoints.first { $0.hasPrefix("sctp:") } ?? "",
            tcp: endpoints.first { $0.hasPrefix("tcp:") } ?? "", ready: ready)
    }

    /// The options of a command that uses it.
    var options: [String] { ["--registrar", self.sctp, "--preset", "lan", "--sctp", "userland"] }

    func serveEcho(_ pool: String, _ more: [String] = []) async throws -> (program: RunningProgram, id: String) {
        let element = try RunningProgram(["serve", "echo", pool, "--listen", "sctp:127.0.0.1:0"] + self.options + more)
        let ready = try await element.line { $0.hasPrefix("ready ") }
        let id = ready.split(separator: " ").first { $0.hasPrefix("id=") }?.dropFirst(3) ?? ""
        return (element, String(id))
    }
}
