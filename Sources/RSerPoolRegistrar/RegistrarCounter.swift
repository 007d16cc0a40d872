// SPDX-License-Identifier: Apache-2.0

internal import Metrics

/// What a registrar counts since it started; as a metric each is called `rserpool_registrar_` and its ``name``.
public enum RegistrarCounter: Int, CaseIterable, Hashable, Sendable {
    case messagesReceived
    /// Not readable as a message.
    case messagesMalformed
    /// Readable, but not for a registrar, or on the wrong payload protocol.
    case messagesIgnored
    case registrationsAccepted
    case registrationsRejected
    case deregistrations
    case deregistrationsRejected
    case resolutions
    case resolutionsFailed
    case keepAlivesSent
    case keepAlivesAcknowledged
    case unreachableReports
    /// Elements removed without having asked for it.
    case elementsRemoved
    case subscriptions
    case subscriptionsRefused
    case updatesSent
    /// Updates that a slow subscriber gets later, merged.
    case updatesDeferred
    /// Answers that found a full send buffer, or were too long to be sent.
    case answersDropped
    /// Associations and connections above `maxLinks`.
    case linksRefused
    /// How often connections were left waiting because the system had no descriptor or memory left.
    case acceptPauses
    case announcementsSent
    /// How often this process found that it had been stopped.
    case stalls

    // Between registrars.

    case peerMessagesReceived
    case peerErrorsReceived
    case presencesSent
    /// Messages of registrars above `maxPeers`.
    case peersRefused
    /// Peers that were found dead.
    case peersDied
    /// Messages with our own ID, or of two registrars with one ID.
    case identifierClashes
    /// Updates that a peer's full buffer did not take; its next audit makes them good.
    case peerUpdatesDropped
    /// Entries of peers that were not stored.
    case updatesRefused
    /// Elements that had to leave because their pool exists with another policy or transport type.
    case membersExpelled
    /// Table requests above `maxDownloads`, or before we serve.
    case downloadsRefused
    /// Audits that found a difference.
    case resynchronizations
    /// Copies that were removed because their home did not list them.
    case replicasPurged
    /// Copies whose life ended without a word of their home.
    case replicasExpired
    case takeoversInitiated
    case takeoversCompleted
    /// Takeovers without the agreement of a peer that said nothing.
    case takeoversForced
    /// How often others took us over although we live.
    case takeoversSuffered
    case elementsInherited
    /// Elements that have taken us for their home by their answer to a keep-alive.
    case elementsRehomed
    /// Elements that were given up by mistake, and taken back.
    case elementsReclaimed
    /// Elements that were removed by another registrar while linked to us as their home, and were told so.
    case elementsToldGone
    /// Elements that a peer and we claimed.
    case homesDisputed

    /// As metrics and logs have it: `messages_received`.
    public var name: String {
        String(describing: self).reduce(into: "") { name, letter in
            if letter.isUppercase { name += "_" }
            name += letter.lowercased()
        }
    }
}

/// The counts of one registrar, mirrored to swift-metrics.
struct RegistrarCounts: Sendable {
    // Both by the counters' numbers: each message is counted twice, and a look-up by name would cost more than it does otherwise.
    private var values = [UInt64](repeating: 0, count: RegistrarCounter.allCases.count)
    private let metrics = RegistrarCounter.allCases.map { Counter(label: "rserpool_registrar_" + $0.name) }

    subscript(_ counter: RegistrarCounter) -> UInt64 { self.values[counter.rawValue] }

    mutating func count(_ counter: RegistrarCounter, by amount: Int = 1) {
        guard amount > 0 else { return }
        self.values[counter.rawValue] += UInt64(amount)
        self.metrics[counter.rawValue].increment(by: amount)
    }

    /// Those that have counted something.
    var all: [RegistrarCounter: UInt64] {
        let counted = RegistrarCounter.allCases.filter { self[$0] > 0 }
        return Dictionary(uniqueKeysWithValues: counted.map { ($0, self[$0]) })
    }
}
