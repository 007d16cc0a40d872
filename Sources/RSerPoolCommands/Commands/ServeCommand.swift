// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Foundation
internal import Logging
internal import RSerPool
internal import RSerPoolExamples

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "A pool element with a service.",
        subcommands: [
            ServeEchoCommand.self, ServePingPongCommand.self, ServeCalculationCommand.self, ServeDownloadCommand.self,
        ])
}

/// A command that serves one service.
private protocol ServingCommand: FailingCommand {
    var options: ServeOptions { get }
    func server(_ configuration: PoolElement.Configuration, _ common: Common) throws -> PoolElementServer
}

extension ServingCommand {
    var wantsJSON: Bool { self.options.registrars.json }
    var timeLimit: String? { self.options.registrars.timeout }

    func execute() async throws {
        let common = try await self.options.common.common(defaultEncapsulationPort: 0, logLevel: .info)
        try await self.options.serve(common, try self.server(try self.options.configuration(common), common))
    }
}

struct ServeEchoCommand: ServingCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo", abstract: "Sends back what it gets, on the same stream with the same payload protocol.")

    @OptionGroup var options: ServeOptions

    func server(_ configuration: PoolElement.Configuration, _ common: Common) throws -> PoolElementServer {
        PoolElementServer(
            pool: try self.options.handle(), configuration: configuration, host: try common.host(),
            logger: common.logger
        ) { session in
            for await request in session.requests { try await session.send(request.bytes, answering: request) }
        }
    }
}

struct ServePingPongCommand: ServingCommand {
    static let configuration = CommandConfiguration(
        commandName: "ping-pong",
        abstract: "Numbers the messages of each user; the numbering goes on at the next element (state cookie).")

    @OptionGroup var options: ServeOptions

    func server(_ configuration: PoolElement.Configuration, _ common: Common) throws -> PoolElementServer {
        PingPong.server(
            in: try self.options.handle(), configuration: configuration, host: try common.host(),
            logger: common.logger)
    }
}

struct ServeCalculationCommand: ServingCommand {
    static let configuration = CommandConfiguration(
        commandName: "calculation",
        abstract: "Works on jobs of a size, and tells how loaded it is where the policy goes by load.")

    @Option(help: ArgumentHelp("Calculations a second.", valueName: "number")) var speed = 1_000_000.0
    @Option(help: ArgumentHelp("Jobs at work at once; further ones are refused.", valueName: "number")) var jobs = 8
    @OptionGroup var options: ServeOptions

    func server(_ configuration: PoolElement.Configuration, _ common: Common) throws -> PoolElementServer {
        guard self.speed >= 1, self.speed.isFinite, self.jobs >= 1 else {
            throw CommandFailure(.usage, "--speed and --jobs: at least 1")
        }
        var capacity = Calculation.Capacity()
        capacity.speed = self.speed
        capacity.jobs = self.jobs
        return Calculation.server(
            in: try self.options.handle(), configuration: configuration, capacity: capacity, host: try common.host(),
            logger: common.logger)
    }
}

struct ServeDownloadCommand: ServingCommand {
    static let configuration = CommandConfiguration(
        commandName: "download",
        abstract: "Sends the files of a directory; a download goes on at the next element (state cookie).")

    @Option(help: ArgumentHelp("Where the files are.", valueName: "directory")) var files: String
    @OptionGroup var options: ServeOptions

    func server(_ configuration: PoolElement.Configuration, _ common: Common) throws -> PoolElementServer {
        let directory = URL(fileURLWithPath: self.files, isDirectory: true).standardizedFileURL
        guard (try? directory.checkResourceIsReachable()) == true else {
            throw CommandFailure(.usage, "--files \(self.files): no such directory")
        }
        return Download.server(
            in: try self.options.handle(), configuration: configuration, host: try common.host(),
            logger: common.logger
        ) { name, offset, count in
            // Nothing but files that lie right in the directory.
            guard !name.isEmpty, !name.contains("/"), !name.hasPrefix("."), offset <= UInt64(Int64.max),
                let file = try? FileHandle(forReadingFrom: directory.appendingPathComponent(name))
            else { return nil }
            defer { try? file.close() }
            try file.seek(toOffset: offset)
            return Array(try file.read(upToCount: count) ?? Data())
        }
    }
}
