// SPDX-License-Identifier: Apache-2.0

/// A text that is no endpoint, or an endpoint whose name nobody knows.
public struct EndpointError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One line: the text, what is wrong with it, and a correct example.
    public let message: String

    public var description: String { self.message }

    /// - Parameter text: Shown in quotes, cut after 100 characters and without control characters, so that it stays one line.
    init(_ text: String, _ problem: String, example: String) {
        self.message = "\(Self.quoted(text)) is no usable endpoint: \(problem); for example \(example)"
    }

    static func quoted(_ text: some StringProtocol) -> String {
        var line = "\""
        for scalar in text.unicodeScalars.prefix(100) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                line += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                line.unicodeScalars.append(scalar)
            }
        }
        return line + (text.unicodeScalars.dropFirst(100).isEmpty ? "\"" : "…\"")
    }
}
