// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Foundation
internal import Logging
internal import RSerPool
internal import RSerPoolExamples

struct ConnectCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect",
        abstract:
            "A session with a pool, failing over as needed. Each line of standard input is a request, each answer a line of output; empty lines are left out: SCTP carries none."
    )

    /// What the pool serves, and so what a line means.
    enum Service: String, ExpressibleByArgument, CaseIterable {
        /// A request, whatever it says.
        case lines
        /// The text of a ping.
        case pingPong = "ping-pong"
        /// The size of a job.
        case calculation
        /// The name of a file, which goes to standard output.
        case download
    }

    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @Option(
        help: "What the pool serves; a line of input is a request, the text of a ping, the size of a job, or a file.")
    var service = Service.lines
    @Option(help: ArgumentHelp("An element to use while it can be reached.", valueName: "id")) var element: String?
    @Option(
        help: ArgumentHelp(
            "How long one element may take to be connected and to answer before the next one is tried.",
            valueName: "duration")) var attempt = "5s"
    @Option(
        help: ArgumentHelp("How long to go on looking while no element can be reached.", valueName: "duration"))
    var patience = "0s"
    @Flag(help: "Tell on standard error when the session changes its element.") var events = false
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrars.json }
    var timeLimit: String? { self.registrars.timeout }

    func execute() async throws {
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        let element = try self.element.map { PoolElementID(rawValue: try parseIdentifier($0, option: "--element")) }
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        var configuration = Session.Configuration()
        configuration.attemptTimeout = try parseDuration(self.attempt, option: "--attempt")
        configuration.patience = try parseDuration(self.patience, option: "--patience")
        if self.events {
            configuration.onFailover = { context in
                let failover = context.failover
                Terminal.printError(
                    "failed over from \(failover.from) to \(failover.to): \(failover.reason)"
                        + (failover.hasState ? ", with the state" : ""))
            }
        }
        let user = try self.registrars.user(common, failsWithoutRegistrar: true)
        let (command, settings) = (self, configuration)
        _ = try await withServices([user], logger: common.logger) {
            switch command.service {
            case .calculation:
                for await line in InputLines() where !line.isEmpty {
                    try await command.calculate(line, handle, user, settings)
                }
            case .download:
                // An element serves one file in each session.
                for await line in InputLines() where !line.isEmpty {
                    try await user.withSession(with: handle, element: element, configuration: settings) { session in
                        try await Download.fetch(line, over: session, to: FileHandle.standardOutput)
                    }
                }
            case .lines, .pingPong:
                try await user.withSession(with: handle, element: element, configuration: settings) { session in
                    var number: UInt64 = 0
                    for await line in InputLines() where !line.isEmpty {
                        number += 1
                        try await command.exchange(line, number, session)
                    }
                }
            }
        }
    }

    private func exchange(_ line: String, _ number: UInt64, _ session: Session) async throws {
        let clock = ContinuousClock()
        let begin = clock.now
        guard self.service == .pingPong else {
            let answer = try await session.request(Array(line.utf8))
            let text = String(decoding: answer.bytes, as: UTF8.self)
            self.tell(
                text,
                [("answer", .string(text)), ("element", answer.element.json), ("elapsed", (clock.now - begin).json)])
            return
        }
        let pong = try await PingPong.ping(number, line, over: session)
        self.tell(
            "pong \(pong.reply) from \(pong.element)",
            [
                ("reply", .integer(pong.reply)), ("element", pong.element.json),
                ("elapsed", (clock.now - begin).json),
            ])
    }

    private func calculate(
        _ line: String, _ pool: PoolHandle, _ user: PoolUser, _ settings: Session.Configuration
    ) async throws {
        guard let size = UInt64(line) else {
            throw CommandFailure(.usage, "\(line): the size of a job is a number, 1000000 for example")
        }
        let number = UInt32.random(in: 1...UInt32.max)
        let result = try await Calculation.calculate(
            Calculation.Job(number: number, size: size), in: pool, as: user, configuration: settings)
        self.tell(
            "\(size) calculations done by \(result.element)",
            [("size", .integer(size)), ("element", result.element.json), ("elapsed", result.elapsed.json)])
    }

    private func tell(_ text: String, _ members: [(String, JSON)]) {
        guard self.registrars.json else { return Terminal.print(text) }
        Terminal.print(JSON.object(members).text)
    }
}

extension Duration {
    /// Seconds, to the microsecond.
    fileprivate var json: JSON { .number((self / .microseconds(1)).rounded() / 1e6) }
}

extension Download {
    /// Fetches a file into another one, each octet once.
    fileprivate static func fetch(_ name: String, over session: Session, to output: FileHandle) async throws {
        var written: UInt64 = 0
        try await Self.fetch(name, over: session) { chunk in
            let known = Int(clamping: written - min(written, chunk.offset))
            guard known < chunk.bytes.count else { return }
            try output.write(contentsOf: chunk.bytes.dropFirst(known))
            written = chunk.offset + UInt64(chunk.bytes.count)
        }
    }
}
