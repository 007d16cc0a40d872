// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress

/// How an endpoint is bound, and how patient its associations are.
public struct SCTPEndpointOptions: Sendable {
    /// The local addresses; empty: every local address of both families.
    public var localAddresses: [IPAddress] = []
    /// The SCTP port, 0 for any free one.
    ///
    /// On the userland stack with `encapsulationPort` 0 as well, it is the number of the UDP port where that is free.
    public var port: UInt16 = 0
    /// Userland stack: the local UDP port (RFC 6951); 0 for any free one, which the endpoints of this process that ask
    /// for 0 at the same addresses share. The kernel's stack has the one of `net.sctp.udp_port` and ignores this.
    public var encapsulationPort: UInt16 = 0
    /// Whether peers may begin associations.
    public var acceptsAssociations = true

    /// Streams asked for; the peer may grant less. At least 1.
    public var outboundStreams: UInt16 = 16
    public var inboundStreams: UInt16 = 2048

    /// RTO.Initial, RTO.Min and RTO.Max (RFC 9260 §16), in whole milliseconds.
    public var rtoInitial: Duration = .seconds(1)
    public var rtoMin: Duration = .seconds(1)
    public var rtoMax: Duration = .seconds(60)
    /// HB.interval; nil: 1 s on the userland stack, 30 s on the kernel's. The period on an idle path is this plus the
    /// RTO ± 50 %.
    public var heartbeatInterval: Duration?
    /// Path.Max.Retrans and Association.Max.Retrans.
    public var pathMaxRetransmissions: UInt16 = 5
    public var associationMaxRetransmissions: UInt16 = 10
    /// Max.Init.Retransmits.
    public var initialAttempts: UInt16 = 8
    /// How long connecting may take in all.
    public var connectTimeout: Duration = .seconds(20)
    /// Sends small messages at once instead of gathering them.
    public var noDelay = true

    /// Octets that wait in the endpoint for one association, on top of what its stack holds, before senders are held
    /// back. One message always fits.
    public var sendBufferLimit = 262_144
    /// The longest message in octets, both ways. An association whose peer sends a longer one is aborted.
    public var maxMessageLength = 65_536
    /// Associations at one time; incoming ones above it are aborted, connecting above it fails.
    public var maxAssociations = 65_536
    /// Octets of received messages that wait for `SCTPEndpoint.events` to be read before the endpoint stops reading.
    public var eventBufferLimit = 1_048_576

    public init() {}

    /// RFC 9260's timers, with a heartbeat of 1 s on the userland stack.
    public static var `default`: SCTPEndpointOptions { SCTPEndpointOptions() }

    /// For local networks: a silent peer is lost after about two seconds, and within a heartbeat where the network says
    /// that its port is closed.
    public static var fast: SCTPEndpointOptions {
        var options = SCTPEndpointOptions()
        options.heartbeatInterval = .milliseconds(100)
        options.rtoInitial = .milliseconds(100)
        options.rtoMin = .milliseconds(50)
        options.rtoMax = .milliseconds(500)
        options.pathMaxRetransmissions = 2
        options.associationMaxRetransmissions = 4
        options.initialAttempts = 4
        options.connectTimeout = .seconds(2)
        return options
    }
}

extension Duration {
    /// Whole milliseconds for a stack's option: rounded up, at least 1, at most what 32 bits hold.
    var optionMilliseconds: UInt32 {
        let (seconds, attoseconds) = self.components
        guard seconds >= 0, attoseconds >= 0 else { return 1 }
        guard seconds < 4_000_000 else { return 4_000_000_000 }
        let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return UInt32(max(1, milliseconds))
    }
}
