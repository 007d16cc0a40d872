// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import RSerPoolCore
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

/// Which registrar a command asks over ENRP.
struct QueryOptions: ParsableArguments, Sendable {
    @Argument(
        help: ArgumentHelp("A registrar's ENRP endpoint, sctp:192.0.2.1:9901 for example.", valueName: "endpoint"))
    var endpoint: String

    @Flag(help: "One JSON object per line, for scripts.")
    var json = false

    @Option(help: ArgumentHelp("Time allowed for the whole command; exit 75 when it is over.", valueName: "duration"))
    var timeout: String?

    /// How long a registrar may be silent, or reject, where no time is given.
    private static let patience = Duration.seconds(15)

    func query(_ common: Common) throws -> ENRPQuery {
        let endpoint = try parseEndpoint(self.endpoint, option: "ENDPOINT")
        guard endpoint.scheme == .sctp, !endpoint.isEveryLocalAddress, endpoint.port != 0 else {
            throw CommandFailure(
                .usage,
                "ENDPOINT \(self.endpoint): a registrar's own ENRP endpoint is needed, over SCTP; write sctp:192.0.2.1:9901 for example"
            )
        }
        // Where the whole command has a limit, that one ends it, with its own exit code.
        let limit = try self.timeout.map { try parseDuration($0, option: "--timeout") + .seconds(1) }
        return ENRPQuery(
            of: endpoint, dialect: Self.dialect(of: endpoint, common.dialects), timers: common.timers.enrpTimers,
            fastFailureDetection: common.timers.fastFailureDetection, patience: limit ?? Self.patience,
            host: try common.host())
    }

    /// A port that is left out is the same as the usual one.
    private static func dialect(of endpoint: Endpoint, _ dialects: [Endpoint: Dialect]) -> Dialect {
        func complete(_ endpoint: Endpoint) -> Endpoint {
            var endpoint = endpoint
            endpoint.port = endpoint.port ?? ENRPMessage.port
            return endpoint
        }
        return dialects.first { complete($0.key) == complete(endpoint) }?.value ?? .rfc
    }
}
