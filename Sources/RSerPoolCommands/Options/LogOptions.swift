// SPDX-License-Identifier: Apache-2.0

internal import Logging

/// A logger on standard error, as `--log-level` and `--log-format` want it.
func makeLogger(level: String?, format: String?, defaultLevel: Logger.Level) throws(CommandFailure) -> Logger {
    guard let level = level.map(Logger.Level.init(rawValue:)) ?? defaultLevel else {
        let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        throw CommandFailure(.usage, "--log-level \(level ?? ""): no such level; there are \(levels)")
    }
    var logger: Logger
    switch format {
    case nil, "text":
        logger = Logger(label: "rserpool") { StreamLogHandler.standardError(label: $0) }
    case "json":
        logger = Logger(label: "rserpool") { _ in JSONLogHandler() }
    case .some(let text):
        throw CommandFailure(.usage, "--log-format \(text): no such format; write text or json")
    }
    logger.logLevel = level
    return logger
}

/// One JSON object a line: time in seconds, level, message, then the metadata.
private struct JSONLogHandler: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let facts = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let members: [(String, JSON)] = [
            ("time", .number(WallClock.now)), ("level", .string(event.level.rawValue)),
            ("message", .string("\(event.message)")),
        ]
        let rest = facts.sorted { $0.key < $1.key }.map { ($0.key, JSON.string("\($0.value)")) }
        Terminal.printError(JSON.object(members + rest).text)
    }
}
