// SPDX-License-Identifier: Apache-2.0

internal import RSerPool
internal import RSerPoolCore
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

// What has to hold. See the list at `Scope`.
extension Scope {
    /// Processes that failed, or that are over and can be cleared away.
    func lookAfterProcesses() throws {
        for node in self.everybody {
            if let failure = node.failures.first { throw ScopeFailure("processes", "\(node.name) failed: \(failure)") }
            if node.lateJobs > 0 {
                throw ScopeFailure("processes", "\(node.name) had \(node.lateJobs) jobs after its death")
            }
        }
        for slot in self.elements where slot.state == .leaving {
            guard let node = slot.node, node.isAlive, node.liveRoots == 0 else { continue }
            try self.world.crash(node)
            slot.state = .down
        }
        for slot in self.registrars where slot.state == .stopping {
            guard let node = slot.node, node.isAlive, node.liveRoots == 0 else { continue }
            try self.world.crash(node)
            slot.state = .down
        }
    }

    var living: [RegistrarSlot] { self.registrars.filter { $0.state == .up } }

    /// What is not as it has to be when everything has healed.
    func disagreement() -> ScopeFailure? {
        if let slot = self.registrars.first(where: { $0.state == .stopping }) {
            return ScopeFailure("processes", "\(slot.name) was told to end and has not")
        }
        if let slot = self.elements.first(where: { $0.state == .leaving }) {
            return ScopeFailure("processes", "\(slot.name) wants to leave its pool and has not")
        }
        return self.peersDisagree() ?? self.membersDisagree() ?? self.watchersDisagree()
    }

    private func peersDisagree() -> ScopeFailure? {
        let living = self.living
        for slot in living {
            guard let (peers, figures) = slot.inspect({ ($0.peerList, $0.figures) }) else { continue }
            let expected = Set(living.filter { $0 !== slot }.map(\.id))
            let actual = Set(peers.map(\.id))
            guard actual == expected else {
                return ScopeFailure(
                    "peers", "\(slot.name) \(slot.id) knows \(actual.sorted()) and not \(expected.sorted())")
            }
            for peer in peers where peer.status != .active || !peer.isConnected {
                return ScopeFailure(
                    "peers",
                    "\(slot.name) takes \(peer.id) for \(peer.status)\(peer.isConnected ? "" : ", not connected")")
            }
            if !figures.takeovers.isEmpty {
                return ScopeFailure("peers", "\(slot.name) still takes over \(figures.takeovers)")
            }
            if !figures.isServing { return ScopeFailure("peers", "\(slot.name) does not serve yet") }
        }
        return nil
    }

    private func membersDisagree() -> ScopeFailure? {
        let living = self.living
        var tables: [(slot: RegistrarSlot, members: [ElementKey: PoolMember])] = []
        for slot in living {
            guard let members = slot.inspect({ $0.members }) else { continue }
            tables.append((slot, members))
        }
        let elements = self.elements.filter { $0.state == .up }
        var expected: [ElementKey: ElementSlot] = [:]
        for slot in elements {
            guard let id = slot.id else { continue }
            expected[ElementKey(pool: slot.pool.handle, id: id)] = slot
        }
        for (registrar, members) in tables {
            for key in members.keys.sorted(by: { ($0.pool, $0.id) < ($1.pool, $1.id) }) where expected[key] == nil {
                let past = self.elements.first { $0.past.contains { $0.id == key.id } }
                return ScopeFailure(
                    "members",
                    "\(registrar.name) has \(key.pool) \(key.id), which is \(past?.name ?? "nobody") and gone")
            }
            for slot in elements {
                guard let id = slot.id else { continue }
                let key = ElementKey(pool: slot.pool.handle, id: id)
                guard let member = members[key] else {
                    return ScopeFailure("members", "\(registrar.name) has no \(key.pool) \(id), \(slot.name)")
                }
                guard let home = living.first(where: { $0.id == member.home }) else {
                    return ScopeFailure(
                        "members", "\(registrar.name) says that \(slot.name) has home \(member.home), which is gone")
                }
                if let other = tables[0].members[key], other.home != member.home {
                    return ScopeFailure(
                        "members",
                        "the home of \(slot.name) is \(other.home) at \(tables[0].slot.name), \(member.home) at \(registrar.name)"
                    )
                }
                if member.policy != slot.policy {
                    return ScopeFailure(
                        "members", "\(registrar.name) has \(slot.name) with \(member.policy), not \(slot.policy)")
                }
                guard let belief = slot.inspect({ $0.homeBelief }) else { continue }
                if belief.isRegistered { slot.lastRegistered = self.world.now }
                // A renewal may be on its way at any time.
                let isRegistered =
                    self.world.now - slot.lastRegistered
                    <= self.times.enrp.peerHeartbeatCycle + self.times.slice * 4
                guard isRegistered, belief.addresses == home.addresses, belief.id == nil || belief.id == home.id else {
                    return ScopeFailure(
                        "members",
                        "\(slot.name) takes \(belief.id.map { "\($0)" } ?? "?") at \(belief.addresses) for its home"
                            + "\(isRegistered ? "" : ", not registered"); the registrars say \(home.name)")
                }
            }
        }
        return self.checksumsDisagree(living)
    }

    private func checksumsDisagree(_ living: [RegistrarSlot]) -> ScopeFailure? {
        var own: [RegistrarID: UInt16] = [:]
        for slot in living { own[slot.id] = slot.inspect { $0.figures.checksum } }
        for slot in living {
            for peer in slot.inspect({ $0.peerList }) ?? [] where own[peer.id] != peer.checksum {
                return ScopeFailure(
                    "checksums", "\(slot.name) sums up \(peer.checksum) for \(peer.id), which says \(own[peer.id] ?? 0)"
                )
            }
        }
        return nil
    }

    private func watchersDisagree() -> ScopeFailure? {
        for user in self.users where user.node?.isAlive == true {
            let asked = user.inspect { $0.registrarAddresses } ?? []
            if !asked.isEmpty, !self.living.contains(where: { $0.addresses == asked }) {
                return ScopeFailure("watchers", "\(user.name) has not noticed that the registrar at \(asked) is gone")
            }
            let views = user.views.value
            for pool in self.settings.pools {
                guard let view = views[pool.handle] else { continue }
                let expected = self.ids(in: pool.handle)
                let actual = (view.members?.keys).map { $0.sorted() } ?? []
                if view.isInterrupted {
                    return ScopeFailure("watchers", "\(user.name) sees no changes of \(pool.handle)")
                }
                guard actual == expected else {
                    return ScopeFailure("watchers", "\(user.name) sees \(actual) in \(pool.handle), not \(expected)")
                }
                for slot in self.elements where slot.state == .up && slot.pool.handle == pool.handle {
                    guard let id = slot.id, let member = view.members?[id], member.policy != slot.policy else {
                        continue
                    }
                    return ScopeFailure(
                        "watchers", "\(user.name) sees \(slot.name) with \(member.policy), not \(slot.policy)")
                }
            }
        }
        return nil
    }

    func ids(in pool: PoolHandle) -> [PoolElementID] {
        self.elements.filter { $0.state == .up && $0.pool.handle == pool }.compactMap(\.id).sorted()
    }

    // MARK: In quiet times

    /// What must not rise while all is well.
    func troubleCounters() -> [String: UInt64] {
        let counters: [RegistrarCounter] = [
            .resynchronizations, .takeoversInitiated, .elementsRemoved, .replicasPurged, .replicasExpired, .peersDied,
            .homesDisputed, .elementsReclaimed, .identifierClashes, .messagesMalformed, .peerErrorsReceived,
            .registrationsRejected, .deregistrationsRejected, .updatesRefused, .messagesIgnored, .takeoversSuffered,
        ]
        var all: [String: UInt64] = [:]
        for slot in self.living {
            guard let statistics = slot.inspect({ $0.statistics }) else { continue }
            for counter in counters {
                if let count = statistics[counter] { all["\(slot.name) \(counter.name)"] = count }
            }
        }
        return all
    }

    func checkResolutions(era: Int) throws {
        for user in self.users {
            for resolved in user.resolved.value where resolved.era == era {
                let expected = self.ids(in: resolved.pool)
                switch resolved.outcome {
                case .members(let ids, let registrar, let isFromCache):
                    // What is remembered may be as old as the cache allows.
                    if !isFromCache, ids.sorted() != expected {
                        throw ScopeFailure(
                            "resolutions",
                            "\(user.name) resolves \(resolved.pool) to \(ids) at \(registrar), not \(expected)")
                    }
                case .failed(.unknownPool) where expected.isEmpty: break
                case .failed(let code):
                    throw ScopeFailure("resolutions", "\(user.name) resolves \(resolved.pool): \(code)")
                }
            }
        }
    }

    /// Each resolver has got an answer in quiet times.
    func checkResolvers(era: Int) throws {
        for user in self.users where user.node?.isAlive == true {
            for pool in self.settings.pools
            where !user.resolved.value.contains(where: { $0.pool == pool.handle && $0.era == era }) {
                throw ScopeFailure("resolutions", "\(user.name) has no answer for \(pool.handle) in quiet times")
            }
        }
    }

    func checkBounds() throws {
        let living = self.living
        let elements = self.elements.count { $0.state == .up }
        let users = self.users.count { $0.node?.isAlive == true }
        var subscriptions = 0
        var owned = 0
        for slot in living {
            guard let figures = slot.inspect({ $0.figures }) else { continue }
            subscriptions += figures.subscriptions
            owned += figures.elements
            let most: [(String, Int, Int)] = [
                ("links", figures.links, elements + 2 * users + 2),
                ("connections", figures.connections, living.count - 1),
                ("openings", figures.openings, 0), ("challenges", figures.challenges, 0),
                ("elements given up", figures.givenUp, elements), ("adopted", figures.adopted, 0),
                ("pools", figures.pools, self.settings.pools.count),
                ("deadlines", figures.deadlines, elements + living.count + self.settings.pools.count + 4),
                ("book entries", figures.bookEntries, self.registrars.count - (slot.hasChangedID ? 0 : 1)),
            ]
            for (name, count, limit) in most where count > limit {
                throw ScopeFailure("bounds", "\(slot.name) has \(count) \(name), more than \(limit)")
            }
        }
        let watchers = self.users.reduce(0) { $0 + ($1.node?.isAlive == true ? $1.views.value.count : 0) }
        let empty = self.settings.pools.count { self.ids(in: $0.handle).isEmpty }
        guard subscriptions <= watchers, empty > 0 || subscriptions == watchers else {
            throw ScopeFailure("bounds", "\(subscriptions) subscriptions for \(watchers) watchers")
        }
        guard owned == elements else { throw ScopeFailure("bounds", "\(owned) watched elements, not \(elements)") }
        let events = 100 + 10 * (elements + users * (2 + self.settings.pools.count) + living.count * living.count)
        guard self.world.pendingEvents <= events else {
            throw ScopeFailure("bounds", "\(self.world.pendingEvents) timers, more than \(events)")
        }
    }

    /// Nothing ever went wrong here.
    func checkCalm() throws {
        let forbidden: [RegistrarCounter] = [
            .takeoversInitiated, .elementsRemoved, .replicasExpired, .replicasPurged, .peersDied, .homesDisputed,
            .elementsReclaimed, .stalls, .takeoversSuffered, .messagesMalformed,
        ]
        for slot in self.living {
            let statistics = slot.inspect { $0.statistics } ?? [:]
            // While registrars start they may miss something.
            let (count, atFirst) = (statistics[.resynchronizations] ?? 0, self.resynchronizedAtFirst[slot.name] ?? 0)
            guard count == atFirst else {
                throw ScopeFailure(
                    "calm", "\(slot.name) resynchronised \(count - atFirst) times, and nothing went wrong")
            }
        }
        for slot in self.living {
            let statistics = slot.inspect { $0.statistics } ?? [:]
            for counter in forbidden where statistics[counter] ?? 0 > 0 {
                throw ScopeFailure(
                    "calm",
                    "\(slot.name) counts \(statistics[counter] ?? 0) \(counter.name), and nothing went wrong")
            }
        }
        for slot in self.elements where slot.homesLost.value > 0 {
            throw ScopeFailure("calm", "\(slot.name) lost its home, and nothing went wrong")
        }
    }
}
