// SPDX-License-Identifier: Apache-2.0

internal import Metrics

/// What a registrar counts since it started; as a metric each is called `rserpool_registrar_` and its raw value.
public enum RegistrarCounter: String, CaseIterable, Hashable, Sendable {
    case messagesReceived = "messages_received"
    /// Not readable as a message.
    case messagesMalformed = "messages_malformed"
    /// Readable, but not for a registrar, or on the wrong payload protocol.
    case messagesIgnored = "messages_ignored"
    case registrationsAccepted = "registrations_accepted"
    case registrationsRejected = "registrations_rejected"
    case deregistrations
    case deregistrationsRejected = "deregistrations_rejected"
    case resolutions
    case resolutionsFailed = "resolutions_failed"
    case keepAlivesSent = "keep_alives_sent"
    case keepAlivesAcknowledged = "keep_alives_acknowledged"
    case unreachableReports = "unreachable_reports"
    /// Elements removed without having asked for it.
    case elementsRemoved = "elements_removed"
    case subscriptions
    case subscriptionsRefused = "subscriptions_refused"
    case updatesSent = "updates_sent"
    /// Updates that a slow subscriber gets later, merged.
    case updatesDeferred = "updates_deferred"
    /// Answers that found a full send buffer, or were too long to be sent.
    case answersDropped = "answers_dropped"
    /// Associations and connections above `maxLinks`.
    case linksRefused = "links_refused"
    /// How often connections were left waiting because the system had no descriptor or memory left.
    case acceptPauses = "accept_pauses"
    case announcementsSent = "announcements_sent"
    /// How often this process found that it had been stopped.
    case stalls

    // Between registrars.

    case peerMessagesReceived = "peer_messages_received"
    case peerErrorsReceived = "peer_errors_received"
    case presencesSent = "presences_sent"
    /// Messages of registrars above `maxPeers`.
    case peersRefused = "peers_refused"
    /// Peers that were found dead.
    case peersDied = "peers_died"
    /// Messages with our own ID, or of two registrars with one ID.
    case identifierClashes = "identifier_clashes"
    /// Updates that a peer's full buffer did not take; its next audit makes them good.
    case peerUpdatesDropped = "peer_updates_dropped"
    /// Entries of peers that were not stored.
    case updatesRefused = "updates_refused"
    /// Elements that had to leave because their pool exists with another policy or transport type.
    case membersExpelled = "members_expelled"
    /// Table requests above `maxDownloads`, or before we serve.
    case downloadsRefused = "downloads_refused"
    /// Audits that found a difference.
    case resynchronizations
    /// Copies that were removed because their home did not list them.
    case replicasPurged = "replicas_purged"
    /// Copies whose life ended without a word of their home.
    case replicasExpired = "replicas_expired"
    case takeoversInitiated = "takeovers_initiated"
    case takeoversCompleted = "takeovers_completed"
    /// Takeovers without the agreement of a peer that said nothing.
    case takeoversForced = "takeovers_forced"
    /// How often others took us over although we live.
    case takeoversSuffered = "takeovers_suffered"
    case elementsInherited = "elements_inherited"
    /// Elements that have taken us for their home by their answer to a keep-alive.
    case elementsRehomed = "elements_rehomed"
    /// Elements that were given up by mistake, and taken back.
    case elementsReclaimed = "elements_reclaimed"
    /// Elements that were removed by another registrar while linked to us as their home, and were told so.
    case elementsToldGone = "elements_told_gone"
    /// Elements that a peer and we claimed.
    case homesDisputed = "homes_disputed"
}

/// The counts of one registrar, mirrored to swift-metrics.
struct RegistrarCounts: Sendable {
    private var values: [RegistrarCounter: UInt64] = [:]
    private let metrics: [RegistrarCounter: Counter]

    init() {
        self.metrics = Dictionary(
            uniqueKeysWithValues: RegistrarCounter.allCases.map {
                ($0, Counter(label: "rserpool_registrar_" + $0.rawValue))
            })
    }

    subscript(_ counter: RegistrarCounter) -> UInt64 { self.values[counter] ?? 0 }

    mutating func count(_ counter: RegistrarCounter, by amount: Int = 1) {
        guard amount > 0 else { return }
        self.values[counter, default: 0] += UInt64(amount)
        self.metrics[counter]?.increment(by: amount)
    }

    var all: [RegistrarCounter: UInt64] { self.values }
}
