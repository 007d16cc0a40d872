// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport
internal import RSerPoolWire

/// What was said in a world, line by line, for a person who wants to know why a test failed.
///
///     let transcript = ScriptedTranscript(of: world)
///     …
///     #expect(…, "\(transcript)")
package final class ScriptedTranscript: CustomStringConvertible {
    private var lines: [String] = []
    private var dropped = 0
    private let limit: Int

    /// - Parameter limit: the newest so many lines are kept.
    package init(of world: World, limit: Int = 200) {
        self.limit = limit
        world.observer = { [weak self] event in self?.note(event) }
    }

    package var description: String {
        "\n" + (self.dropped > 0 ? "(\(self.dropped) earlier lines)\n" : "") + self.lines.joined(separator: "\n")
    }

    private func note(_ event: TraceEvent) {
        guard let text = Self.text(event) else { return }
        let (seconds, attoseconds) = event.time.components
        let micros = String(attoseconds / 1_000_000_000_000)
        let time = "\(seconds).\(String(repeating: "0", count: 6 - micros.count))\(micros)"
        self.lines.append("\(time) \(text)")
        if self.lines.count > 2 * self.limit {
            self.dropped += self.limit
            self.lines.removeFirst(self.limit)
        }
    }

    private static func text(_ event: TraceEvent) -> String? {
        switch event.kind {
        case .sent(let message, _, let receiver): "\(event.node) → \(receiver): \(Self.text(message))"
        case .multicast(let bytes, _): "\(event.node) → all: \(Self.name(of: bytes))"
        case .connecting(_, let remote):
            "\(event.node) connects to \(remote.addresses.map(\.description)):\(remote.port)"
        case .up(let link): "\(event.node) has link \(link.id)"
        case .down(let link, let reason): "\(event.node) lost link \(link): \(reason.rawValue)"
        case .crashed: "\(event.node) dies"
        case .frozen: "\(event.node) is stopped"
        case .thawed: "\(event.node) goes on"
        case .started: "\(event.node) starts"
        case .received, .writable, .datagram, .path: nil
        }
    }

    private static func text(_ message: OutboundMessage) -> String {
        let shown = hexadecimal(message.bytes.prefix(96)) + (message.bytes.count > 96 ? "…" : "")
        switch message.payloadProtocol {
        case ASAPMessage.payloadProtocol: return "\(self.name(of: message.bytes)) \(shown)"
        case ENRPMessage.payloadProtocol:
            let name = message.bytes.first.flatMap { ENRPMessage.MessageType(rawValue: $0) }?.name
            return "ENRP \(name ?? "type \(message.bytes.first ?? 0)") \(shown)"
        default: return "\(message.bytes.count) octets, PPID \(message.payloadProtocol)"
        }
    }

    private static func name(of bytes: [UInt8]) -> String {
        bytes.first.flatMap { ASAPMessage.MessageType(rawValue: $0) }?.name ?? "type \(bytes.first ?? 0)"
    }
}
