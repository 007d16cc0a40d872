// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import RSerPoolTransport

/// A world of simulated processes, with a network, one clock and one seed, driven from an ordinary test:
///
///     let world = World(seed: 42)
///     let registrar = world.startNode("registrar-1")
///     registrar.start { try await Registrar(host: registrar.host, …).run() }
///     try world.run(until: .seconds(3600))
///
/// Two runs of one seed, of the same build, do the same: compare their ``fingerprint``. Worlds share nothing, so tests
/// may run side by side. When the world goes, all its nodes are crashed.
package final class World {
    package let seed: UInt64
    package let options: WorldOptions
    /// For tests that draw their scenario from the seed.
    package var generator: HostGenerator

    let scheduler: Scheduler
    let network: Network
    /// By place. Only the latest incarnation of each name, dead ones too.
    private(set) var nodes: [Node] = []
    private var places: [String: Int] = [:]
    private var lastAddress: UInt32 = 0x0a00_0000

    package init(seed: UInt64, options: WorldOptions = WorldOptions()) {
        self.seed = seed
        self.options = options
        var seeds = SeedSequence(seed, for: "scenario")
        self.generator = seeds.makeGenerator()
        self.scheduler = Scheduler(seed: seed, jobsPerInstant: options.jobsPerInstant)
        self.network = Network(seed: seed, options: options, scheduler: self.scheduler)
    }

    deinit {
        do {
            try self.shutDown()
        } catch {
            // Nobody can be told by a thrown error here; what is left leaks.
            print("\(self): \(error)")
        }
    }

    // MARK: Nodes

    /// A new process. Its work is given to it with `Node.start(_:)`.
    /// - Parameters:
    ///   - name: Not that of a living one. A dead one's name stands for the same place in the network.
    ///   - addresses: Empty: the next free one of 10.0.0.0/8.
    ///   - encapsulationPort: The UDP port of SCTP endpoints that do not ask for one; nil: none.
    ///   - drift: How wrong its clock is.
    @discardableResult
    package func startNode(
        _ name: String, addresses: [IPAddress] = [], encapsulationPort: UInt16? = nil, drift: ClockDrift = .none
    ) -> Node {
        let place = self.places[name] ?? self.nodes.count
        let previous = place < self.nodes.count ? self.nodes[place] : nil
        precondition(previous?.isAlive != true, "there is a node \"\(name)\" already")
        var addresses = addresses
        if addresses.isEmpty {
            self.lastAddress += 1
            addresses = [.ipv4(self.lastAddress)]
        }
        let node = Node(
            name: name, place: place, incarnation: (previous?.incarnation ?? 0) + 1, addresses: addresses,
            encapsulationPort: encapsulationPort, drift: drift, seed: self.seed, scheduler: self.scheduler,
            network: self.network)
        if previous == nil {
            self.places[name] = place
            self.nodes.append(node)
        } else {
            self.nodes[place] = node
        }
        self.network.started(node)
        return node
    }

    /// A new process in the place of a dead one: same name, same addresses, nothing else.
    package func restart(_ node: Node) -> Node {
        self.startNode(
            node.name, addresses: node.addresses, encapsulationPort: node.encapsulationPort, drift: node.drift)
    }

    /// The latest of that name.
    package func node(_ name: String) -> Node? {
        self.places[name].map { self.nodes[$0] }
    }

    package var livingNodes: [Node] { self.nodes.filter(\.isAlive) }

    // MARK: Time

    /// Since the world began.
    package var now: Duration { .nanoseconds(self.scheduler.now) }

    /// Runs everything that happens up to `moment`, and at it.
    /// - Returns: `.reached`; or `.stuck`, with time moved on all the same, if nothing will ever happen any more
    /// although tasks live.
    @discardableResult
    package func run(until moment: Duration) throws -> RunOutcome {
        _ = try self.scheduler.run(until: moment.inNanoseconds, isDone: nil)
        return self.isOver && self.nodes.contains { $0.liveRoots > 0 } ? self.stuck : .reached
    }

    /// Runs everything that happens within `span` from now.
    @discardableResult
    package func run(for span: Duration) throws -> RunOutcome {
        try self.run(until: self.now + span)
    }

    /// Runs until `condition` holds, for `limit` at most. It is asked whenever all work of an instant is done, so it is
    /// also the place for what must hold throughout: an error that it throws ends the run.
    @discardableResult
    package func run(atMost limit: Duration, until condition: () throws -> Bool) throws -> RunOutcome {
        let isReached = try withoutActuallyEscaping(condition) { condition in
            try self.scheduler.run(until: (self.now + limit).inNanoseconds, isDone: condition)
        }
        if isReached { return .reached }
        return self.isOver ? self.stuck : .timedOut
    }

    /// Runs as long as `condition` holds, for `limit` at most.
    @discardableResult
    package func run(atMost limit: Duration, while condition: () throws -> Bool) throws -> RunOutcome {
        try self.run(atMost: limit, until: { try !condition() })
    }

    /// Runs all that is to be done now, without letting time pass.
    package func settle() throws {
        try self.run(until: self.now)
    }

    /// Has `body` called at `moment`, between the nodes' work: for faults of a scenario. It must not run the world.
    ///
    /// It refers to the world weakly or not at all, or the world never goes.
    package func at(_ moment: Duration, _ body: @escaping () -> Void) {
        self.scheduler.schedule(at: max(moment.inNanoseconds, self.scheduler.now), body)
    }

    // MARK: What happened

    /// Everything on the network and when, in one number.
    package var fingerprint: UInt64 { self.network.trace.value }

    /// Sees each event as it happens, for transcripts.
    package var observer: ((TraceEvent) -> Void)? {
        get { self.network.trace.observer }
        set { self.network.trace.observer = newValue }
    }

    package var counters: WorldCounters {
        var counters = self.network.counters
        counters.jobs = Int(self.scheduler.jobs)
        return counters
    }

    /// Timers and things on the network that are to come.
    package var pendingEvents: Int { self.scheduler.timers.count }

    /// Whether somebody still has to find out that the far end of a link is silent.
    package var hasUnansweredLinks: Bool { self.network.hasUnansweredLinks }

    /// Crashes all nodes and forgets what was on the network.
    package func shutDown() throws {
        var failure: WorldError?
        for node in self.nodes where node.isAlive {
            do {
                try self.crash(node)
            } catch {
                failure = failure ?? error
            }
        }
        self.nodes = []
        self.places = [:]
        self.scheduler.cancelAll()
        self.network.removeAll()
        if let failure { throw failure }
    }

    /// Nothing is to be done, now or later.
    private var isOver: Bool { self.scheduler.isIdle && self.scheduler.timers.count == 0 }

    private var stuck: RunOutcome { .stuck(alive: self.nodes.filter { $0.liveRoots > 0 }.map(\.name)) }
}

extension World: CustomStringConvertible {
    /// What is needed to see the same again: the seed, and which build it belongs to.
    package var description: String {
        #if DEBUG
        let configuration = "debug"
        #else
        let configuration = "release"
        #endif
        return "World(seed: \(self.seed)), \(configuration) build, at \(self.now)"
    }
}

/// How much has happened.
package struct WorldCounters: Hashable, Sendable {
    package var jobs = 0
    package var linksOpened = 0
    package var linksRefused = 0
    package var linksLost = 0
    package var messagesSent = 0
    package var messagesReceived = 0
    package var datagramsSent = 0
    package var datagramsLost = 0
    /// Crashes, freezes, and changes of ways.
    package var faults = 0
}
