// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

/// What messages travel on: sockets in production, memory in a simulation. One per host.
package protocol Transport: Sendable {
    /// Opens a local endpoint. Events reach `receiver` on the host's executor, none of them before this has returned.
    /// (`nonsending`: the caller on that executor goes on without a hop, before any event.)
    nonisolated(nonsending) func open(
        _ options: PortOptions, receiver: any PortReceiver
    ) async throws(TransportError) -> any Port

    /// Opens a socket for multicast announcements.
    nonisolated(nonsending) func open(
        _ options: DatagramOptions, receiver: any DatagramReceiver
    ) async throws(TransportError) -> any DatagramPort
}

/// A local SCTP endpoint or TCP socket, with any number of links. All its methods are called on the host's executor.
package protocol Port: AnyObject, Sendable {
    var id: PortID { get }
    /// What was really bound.
    var local: LocalEndpoint { get }

    /// Starts to open a link. The outcome comes as `.up` or `.down`, never inside this call.
    func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID

    /// Hands a message to the link; never waits.
    /// - Throws: `.bufferFull` above the link's bound (nothing was sent; `.writable` follows), `.noSuchLink` after its end.
    func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError)

    /// Whether what arrives on a link is read. While it is not, the far end is held back as the transport can: what has come
    /// waits in the system. Links of one SCTP port are read together: its last word counts for all of them.
    func setReading(_ isReading: Bool, on link: LinkID)

    /// Ends a link in good order: what was sent still arrives. `.down` with `.closed` follows.
    func shutdown(_ link: LinkID)

    /// Ends a link at once.
    func abort(_ link: LinkID)

    /// The addresses at which the far end of a link can reach this port, never wildcards; empty once the link is gone.
    /// Kernel SCTP: the association's local addresses; userland SCTP and TCP: the one that packets to that peer leave from.
    func localAddresses(of link: LinkID) -> [IPAddress]

    /// The smoothed round-trip time of a link, on SCTP that of its primary path; nil while nothing has been measured, and
    /// once the link is gone. Kernel SCTP measures in steps of the system's tick, a few milliseconds.
    func smoothedRoundTripTime(of link: LinkID) -> Duration?

    /// Ends all links in good order, waits for that at most `limit`, then closes the endpoint.
    func close(within limit: Duration) async
}

/// Who gets the events of a port: an actor on the host's executor, which takes them with `assumeIsolated`.
///
/// It is called outside any access to the port's own state and may call the port back at once.
package protocol PortReceiver: AnyObject, Sendable {
    func received(_ event: LinkEvent, from port: any Port)
    /// A newcomer was not let in: something to count and to tell, not to act upon. Nothing happens by default.
    func turnedAway(_ reason: TurnedAway, at port: any Port)
}

extension PortReceiver {
    package func turnedAway(_ reason: TurnedAway, at port: any Port) {}
}

/// Why a newcomer was not let in.
package enum TurnedAway: Sendable {
    /// `PortOptions.maxIncomingLinks` is reached: its link was refused.
    case tooManyLinks
    /// The system has no descriptor or memory left: connections wait in its queue, and are accepted as soon as it has.
    case noResources
}

/// Cuts a byte stream into messages: given what has arrived, how long the first message is, padding included; nil while
/// that cannot be told yet. It throws where the stream cannot be read on.
package typealias MessageCutter = @Sendable (_ bytes: ArraySlice<UInt8>) throws -> Int?

package struct PortOptions: Sendable {
    package enum Scheme: Sendable {
        case sctp
        /// Messages in a byte stream, cut by `framing`.
        case tcp(framing: MessageCutter)
        /// A datagram is a message; nothing is sent again, and nobody can open links to such a port.
        case udp
    }

    package var scheme: Scheme
    /// Empty: every local address.
    package var localAddresses: [IPAddress]
    /// 0: any free one.
    package var port: UInt16
    /// The UDP port of the userland SCTP stack; 0: any free one. Nil: the host's default.
    package var encapsulationPort: UInt16?
    /// Whether others may open links to it.
    package var acceptsLinks: Bool
    /// Most links at a time that others have opened; further ones are refused.
    package var maxIncomingLinks: Int
    /// Octets that may wait to be sent on one link.
    package var sendBufferLimit: Int
    /// Heartbeats and retransmissions tuned for a local network instead of the stack's defaults.
    package var fastFailureDetection: Bool

    package init(
        scheme: Scheme, localAddresses: [IPAddress] = [], port: UInt16 = 0, encapsulationPort: UInt16? = nil,
        acceptsLinks: Bool = false, maxIncomingLinks: Int = 20_000, sendBufferLimit: Int = 1 << 20,
        fastFailureDetection: Bool = false
    ) {
        self.scheme = scheme
        self.localAddresses = localAddresses
        self.port = port
        self.encapsulationPort = encapsulationPort
        self.acceptsLinks = acceptsLinks
        self.maxIncomingLinks = maxIncomingLinks
        self.sendBufferLimit = sendBufferLimit
        self.fastFailureDetection = fastFailureDetection
    }
}

/// What a port is really bound to.
package struct LocalEndpoint: Hashable, Sendable {
    package var scheme: LinkScheme
    /// As it was asked for; wildcards where every local address is meant.
    package var addresses: [IPAddress]
    package var port: UInt16
    /// Nil without UDP encapsulation.
    package var encapsulationPort: UInt16?

    package init(scheme: LinkScheme, addresses: [IPAddress], port: UInt16, encapsulationPort: UInt16? = nil) {
        self.scheme = scheme
        self.addresses = addresses
        self.port = port
        self.encapsulationPort = encapsulationPort
    }
}

package struct DatagramOptions: Sendable {
    /// The multicast group and port.
    package var group: SocketAddress
    /// Whether it wants to hear the group; a sender alone need not.
    package var joins: Bool

    package init(group: SocketAddress, joins: Bool) {
        self.group = group
        self.joins = joins
    }
}

/// A UDP socket for one multicast group. Its methods are called on the host's executor.
package protocol DatagramPort: AnyObject, Sendable {
    /// One copy to the group, on each interface that can multicast. What the network does not take is lost, and counted.
    func send(_ bytes: [UInt8])
    func close()
}

package protocol DatagramReceiver: AnyObject, Sendable {
    func received(datagram bytes: [UInt8], from source: SocketAddress)
}

extension Port {
    /// The addresses at which others on the network reach it: what it is bound to; with a wildcard, nothing certain: then
    /// whoever hears of it takes the address that the word came from.
    package var announcedAddresses: [IPAddress] { self.local.addresses }
}
