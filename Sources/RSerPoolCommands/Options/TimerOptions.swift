// SPDX-License-Identifier: Apache-2.0

package import RSerPoolCore

/// `--preset` and `--timer`: the timers and thresholds of RFC 5352 §7 and RFC 5353 §4.2 by their names in kebab case, and
/// our own.
package struct TimerSettings: Sendable {
    package private(set) var timers: ASAPTimers
    package private(set) var enrpTimers: ENRPTimers
    package private(set) var fastFailureDetection: Bool

    package init(preset: String?, timers settings: [String]) throws(CommandFailure) {
        switch preset {
        case nil, "rfc": (self.timers, self.enrpTimers, self.fastFailureDetection) = (.rfc, .rfc, false)
        case "lan": (self.timers, self.enrpTimers, self.fastFailureDetection) = (.lan, .lan, true)
        case .some(let text): throw CommandFailure(.usage, "--preset \(text): no such preset; write rfc or lan")
        }
        for setting in settings { try self.apply(setting) }
    }

    private static let durations: [(name: String, field: any WritableKeyPath<ASAPTimers, Duration> & Sendable)] = [
        ("t1-enrprequest", \.t1ENRPRequest), ("t2-registration", \.t2Registration),
        ("t3-deregistration", \.t3Deregistration), ("t5-serverhunt", \.t5Serverhunt),
        ("t6-serverannounce", \.t6Serverannounce), ("t7-enrpoutdate", \.t7ENRPOutdate),
        ("stale-cache-value", \.staleCacheValue), ("retran-max", \.retranMax),
        ("keep-alive-interval", \.keepAliveInterval), ("keep-alive-timeout", \.keepAliveTimeout),
        ("minimum-check-interval", \.minimumCheckInterval), ("hunt-stagger", \.huntStagger),
        ("hunt-retry-pause", \.huntRetryPause), ("poll-interval", \.pollInterval),
        ("home-check-interval", \.homeCheckInterval), ("stall-tolerance", \.stallTolerance),
    ]

    private static let counts: [(name: String, field: any WritableKeyPath<ASAPTimers, Int> & Sendable)] = [
        ("max-reg-attempt", \.maxRegAttempt), ("max-request-retransmit", \.maxRequestRetransmit),
        ("max-bad-pe-report", \.maxBadPEReport),
    ]

    private static let enrpDurations: [(name: String, field: any WritableKeyPath<ENRPTimers, Duration> & Sendable)] = [
        ("peer-heartbeat-cycle", \.peerHeartbeatCycle), ("max-time-last-heard", \.maxTimeLastHeard),
        ("max-time-no-response", \.maxTimeNoResponse), ("table-timeout", \.tableTimeout),
        ("mentor-retry-pause", \.mentorRetryPause), ("mentor-search-time", \.mentorSearchTime),
        ("reconnect-pause", \.reconnectPause), ("reconnect-max", \.reconnectMax),
    ]

    /// All names, with their values by default.
    package static let defaults: String = {
        let (asap, enrp) = (ASAPTimers.rfc, ENRPTimers.rfc)
        func text(_ duration: Duration) -> String {
            let milliseconds = duration / .milliseconds(1)
            return milliseconds < 1_000 ? "\(Int(milliseconds))ms" : "\(Int(milliseconds / 1_000))s"
        }
        let all =
            Self.durations.map { "\($0.name)=\(text(asap[keyPath: $0.field]))" }
            + Self.counts.map { "\($0.name)=\(asap[keyPath: $0.field])" } + ["t4-reregistration"]
            + Self.enrpDurations.map { "\($0.name)=\(text(enrp[keyPath: $0.field]))" }
            + ["keep-alives-per-second=\(enrp.keepAlivesPerSecond)"]
        return all.sorted().joined(separator: ", ")
    }()

    private mutating func apply(_ setting: String) throws(CommandFailure) {
        guard let equals = setting.firstIndex(of: "=") else {
            throw CommandFailure(
                .usage, "--timer \(setting): write NAME=DURATION, keep-alive-timeout=500ms for example")
        }
        let name = String(setting[..<equals])
        let value = String(setting[setting.index(after: equals)...])
        let option = "--timer \(name)"
        if let entry = Self.durations.first(where: { Self.isSame($0.name, name) }) {
            self.timers[keyPath: entry.field] = try parseDuration(value, option: option)
        } else if Self.isSame("t4-reregistration", name) {
            self.timers.t4Reregistration = try parseDuration(value, option: option)
        } else if let entry = Self.counts.first(where: { Self.isSame($0.name, name) }) {
            guard let count = Int(value), (0...1_000_000).contains(count) else {
                throw CommandFailure(.usage, "\(option)=\(value): no count; write \(name)=3 for example")
            }
            self.timers[keyPath: entry.field] = count
        } else if let entry = Self.enrpDurations.first(where: { Self.isSame($0.name, name) }) {
            self.enrpTimers[keyPath: entry.field] = try parseDuration(value, option: option)
        } else if Self.isSame("keep-alives-per-second", name) {
            guard let count = Int(value), (1...1_000_000).contains(count) else {
                throw CommandFailure(.usage, "\(option)=\(value): no rate; write \(name)=100 for example")
            }
            self.enrpTimers.keepAlivesPerSecond = count
        } else {
            let names =
                (Self.durations.map(\.name) + ["t4-reregistration", "keep-alives-per-second"] + Self.counts.map(\.name)
                + Self.enrpDurations.map(\.name)).sorted()
            throw CommandFailure(.usage, "\(option): no such timer; there are \(names.joined(separator: ", "))")
        }
    }

    /// Hyphens are a matter of taste: t1-enrp-request is t1-enrprequest.
    private static func isSame(_ name: String, _ other: String) -> Bool {
        name.filter { $0 != "-" } == other.lowercased().filter { $0 != "-" }
    }
}
