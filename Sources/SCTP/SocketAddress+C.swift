// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress

extension csl_address {
    init(_ ip: IPAddress, port: UInt16) {
        self.init()
        self.family = ip.family.rawValue
        self.port = port
        if let value = ip.ipv4Value {
            self.high = UInt64(value) << 32
        } else if let value = ip.ipv6Value {
            self.high = value.high
            self.low = value.low
        }
    }

    /// Nil for "none".
    var ip: IPAddress? {
        switch self.family {
        case 4: .ipv4(UInt32(truncatingIfNeeded: self.high >> 32))
        case 16: .ipv6(self.high, self.low)
        default: nil
        }
    }
}
