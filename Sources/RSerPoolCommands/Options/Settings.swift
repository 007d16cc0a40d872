// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import SystemPackage

/// Settings beside the command line: the environment (`RSERPOOL_…`) beats the file, options beat both.
///
/// A name is an option's in kebab case. In the environment `log-level` is `RSERPOOL_LOG_LEVEL`, several values are
/// separated by blanks or semicolons; in the file, a JSON object, it is `logLevel`, several values are an array.
struct Settings: Sendable {
    private let environment: ConfigReader
    private let file: ConfigReader?

    init(file path: String?) async throws(CommandFailure) {
        self.environment = ConfigReader(provider: EnvironmentVariablesProvider().prefixKeys(with: "rserpool"))
        guard let path = path ?? self.environment.string(forKey: "config") else {
            self.file = nil
            return
        }
        do {
            self.file = ConfigReader(provider: try await FileProvider<JSONSnapshot>(filePath: FilePath(path)))
        } catch {
            throw CommandFailure(.usage, "--config \(path): not readable as a JSON object of settings: \(error)")
        }
    }

    /// The values of a setting that may be repeated; empty: not set.
    func values(_ name: String) -> [String] {
        let key = ConfigKey(Self.camelCase(name))
        if let text = self.environment.string(forKey: key) { return Self.split(text) }
        if let file {
            if let values = file.stringArray(forKey: key) { return values }
            if let value = file.string(forKey: key) { return [value] }
            if let value = file.int(forKey: key) { return [String(value)] }
            if let value = file.bool(forKey: key) { return [String(value)] }
        }
        return []
    }

    func value(_ name: String) -> String? { self.values(name).last }

    /// Blanks and semicolons separate; a comma does only where another endpoint begins, as hosts have commas too.
    static func split(_ text: String) -> [String] {
        var values: [String] = []
        for part in text.split(whereSeparator: { $0 == ";" || $0.isWhitespace }) {
            for piece in part.split(separator: ",") {
                let beginsEndpoint = ["sctp:", "tcp:", "tls:", "stls:"].contains { piece.hasPrefix($0) }
                if let last = values.last, !beginsEndpoint, part.startIndex != piece.startIndex {
                    values[values.count - 1] = last + "," + piece
                } else {
                    values.append(String(piece))
                }
            }
        }
        return values
    }

    private static func camelCase(_ name: String) -> String {
        let words = name.split(separator: "-")
        return words.prefix(1).joined() + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }
}
