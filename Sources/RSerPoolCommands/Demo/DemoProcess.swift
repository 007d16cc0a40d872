// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import RSerPoolTransport
internal import Subprocess
internal import SystemPackage

/// One process of the demo: this program again, with another command.
struct DemoProcess: Sendable {
    /// What a process says and becomes, in order.
    enum Event: Sendable {
        case started(ProcessHandle)
        case line(String)
        /// It has ended; how.
        case ended(String)
    }

    let name: String
    let arguments: [String]
    /// Lines to write to its standard input until the box is finished.
    var input: Mailbox<String>?

    /// Runs it to its end. A cancelled task ends it: SIGTERM, then SIGKILL.
    func run(_ tell: @escaping @Sendable (Event) async -> Void) async throws {
        var options = PlatformOptions()
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(2))]
        let input = self.input
        let result = try await Subprocess.run(
            .path(FilePath(try Self.program())), arguments: Arguments(self.arguments), platformOptions: options,
            input: .inputWriter, output: .sequence, error: .currentStandardError
        ) { execution in
            await tell(.started(ProcessHandle(pid: execution.processIdentifier.value)))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while let lines = await input?.next() {
                        for line in lines { _ = try await execution.standardInputWriter.write(line + "\n") }
                    }
                    try await execution.standardInputWriter.finish()
                }
                for try await line in execution.standardOutput.strings() where !line.isEmpty { await tell(.line(line)) }
                group.cancelAll()
            }
        }
        await tell(.ended("\(result.terminationStatus)"))
    }

    /// This program's own file.
    private static func program() throws -> String {
        let path = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4_096) { buffer -> String? in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink("/proc/self/exe", start, buffer.count)
            guard count > 0 else { return nil }
            return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
        }
        guard let path else { throw CommandFailure(.bug, "this program cannot find its own file in /proc") }
        return path
    }
}

/// A process that can be killed.
struct ProcessHandle: Sendable, Hashable {
    let pid: pid_t

    /// SIGKILL: no goodbye.
    func kill() { _ = Glibc.kill(self.pid, SIGKILL) }
    /// SIGTERM: in good order.
    func terminate() { _ = Glibc.kill(self.pid, SIGTERM) }
}
