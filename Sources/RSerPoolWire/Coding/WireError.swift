// SPDX-License-Identifier: Apache-2.0

/// Why octets are no message: the only error that the codecs throw.
package struct WireError: Error, Hashable, Sendable {
    /// A struct over a private enum, so that codes can be added.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case truncated, badLength, missingParameter, unexpectedParameter, invalidValue
            case unrecognizedParameter, unrecognizedMessage, tooLong
        }

        private var value: Value

        /// Fewer octets than the header or a fixed field needs.
        package static let truncated = Code(value: .truncated)
        /// A length field below its minimum, or beyond what encloses it.
        package static let badLength = Code(value: .badLength)
        package static let missingParameter = Code(value: .missingParameter)
        /// A known parameter where another one has to stand.
        package static let unexpectedParameter = Code(value: .unexpectedParameter)
        /// A field whose value the RFC does not allow.
        package static let invalidValue = Code(value: .invalidValue)
        /// An unknown parameter whose type says: drop the whole message.
        package static let unrecognizedParameter = Code(value: .unrecognizedParameter)
        package static let unrecognizedMessage = Code(value: .unrecognizedMessage)
        /// Only when sending: more than 65 535 octets.
        package static let tooLong = Code(value: .tooLong)

        package var description: String { self.value.rawValue }
    }

    package var code: Code
    /// Where it happened, in octets from the start of the message.
    package var offset: Int
    /// One line for people: which field, and what is wrong with it.
    package var reason: String
    /// What the sender has to be told, if it is told anything: the causes of an ASAP_ERROR or ENRP_ERROR. Empty: silence.
    package var causes: [ErrorCause]
    /// Who wanted to register, where that could be read before the message turned out wrong: then the answer is a
    /// registration response instead.
    package var registrant: Registrant?

    package struct Registrant: Hashable, Sendable {
        package var pool: PoolHandle
        package var id: PoolElementID

        package init(pool: PoolHandle, id: PoolElementID) {
            self.pool = pool
            self.id = id
        }
    }

    package init(_ code: Code, at offset: Int, _ reason: String, causes: [ErrorCause] = []) {
        self.code = code
        self.offset = offset
        self.reason = reason
        self.causes = causes
    }
}

extension WireError {
    /// The same error with what the sender is told made final: nothing at all where it sent an error itself (WIRE-053),
    /// "invalid values" without data where the message ends within its fixed fields (WIRE-052).
    func answering(anError: Bool) -> WireError {
        var error = self
        if anError {
            error.causes = []
        } else if error.code == .truncated, error.causes.isEmpty {
            error.causes = [ErrorCause(.invalidValues)]
        }
        return error
    }
}

extension WireError: CustomStringConvertible {
    package var description: String { "\(self.code) at offset \(self.offset): \(self.reason)" }
}
