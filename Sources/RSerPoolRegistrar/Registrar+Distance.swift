// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// How far away elements and other registrars are (draft-dreibholz-rserpool-delay). Only elements whose policy has a distance
// cost anything here.
extension Registrar {
    /// An element's values with the distance that we measure, whatever it claims itself; with the one that was known until
    /// there is something to measure by.
    func measured(_ policy: PoolPolicy, of key: ElementKey, over link: LinkState) -> PoolPolicy {
        guard policy.distance != nil else { return policy }
        let distance = Self.distance(over: link.link.id, link.port) ?? self.handlespace.member(key)?.policy.distance
        return policy.at(distance: distance ?? 0)
    }

    /// An element of ours has answered: is it where it was? A change is told like one of any other value.
    func measure(_ key: ElementKey, over link: LinkState, now: ContinuousClock.Instant) {
        guard self.handlespace.hasDistances, var member = self.handlespace.member(key), member.home == self.id,
            let distance = Self.distance(over: link.link.id, link.port), let known = member.policy.distance,
            distance != known
        else { return }
        member.policy = member.policy.at(distance: distance)
        guard case .updated(changed: true) = self.handlespace.register(member, in: key.pool) else { return }
        self.announce(member, in: key.pool)
        self.poolChanged(key.pool, .changed(key.id), now: now)
    }

    /// Measures another registrar, over the link that we have to it.
    ///
    /// - Parameter isAwaited: an element of it with a distance is about to come.
    func measure(_ peer: PeerLink, isAwaited: Bool = false) {
        guard isAwaited || self.handlespace.hasDistances,
            let distance = peer.assumeIsolated({ peer in
                peer.link.flatMap { link in peer.port.flatMap { Self.distance(over: link, $0) } }
            })
        else { return }
        self.handlespace.setDistance(distance, to: peer.id)
    }

    private static func distance(over link: LinkID, _ port: any Port) -> UInt32? {
        port.smoothedRoundTripTime(of: link).map { PoolPolicy.distance(ofRoundTrip: $0) }
    }
}
