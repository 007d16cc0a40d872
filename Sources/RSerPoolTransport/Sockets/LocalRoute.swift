// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The system's choice of way to an address.
enum LocalRoute {
    /// The local address that packets to `remote` leave from; nil when there is no way, or no descriptor to ask with.
    static func source(to remote: IPAddress) -> IPAddress? {
        let any = SocketAddress(ip: remote.family == .ipv4 ? .anyIPv4 : .anyIPv6, port: 0)
        var system = csl_address(any)
        let descriptor = csl_udp_open(&system, 0, 0, 0)
        guard descriptor >= 0 else { return nil }
        defer { csl_close(descriptor) }
        // Connecting a datagram socket sends nothing; the port does not matter.
        let isThere = SocketAddress(ip: remote, port: 9).withSystemAddress { connect(descriptor, $0, $1) } == 0
        guard isThere else { return nil }
        let (status, address) = SocketAddress.fromSystem { getsockname(descriptor, $0, $1) }
        guard status == 0, let ip = address?.ip, !ip.isWildcard else { return nil }
        return ip
    }
}
