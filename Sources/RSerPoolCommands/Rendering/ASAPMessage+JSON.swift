// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension ASAPMessage {
    /// What the message says, field by field, in the order of the RFC's figures; what is absent is left out.
    package var members: [(String, JSON)] {
        switch self {
        case .registration(let message): [("pool", message.pool.json), ("element", message.member.json)]
        case .deregistration(let message): [("pool", message.pool.json), ("id", message.id.json)]
        case .registrationResponse(let message):
            [("pool", message.pool.json), ("id", message.id.json), ("rejected", .bool(message.isRejected))]
                + errors(message.causes)
        case .deregistrationResponse(let message):
            [("pool", message.pool.json), ("id", message.id.json)] + errors(message.causes)
        case .handleResolution(let message):
            [("pool", message.pool.json), ("updates", .bool(message.wantsUpdates))]
                + (message.count.map { [("count", .integer($0))] } ?? [])
                + (message.wantsIncrements ? [("increments", true)] : [])
        case .handleResolutionResponse(let message): message.members
        case .endpointKeepAlive(let message):
            [("registrar", message.registrar.json), ("pool", message.pool.json)]
                + (message.id.map { [("id", $0.json)] } ?? []) + [("wants-home", .bool(message.wantsToBeHome))]
        case .endpointKeepAliveAck(let message): [("pool", message.pool.json), ("id", message.id.json)]
        case .endpointUnreachable(let message): [("pool", message.pool.json), ("id", message.id.json)]
        case .serverAnnounce(let message): message.members
        case .cookie(let message): [("cookie", .hexadecimal(message.octets))]
        case .cookieEcho(let message): [("cookie", .hexadecimal(message.octets))]
        case .businessCard(let message):
            [("pool", message.pool.json), ("elements", .array(message.members.map(\.json)))]
                + (message.isLeaving ? [("leaving", .bool(true))] : [])
        case .error(let message): errors(message.causes)
        }
    }
}

extension HandleResolutionResponse {
    fileprivate var members: [(String, JSON)] {
        var members: [(String, JSON)] = [("pool", self.pool.json), ("updates", .bool(self.updatesFollow))]
        switch self.outcome {
        case .failed(let causes): members += errors(causes)
        case .members(let policy, let elements):
            if let policy { members.append(("policy", policy.json)) }
            members.append(("elements", .array(elements.map(\.json))))
        }
        if let increment {
            members.append(("gone", .array(self.gone.map(\.json))))
            members.append(
                (
                    "increment",
                    [
                        "snapshot": .bool(increment.isSnapshot), "more": .bool(increment.moreFollows),
                        "sequence": .integer(increment.sequence),
                    ]
                ))
        }
        return members
    }
}

extension ServerAnnounce {
    fileprivate var members: [(String, JSON)] {
        let transports = self.transports.map { transport in
            switch transport {
            case .sctp(let transport): UserTransport.sctp(transport)
            case .tcp(let address): UserTransport.tcp(address)
            }
        }
        return [("registrar", self.registrar.json), ("transports", .array(transports.map { .object($0.members) }))]
            + (self.encapsulationPort.map { [("udp", .integer($0))] } ?? [])
    }
}

/// The causes of an Operation Error; nothing where there is none.
func errors(_ causes: [ErrorCause]) -> [(String, JSON)] {
    causes.isEmpty ? [] : [("errors", .array(causes.map(\.json)))]
}
