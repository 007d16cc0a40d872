// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolWire

/// The registrars that a pool element or pool user knows (RFC 5352 §3.6): configured ones, which stay, and announced
/// ones, each of which is forgotten T7 after its last announcement.
///
/// Announcements are not to be trusted and may come in floods (ASAP-203): at most `maxAnnounced` are kept, configured ones
/// come first, and an address that is known is not stored twice.
package struct RegistrarList: Sendable {
    package static let maxAnnounced = 64

    private struct Announced: Sendable {
        var address: RegistrarAddress
        var registrar: RegistrarID
        var lastHeard: ContinuousClock.Instant
    }

    package let configured: [RegistrarAddress]
    private let timers: ASAPTimers
    private var announced: [Announced] = []

    package init(configured: [RegistrarAddress], timers: ASAPTimers) {
        self.configured = configured
        self.timers = timers
    }

    /// Everyone to try, the preferred first.
    package var addresses: [RegistrarAddress] {
        self.configured + self.announced.map(\.address)
    }

    package var nextDeadline: ContinuousClock.Instant? {
        self.announced.map(\.lastHeard).min().map { $0 + self.lifetime }
    }

    /// Registrars announce every (N+1)·T6: with many of them T7 alone would forget each before its next word (ASAP-187).
    private var lifetime: Duration {
        let registrars = Set(self.announced.map(\.registrar)).count
        return max(self.timers.t7ENRPOutdate, self.timers.t6Serverannounce * (3 * registrars))
    }

    /// Takes an announcement (ASAP-183 to ASAP-187).
    ///
    /// - Parameter source: where it came from: without transports in it the registrar is there, SCTP port 3863. Unspecified
    ///   addresses in it mean the source too.
    /// - Returns: whether somebody new is on the list.
    @discardableResult
    package mutating func received(
        _ announce: ServerAnnounce, from source: IPAddress, now: ContinuousClock.Instant
    ) -> Bool {
        let addresses = Self.addresses(in: announce, from: source)
        var isNews = false
        for address in addresses where !self.configured.contains(address) {
            if let index = self.announced.firstIndex(where: { $0.address == address }) {
                self.announced[index].registrar = announce.registrar
                self.announced[index].lastHeard = now
            } else if self.announced.count < Self.maxAnnounced {
                self.announced.append(Announced(address: address, registrar: announce.registrar, lastHeard: now))
                isNews = true
            }
        }
        return isNews
    }

    /// Forgets who has not been announced for T7 (ASAP-186).
    package mutating func timersFired(now: ContinuousClock.Instant) {
        let lifetime = self.lifetime
        self.announced.removeAll { $0.lastHeard + lifetime <= now }
    }

    private static func addresses(in announce: ServerAnnounce, from source: IPAddress) -> [RegistrarAddress] {
        guard !announce.transports.isEmpty else {
            return [RegistrarAddress(scheme: .sctp, addresses: [source], port: ASAPMessage.port)]
        }
        return announce.transports.map { transport in
            switch transport {
            case .sctp(let sctp):
                let addresses = sctp.addresses.filter { !$0.isWildcard && !$0.isMulticast }
                return RegistrarAddress(
                    scheme: .sctp, addresses: addresses.isEmpty ? [source] : addresses, port: sctp.port,
                    encapsulationPort: announce.encapsulationPort)
            case .tcp(let tcp):
                return RegistrarAddress(
                    scheme: .tcp, addresses: [tcp.ip.isWildcard || tcp.ip.isMulticast ? source : tcp.ip], port: tcp.port
                )
            }
        }
    }
}
