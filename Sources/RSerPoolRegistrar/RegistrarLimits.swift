// SPDX-License-Identifier: Apache-2.0

/// Every bound of a registrar. What happens at one is answered on the wire where the protocol has an answer, and counted
/// (``RegistrarCounter``). Where somebody is turned away or something is lost for lack of room, a warning names the bound,
/// once a minute.
///
/// | limit | default | at the limit | counter |
/// |---|---|---|---|
/// | ``maxPools`` | 1 000 000 | a registration for a new pool is rejected with cause 0x0006 | `registrations_rejected` |
/// | ``maxElements`` | 2 000 000 | a new registration is rejected with cause 0x0006 | `registrations_rejected` |
/// | ``maxHandleLength`` | 1 024 octets | a registration is rejected with cause 0x0003 | `registrations_rejected` |
/// | ``maxElementsPerLink`` | 100 000 | a new registration is rejected with cause 0x0006 | `registrations_rejected` |
/// | ``maxLinks`` | 20 000 for each endpoint | a further association or connection is refused | `links_refused` |
/// | ``maxSubscriptions`` | 100 000 | an S bit is answered with A = 0 | `subscriptions_refused` |
/// | ``maxSubscriptionsPerLink`` | 4 096 | an S bit is answered with A = 0 | `subscriptions_refused` |
/// | ``sendBuffer`` | 1 MiB for each link | updates are merged, other answers dropped | `answers_dropped`, `updates_deferred` |
/// | ``maxAnswerElements`` | 128 | an answer lists that many, chosen by policy, unless the user asks for another number | none |
/// | ``maxPeers`` | 256 | one that never said where it can be reached makes room, else a further one's association is aborted | `peers_refused` |
/// | ``maxDownloads`` | 16 | a further download of the handlespace is rejected, R = 1 | `downloads_refused` |
/// | ``peerSendBuffer`` | 16 MiB for each peer | updates are dropped; an audit makes them good | `peer_updates_dropped` |
/// | ``maxChallenges`` | 1 024 | a registration with an identifier in use is rejected without probing its holder | `registrations_rejected` |
public struct RegistrarLimits: Hashable, Sendable {
    public var maxPools = 1_000_000
    public var maxElements = 2_000_000
    /// Octets.
    public var maxHandleLength = 1_024
    public var maxElementsPerLink = 100_000
    /// Incoming associations or connections at a time, for each endpoint.
    public var maxLinks = 20_000
    public var maxSubscriptions = 100_000
    public var maxSubscriptionsPerLink = 4_096
    /// Octets waiting to be sent on one link.
    public var sendBuffer = 1 << 20
    /// Elements in an answer where the request names no number.
    public var maxAnswerElements = 128
    /// Registrations that wait for a probe of the element whose identifier they have.
    public var maxChallenges = 1_024
    /// Other registrars.
    public var maxPeers = 256
    /// Downloads of the handlespace, or parts of it, at a time.
    public var maxDownloads = 16
    /// Octets waiting to be sent to one peer.
    public var peerSendBuffer = 16 << 20

    public init() {}
}
