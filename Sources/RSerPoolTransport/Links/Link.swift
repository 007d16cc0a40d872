// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

/// One SCTP association or TCP connection of this host; never used for another one again.
package struct LinkID: Hashable, Sendable, CustomStringConvertible {
    /// Which of the host's ports it belongs to.
    package let port: PortID
    package let number: UInt64

    package init(port: PortID, number: UInt64) {
        self.port = port
        self.number = number
    }

    package var description: String { "\(self.port.rawValue).\(self.number)" }

    /// By the number alone: a host has few ports.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.number)
    }
}

/// One local SCTP endpoint or TCP socket of this host.
package struct PortID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }
}

/// What carries the messages of a link.
package enum LinkScheme: String, Hashable, Sendable {
    case sctp
    case tcp
    case udp
}

/// The far end of a link, or where one shall lead to.
package struct RemoteEndpoint: Hashable, Sendable {
    /// Several only with SCTP.
    package var addresses: [IPAddress]
    package var port: UInt16
    /// The far end's UDP port where SCTP is carried in UDP (RFC 6951). Nil on the way out: 9899 is tried, then the SCTP port.
    package var encapsulationPort: UInt16?

    package init(addresses: [IPAddress], port: UInt16, encapsulationPort: UInt16? = nil) {
        self.addresses = addresses
        self.port = port
        self.encapsulationPort = encapsulationPort
    }
}

package struct Link: Sendable {
    package var id: LinkID
    package var scheme: LinkScheme
    /// All addresses of the far end, and the UDP port that was learned.
    package var remote: RemoteEndpoint
    /// The far end opened it.
    package var isIncoming: Bool

    package init(id: LinkID, scheme: LinkScheme, remote: RemoteEndpoint, isIncoming: Bool) {
        self.id = id
        self.scheme = scheme
        self.remote = remote
        self.isIncoming = isIncoming
    }
}

/// One whole message as it arrived. Over TCP and UDP, where there are neither, protocol and stream are 0.
package struct InboundMessage: Sendable {
    package var bytes: [UInt8]
    /// SCTP's payload protocol identifier, in host order.
    package var payloadProtocol: UInt32
    package var stream: UInt16

    package init(bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0) {
        self.bytes = bytes
        self.payloadProtocol = payloadProtocol
        self.stream = stream
    }
}

package struct OutboundMessage: Sendable {
    package var bytes: [UInt8]
    package var payloadProtocol: UInt32
    package var stream: UInt16
    package var unordered: Bool

    package init(bytes: [UInt8], payloadProtocol: UInt32, stream: UInt16 = 0, unordered: Bool = false) {
        self.bytes = bytes
        self.payloadProtocol = payloadProtocol
        self.stream = stream
        self.unordered = unordered
    }
}

package enum LinkEvent: Sendable {
    /// It works; for an outgoing link the end of ``Port/connect(to:)``.
    case up(Link)
    case message(InboundMessage, LinkID)
    /// There is room again after a send was refused with ``TransportError/Code/bufferFull``.
    case writable(LinkID)
    /// A message that was taken and can never be sent: it was still waiting when its link ended. In the order of sending, before
    /// `.down`. What the system below had already been given is not among them: that may have arrived or not. Over TCP and
    /// UDP never.
    case unsent(OutboundMessage, LinkID)
    /// It is over, or never came up. Nothing more about it follows.
    case down(LinkID, LinkDownReason)
}

package enum LinkDownReason: String, Sendable {
    /// The far end ended it in good order.
    case shutdown
    /// The far end aborted it.
    case aborted
    /// The far end does not answer any more.
    case lost
    /// It never came up: nobody there, or no answer.
    case refused
    /// We ended it.
    case closed
    /// What came over it was no framing of messages, or larger than allowed.
    case protocolViolation
}
