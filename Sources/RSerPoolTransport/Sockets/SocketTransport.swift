// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import SCTP
internal import SocketLoop

/// Sockets on one loop: SCTP of either stack, TCP, UDP, UDP multicast.
package final class SocketTransport: Transport {
    private let loop: SocketLoop
    /// Or why there is none.
    private let stack: Result<SCTPStack, TransportError>
    private let encapsulationPort: UInt16
    private let lastPort = Locked<UInt32>(0)

    init(loop: SocketLoop, stack: Result<SCTPStack, TransportError>, encapsulationPort: UInt16) {
        self.loop = loop
        self.stack = stack
        self.encapsulationPort = encapsulationPort
    }

    package nonisolated(nonsending) func open(
        _ options: PortOptions, receiver: any PortReceiver
    ) async throws(TransportError) -> any Port {
        guard options.localAddresses.allSatisfy({ !$0.isMulticast }) else {
            throw TransportError(.addressNotAvailable, "a multicast address is nobody's own; choose another one")
        }
        switch options.scheme {
        case .sctp:
            let port = try await SCTPPort(
                id: self.nextID(), options: options, encapsulationPort: self.encapsulationPort, stack: self.stack.get())
            await port.start(receiver)
            return port
        case .tcp(let framing):
            let limits = TCPLimits(isFast: options.fastFailureDetection)
            let port = try TCPPort(
                id: self.nextID(), options: options, framing: framing, limits: limits, loop: self.loop)
            try await port.start(receiver)
            return port
        case .udp:
            let port = try UDPPort(id: self.nextID(), options: options, loop: self.loop)
            await port.start(receiver)
            return port
        }
    }

    package nonisolated(nonsending) func open(
        _ options: DatagramOptions, receiver: any DatagramReceiver
    ) async throws(TransportError) -> any DatagramPort {
        let port = try MulticastPort(options, loop: self.loop)
        try await port.start(receiver)
        return port
    }

    private func nextID() -> PortID {
        self.lastPort.withLock { last in
            last += 1
            return PortID(rawValue: last)
        }
    }
}
