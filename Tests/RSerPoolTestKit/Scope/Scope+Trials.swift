// SPDX-License-Identifier: Apache-2.0

internal import RSerPool
internal import RSerPoolCore
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

// One single thing happens while all is well.
extension Scope {
    enum Trial: CaseIterable {
        /// A registrar dies: exactly one takes it over, with everybody's agreement, and no living element is removed, but one
        /// that has died with it. One that comes in its place knows all elements when it begins to serve.
        case registrarDies
        /// A registrar stands still: when it goes on it removes nobody.
        case registrarHangs
        /// An element stands still: it is removed as soon as keep-alives can tell, and comes back at once when it goes on.
        case elementHangs
        /// The first registrar that wants to take over a dead one dies as well, while one of the others says nothing.
        case initiatorDies
        /// Two registrars cannot reach one another for a moment, and an element of the one leaves meanwhile: the other
        /// finds out, and takes nobody else for gone.
        case updatesMissed
        /// An element and its home lose their association: all know its new home without an audit.
        case homeLost
        /// A registrar speaks again while others contest who takes it over: nobody does.
        case deadSpeaks
    }

    /// What may be a coincidence is one only if it does not happen again.
    func stand(_ trial: Trial) throws {
        try self.standOnce(trial)
        guard self.suspicion != nil else { return }
        self.suspicion = nil
        try self.standOnce(trial)
        if let suspicion = self.suspicion { throw suspicion }
    }

    private func standOnce(_ trial: Trial) throws {
        switch trial {
        case .registrarDies: try self.letRegistrarDie()
        case .registrarHangs: try self.letRegistrarHang()
        case .elementHangs: try self.letElementHang()
        case .initiatorDies: try self.letInitiatorDie()
        case .updatesMissed: try self.letUpdatesBeMissed()
        case .homeLost: try self.letHomeBeLost()
        case .deadSpeaks: try self.letDeadSpeak()
        }
    }

    private func sum(_ counter: RegistrarCounter) -> UInt64 {
        self.living.reduce(0) { $0 + ($1.inspect { $0.statistics[counter] ?? 0 } ?? 0) }
    }

    private func each(_ counter: RegistrarCounter) -> [RegistrarID: UInt64] {
        var counts: [RegistrarID: UInt64] = [:]
        for slot in self.living { counts[slot.id] = slot.inspect { $0.statistics[counter] ?? 0 } }
        return counts
    }

    private func letRegistrarDie() throws {
        guard self.living.count > 1, let slot = self.pick(self.living), let node = slot.node else { return }
        self.remark("trial: \(slot.name) dies")
        slot.state = .down
        self.forgetWhoLeft()
        let counters: [RegistrarCounter] = [
            .takeoversForced, .elementsRemoved, .replicasExpired, .takeoversSuffered,
        ]
        let before = counters.map(self.sum)
        let completed = self.sum(.takeoversCompleted)
        let audits = self.audits()
        let initiated = self.each(.takeoversInitiated)
        let won = self.each(.takeoversCompleted)
        // With kernel SCTP an element that stands still can be asked, and is there when it goes on.
        let sleeper =
            self.settings.stack == .kernel
            ? self.pick(self.elements.filter { $0.state == .up && self.takes(slot, forHomeOf: $0) })?.node : nil
        // With userland SCTP it is another one that dies with it: who takes over finds out, and tells the others.
        let companion =
            self.settings.stack == .userland
            ? self.elements.first { $0.state == .up && self.takes(slot, forHomeOf: $0) } : nil
        if let sleeper { self.world.freeze(sleeper) }
        if let companion, let node = companion.node {
            self.bury(companion)
            try self.world.crash(node, .machine)
        }
        try self.world.crash(node, self.chance(0.5) ? .process : .machine)
        if let sleeper {
            let limit = self.times.enrp.maxTimeLastHeard + self.times.enrp.maxTimeNoResponse * 3
            try self.world.run(atMost: limit, until: { self.sum(.takeoversCompleted) != completed })
            self.world.thaw(sleeper)
        }
        try self.settle()
        for (counter, count) in zip(counters, before) {
            guard self.sum(counter) != count + (counter == .elementsRemoved && companion != nil ? 1 : 0) else {
                continue
            }
            throw ScopeFailure(
                "trials", "\(slot.name) died, and \(counter.rawValue) went up by \(self.sum(counter) - count)")
        }
        // Where packets are lost, a word of the dead one may come when it has been taken over: then it is taken for alive,
        // and dies again (seed 41324).
        if self.settings.conditions.loss == 0 {
            guard self.sum(.takeoversCompleted) == completed + 1 else {
                throw ScopeFailure(
                    "trials", "\(slot.name) was taken over \(self.sum(.takeoversCompleted) - completed) times")
            }
            let initiators = self.living.filter { self.each(.takeoversInitiated)[$0.id] != initiated[$0.id] }.map(\.id)
            let winner = self.living.first { self.each(.takeoversCompleted)[$0.id] != won[$0.id] }?.id
            guard winner == initiators.max() else {
                throw ScopeFailure(
                    "trials", "of \(initiators), \(winner.map { "\($0)" } ?? "nobody") took \(slot.name) over")
            }
        }
        self.checkAudits(audits, "\(slot.name) died")
        try self.checkNobodyLeft("\(slot.name) died")
        // A chain needs all of its links.
        if self.suspicion != nil || self.settings.acquaintance == .chain || self.chance(0.7) {
            try self.letRegistrarJoin(slot)
        }
        if let companion {
            self.start(companion)
            try self.settle()
        }
    }

    private func letRegistrarJoin(_ slot: RegistrarSlot) throws {
        self.remark("trial: \(slot.name) joins")
        self.start(slot)
        // The first of a chain knows nobody to ask.
        guard self.settings.acquaintance == .all else { return try self.settle() }
        let end = self.world.now + self.times.enrp.mentorSearchTime * 2
        var isServing = false
        while !isServing, self.world.now < end {
            try self.pass(until: self.world.now + self.times.slice / 20)
            isServing = slot.inspect { $0.isReady } ?? false
        }
        let members = slot.inspect { $0.members } ?? [:]
        for element in self.elements where element.state == .up {
            guard let id = element.id, members[ElementKey(pool: element.pool.handle, id: id)] != nil else {
                throw ScopeFailure(
                    "trials",
                    "\(slot.name) \(isServing ? "serves" : "does not even serve") and does not know \(element.name)")
            }
        }
        try self.settle()
    }

    private func letRegistrarHang() throws {
        guard let slot = self.pick(self.living), let node = slot.node else { return }
        self.remark("trial: \(slot.name) hangs")
        let before = slot.inspect { $0.statistics[.elementsRemoved] ?? 0 } ?? 0
        self.world.freeze(node)
        try self.pass(until: self.world.now + self.times.asap.keepAliveTimeout * (2 + 6 * self.fraction()))
        self.world.thaw(node)
        try self.settle()
        let after = slot.inspect { $0.statistics[.elementsRemoved] ?? 0 } ?? 0
        guard after == before else {
            throw ScopeFailure("trials", "\(slot.name) hung, went on, and removed \(after - before) living elements")
        }
    }

    private func letElementHang() throws {
        guard let slot = self.pick(self.elements.filter({ $0.state == .up })), let node = slot.node, let id = slot.id
        else { return }
        let key = ElementKey(pool: slot.pool.handle, id: id)
        self.remark("trial: \(slot.name) hangs")
        self.world.freeze(node)
        let asap = self.times.asap
        // The next keep-alive, its answer, and a bit for a registrar that is late itself.
        let limit = (asap.keepAliveInterval * 3 / 2 + asap.keepAliveTimeout * 2) * 11 / 10 + .seconds(1)
        try self.pass(until: self.world.now + limit)
        for registrar in self.living where registrar.inspect({ $0.members[key] != nil }) == true {
            throw ScopeFailure("trials", "\(registrar.name) still has \(slot.name), which has hung for \(limit)")
        }
        self.world.thaw(node)
        let patience = asap.t2Registration + self.times.slice * 3
        try self.pass(until: self.world.now + patience)
        for registrar in self.living where registrar.inspect({ $0.members[key] != nil }) == false {
            throw ScopeFailure(
                "trials", "\(slot.name) went on \(patience) ago, and \(registrar.name) does not have it back")
        }
        try self.settle()
    }

    private func takes(_ registrar: RegistrarSlot, forHomeOf element: ElementSlot) -> Bool {
        element.inspect { $0.homeBelief.addresses } == registrar.addresses
    }

    private func audits() -> (run: UInt64, needed: UInt64) {
        (self.sum(.resynchronizations), self.sum(.elementsReclaimed) + self.sum(.homesDisputed))
    }

    /// Updates alone have to do. Only an element that has registered with two registrars at about the same time is given up
    /// by each to the other, which an audit shows. And a PRESENCE, which goes to all others, may have been on its way when
    /// an element changed its home, with a checksum that counts it still (seeds 20188, 31840): a coincidence.
    private func checkAudits(_ before: (run: UInt64, needed: UInt64), _ what: String) {
        let after = self.audits()
        guard after.run > before.run + 1, after.needed == before.needed else { return }
        self.suspicion = ScopeFailure("trials", "\(what), and \(after.run - before.run) audits were needed")
    }

    private func forgetWhoLeft() {
        for user in self.users { for pool in self.settings.pools { user.views.value[pool.handle]?.left = [] } }
    }

    private func checkNobodyLeft(_ what: String) throws {
        for user in self.users {
            for pool in self.settings.pools {
                let left = user.views.value[pool.handle]?.left ?? []
                if let id = left.first(where: self.ids(in: pool.handle).contains) {
                    throw ScopeFailure("trials", "\(what), and \(user.name) saw \(id) leave, which lives")
                }
            }
        }
    }

    private func letInitiatorDie() throws {
        guard self.living.count > 2, let slot = self.pick(self.living), let node = slot.node else { return }
        let silent = self.pick(self.living.filter { $0 !== slot })
        self.remark("trial: \(slot.name) dies, and who wants to take it over")
        slot.state = .down
        try self.world.crash(node, .machine)
        let before = self.each(.takeoversInitiated)
        let limit = self.times.enrp.maxTimeLastHeard + self.times.enrp.maxTimeNoResponse * 2
        try self.world.run(
            atMost: limit, until: { self.living.contains { self.each(.takeoversInitiated)[$0.id] != before[$0.id] } })
        let initiators = self.living.filter { self.each(.takeoversInitiated)[$0.id] != before[$0.id] }
        if let silent, let node = silent.node, !initiators.contains(where: { $0 === silent }) {
            self.world.freeze(node)
            self.repairs.append(Repair(at: self.world.now + self.times.enrp.maxTimeNoResponse, .thaw(node)))
        }
        // The acknowledgements of others are on their way, and the silent one's is missing.
        try self.world.run(for: self.settings.conditions.latency * 4 + self.settings.conditions.jitter * 2)
        for initiator in initiators where initiator !== silent {
            guard self.living.count > 1, let node = initiator.node else { continue }
            initiator.state = .down
            try self.world.crash(node, .machine)
            self.repairs.append(
                Repair(at: self.world.now + self.times.enrp.maxTimeNoResponse * 4, .registrarReturns(initiator)))
        }
        while !self.repairs.isEmpty { try self.pass(until: self.world.now + self.times.slice) }
        if self.settings.acquaintance == .chain { self.start(slot) }
        try self.settle()
    }

    private func letUpdatesBeMissed() throws {
        let candidates = self.elements.filter { $0.state == .up }
        guard self.living.count > 1, let element = self.pick(candidates),
            let home = self.living.first(where: { self.takes($0, forHomeOf: element) }),
            let other = self.pick(self.living.filter { $0 !== home }), let first = home.node, let second = other.node
        else { return }
        self.remark("trial: \(other.name) misses what \(home.name) says")
        self.forgetWhoLeft()
        self.world.loseLinks(between: first, and: second)
        self.leave(element)
        try self.pass(until: self.world.now + self.times.slice)
        try self.settle()
        try self.checkNobodyLeft("\(other.name) missed what \(home.name) said")
        self.start(element)
        try self.settle()
    }

    private func letHomeBeLost() throws {
        guard self.living.count > 1, let element = self.pick(self.elements.filter { $0.state == .up }),
            let home = self.living.first(where: { self.takes($0, forHomeOf: element) }),
            let first = element.node, let second = home.node
        else { return }
        self.remark("trial: \(element.name) and \(home.name) lose their association")
        let audits = self.audits()
        self.world.loseLinks(between: first, and: second)
        // Both have to notice, which takes a while on associations that are not watched closely.
        try self.pass(until: self.world.now + .seconds(7))
        try self.settle()
        self.checkAudits(audits, "\(element.name) lost its home")
    }

    private func letDeadSpeak() throws {
        // With userland SCTP it would have to connect again first, which may take longer than the contest.
        guard self.settings.stack == .kernel, self.living.count > 2, let slot = self.pick(self.living),
            let silent = self.pick(self.living.filter { $0 !== slot }), let node = slot.node, let other = silent.node
        else { return }
        self.remark("trial: \(slot.name) is silent, and speaks when it is to be taken over")
        let (initiated, completed) = (self.sum(.takeoversInitiated), self.sum(.takeoversCompleted))
        self.world.freeze(node)
        let limit = (self.times.enrp.maxTimeLastHeard + self.times.enrp.maxTimeNoResponse * 2) * 11 / 10
        // Who does not acknowledge keeps the contest open; it must not be silent for so long that it is dead itself.
        try self.world.run(for: self.times.enrp.maxTimeLastHeard)
        self.world.freeze(other)
        try self.world.run(atMost: limit, until: { self.sum(.takeoversInitiated) != initiated })
        let hasBegun = self.sum(.takeoversInitiated) != initiated && self.sum(.takeoversCompleted) == completed
        self.world.thaw(node)
        try self.world.run(for: self.settings.conditions.latency * 4 + self.settings.conditions.jitter * 4)
        self.world.thaw(other)
        try self.settle()
        // Who was silent may not have heard enough, and begin a contest of its own after all; and what the target said may
        // have been lost, and come too late (seed 40325).
        guard !hasBegun || self.settings.conditions.loss > 0 || self.sum(.takeoversCompleted) == completed else {
            throw ScopeFailure("trials", "\(slot.name) spoke in time, and was taken over all the same")
        }
    }
}
