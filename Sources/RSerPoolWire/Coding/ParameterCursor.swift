// SPDX-License-Identifier: Apache-2.0

/// Walks the parameters of a message or of a container by the rules of RFC 5354 §3 for what it does not know.
///
/// Known parameters where the message does not list them are skipped once the mandatory ones are there;
/// in the place of a mandatory one they make the message malformed.
package struct ParameterCursor: Sendable {
    private var reader: WireReader
    /// The parameter it walks inside of; nil: the message itself.
    private let container: Parameter?
    private var peeked: Parameter?
    /// Causes to report although the message is processed: one per unknown parameter of action 11, in order (WIRE-022).
    package private(set) var unrecognized: [ErrorCause] = []
    /// More unknown parameters than this in one message are skipped without a word: a bound on what one message costs.
    package static let maximumCauses = 64

    package init(_ reader: WireReader) {
        self.reader = reader
        self.container = nil
    }

    /// Walks the parameters inside of `container`; what `outer` could not recognize so far is carried along, so that it is
    /// reported together with what turns up in here, in the order of the message. Hand it back with ``adopt(_:)``.
    package init(_ reader: WireReader, inside container: Parameter, of outer: ParameterCursor) {
        self.reader = reader
        self.container = container
        self.unrecognized = outer.unrecognized
    }

    /// The next known parameter, or nil at the end.
    /// - Throws: also `.unrecognizedParameter` for unknown ones of actions 00 and 01, which drop the message.
    package mutating func next() throws(WireError) -> Parameter? {
        if let parameter = self.peeked {
            self.peeked = nil
            return parameter
        }
        while true {
            let found: Parameter?
            do {
                found = try self.reader.nextTLV()
            } catch {
                throw self.reporting(error)
            }
            guard let parameter = found else { return nil }
            if parameter.type.isKnown { return parameter }
            try self.skip(parameter)
        }
    }

    private mutating func skip(_ parameter: Parameter) throws(WireError) {
        switch parameter.type.actionIfUnknown {
        case .stop: throw self.unknown(parameter, report: [])
        case .stopAndReport: throw self.unknown(parameter, report: self.unrecognizedSoFar(and: [Self.cause(parameter)]))
        case .skip: break
        case .skipAndReport:
            if self.unrecognized.count < Self.maximumCauses { self.unrecognized.append(Self.cause(parameter)) }
        }
    }

    private func unknown(_ parameter: Parameter, report causes: [ErrorCause]) -> WireError {
        let reason = "unknown parameter 0x" + String(parameter.type.rawValue, radix: 16)
        return WireError(.unrecognizedParameter, at: parameter.offset, reason, causes: causes)
    }

    private static func cause(_ parameter: Parameter) -> ErrorCause {
        ErrorCause(.unrecognizedParameter, data: Array(parameter.tlv))
    }

    /// The next parameter if it is of `type`, which it has to be. Extensions before it are skipped.
    package mutating func mandatory(_ type: ParameterType, _ name: StaticString) throws(WireError) -> Parameter {
        try self.mandatory(name) { $0 == type }
    }

    package mutating func mandatory(
        _ name: StaticString, where matches: (ParameterType) -> Bool
    ) throws(WireError) -> Parameter {
        while let parameter = try self.next() {
            if matches(parameter.type) { return parameter }
            if parameter.type.isExtension { continue }
            throw self.reporting(
                parameter.invalid(
                    "parameter 0x\(String(parameter.type.rawValue, radix: 16)) stands where \(name) has to",
                    .unexpectedParameter))
        }
        let reason = "\(name) is missing"
        if let container = self.container { throw self.reporting(container.invalid(reason, .missingParameter)) }
        throw WireError(
            .missingParameter, at: self.reader.offset, reason,
            causes: self.unrecognizedSoFar(and: [ErrorCause(.invalidValues)]))
    }

    /// The next parameter if it is of `type`; leaves it alone otherwise.
    package mutating func optional(_ type: ParameterType) throws(WireError) -> Parameter? {
        guard let parameter = try self.next() else { return nil }
        if parameter.type == type { return parameter }
        self.peeked = parameter
        return nil
    }

    /// Walks what is left, so that unknown parameters there get their rule, handing known ones to `visit`.
    package mutating func rest(_ visit: (Parameter) throws(WireError) -> Void = { _ in }) throws(WireError) {
        while let parameter = try self.next() { try visit(parameter) }
    }

    /// Takes over what a nested cursor could not recognize.
    package mutating func adopt(_ nested: ParameterCursor) {
        self.unrecognized = nested.unrecognized
    }

    /// What has to be reported anyway goes along with an error that is itself reported.
    private func reporting(_ error: WireError) -> WireError {
        var error = error
        error.causes = self.unrecognizedSoFar(and: error.causes)
        return error
    }

    private func unrecognizedSoFar(and causes: [ErrorCause]) -> [ErrorCause] {
        self.unrecognized.prefix(Self.maximumCauses - causes.count) + causes
    }
}
