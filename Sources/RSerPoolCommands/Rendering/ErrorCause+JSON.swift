// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension ErrorCause {
    /// `{"code":9,"cause":"unknown pool handle"}`, with `"data"` in hexadecimal where there is some.
    package var json: JSON {
        var members: [(String, JSON)] = [
            ("code", .integer(self.code.rawValue)), ("cause", .string(self.code.description)),
        ]
        if !self.data.isEmpty { members.append(("data", .hexadecimal(self.data))) }
        return .object(members)
    }
}

extension WireError {
    /// `{"error","offset"}`: why octets are no message, and where, in octets from the start of the message.
    package var json: JSON {
        ["error": .string(self.reason), "offset": .integer(self.offset), "code": .string(self.code.description)]
    }
}
