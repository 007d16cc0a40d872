// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport
internal import RSerPoolWire

/// How the messages of a session are told apart in a byte stream (TCP). Both sides have to use the same; over SCTP and UDP it
/// has no meaning.
///
/// No RFC says how: RFC 5354 gives the control channel to SCTP alone. ``envelope`` is this library's own, and carries cookies
/// and business cards over TCP as well; the others are for services that know nothing of RSerPool.
public struct StreamFraming: Sendable {
    /// Nil: whatever arrives together is a message.
    let cut: MessageCutter?
    let isEnveloped: Bool

    /// Eight octets before each message: payload protocol and length. Messages have at most 65 528 octets.
    public static let envelope = StreamFraming(cut: { try SessionEnvelope.frameLength($0) }, isEnveloped: true)

    /// None: what arrives together is taken for a message, though it may be half of one, or two.
    public static let none = StreamFraming(cut: nil, isEnveloped: false)

    /// Each message ends with a newline, which belongs to it.
    public static let lines = StreamFraming.custom { bytes in
        bytes.firstIndex(of: 0x0a).map { $0 - bytes.startIndex + 1 }
    }

    /// - Parameter cut: given what has arrived, how many octets the first message takes; nil while that cannot be told. If
    ///   it throws, the connection ends. It must be quick: it runs on the host's thread.
    public static func custom(_ cut: @escaping @Sendable (ArraySlice<UInt8>) throws -> Int?) -> StreamFraming {
        StreamFraming(cut: cut, isEnveloped: false)
    }

    var cutter: MessageCutter { self.cut ?? { $0.count } }

    /// What a connection is given to send.
    func outbound(_ message: OutboundMessage) -> OutboundMessage {
        guard self.isEnveloped else { return message }
        var message = message
        message.bytes = SessionEnvelope.wrap(message.bytes, payloadProtocol: message.payloadProtocol)
        return message
    }

    /// What a connection has cut.
    func inbound(_ message: InboundMessage) -> InboundMessage {
        guard self.isEnveloped else { return message }
        let (data, payloadProtocol) = SessionEnvelope.unwrap(message.bytes)
        return InboundMessage(bytes: data, payloadProtocol: payloadProtocol)
    }
}
