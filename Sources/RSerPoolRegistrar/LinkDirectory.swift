// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolTransport

/// Which link leads to an address and a port: one process may have very many elements, which are asked over one link.
struct LinkDirectory: Sendable {
    private struct Place: Hashable, Sendable {
        let port: PortID
        let address: IPAddress
        let remotePort: UInt16
    }

    private var links: [Place: [Link]] = [:]

    private static func places(of remote: RemoteEndpoint, at port: PortID) -> [Place] {
        remote.addresses.map { Place(port: port, address: $0, remotePort: remote.port) }
    }

    mutating func add(_ link: Link) {
        for place in Self.places(of: link.remote, at: link.id.port) { self.links[place, default: []].append(link) }
    }

    mutating func remove(_ link: Link) {
        for place in Self.places(of: link.remote, at: link.id.port) {
            self.links[place]?.removeAll { $0.id == link.id }
            if self.links[place]?.isEmpty == true { self.links[place] = nil }
        }
    }

    /// A link of that port to one of these addresses. Where SCTP is carried in UDP, two processes of one machine may have the
    /// same SCTP port.
    func link(to remote: RemoteEndpoint, at port: PortID) -> Link? {
        for place in Self.places(of: remote, at: port) {
            let found = self.links[place]?.first { link in
                link.remote.encapsulationPort == nil || remote.encapsulationPort == nil
                    || link.remote.encapsulationPort == remote.encapsulationPort
            }
            if let found { return found }
        }
        return nil
    }
}
