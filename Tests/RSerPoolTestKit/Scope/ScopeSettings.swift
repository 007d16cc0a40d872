// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
package import RSerPoolCore
internal import RSerPoolTransport
package import RSerPoolWire

/// What kind of scope a seed stands for: who lives in it, with which timers, on what kind of network.
package struct ScopeSettings: Sendable {
    package enum Preset: String, Sendable {
        case lan
        case rfc
    }

    /// How registrars find one another.
    package enum Acquaintance: String, Sendable {
        /// Each is told of all others.
        case all
        /// Each is told of the one before it only; it hears of the others from peers.
        case chain
        case multicast
    }

    /// How elements and users find registrars. Each of them knows all of them.
    package enum Discovery: String, Sendable {
        case list
        case announcements
        case both
    }

    package struct PoolSettings: Sendable {
        package var handle: PoolHandle
        /// Least used, else round robin.
        package var isAdaptive: Bool
        package var elements: Int
    }

    package let seed: UInt64
    package var preset: Preset
    package var stack: WorldOptions.SCTPStack
    package var registrars: Int
    package var pools: [PoolSettings]
    package var users: Int
    package var acquaintance: Acquaintance
    package var discovery: Discovery
    package var conditions: PathConditions
    /// How long a registration holds, seconds.
    package var life: Int32
    /// Clocks are wrong by up to so many millionths.
    package var maxDrift: Int64
    /// How often things go wrong, are healed, and have to be well again. 0: nothing ever goes wrong.
    package var episodes: Int

    package init(seed: UInt64) {
        var seeds = SeedSequence(seed, for: "scope")
        var generator = seeds.makeGenerator()
        self.seed = seed
        let isCalm = generator.chance(0.08)
        self.preset = generator.chance(0.7) ? .lan : .rfc
        self.stack = generator.chance(0.6) ? .userland : .kernel
        self.registrars = [2, 2, 3, 3, 3, 3, 4, 4, 5, 5][Int(generator.below(10))]
        let elements = 1 + generator.below([3, 8, 30][Int(generator.below(3))])
        let poolCount = min(elements, 1 + generator.below(4))
        // With handles this long a table of some elements takes several messages.
        let padding = generator.chance(0.15) ? String(repeating: "-", count: 1_000) : ""
        self.pools = (0..<poolCount).map { index in
            PoolSettings(
                handle: PoolHandle("pool-\(index)\(padding)"), isAdaptive: generator.chance(0.6),
                elements: Int(elements / poolCount + (index < elements % poolCount ? 1 : 0)))
        }
        self.users = 1 + Int(generator.below(4))
        self.acquaintance = [.all, .all, .chain, .multicast][Int(generator.below(4))]
        self.discovery = [.list, .list, .announcements, .both][Int(generator.below(4))]
        let isLossy = !isCalm && generator.chance(0.4)
        let isFar = self.preset == .rfc && generator.chance(0.5)
        self.conditions = PathConditions(
            latency: isFar ? .milliseconds(20) : .microseconds(100),
            jitter: isFar ? .milliseconds(30) : .microseconds(900), loss: isLossy ? 0.01 : 0,
            duplication: generator.chance(0.3) ? 0.05 : 0,
            retransmission: self.preset == .lan ? .milliseconds(50) : .milliseconds(300))
        self.life = Int32(self.preset == .lan ? 4 + generator.below(17) : 50 + generator.below(100))
        self.maxDrift = generator.chance(0.5) ? 20_000 : 0
        self.episodes = isCalm ? 0 : 1 + Int(generator.below(4))
    }

    package var isCalm: Bool { self.episodes == 0 }
    package var times: ScopeTimes { ScopeTimes(self.preset, life: .seconds(Int64(self.life))) }

    package var worldOptions: WorldOptions {
        var options = WorldOptions()
        options.sctpStack = self.stack
        options.conditions = self.conditions
        return options
    }
}

extension ScopeSettings: CustomStringConvertible {
    package var description: String {
        let elements = self.pools.map { "\($0.elements)\($0.isAdaptive ? "a" : "")" }.joined(separator: "+")
        return """
            \(self.preset.rawValue), \(self.stack) SCTP, \(self.registrars) registrars (\(self.acquaintance.rawValue)), \
            elements \(elements) (\(self.pools[0].handle.octets.count > 100 ? "long handles, " : "")\(self.discovery.rawValue), life \(self.life) s), \(self.users) users, \
            latency \(self.conditions.latency)+\(self.conditions.jitter), loss \(self.conditions.loss), \
            duplication \(self.conditions.duplication), drift \(self.maxDrift) ppm, \(self.episodes) episodes
            """
    }
}

/// The times of a scope's life that follow from its timers.
package struct ScopeTimes: Sendable {
    package let asap: ASAPTimers
    package let enrp: ENRPTimers
    package let fastFailureDetection: Bool
    /// How often the scope is looked at.
    package let slice: Duration
    /// How long things go wrong.
    package let trouble: ClosedRange<Duration>
    /// The mean pause between two things that go wrong.
    package let faultPause: Duration
    /// How long a thing is wrong; drawn so that each doubling is as likely as the next.
    package let shortestFault: Duration
    package let doublings: UInt64
    /// When, after everything was healed, all has to be well again at the latest.
    package let settleLimit: Duration
    /// How long it has to stay so.
    package let quiet: Duration

    init(_ preset: ScopeSettings.Preset, life: Duration) {
        let isLAN = preset == .lan
        self.asap = isLAN ? .lan : .rfc
        self.enrp = isLAN ? .lan : .rfc
        self.fastFailureDetection = isLAN
        self.slice = isLAN ? .milliseconds(200) : .seconds(4)
        self.trouble = isLAN ? .seconds(3) ... .seconds(25) : .seconds(60) ... .seconds(900)
        self.faultPause = isLAN ? .milliseconds(700) : .seconds(30)
        self.shortestFault = isLAN ? .milliseconds(20) : .seconds(1)
        self.doublings = isLAN ? 9 : 9
        let renewal = self.asap.reregistrationInterval(life: life)
        // A dead registrar is found, contested in up to three rounds with pauses, watched again by those who agreed.
        let takeover =
            self.enrp.maxTimeLastHeard * 2 + self.enrp.maxTimeNoResponse * 4 + self.enrp.arbitrationLimit * 5
        // A living one is reached again; an attempt that began before the healing may have to time out.
        let reunion = self.enrp.reconnectMax + .seconds(5) + self.enrp.peerHeartbeatCycle * 2
        // An element finds out that its home is silent, hunts, and registers after the longest pause.
        let hunt = self.asap.t2Registration * 3 + self.asap.retranMax * 2 + self.asap.keepAliveTimeout * 4
        // What nobody cares for ends with its life.
        self.settleLimit = takeover + reunion + hunt + max(renewal, life + self.enrp.expiryGrace)
        self.quiet = self.enrp.peerHeartbeatCycle * 4 + renewal + self.asap.keepAliveInterval
    }

    /// The ports of multicast groups differ, the group is the one of the RFC.
    static let announceGroup = SocketAddress(ip: .ipv4(0xe000_01b9), port: 3863)
    static let discoverGroup = SocketAddress(ip: .ipv4(0xe000_01b9), port: 9901)
}
