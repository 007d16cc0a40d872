// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

/// How much of everything a registrar holds: for tests of what must not grow.
package struct RegistrarFigures: Hashable, Sendable {
    package var links: Int
    package var connections: Int
    package var openings: Int
    package var challenges: Int
    package var subscriptions: Int
    package var givenUp: Int
    package var elements: Int
    package var pools: Int
    package var deadlines: Int
    package var bookEntries: Int
    package var adopted: Int
    /// The registrars that are being taken over here.
    package var takeovers: [RegistrarID]
    /// Homes of elements that are no peers.
    package var absentOwners: Int
    package var isServing: Bool
    /// The PE checksum over its own elements.
    package var checksum: UInt16
}

extension Registrar {
    /// Whether pool elements and pool users are let in.
    package var isReady: Bool { !self.isLearning && !self.enrpPorts.isEmpty }

    package var figures: RegistrarFigures {
        RegistrarFigures(
            links: self.links.count, connections: self.connections.count,
            openings: self.opening.count + self.openingTo.count, challenges: self.challenges.count,
            subscriptions: self.subscriptionCount, givenUp: self.givenUp.count, elements: self.elements.count,
            pools: self.pools.count, deadlines: self.deadlines.count, bookEntries: self.book.numbers.count,
            adopted: self.adopted.count, takeovers: self.takeovers.keys.sorted(),
            absentOwners: self.absentOwners.count, isServing: !self.isLearning,
            checksum: self.handlespace.checksum(of: self.id))
    }
}
