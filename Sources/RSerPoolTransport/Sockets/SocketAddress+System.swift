// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

#if canImport(Glibc)
internal import Glibc
/// `SOCK_STREAM`, an enumeration in this C library and a number in others.
let systemStream = CInt(SOCK_STREAM.rawValue)
let systemSocketFlags = CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
let systemTCP = CInt(IPPROTO_TCP)
let systemIPv6 = CInt(IPPROTO_IPV6)
#elseif canImport(Musl)
internal import Musl
let systemStream = SOCK_STREAM
let systemSocketFlags = SOCK_NONBLOCK | SOCK_CLOEXEC
let systemTCP = CInt(IPPROTO_TCP)
let systemIPv6 = CInt(IPPROTO_IPV6)
#endif

extension SocketAddress {
    /// Reads a system address; IPv4 in IPv6 becomes IPv4. Nil for another family.
    init?(system address: UnsafePointer<sockaddr>) {
        let raw = UnsafeRawPointer(address)
        switch CInt(address.pointee.sa_family) {
        case AF_INET:
            let value = raw.loadUnaligned(as: sockaddr_in.self)
            self.init(ip: .ipv4(UInt32(bigEndian: value.sin_addr.s_addr)), port: UInt16(bigEndian: value.sin_port))
        case AF_INET6:
            let value = raw.loadUnaligned(as: sockaddr_in6.self)
            let octets = withUnsafeBytes(of: value.sin6_addr) { Array($0) }
            guard let ip = IPAddress(octets: octets) else { return nil }
            self.init(ip: ip.unmapped, port: UInt16(bigEndian: value.sin6_port))
        default:
            return nil
        }
    }

    /// Calls `body` with this address as the system wants it.
    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch self.ip.family {
        case .ipv4:
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = self.port.bigEndian
            withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: self.ip.octets) }
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: value, as: sockaddr_in.self) }
            length = MemoryLayout<sockaddr_in>.size
        case .ipv6:
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = self.port.bigEndian
            withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: self.ip.octets) }
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: value, as: sockaddr_in6.self) }
            length = MemoryLayout<sockaddr_in6>.size
        }
        return withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }

    /// Calls `body` to fill in a system address, and reads it.
    static func fromSystem<Status>(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Status
    ) -> (status: Status, address: SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                let status = body(address, &length)
                return (status, SocketAddress(system: address))
            }
        }
    }
}
