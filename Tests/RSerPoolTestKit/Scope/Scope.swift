// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPool
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

/// What a scope may not do.
package struct ScopeFailure: Error, CustomStringConvertible {
    /// Which of the invariants of ``Scope`` is violated.
    package var invariant: String
    package var description: String

    init(_ invariant: String, _ description: String) {
        self.invariant = invariant
        self.description = description
    }
}

/// How the life of one scope went.
package struct ScopeOutcome: Sendable {
    package var seed: UInt64
    package var settings: ScopeSettings
    package var fingerprint: UInt64
    package var virtualTime: Duration
    package var faults: Int
    package var jobs: Int
    /// The longest time from a healing until all was well.
    package var longestSettling: Duration
    package var failure: ScopeFailure?
    package var failedAt: Duration?
    /// Nothing unless it was asked for.
    package var transcript: [String]

    /// What somebody needs who wants to see it again, line by line.
    package var report: String {
        #if DEBUG
        let configuration = "debug"
        #else
        let configuration = "release"
        #endif
        let failure = self.failure.map { "(\($0.invariant)) \($0.description)" } ?? "nothing failed"
        let tail = self.transcript.isEmpty ? "" : "\n" + self.transcript.joined(separator: "\n")
        return """
            seed \(self.seed), \(configuration) build, at \(self.failedAt ?? self.virtualTime): \(failure)
              \(self.settings)
              fingerprint \(self.fingerprint)\(tail)
            """
    }
}

/// An operational scope with registrars, pool elements and pool users of the product in a simulated world. One seed says
/// what it is like (``ScopeSettings``), what goes wrong in it, and when.
///
/// In each episode things go wrong for a while, then everything heals, and within ``ScopeTimes/settleLimit`` all has to be
/// well, and stay so for ``ScopeTimes/quiet``. Invariants:
///
/// - `members`: all registrars have the same members with the same homes and the same policies; these are exactly the living
///   elements; each one's home is a living registrar, which is the one that it takes for its home.
/// - `peers`: each registrar knows exactly the other living ones, as active and connected; no takeover is left.
/// - `checksums`: what each registrar sums up over another one's elements is what that one says.
/// - `bounds`: links, connections, timers and so on are as many as the living need.
/// - `watchers`: watchers know exactly the members.
/// - `resolutions`: in quiet times each resolution succeeds and gives living elements only; none hangs.
/// - `quiet`: in quiet times nobody dies, is taken over, removed, or has to resynchronise.
/// - `processes`: no process fails, none lives on after its death, none is busy without end.
/// - `trials`: where one single thing happens while all is well (``Scope/Trial``), its effect is small and known.
/// - `calm`: where nothing ever goes wrong, nobody is ever removed or taken over, and no home is lost.
package final class Scope {
    let settings: ScopeSettings
    let times: ScopeTimes
    let world: World
    let transcript: ScopeTranscript?
    var registrars: [RegistrarSlot] = []
    var elements: [ElementSlot] = []
    var users: [UserSlot] = []
    /// What is wrong now, and when it will be right again.
    var repairs: [Repair] = []
    /// So many messages between two looks at the scope are no sensible conversation; some hundreds are.
    private static let storm = 30_000
    var resynchronizedAtFirst: [String: UInt64] = [:]
    /// What may have been a coincidence in the trial that is under way.
    var suspicion: ScopeFailure?
    private var longestSettling = Duration.zero
    private var era = 0

    /// - Parameter transcript: so many lines are kept.
    package init(_ settings: ScopeSettings, transcript: Int? = nil) {
        self.settings = settings
        self.times = settings.times
        self.world = World(seed: settings.seed, options: settings.worldOptions)
        self.transcript = transcript.map { ScopeTranscript(limit: $0) }
        if let kept = self.transcript { self.world.observer = { kept.note($0) } }
    }

    /// Lives through everything.
    package static func run(seed: UInt64, transcript: Int? = nil) -> ScopeOutcome {
        let scope = Scope(ScopeSettings(seed: seed), transcript: transcript)
        var failure: ScopeFailure?
        var failedAt: Duration?
        do {
            try scope.live()
        } catch {
            failure = error as? ScopeFailure ?? ScopeFailure("processes", "\(error)")
            failedAt = scope.world.now
        }
        let (fingerprint, now, counters) = (scope.world.fingerprint, scope.world.now, scope.world.counters)
        let lines = scope.transcript?.text ?? []
        do {
            scope.world.observer = nil
            try scope.world.shutDown()
        } catch {
            failure = failure ?? ScopeFailure("processes", "\(error)")
        }
        return ScopeOutcome(
            seed: seed, settings: scope.settings, fingerprint: fingerprint, virtualTime: now, faults: counters.faults,
            jobs: counters.jobs, longestSettling: scope.longestSettling, failure: failure, failedAt: failedAt,
            transcript: lines)
    }

    func live() throws {
        self.populate()
        if self.settings.isCalm {
            try self.settle()
            // While registrars look for one another they let nobody in for long.
            for slot in self.elements { slot.homesLost.value = 0 }
            for slot in self.registrars {
                self.resynchronizedAtFirst[slot.name] = slot.inspect { $0.statistics[.resynchronizations] ?? 0 }
            }
            try self.stayQuiet()
            try self.beCalm()
            try self.settle()
            try self.checkCalm()
            return
        }
        if self.chance(0.5) { try self.settle() }
        for _ in 0..<self.settings.episodes {
            try self.haveTrouble()
            self.heal()
            try self.settle()
            try self.stayQuiet()
            try self.stand(.allCases[Int(self.below(UInt64(Trial.allCases.count)))])
        }
    }

    // MARK: Who lives in it

    private func populate() {
        let settings = self.settings
        var ids: Set<UInt32> = []
        for index in 0..<settings.registrars {
            let slot = RegistrarSlot(
                name: "registrar-\(index)", addresses: [.ipv4(0x0a00_0001 + UInt32(index))], drift: self.drawDrift(),
                id: self.drawRegistrarID(avoiding: &ids))
            self.registrars.append(slot)
            self.arrive { [unowned self] in self.start(slot) }
        }
        for pool in settings.pools {
            for _ in 0..<pool.elements {
                let number = UInt32(self.elements.count)
                let slot = ElementSlot(
                    name: "element-\(number)", addresses: [.ipv4(0x0a00_0101 + number)], drift: self.drawDrift(),
                    pool: pool, fixedID: self.chance(0.2) ? PoolElementID(rawValue: 1 + number) : nil)
                self.elements.append(slot)
                self.arrive { [unowned self] in self.start(slot) }
            }
        }
        for index in 0..<settings.users {
            let slot = UserSlot(
                name: "user-\(index)", addresses: [.ipv4(0x0a00_0201 + UInt32(index))], drift: self.drawDrift(),
                overTCP: self.chance(0.2))
            self.users.append(slot)
            self.arrive { [unowned self] in self.start(slot) }
        }
    }

    /// Has somebody come within the first moments.
    private func arrive(_ body: @escaping () -> Void) {
        self.repairs.append(Repair(at: self.times.slice * Int(self.below(6)), .arrival(body)))
    }

    private func drawDrift() -> ClockDrift {
        let most = self.settings.maxDrift
        return ClockDrift(partsPerMillion: most == 0 ? 0 : Int64(self.below(UInt64(2 * most + 1))) - most)
    }

    private func drawRegistrarID(avoiding ids: inout Set<UInt32>) -> RegistrarID {
        while true {
            let id = 1 + UInt32(self.below(0xffff_ffff))
            if ids.insert(id).inserted { return RegistrarID(rawValue: id) }
        }
    }

    func changeID(of slot: RegistrarSlot) {
        var ids = Set(self.registrars.map(\.id.rawValue))
        slot.id = self.drawRegistrarID(avoiding: &ids)
        slot.hasChangedID = true
    }

    func start(_ slot: RegistrarSlot) {
        guard slot.state == .down else { return }
        var configuration = RegistrarConfiguration()
        configuration.id = slot.id
        configuration.timers = self.times.asap
        configuration.enrpTimers = self.times.enrp
        configuration.fastFailureDetection = self.times.fastFailureDetection
        func endpoint(_ other: RegistrarSlot) -> Endpoint { .sctp("\(other.addresses[0])", port: 9901) }
        switch self.settings.acquaintance {
        case .all: configuration.peers = self.registrars.filter { $0 !== slot }.map(endpoint)
        case .chain:
            if let index = self.registrars.firstIndex(where: { $0 === slot }), index > 0 {
                configuration.peers = [endpoint(self.registrars[index - 1])]
            }
        case .multicast: configuration.discoverGroup = ScopeTimes.discoverGroup
        }
        if self.settings.discovery != .list { configuration.announceGroup = ScopeTimes.announceGroup }
        slot.start(in: self.world, configuration)
    }

    func start(_ slot: ElementSlot) {
        guard slot.state == .down else { return }
        var configuration = PoolElement.Configuration(registrars: self.discovery { .sctp("\($0.addresses[0])") })
        configuration.id = slot.fixedID
        configuration.life = .seconds(self.settings.life)
        configuration.timers = self.times.asap
        configuration.fastFailureDetection = self.times.fastFailureDetection
        configuration.policy = slot.policy
        slot.start(in: self.world, configuration)
    }

    func start(_ slot: UserSlot) {
        guard slot.node?.isAlive != true else { return }
        var configuration = PoolUser.Configuration(
            registrars: self.discovery { slot.overTCP ? .tcp("\($0.addresses[0])") : .sctp("\($0.addresses[0])") })
        configuration.timers = self.times.asap
        configuration.fastFailureDetection = self.times.fastFailureDetection
        let handles = self.settings.pools.map(\.handle)
        slot.start(
            in: self.world, configuration, watching: handles, resolving: handles,
            pause: self.times.asap.staleCacheValue / 2)
    }

    private func discovery(_ endpoint: (RegistrarSlot) -> Endpoint) -> RegistrarDiscovery {
        var rest = self.registrars
        var order: [Endpoint] = []
        while !rest.isEmpty { order.append(endpoint(rest.remove(at: Int(self.below(UInt64(rest.count)))))) }
        return RegistrarDiscovery(
            registrars: self.settings.discovery == .announcements ? [] : order,
            announceGroup: self.settings.discovery == .list ? nil : ScopeTimes.announceGroup)
    }

    // MARK: Chance

    func below(_ bound: UInt64) -> UInt64 { self.world.generator.below(bound) }
    func chance(_ probability: Double) -> Bool { self.world.generator.chance(probability) }

    func remark(_ text: @autoclosure () -> String) {
        self.transcript?.remark(text(), at: self.world.now)
    }

    // MARK: Time

    /// Lets time pass, with the repairs that fall into it.
    func pass(until moment: Duration) throws {
        while let next = self.repairs.map(\.at).min(), next <= moment {
            try self.run(until: max(next, self.world.now))
            let due = self.repairs.filter { $0.at <= self.world.now }
            self.repairs.removeAll { $0.at <= self.world.now }
            for repair in due { try self.carryOut(repair) }
        }
        try self.run(until: moment)
        try self.lookAfterProcesses()
    }

    private func run(until moment: Duration) throws {
        let limit = self.world.counters.messagesSent + Self.storm
        let outcome = try self.world.run(
            atMost: moment - self.world.now, until: { self.world.counters.messagesSent > limit })
        if outcome == .reached {
            throw ScopeFailure("processes", "more than \(Self.storm) messages within \(self.times.slice) or so")
        }
    }

    /// Waits until all is well.
    func settle() throws {
        let begin = self.world.now
        for repair in self.takeRepairs() { try self.carryOut(repair) }
        var last: ScopeFailure?
        while self.world.now - begin <= self.times.settleLimit {
            try self.pass(until: self.world.now + self.times.slice)
            last = self.disagreement()
            if last == nil {
                self.longestSettling = max(self.longestSettling, self.world.now - begin)
                self.remark("all is well")
                return
            }
        }
        if let last {
            throw ScopeFailure(last.invariant, "\(self.world.now - begin) after the healing: \(last.description)")
        }
    }

    private func takeRepairs() -> [Repair] {
        defer { self.repairs = [] }
        return self.repairs.sorted { $0.at < $1.at }
    }

    /// All has to stay as it is.
    func stayQuiet() throws {
        // What was on its way when all became well may still arrive.
        try self.pass(until: self.world.now + self.times.enrp.peerHeartbeatCycle + self.times.slice)
        self.era += 1
        for user in self.users {
            user.era.value = self.era
            user.resolved.value = []
        }
        let before = self.troubleCounters()
        let end = self.world.now + self.times.quiet
        while self.world.now < end {
            try self.pass(until: self.world.now + self.times.slice)
            if let failure = self.disagreement() {
                throw ScopeFailure(failure.invariant, "in quiet times: \(failure.description)")
            }
            let after = self.troubleCounters()
            for (name, count) in after where count != before[name] ?? 0 {
                throw ScopeFailure("quiet", "\(name) went from \(before[name] ?? 0) to \(count) in quiet times")
            }
            try self.checkResolutions(era: self.era)
        }
        try self.checkResolvers(era: self.era)
        // What a user that died shortly before the healing has left at its registrar goes when its silence is noticed.
        while self.world.hasUnansweredLinks { try self.pass(until: self.world.now + self.times.slice) }
        try self.checkBounds()
    }

    /// Lets a long time pass in which elements come and go, and nothing goes wrong.
    private func beCalm() throws {
        let end = self.world.now + self.times.trouble.upperBound * 2
        while self.world.now < end {
            try self.pass(until: self.world.now + self.times.faultPause * 4)
            try self.change()
        }
        for repair in self.takeRepairs() { try self.carryOut(repair) }
    }
}
