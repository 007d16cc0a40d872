// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import NetworkAddress

/// Room for the datagrams of one turn.
final class DatagramBatch {
    struct Datagram {
        var bytes: [UInt8]
        var source: SocketAddress
        /// With IPv6 the address it was sent to.
        var destination: IPAddress?
    }

    private let batch: OpaquePointer

    /// Nil when there is no memory.
    init?(capacity: Int, slot: Int) {
        guard let batch = csl_batch_create(CInt(capacity), slot) else { return nil }
        self.batch = batch
    }

    deinit {
        csl_batch_destroy(self.batch)
    }

    /// Takes what waits, as much as there is room for. Counts what was too long.
    func receive(from descriptor: CInt, truncated: inout Int) -> [Datagram] {
        let count = csl_batch_receive(self.batch, descriptor)
        guard count > 0 else { return [] }
        var datagrams: [Datagram] = []
        for index in 0..<count {
            let length = csl_batch_length(self.batch, index)
            guard length >= 0 else {
                truncated += 1
                continue
            }
            var remote = csl_address()
            var local = csl_address()
            csl_batch_addresses(self.batch, index, &remote, &local)
            guard let source = SocketAddress(remote) else { continue }
            let bytes = Array(UnsafeBufferPointer(start: csl_batch_bytes(self.batch, index), count: length))
            datagrams.append(Datagram(bytes: bytes, source: source, destination: SocketAddress(local)?.ip))
        }
        return datagrams
    }
}

extension SocketAddress {
    /// Nil for no address.
    init?(_ address: csl_address) {
        switch address.family {
        case 4: self.init(ip: .ipv4(UInt32(truncatingIfNeeded: address.high >> 32)), port: address.port)
        case 16: self.init(ip: IPAddress.ipv6(address.high, address.low).unmapped, port: address.port)
        default: return nil
        }
    }
}

extension csl_address {
    init(_ address: SocketAddress) {
        self.init()
        self.family = address.ip.family.rawValue
        self.port = address.port
        if let value = address.ip.ipv4Value {
            self.high = UInt64(value) << 32
        } else if let halves = address.ip.ipv6Value {
            self.high = halves.high
            self.low = halves.low
        }
    }
}
