// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import SocketLoop

/// Both ends of a conversation without sessions: a port that sends back what comes, and a port that asks again with each answer.
/// Both live on the host's one thread, as does the session that is compared with them: what is measured is work, not wake-ups.
actor Echo: PortReceiver {
    private nonisolated let host: Host
    private var port: (any Port)?

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    init(_ host: Host) {
        self.host = host
    }

    /// Opens it and says where it is.
    func open(_ scheme: PortOptions.Scheme) async throws -> LocalEndpoint {
        let port = try await self.host.transport.open(
            PortOptions(scheme: scheme, localAddresses: [.loopbackIPv4], acceptsLinks: true), receiver: self)
        self.port = port
        return port.local
    }

    func close() async {
        await self.port?.close(within: .zero)
    }

    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        guard case .message(let message, let link) = event else { return }
        // ASAP's own messages, a card or a cookie, want no answer.
        guard message.payloadProtocol != 11 else { return }
        try? port.send(
            OutboundMessage(bytes: message.bytes, payloadProtocol: message.payloadProtocol), on: link)
    }
}

/// Asks over a port, one question after the other on each of its links.
actor Asker: PortReceiver {
    private nonisolated let host: Host
    private var port: (any Port)?
    private var left = 0
    private var waiting = 0
    private var isUp = OneShot<Void>()
    private var isDone = OneShot<Void>()
    private var links: [LinkID] = []
    private var question: [UInt8] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    init(_ host: Host) {
        self.host = host
    }

    func connect(_ scheme: PortOptions.Scheme, to remote: RemoteEndpoint, links: Int) async throws {
        for _ in 0..<links {
            // Between two SCTP endpoints there is one association.
            if self.port == nil {
                self.port = try await self.host.transport.open(PortOptions(scheme: scheme), receiver: self)
            }
            self.isUp = OneShot()
            _ = try self.port?.connect(to: remote)
            try await self.isUp.value()
        }
    }

    func ask(_ count: Int, _ question: [UInt8]) async throws {
        self.isDone = OneShot()
        self.left = count
        self.question = question
        for link in self.links { self.askNext(link) }
        try await self.isDone.value()
    }

    private func askNext(_ link: LinkID) {
        guard self.left > 0 else {
            if self.waiting == 0 { self.isDone.resolve(.success(())) }
            return
        }
        self.left -= 1
        self.waiting += 1
        try? self.port?.send(OutboundMessage(bytes: self.question, payloadProtocol: 0), on: link)
    }

    func close() async {
        await self.port?.close(within: .zero)
    }

    nonisolated func received(_ event: LinkEvent, from port: any Port) {
        self.assumeIsolated { asker in
            switch event {
            case .up(let link):
                asker.links.append(link.id)
                asker.isUp.resolve(.success(()))
            case .message(_, let link):
                asker.waiting -= 1
                asker.askNext(link)
            case .down(_, let reason): asker.isDone.resolve(.failure(PortEnded(reason: reason)))
            case .writable, .unsent: break
            }
        }
    }
}

struct PortEnded: Error {
    let reason: LinkDownReason
}
