// SPDX-License-Identifier: Apache-2.0

/// A JSON value (RFC 8259) whose objects keep the order of their members, for output that people compare and scripts read.
package enum JSON: Sendable {
    case object([(String, JSON)])
    case array([JSON])
    case string(String)
    case int(Int64)
    case number(Double)
    case bool(Bool)
    case null

    /// A whole number; beyond 64 bits the nearest one that has them.
    package static func integer(_ value: some BinaryInteger) -> JSON { .int(Int64(clamping: value)) }

    /// One line without blanks. A number that JSON cannot say, as infinity, is null.
    package var text: String {
        var text = ""
        self.write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .object(let members):
            text += "{"
            for (index, (key, value)) in members.enumerated() {
                if index > 0 { text += "," }
                Self.write(key, to: &text)
                text += ":"
                value.write(to: &text)
            }
            text += "}"
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text)
            }
            text += "]"
        case .string(let string): Self.write(string, to: &text)
        case .int(let value): text += String(value)
        case .number(let value): text += Self.digits(value)
        case .bool(let value): text += value ? "true" : "false"
        case .null: text += "null"
        }
    }

    /// The shortest decimal that reads back as `value`; whole numbers without a fraction.
    private static func digits(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        let digits = value.description
        return digits.hasSuffix(".0") ? String(digits.dropLast(2)) : digits
    }

    /// In quotes.
    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            default:
                if let escape = self.escape(scalar) { text += escape } else { text.unicodeScalars.append(scalar) }
            }
        }
        text += "\""
    }

    /// Besides what RFC 8259 §7 wants escaped, whatever may end a line or steer a terminal, so that an object stays on its
    /// line.
    private static func escape(_ scalar: Unicode.Scalar) -> String? {
        switch scalar {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        case "\u{8}": return "\\b"
        case "\u{c}": return "\\f"
        case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}":
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: return nil
        }
    }
}

extension JSON: Equatable {
    /// Equal values are written the same way; the order of members counts.
    package static func == (left: JSON, right: JSON) -> Bool { left.text == right.text }
}

extension JSON: CustomStringConvertible {
    package var description: String { self.text }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral values: JSON...) { self = .array(values) }
    package init(dictionaryLiteral members: (String, JSON)...) { self = .object(members) }
}

extension JSON {
    /// The same for people: a line per member, what is nested two columns further in, lists of plain values on one line.
    ///
    /// Null reads "for ever": the life of a registration is the only thing that is ever null.
    package var outline: String {
        var lines: [String] = []
        self.appendOutline(to: &lines, indentation: "")
        return lines.joined(separator: "\n")
    }

    private func appendOutline(to lines: inout [String], indentation: String) {
        switch self {
        case .object(let members):
            for (key, value) in members {
                if let plain = value.plain {
                    lines.append("\(indentation)\(key): \(plain)")
                } else {
                    lines.append("\(indentation)\(key):")
                    value.appendOutline(to: &lines, indentation: indentation + "  ")
                }
            }
        case .array(let values):
            for value in values {
                let first = lines.count
                value.appendOutline(to: &lines, indentation: indentation + "  ")
                if first < lines.count {
                    lines[first] = indentation + "- " + lines[first].dropFirst(indentation.count + 2)
                }
            }
        default: lines.append(indentation + (self.plain ?? ""))
        }
    }

    /// What fits one line; nil for objects and for lists of what does not.
    private var plain: String? {
        switch self {
        case .object(let members): return members.isEmpty ? "none" : nil
        case .array(let values):
            let plain = values.compactMap(\.plain)
            guard plain.count == values.count else { return nil }
            return plain.isEmpty ? "none" : plain.joined(separator: ", ")
        case .string(let string): return Self.printable(string)
        case .bool(let value): return value ? "yes" : "no"
        case .null: return "for ever"
        case .int, .number: return self.text
        }
    }

    /// What would end the line or steer the terminal is escaped as in JSON; quotes and backslashes are not.
    private static func printable(_ string: String) -> String {
        var text = ""
        for scalar in string.unicodeScalars { text += self.escape(scalar) ?? String(scalar) }
        return text
    }
}
