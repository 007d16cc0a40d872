// SPDX-License-Identifier: Apache-2.0

/// One user message with what SCTP tells about it (RFC 9260 §3.3.1).
public struct SCTPMessage: Hashable, Sendable {
    public var bytes: [UInt8]
    /// The stream it travels on, from 0.
    public var stream: UInt16
    /// The payload protocol identifier in host order.
    public var payloadProtocol: UInt32
    /// Delivered as it arrives, not in the order of its stream.
    public var unordered: Bool

    public init(bytes: [UInt8], stream: UInt16 = 0, payloadProtocol: UInt32 = 0, unordered: Bool = false) {
        self.bytes = bytes
        self.stream = stream
        self.payloadProtocol = payloadProtocol
        self.unordered = unordered
    }
}
