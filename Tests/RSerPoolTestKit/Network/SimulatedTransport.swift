// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport

/// A node's access to the network.
struct SimulatedTransport: Transport {
    let node: Node

    func open(_ options: PortOptions, receiver: any PortReceiver) async throws(TransportError) -> any Port {
        try self.checkAlive()
        return try SimulatedPort(options, on: self.node, receiver: receiver)
    }

    func open(
        _ options: DatagramOptions, receiver: any DatagramReceiver
    ) async throws(TransportError) -> any DatagramPort {
        try self.checkAlive()
        return try SimulatedDatagramPort(options, on: self.node, receiver: receiver)
    }

    private func checkAlive() throws(TransportError) {
        self.node.checkCaller("a port to open")
        if self.node.isMuted { throw TransportError(.failed, "\(self.node.name) has been crashed") }
    }
}
