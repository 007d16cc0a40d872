// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolTransport

/// One thing that the network or a fault did: what a transcript of a scenario is made of.
package struct TraceEvent: Sendable {
    package enum Kind: Sendable {
        case started([IPAddress])
        case crashed(Death)
        case frozen
        case thawed
        /// The node asks for a link.
        case connecting(LinkID, RemoteEndpoint)
        /// The node is told so, as with the following ones.
        case up(Link)
        case sent(OutboundMessage, LinkID, to: String)
        case received(InboundMessage, LinkID)
        case writable(LinkID)
        case down(LinkID, LinkDownReason)
        case multicast([UInt8], to: SocketAddress)
        case datagram([UInt8], from: SocketAddress)
        /// The way from the node to another one changed.
        case path(to: String, PathFault?)
    }

    /// Since the world began.
    package var time: Duration
    /// Whom it happened to.
    package var node: String
    package var kind: Kind
}

/// What is wrong with the way from one node to another.
package enum PathFault: String, Hashable, Sendable {
    /// Nothing comes through.
    case cut
    /// Nothing comes through but the heartbeats of SCTP and the acknowledgements of TCP.
    case clogged
}

/// Sums up everything that happened on the network, and when: equal for two runs of one seed, or something escaped the
/// seed.
///
/// The number of jobs run so far goes into it too, so a difference inside a node shows at its next message.
final class Trace {
    private var hash = TraceHash()
    var observer: ((TraceEvent) -> Void)?

    var value: UInt64 { self.hash.value }

    func record(_ kind: TraceEvent.Kind, at node: Node) {
        let scheduler = node.scheduler
        self.hash.mix(UInt64(bitPattern: scheduler.now))
        self.hash.mix(scheduler.jobs)
        self.hash.mix(UInt64(node.place))
        self.mix(kind)
        self.observer?(TraceEvent(time: .nanoseconds(scheduler.now), node: node.name, kind: kind))
    }

    private func mix(_ kind: TraceEvent.Kind) {
        switch kind {
        case .started(let addresses): self.mix(1, addresses.count)
        case .crashed(let death): self.mix(2, death == .machine ? 1 : 0)
        case .frozen: self.mix(3)
        case .thawed: self.mix(4)
        case .connecting(let link, let remote):
            self.mix(5, link)
            self.hash.mix(UInt64(remote.port))
        case .up(let link):
            self.mix(6, link.id)
            self.hash.mix(UInt64(link.remote.port))
        case .sent(let message, let link, _):
            self.mix(7, link)
            self.hash.mix(message.bytes)
        case .received(let message, let link):
            self.mix(8, link)
            self.hash.mix(message.bytes)
        case .writable(let link): self.mix(9, link)
        case .down(let link, let reason):
            self.mix(10, link)
            self.hash.mix(reason.rawValue)
        case .multicast(let bytes, _):
            self.mix(11)
            self.hash.mix(bytes)
        case .datagram(let bytes, let source):
            self.mix(12, Int(source.port))
            self.hash.mix(bytes)
        case .path(let other, let fault):
            self.mix(13)
            self.hash.mix(other)
            self.hash.mix(fault?.rawValue ?? "")
        }
    }

    private func mix(_ tag: UInt64, _ number: Int = 0) {
        self.hash.mix(tag << 56 | UInt64(truncatingIfNeeded: number))
    }

    private func mix(_ tag: UInt64, _ link: LinkID) {
        self.hash.mix(tag << 56 | UInt64(link.port.rawValue) << 40 ^ link.number)
    }
}

/// A running 64-bit hash that is the same in every process (`Hasher` is not).
struct TraceHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func mix(_ word: UInt64) {
        let product = (self.value ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        // A product of zero would forget everything before it, so the sum stays in.
        self.value = (product.high ^ product.low) &+ (self.value << 7 | self.value >> 57) &+ 1
    }

    mutating func mix(_ bytes: [UInt8]) {
        self.mix(UInt64(bytes.count))
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset + 8 <= buffer.count {
                self.mix(UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
                offset += 8
            }
            var rest: UInt64 = 0
            for byte in buffer[offset...] { rest = rest << 8 | UInt64(byte) }
            self.mix(rest)
        }
    }

    mutating func mix(_ text: String) {
        self.mix(Array(text.utf8))
    }
}
