// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport
internal import RSerPoolWire

/// The last things that happened in a scope, a line each, with ASAP and ENRP messages by name.
package final class ScopeTranscript {
    private enum Line {
        case event(TraceEvent)
        case remark(Duration, String)
    }

    private let limit: Int
    private var lines: [Line] = []

    /// - Parameter limit: the newest so many are kept.
    package init(limit: Int) {
        self.limit = limit
    }

    package func note(_ event: TraceEvent) {
        switch event.kind {
        case .received, .writable, .datagram: return
        default: self.append(.event(event))
        }
    }

    package func remark(_ text: String, at time: Duration) {
        self.append(.remark(time, text))
    }

    private func append(_ line: Line) {
        self.lines.append(line)
        if self.lines.count > 2 * self.limit { self.lines.removeFirst(self.lines.count - self.limit) }
    }

    package var text: [String] {
        self.lines.suffix(self.limit).map { line in
            switch line {
            case .event(let event): "\(Self.text(event.time)) \(Self.text(event))"
            case .remark(let time, let text): "\(Self.text(time)) *** \(text)"
            }
        }
    }

    private static func text(_ time: Duration) -> String {
        let (seconds, attoseconds) = time.components
        let micros = String(attoseconds / 1_000_000_000_000)
        return "\(seconds).\(String(repeating: "0", count: 6 - micros.count))\(micros)"
    }

    private static func text(_ event: TraceEvent) -> String {
        switch event.kind {
        case .sent(let message, _, let receiver): "\(event.node) → \(receiver): \(Self.text(message))"
        case .multicast(let bytes, let group):
            "\(event.node) → all: \(group.port == ENRPMessage.port ? Self.enrp(bytes) : Self.asap(bytes))"
        case .connecting(let link, let remote):
            "\(event.node) opens \(link) to \(remote.addresses[0]):\(remote.port)"
        case .up(let link): "\(event.node) has link \(link.id) with \(link.remote.addresses[0]):\(link.remote.port)"
        case .down(let link, let reason): "\(event.node) lost link \(link): \(reason.rawValue)"
        case .crashed(let death): "\(event.node) dies (\(death))"
        case .frozen: "\(event.node) is stopped"
        case .thawed: "\(event.node) goes on"
        case .started(let addresses): "\(event.node) starts at \(addresses[0])"
        case .path(let other, let fault): "\(event.node) → \(other) is \(fault?.rawValue ?? "healed")"
        case .received, .writable, .datagram: ""
        }
    }

    private static func text(_ message: OutboundMessage) -> String {
        switch message.payloadProtocol {
        case ENRPMessage.payloadProtocol: self.enrp(message.bytes)
        case ASAPMessage.payloadProtocol: self.asap(message.bytes)
        default: "\(message.bytes.count) octets, PPID \(message.payloadProtocol)"
        }
    }

    private static func asap(_ bytes: [UInt8]) -> String {
        guard let message = try? ASAPMessage.decode(bytes[...]).message else { return "ASAP ?" }
        let name = message.type.name
        switch message {
        case .registration(let registration):
            return "\(name) \(registration.pool) \(registration.member.id) \(Self.text(registration.member.policy))"
        case .registrationResponse(let response):
            return "\(name) \(response.pool) \(response.id)\(response.isRejected ? " rejected" : "")"
        case .deregistration(let deregistration): return "\(name) \(deregistration.pool) \(deregistration.id)"
        case .deregistrationResponse(let response): return "\(name) \(response.pool) \(response.id)"
        case .endpointKeepAlive(let keepAlive):
            let id = keepAlive.id.map { " \($0)" } ?? ""
            return "\(name) \(keepAlive.pool)\(id) from \(keepAlive.registrar)\(keepAlive.wantsToBeHome ? " H" : "")"
        case .endpointKeepAliveAck(let ack): return "\(name) \(ack.pool) \(ack.id)"
        case .handleResolution(let request): return "\(name) \(request.pool)\(request.wantsUpdates ? " S" : "")"
        case .handleResolutionResponse(let response):
            switch response.outcome {
            case .members(_, let members):
                let ids = members.map { "\($0.id)@\($0.home)" }.joined(separator: " ")
                let gone = response.gone.map { "-\($0)" }.joined(separator: " ")
                return "\(name) \(response.pool) [\(ids)] \(gone)"
            case .failed(let causes): return "\(name) \(response.pool) failed: \(causes.map(\.code))"
            }
        case .endpointUnreachable(let report): return "\(name) \(report.pool) \(report.id)"
        default: return name
        }
    }

    private static func enrp(_ bytes: [UInt8]) -> String {
        guard let message = try? ENRPMessage.decode(bytes[...]).message else { return "ENRP ?" }
        return "\(message.body.type.name) \(message.sender)→\(message.receiver) \(self.text(message.body))"
    }

    private static func text(_ body: ENRPMessage.Body) -> String {
        switch body {
        case .presence(let replyRequired, let checksum, _):
            "\(replyRequired ? "R " : "")checksum \(checksum.map { String($0, radix: 16) } ?? "none")"
        case .handleTableRequest(let ownChildrenOnly): ownChildrenOnly ? "W" : ""
        case .handleTableResponse(let isRejected, let moreFollows, let entries):
            (isRejected ? "rejected " : "") + (moreFollows ? "M " : "")
                + entries.map { entry in
                    "\(entry.pool) [" + entry.members.map { "\($0.id)@\($0.home)" }.joined(separator: " ") + "]"
                }.joined(separator: " ")
        case .handleUpdate(let action, let pool, let member, _):
            "\(action == .addPoolElement ? "add" : "delete") \(pool) \(member.id)@\(member.home) \(self.text(member.policy))"
        case .listRequest: ""
        case .listResponse(let isRejected, let servers):
            isRejected ? "rejected" : servers.map { "\($0.id)" }.joined(separator: " ")
        case .initTakeover(let target), .initTakeoverAck(let target), .takeoverServer(let target): "of \(target)"
        case .error(let causes): "\(causes.map(\.code))"
        }
    }

    private static func text(_ policy: PoolPolicy) -> String {
        if case .leastUsed(let load) = policy { "load \(load.rawValue)" } else { "\(policy)" }
    }
}
