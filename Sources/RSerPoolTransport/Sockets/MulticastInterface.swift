// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A network interface that is up and has an address of the family in question.
struct MulticastInterface: Hashable {
    /// A socket's memberships are limited by the system (IPv4: 20 by default); further interfaces are left out.
    static let limit = 20

    let index: UInt32
    let isLoopback: Bool

    /// Those that can multicast and the loopback interface, the latter last.
    static func all(_ family: IPAddress.Family) -> [MulticastInterface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: Set<MulticastInterface> = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            let flags = entry.pointee.ifa_flags
            let isLoopback = flags & UInt32(IFF_LOOPBACK) != 0
            guard flags & UInt32(IFF_UP) != 0, isLoopback || flags & UInt32(IFF_MULTICAST) != 0,
                let address = entry.pointee.ifa_addr, let ip = SocketAddress(system: address)?.ip, ip.family == family
            else { continue }
            let index = if_nametoindex(entry.pointee.ifa_name)
            if index != 0 { found.insert(MulticastInterface(index: index, isLoopback: isLoopback)) }
        }
        let sorted = found.sorted { ($0.isLoopback ? 1 : 0, $0.index) < ($1.isLoopback ? 1 : 0, $1.index) }
        return Array(sorted.prefix(self.limit))
    }
}
