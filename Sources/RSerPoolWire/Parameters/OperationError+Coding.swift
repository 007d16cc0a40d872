// SPDX-License-Identifier: Apache-2.0

extension [ErrorCause] {
    /// Operation Error (RFC 5354 §3.12): one or more causes, each padded to four octets like a parameter.
    init(from parameter: Parameter) throws(WireError) {
        var causes: [ErrorCause] = []
        var reader = parameter.value
        // Causes are laid out like parameters; there is no unknown-type rule for them.
        do throws(WireError) {
            while let cause = try reader.nextTLV() {
                var value = cause.value
                causes.append(ErrorCause(.init(rawValue: cause.type.rawValue), data: [UInt8](value.readRest())))
            }
        } catch {
            throw parameter.invalid("an error cause in it: " + error.reason, error.code)
        }
        guard !causes.isEmpty else { throw parameter.invalid("an operation error without a cause", .missingParameter) }
        self = causes
    }

    package func encode(into writer: inout WireWriter) {
        writer.parameter(.operationError) { writer in
            for cause in self { writer.cause(cause) }
        }
    }

    /// As many of these causes, the last one cut if need be, as fit an error message with `overhead` octets around them.
    package func fitting(overhead: Int) -> [ErrorCause] {
        var room = WireWriter.maximumLength - overhead
        var fitting: [ErrorCause] = []
        for cause in self where room >= 4 {
            var cause = cause
            if cause.data.count > room - 4 { cause.data.removeSubrange((room - 4)...) }
            room -= (4 + cause.data.count + 3) & ~3
            fitting.append(cause)
        }
        return fitting
    }
}
