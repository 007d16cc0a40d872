// SPDX-License-Identifier: Apache-2.0

/// Which way between two nodes.
package enum Direction: Sendable {
    case both
    /// From the first to the second.
    case forth
    /// From the second to the first.
    case back
}

/// What goes wrong. All of it is done between the nodes' work, from the test or from `World.at(_:_:)`.
extension World {
    /// Ends a process at once: nothing that it still says is heard, its tasks are cancelled and run to their end
    /// unseen, so all that lived in it is freed.
    package func crash(_ node: Node, _ death: Death = .process) throws(WorldError) {
        self.willFault()
        precondition(node.isAlive, "\(node.name) is dead already")
        self.network.died(node, death)
        self.network.trace.record(.crashed(death), at: node)
        guard node.die(death) else { throw .survivedCrash(node: node.name, roots: node.liveRoots) }
    }

    /// Stops a process (SIGSTOP): its work, timers and mail wait. With userland SCTP its associations fall silent.
    package func freeze(_ node: Node) {
        self.willFault()
        precondition(node.state == .running, "\(node.name) is not running")
        node.freeze()
        self.network.trace.record(.frozen, at: node)
        self.network.review(node)
    }

    /// Lets a frozen process go on; its clock has jumped.
    package func thaw(_ node: Node) {
        self.willFault()
        precondition(node.state == .frozen, "\(node.name) is not frozen")
        node.thaw()
        self.network.trace.record(.thawed, at: node)
        self.network.review(node)
    }

    /// Lets nothing through between two nodes, until ``heal(_:_:_:)``; restarts do not change it. What links carry is
    /// held back; one that is silent for the time of failure detection is lost, on each end by itself.
    package func partition(_ first: Node, _ second: Node, _ direction: Direction = .both) {
        self.set(.cut, first, second, direction)
    }

    /// Holds back what links carry between two nodes while their heartbeats are answered: buffers fill up, nothing is
    /// lost.
    package func clog(_ first: Node, _ second: Node, _ direction: Direction = .both) {
        self.set(.clogged, first, second, direction)
    }

    /// Ends what ``partition(_:_:_:)`` or ``clog(_:_:_:)`` began.
    package func heal(_ first: Node, _ second: Node, _ direction: Direction = .both) {
        self.set(nil, first, second, direction)
    }

    /// Cuts a node off from all others that there are now.
    package func isolate(_ node: Node) {
        for other in self.nodes where other.place != node.place { self.partition(node, other) }
    }

    /// Ends all partitions and clogs.
    package func healAll() {
        for first in self.nodes {
            for second in self.nodes[(first.place + 1)...] where self.network.isFaulty(first, second) {
                self.heal(first, second)
            }
        }
    }

    /// Makes the present links between two nodes silent for good, though new ones can be opened: after the time of
    /// failure detection both ends see them lost.
    package func loseLinks(between first: Node, and second: Node) {
        self.willFault()
        self.network.loseLinks(between: first, and: second)
    }

    /// Sets how the way between two nodes is; nil: as all others.
    package func setConditions(
        _ conditions: PathConditions?, between first: Node, and second: Node, _ direction: Direction = .both
    ) {
        self.willFault()
        if direction != .back { self.network.set(conditions, from: first, to: second) }
        if direction != .forth { self.network.set(conditions, from: second, to: first) }
    }

    private func set(_ fault: PathFault?, _ first: Node, _ second: Node, _ direction: Direction) {
        self.willFault()
        precondition(first.place != second.place, "\(first.name) cannot be cut off from itself")
        if direction != .back { self.network.set(fault, from: first, to: second) }
        if direction != .forth { self.network.set(fault, from: second, to: first) }
        self.network.pathChanged(first, second)
    }

    private func willFault() {
        precondition(self.scheduler.current == nil, "a fault comes from the test or from World.at, not from a node")
        self.scheduler.enter()
        self.network.counters.faults += 1
    }
}
