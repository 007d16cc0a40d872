// SPDX-License-Identifier: Apache-2.0

internal import CSCTP
internal import NetworkAddress
internal import SocketLoop

/// The kernel's SCTP, through one-to-many sockets.
final class KernelStack: StackOpener, @unchecked Sendable {
    // Proof of @unchecked Sendable: `incoming` is made on first use on the loop's thread and touched only there.

    let loop: SocketLoop
    private var batch: OpaquePointer?
    /// What one descriptor's batch caused to be sent.
    private var outbox: OpaquePointer?

    /// Messages or pieces read at once, per descriptor and turn.
    static let batchSize = 32
    /// Longer messages come in pieces.
    private static let slot = 65_536

    init(loop: SocketLoop) {
        self.loop = loop
    }

    deinit {
        csctp_batch_destroy(self.batch)
        csctp_outbox_destroy(self.outbox)
    }

    func open(_ options: SCTPEndpointOptions) throws(SCTPError) -> any StackSocket {
        if self.batch == nil { self.batch = csctp_batch_create(CInt(Self.batchSize), Self.slot) }
        if self.outbox == nil { self.outbox = csctp_outbox_create(CInt(Self.batchSize), Self.slot) }
        guard let batch = self.batch, let outbox = self.outbox else {
            throw SCTPError(.noResources, "no memory for kernel SCTP")
        }
        let socket = try KernelSocket(options, stack: self, batch: batch, outbox: outbox)
        try socket.start()
        return socket
    }
}

extension csctp_address {
    init(_ ip: IPAddress) {
        self.init()
        self.family = ip.family.rawValue
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
