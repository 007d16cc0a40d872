// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress
public import RSerPoolCore
public import RSerPoolTransport
internal import RSerPoolWire

/// How a pool element or pool user finds registrars (RFC 5352 §3.6): by a list, by announcements, or both.
public struct RegistrarDiscovery: Sendable {
    /// In order of preference; they are never forgotten.
    public var registrars: [Endpoint]
    /// The multicast group and port to listen on for announcements, 224.0.1.185:3863 by the RFC. Nil: none.
    public var announceGroup: SocketAddress?

    /// Which of the registrars bend the RFCs, and how.
    public var dialects: [Endpoint: Dialect] = [:]

    public init(registrars: [Endpoint] = [], announceGroup: SocketAddress? = nil) {
        self.registrars = registrars
        self.announceGroup = announceGroup
    }

    /// The registrars on this list, in order of preference.
    public static func list(_ registrars: Endpoint...) -> RegistrarDiscovery {
        RegistrarDiscovery(registrars: registrars)
    }

    /// Looks names up.
    /// - Parameter onlySCTP: for pool elements, which may not use anything else: other entries are left out (ASAP-202).
    /// - Throws: ``PoolError`` if nothing is left to try (ASAP-189).
    func addresses(onlySCTP: Bool) async throws(PoolError) -> [RegistrarAddress] {
        var addresses: [RegistrarAddress] = []
        for endpoint in self.registrars {
            guard !endpoint.isSecured else {
                throw PoolError(.configurationInvalid, "registrar \(endpoint): TLS is not there yet; use sctp: or tcp:")
            }
            if onlySCTP, endpoint.scheme != .sctp { continue }
            do {
                let resolved = try await endpoint.lookedUp(defaultPort: ASAPMessage.port)
                addresses.append(
                    RegistrarAddress(
                        scheme: endpoint.scheme == .sctp ? .sctp : .tcp, addresses: resolved.addresses,
                        port: resolved.port, encapsulationPort: resolved.encapsulationPort,
                        dialect: self.dialects[endpoint] ?? .rfc))
            } catch {
                throw PoolError(.configurationInvalid, error.message)
            }
        }
        guard !addresses.isEmpty || self.announceGroup != nil else {
            throw PoolError(
                .configurationInvalid,
                "no registrar to ask: name one (sctp:192.0.2.1:3863), or a multicast group to hear announcements from")
        }
        return addresses
    }
}
