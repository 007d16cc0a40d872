// SPDX-License-Identifier: Apache-2.0

internal import RSerPool
internal import RSerPoolTransport
internal import RSerPoolWire

/// Something that is wrong, or still to come, and when that changes.
struct Repair {
    enum Kind {
        case arrival(() -> Void)
        case registrarReturns(RegistrarSlot)
        case elementReturns(ElementSlot)
        case userReturns(UserSlot)
        case thaw(Node)
        case heal(String, String)
        case conditionsNormal(String, String)
    }

    var at: Duration
    var kind: Kind

    init(at: Duration, _ kind: Kind) {
        self.at = at
        self.kind = kind
    }
}

// What goes wrong in a scope, and how it is made good.
extension Scope {
    func haveTrouble() throws {
        let (least, most) = (self.times.trouble.lowerBound, self.times.trouble.upperBound)
        let end = self.world.now + least + (most - least) * self.fraction()
        while self.world.now < end {
            try self.pass(until: min(end, self.world.now + self.times.faultPause * (2 * self.fraction())))
            if self.chance(0.25) { try self.change() } else { try self.fault() }
        }
    }

    /// Makes everything good at once, but some of the dead stay dead.
    func heal() {
        // A chain with a missing link is two chains: nobody could tell one of the other.
        let allReturn = self.settings.acquaintance == .chain || self.chance(0.5)
        for repair in self.repairs {
            switch repair.kind {
            case .registrarReturns where !allReturn && self.chance(0.5): break
            case .elementReturns where !allReturn && self.chance(0.5): break
            default: try? self.carryOut(repair)
            }
        }
        self.repairs = []
        self.world.healAll()
        if !self.registrars.contains(where: { $0.state == .up }) {
            let slot = self.registrars[Int(self.below(UInt64(self.registrars.count)))]
            try? self.bringDown(slot)
            self.start(slot)
        }
        self.remark("everything heals")
    }

    func carryOut(_ repair: Repair) throws {
        switch repair.kind {
        case .arrival(let body): body()
        case .registrarReturns(let slot):
            try self.bringDown(slot)
            if self.chance(0.3) { self.changeID(of: slot) }
            self.start(slot)
            self.remark("\(slot.name) is \(slot.id) now")
        case .elementReturns(let slot): self.start(slot)
        case .userReturns(let slot): self.start(slot)
        case .thaw(let node):
            if node.isAlive, node.isFrozen { self.world.thaw(node) }
        case .heal(let first, let second):
            if let (first, second) = self.pair(first, second) { self.world.heal(first, second) }
        case .conditionsNormal(let first, let second):
            if let (first, second) = self.pair(first, second) {
                self.world.setConditions(nil, between: first, and: second)
            }
        }
    }

    /// Changes that are no faults: elements come, go, and have other loads.
    func change() throws {
        switch self.below(4) {
        case 0:
            guard let slot = self.pick(self.elements.filter({ $0.state == .up && $0.node?.isFrozen == false })) else {
                return
            }
            self.leave(slot)
            self.repairs.append(Repair(at: self.world.now + self.span(), .elementReturns(slot)))
        case 1:
            guard let slot = self.pick(self.elements.filter({ $0.state == .down })) else { return }
            self.start(slot)
        default:
            guard
                let slot = self.pick(
                    self.elements.filter({ $0.state == .up && $0.pool.isAdaptive && $0.node?.isFrozen == false }))
            else { return }
            let policy = PoolPolicy.leastUsed(load: Load(rawValue: UInt32(self.below(1 << 32))))
            slot.policy = policy
            _ = slot.inspect { $0.setPolicy(policy) }
        }
    }

    private func fault() throws {
        let until = self.world.now + self.span()
        switch self.below(20) {
        case 0..<3:  // A registrar is killed.
            guard let slot = self.pick(self.registrars.filter({ $0.state != .down })), let node = slot.node else {
                return
            }
            slot.state = .down
            try self.world.crash(node, self.chance(0.5) ? .process : .machine)
            self.repairs.append(Repair(at: until, .registrarReturns(slot)))
        case 3:  // It is told to end.
            guard let slot = self.pick(self.registrars.filter({ $0.state == .up && $0.node?.isFrozen == false }))
            else { return }
            self.remark("\(slot.name) is told to end")
            slot.stop()
            self.repairs.append(Repair(at: until, .registrarReturns(slot)))
        case 4, 5:  // An element is killed.
            guard let slot = self.pick(self.elements.filter({ $0.state != .down })), let node = slot.node else {
                return
            }
            self.bury(slot)
            try self.world.crash(node, self.chance(0.5) ? .process : .machine)
            if self.chance(0.7) { self.repairs.append(Repair(at: until, .elementReturns(slot))) }
        case 6:  // A user is killed.
            guard let slot = self.pick(self.users), let node = slot.node, node.isAlive else { return }
            try self.world.crash(node, self.chance(0.5) ? .process : .machine)
            self.repairs.append(Repair(at: until, .userReturns(slot)))
        case 7..<10:  // A process is stopped.
            let nodes = self.chance(0.6) ? self.registrars.compactMap(\.node) : self.everybody
            guard let node = self.pick(nodes.filter({ $0.isAlive && !$0.isFrozen })) else { return }
            self.world.freeze(node)
            self.repairs.append(Repair(at: until, .thaw(node)))
        case 10..<13: self.split(until: until)
        case 13, 14:  // Two cannot reach one another.
            guard let (first, second) = self.pair() else { return }
            self.world.partition(first, second, self.direction())
            self.repairs.append(Repair(at: until, .heal(first.name, second.name)))
        case 15, 16:  // Nothing gets through, and both go on to live.
            guard let (first, second) = self.pair() else { return }
            self.world.clog(first, second, self.direction())
            self.repairs.append(Repair(at: until, .heal(first.name, second.name)))
        case 17:
            guard let (first, second) = self.pair() else { return }
            self.remark("links between \(first.name) and \(second.name) are lost")
            self.world.loseLinks(between: first, and: second)
        case 18:
            guard let (first, second) = self.pair() else { return }
            self.world.setConditions(
                PathConditions(
                    latency: self.times.shortestFault, jitter: self.times.shortestFault * 4, loss: 0.1,
                    duplication: 0.1, retransmission: self.settings.conditions.retransmission),
                between: first, and: second, self.direction())
            self.repairs.append(Repair(at: until, .conditionsNormal(first.name, second.name)))
        default: self.report()
        }
    }

    /// The world falls into two halves.
    private func split(until: Duration) {
        let registrarsOnly = self.chance(0.5)
        let nodes = registrarsOnly ? self.registrars.compactMap(\.node) : self.everybody
        let side = nodes.map { _ in self.chance(0.5) }
        let direction = self.chance(0.8) ? Direction.both : self.direction()
        for (first, firstSide) in zip(nodes, side) where firstSide {
            for (second, secondSide) in zip(nodes, side) where !secondSide {
                self.world.partition(first, second, direction)
                self.repairs.append(Repair(at: until, .heal(first.name, second.name)))
            }
        }
    }

    /// A user says of an element that it cannot be reached, which is true or not.
    private func report() {
        guard let slot = self.pick(self.users.filter({ $0.node?.isAlive == true && $0.node?.isFrozen == false })),
            let node = slot.node, let user = slot.user, let pool = self.pick(self.settings.pools)
        else { return }
        node.start {
            guard let member = try? await user.choose(from: pool.handle) else { return }
            await user.reportUnreachable(member.id, in: pool.handle)
        }
    }

    func leave(_ slot: ElementSlot) {
        self.bury(slot)
        slot.state = .leaving
        self.remark("\(slot.name) leaves")
        _ = slot.inspect { $0.deregister() }
    }

    func bury(_ slot: ElementSlot) {
        slot.state = .down
        if let id = slot.id { slot.past.append((id, self.world.now)) }
    }

    /// Ends what is left of a registrar's process.
    func bringDown(_ slot: RegistrarSlot) throws {
        if let node = slot.node, node.isAlive { try self.world.crash(node) }
        slot.state = .down
    }

    // MARK: Chance

    var everybody: [Node] {
        self.registrars.compactMap(\.node) + self.elements.compactMap(\.node) + self.users.compactMap(\.node)
    }

    func pick<Choice>(_ choices: [Choice]) -> Choice? {
        choices.isEmpty ? nil : choices[Int(self.below(UInt64(choices.count)))]
    }

    func fraction() -> Double { Double(self.below(1 << 32)) / Double(1 << 32 as UInt64) }

    private func direction() -> Direction { [.both, .forth, .back][Int(self.below(3))] }

    private func span() -> Duration {
        self.times.shortestFault * (1 << Int(self.below(self.times.doublings + 1))) * (1 + self.fraction())
    }

    /// Two nodes, one of them a registrar.
    private func pair() -> (Node, Node)? {
        let registrars = self.registrars.compactMap(\.node)
        let others = self.chance(0.6) ? registrars : self.everybody
        guard let first = self.pick(registrars), let second = self.pick(others.filter({ $0.name != first.name })) else {
            return nil
        }
        return (first, second)
    }

    private func pair(_ first: String, _ second: String) -> (Node, Node)? {
        guard let first = self.world.node(first), let second = self.world.node(second) else { return nil }
        return (first, second)
    }
}
