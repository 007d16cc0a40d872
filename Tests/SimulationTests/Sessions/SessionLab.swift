// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPool
import RSerPoolRegistrar
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop
import Testing

/// A registrar of ours, elements that answer with their name and what they were sent, and a user.
struct SessionLab {
    let lab: ClientWorld
    let registrar: TestRegistrar
    let user: TestUser
    var elements: [TestElement] = []

    init(seed: UInt64 = 1, options: WorldOptions = WorldOptions()) throws {
        self.lab = ClientWorld(seed: seed, options: options)
        self.registrar = try self.lab.startRegistrar()
        self.user = try self.lab.user(registrars: [self.registrar.endpoint]) { $0.fastFailureDetection = true }
    }

    /// Elements named 1, 2, …, with these identifiers too.
    mutating func addEchoes(
        _ count: Int, _ adjust: (inout PoolElement.Configuration, Int) -> Void = { _, _ in }
    ) throws {
        for index in 1...count {
            let name = UInt8(index)
            self.elements.append(
                try self.lab.element(
                    "element-\(index)", registrars: [self.registrar.endpoint],
                    {
                        $0.id = PoolElementID(rawValue: UInt32(index))
                        adjust(&$0, index)
                    }, handler: { [name] + $0.bytes }))
        }
        try self.lab.world.run(for: .seconds(1))
    }

    mutating func addServer(
        _ index: Int, _ adjust: (inout PoolElement.Configuration) -> Void = { _ in },
        session: @escaping PoolElement.SessionHandler
    ) throws {
        self.elements.append(
            try self.lab.server(
                "server-\(index)", registrars: [self.registrar.endpoint],
                {
                    $0.id = PoolElementID(rawValue: UInt32(index))
                    adjust(&$0)
                }, session: session))
        try self.lab.world.run(for: .seconds(1))
    }

    func element(_ id: UInt32) throws -> TestElement { try #require(self.elements.first { $0.id == id }) }

    func crash(_ id: UInt32, _ death: Death = .process) throws {
        try self.lab.world.crash(self.element(id).node, death)
    }

    /// Nothing of the session is left in the user's process.
    func finish() throws {
        try self.lab.world.shutDown()
    }
}

/// A door that a test opens.
final class Gate: Sendable {
    private let opened = OneShot<Void>()

    func open() { self.opened.resolve(.success(())) }
    func pass() async throws { try await self.opened.value() }
}
