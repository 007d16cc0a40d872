// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Logging
internal import RSerPool
package import RSerPoolCore
package import RSerPoolWire

struct WatchCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Prints the members of a pool, then each change, until interrupted.")

    @Argument(help: ArgumentHelp("Pool handle: text, or 0x and octets.", valueName: "pool")) var pool: String
    @Flag(help: "POOL is octets in hexadecimal.") var poolHex = false
    @Flag(help: "End with exit 68 if the pool does not exist, 69 if no registrar answers.") var failFast = false
    @OptionGroup var registrars: RegistrarOptions
    @OptionGroup var common: CommonOptions

    var wantsJSON: Bool { self.registrars.json }
    var timeLimit: String? { self.registrars.timeout }

    func execute() async throws {
        let handle = try parsePool(self.pool, isHexadecimal: self.poolHex)
        let common = try await self.common.common(defaultEncapsulationPort: 0, logLevel: .warning)
        let user = try self.registrars.user(common, failsWithoutRegistrar: self.failFast)
        let command = self
        _ = try await withServices([user], logger: common.logger) { () async throws -> Never? in
            // Whether the pool exists is found out by asking; the stream would wait for it.
            if command.failFast { _ = try await user.resolve(handle) }
            for await change in user.pool(handle).changes { Terminal.print(command.text(change, handle)) }
            return nil
        }
    }

    private func text(_ change: PoolChange, _ pool: PoolHandle) -> String {
        guard self.registrars.json else {
            return switch change {
            case .snapshot(let members):
                (["snapshot: \(members.count) in pool \(pool)"] + members.map { "  \($0.line)" }).joined(
                    separator: "\n")
            case .joined(let member): "joined   \(member.line)"
            case .updated(let member): "updated  \(member.line)"
            case .left(let member): "left     \(member.line)"
            case .interrupted: "interrupted: no registrar tells; what is known grows old"
            case .resumed: "resumed"
            }
        }
        return change.json(pool).text
    }
}

extension PoolChange {
    /// The contract's object for `watch`.
    package func json(_ pool: PoolHandle) -> JSON {
        func object(_ change: String, _ more: [(String, JSON)] = []) -> JSON {
            .object([("change", .string(change)), ("pool", .string(pool.description))] + more)
        }
        return switch self {
        case .snapshot(let members): object("snapshot", [("elements", .array(members.map(\.json)))])
        case .joined(let member): object("joined", [("element", member.json)])
        case .updated(let member): object("updated", [("element", member.json)])
        case .left(let member): object("left", [("element", member.json)])
        case .interrupted: object("interrupted")
        case .resumed: object("resumed")
        }
    }
}
