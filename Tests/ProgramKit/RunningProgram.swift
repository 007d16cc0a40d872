// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import SystemPackage

/// A program that runs until it is told to end.
package final class RunningProgram: @unchecked Sendable {
    // Proof of @unchecked Sendable: all mutable state is guarded by `condition`.

    private let process = Process()
    private let input = Pipe()
    private let condition = NSCondition()
    private var text = ""
    private var errors = ""
    private var hasEnded = false

    /// A program of this build.
    package convenience init(_ arguments: [String], program: String = "rserpool") throws {
        try self.init(path: Program.path(program).string, arguments)
    }

    /// Any program; a name without a slash is looked for in the path.
    package init(path: String, _ arguments: [String]) throws {
        let isName = !path.contains("/")
        self.process.executableURL = URL(fileURLWithPath: isName ? "/usr/bin/env" : path)
        self.process.arguments = (isName ? [path] : []) + arguments
        let output = Pipe()
        let error = Pipe()
        self.process.standardOutput = output
        self.process.standardError = error
        self.process.standardInput = self.input
        output.fileHandleForReading.readabilityHandler = { [weak self] handle in self?.take(handle, isError: false) }
        error.fileHandleForReading.readabilityHandler = { [weak self] handle in self?.take(handle, isError: true) }
        self.process.terminationHandler = { [weak self] _ in self?.change { $0.hasEnded = true } }
        // The threads that tasks run on block all signals, and a child inherits that: it would never hear SIGINT.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
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
        let text = String(decoding: data, as: UTF8.self)
        self.change { if isError { $0.errors += text } else { $0.text += text } }
    }

    private func change(_ body: (RunningProgram) -> Void) {
        self.condition.lock()
        body(self)
        self.condition.broadcast()
        self.condition.unlock()
    }

    /// Writes a line to its standard input.
    package func write(_ line: String) throws {
        try self.input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }

    package func signal(_ signal: Int32) { kill(self.process.processIdentifier, signal) }

    package struct Missing: Error, CustomStringConvertible {
        package let description: String

        package init(description: String) {
            self.description = description
        }
    }

    /// The first line of standard output that matches, from the `skipping`th line on.
    package func line(
        skipping: Int = 0, within seconds: Double = 20, where matches: @escaping @Sendable (String) -> Bool
    ) async throws -> String {
        try await self.wait(seconds) { program in
            program.text.split(separator: "\n").dropFirst(skipping).map(String.init).first(where: matches)
        }
    }

    /// Waits for its end.
    package func end(within seconds: Double = 20) async throws -> Int32 {
        try await self.wait(seconds) { $0.hasEnded ? $0.process.terminationStatus : nil }
    }

    package var output: String {
        self.condition.lock()
        defer { self.condition.unlock() }
        return self.text
    }

    package var errorOutput: String {
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
                            throwing: Missing(
                                description: "not within \(seconds) s; output: \(self.text); errors: \(self.errors)"))
                    }
                }
            }
        }
    }
}
