// SPDX-License-Identifier: Apache-2.0

internal import RSerPool
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

/// The exit codes that scripts rely on; those of sysexits.h where that has one.
package enum CommandExit: Int32, Sendable {
    case done = 0
    case usage = 64
    case undecodable = 65
    case unknownPool = 68
    case unreachable = 69
    case bug = 70
    case timedOut = 75
    case refusedForSecurity = 77
}

/// A failure as the user sees it: one line, and an exit code.
package struct CommandFailure: Error, Sendable {
    package var exit: CommandExit
    package var message: String

    package init(_ exit: CommandExit, _ message: String) {
        self.exit = exit
        self.message = message
    }

    /// What any error means to the user; one that nobody foresaw is a bug of ours.
    package init(_ error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure
        case let error as PoolError: self.init(Self.exit(for: error), error.message)
        case let error as RegistrarError:
            self.init(error.code == .configurationInvalid ? .usage : .unreachable, error.message)
        case let error as ENRPQueryError: self.init(Self.exit(for: error.code), error.message)
        case let error as EndpointError: self.init(.usage, error.message)
        case let error as SocketHostError: self.init(.unreachable, error.message)
        default: self.init(.bug, "a bug of ours, please report it: \(error)")
        }
    }

    private static func exit(for code: ENRPQueryError.Code) -> CommandExit {
        switch code {
        case .endpointInvalid: .usage
        case .unreachable: .unreachable
        case .malformed: .undecodable
        case .refusedForSecurity: .refusedForSecurity
        }
    }

    private static func exit(for error: PoolError) -> CommandExit {
        if error.causes.contains(where: { $0.code == .rejectedForSecurity }) { return .refusedForSecurity }
        return switch error.code {
        case .configurationInvalid: .usage
        case .unknownPool: .unknownPool
        case .timedOut: .timedOut
        default: .unreachable
        }
    }
}
