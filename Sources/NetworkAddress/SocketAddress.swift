// SPDX-License-Identifier: Apache-2.0

/// An IP address and a port.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    public var ip: IPAddress
    public var port: UInt16

    public init(ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }

    /// `192.0.2.1:3863` or `[2001:db8::1]:3863`.
    public var description: String {
        switch self.ip.family {
        case .ipv4: "\(self.ip):\(self.port)"
        case .ipv6: "[\(self.ip)]:\(self.port)"
        }
    }
}
