// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import SystemPackage

/// A program that runs until it is told to end.
///
/// Spawned by hand: swift-subprocess bounds a program's life by a closure's, and Foundation's `Process` with readability
/// handlers is not safe in a test process that starts many programs from many threads.
package final class RunningProgram: Sendable {
    /// What its threads and its owner share: the threads may outlive the owner.
    private let state: State
    private let input: FileDescriptor

    private final class State: @unchecked Sendable {
        // Proof of @unchecked Sendable: everything but the constants is used under `condition` only.

        let condition = NSCondition()
        let process: pid_t
        var text: [UInt8] = []
        var errors: [UInt8] = []
        /// Of standard output and standard error, those that are not at their end.
        var open = 2
        /// The exit code, or the signal that ended it.
        var status: Int32?

        init(process: pid_t) {
            self.process = process
        }

        func change(_ body: (State) -> Void) {
            self.condition.lock()
            body(self)
            self.condition.broadcast()
            self.condition.unlock()
        }

        /// Not after its end was collected: the number may be another's by then.
        func signal(_ signal: Int32) {
            self.change { if $0.status == nil { kill($0.process, signal) } }
        }

        /// Collects its end as soon as there is one, with the lock held so that no signal goes astray.
        func awaitEnd() {
            var information = siginfo_t()
            while waitid(P_PID, id_t(self.process), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            self.change { state in
                var status: Int32 = 0
                while waitpid(state.process, &status, 0) < 0, errno == EINTR {}
                let signal = status & 0x7f
                state.status = signal == 0 ? (status >> 8) & 0xff : signal
            }
        }

        func read(_ end: FileDescriptor, isError: Bool) {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            while let count = try? bytes.withUnsafeMutableBytes({ try end.read(into: $0) }), count > 0 {
                self.change { if isError { $0.errors += bytes[..<count] } else { $0.text += bytes[..<count] } }
            }
            try? end.close()
            self.change { $0.open -= 1 }
        }
    }

    /// A program of this build.
    package convenience init(_ arguments: [String], program: String = "rserpool") throws {
        try self.init(path: Program.path(program).string, arguments)
    }

    /// Any program; a name without a slash is looked for in the path.
    package init(path: String, _ arguments: [String]) throws {
        _ = brokenPipesAreErrors
        let (input, output, error) = (try Self.pipe(), try Self.pipe(), try Self.pipe())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.reading.rawValue, 0)
        posix_spawn_file_actions_adddup2(&actions, output.writing.rawValue, 1)
        posix_spawn_file_actions_adddup2(&actions, error.writing.rawValue, 2)
        // The threads that tasks run on block all signals, and a child inherits that: it would never hear SIGINT.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigaddset(&signals, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, path, &actions, &attributes, &words, environ)
        for end in [input.reading, output.writing, error.writing] { try? end.close() }
        guard code == 0 else {
            for end in [input.writing, output.reading, error.reading] { try? end.close() }
            throw Missing(description: "\(path): \(Errno(rawValue: code))")
        }
        self.input = input.writing
        let state = State(process: process)
        self.state = state
        Thread.detachNewThread { state.awaitEnd() }
        Thread.detachNewThread { state.read(output.reading, isError: false) }
        Thread.detachNewThread { state.read(error.reading, isError: true) }
    }

    deinit {
        self.state.signal(SIGKILL)
        try? self.input.close()
    }

    /// Ends that no later child inherits. (`pipe2`, which leaves no gap, is not to be had from Swift.)
    private static func pipe() throws -> (reading: FileDescriptor, writing: FileDescriptor) {
        let (reading, writing) = try FileDescriptor.pipe()
        for end in [reading, writing] { _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) }
        return (reading, writing)
    }

    /// Writes a line to its standard input.
    package func write(_ line: String) throws {
        try self.input.writeAll((line + "\n").utf8)
    }

    package func signal(_ signal: Int32) { self.state.signal(signal) }

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
        try await self.wait(seconds) { Self.lines($0.text).dropFirst(skipping).first(where: matches) }
    }

    /// The `count`th line of standard error that matches. The two streams arrive independently: a line there is not yet
    /// read, perhaps, when a later one of standard output is.
    @discardableResult
    package func errorLine(
        _ count: Int = 1, within seconds: Double = 20, where matches: @escaping @Sendable (String) -> Bool
    ) async throws -> String {
        try await self.wait(seconds) { Self.lines($0.errors).filter(matches).dropFirst(count - 1).first }
    }

    /// The complete ones.
    private static func lines(_ text: [UInt8]) -> [String] {
        let end = text.lastIndex(of: UInt8(ascii: "\n")) ?? 0
        return String(decoding: text[..<end], as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Waits for its end, and that of its output: the exit code, or the signal that ended it.
    package func end(within seconds: Double = 20) async throws -> Int32 {
        try await self.wait(seconds) { $0.open == 0 ? $0.status : nil }
    }

    /// What has been read so far: all of it, once `end` has returned.
    package var output: String { self.collected { $0.text } }

    /// As `output`, of standard error.
    package var errorOutput: String { self.collected { $0.errors } }

    private func collected(_ part: (State) -> [UInt8]) -> String {
        self.state.condition.lock()
        defer { self.state.condition.unlock() }
        return String(decoding: part(self.state), as: UTF8.self)
    }

    /// On a thread of its own: a condition blocks.
    private func wait<Value: Sendable>(
        _ seconds: Double, _ value: @escaping @Sendable (State) -> Value?
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { [state = self.state] in
                let limit = Date(timeIntervalSinceNow: seconds)
                state.condition.lock()
                defer { state.condition.unlock() }
                while true {
                    if let found = value(state) { return continuation.resume(returning: found) }
                    guard state.condition.wait(until: limit) else {
                        let output = String(decoding: state.text, as: UTF8.self)
                        let errors = String(decoding: state.errors, as: UTF8.self)
                        return continuation.resume(
                            throwing: Missing(
                                description: "not within \(seconds) s; output: \(output); errors: \(errors)"))
                    }
                }
            }
        }
    }
}
