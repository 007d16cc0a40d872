// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport

/// What the demo plays: three registrars, six pool elements, a watcher and a user, each a process of its own. The element
/// that serves the user is killed, then the registrar that most depend on; that one comes back, an element leaves in good
/// order, and the user goes on.
actor Demo {
    static let pool = "DemoPool"
    private static let requestInterval = Duration.milliseconds(50)
    /// How long anything may take before the demo has failed.
    private static let patience = Duration.seconds(15)
    /// Undisturbed time between two events.
    private static let breath = Duration.milliseconds(1_500)

    private typealias Cast = ThrowingTaskGroup<Void, any Error>
    private typealias Condition = @Sendable (isolated Demo) -> Bool

    private let host: Host
    private let scope: DemoScope
    private let options: [String]
    private let begin: ContinuousClock.Instant
    private let requests = Mailbox<String>(limit: 10_000)
    private var processes: [String: ProcessHandle] = [:]
    private var ready: [String: OneShot<String>] = [:]
    private var registrars: [DemoRegistrar] = []
    private var elements: [String: String] = [:]

    private var traffic = DemoTraffic()
    private var events: [DemoEvent] = []
    /// The watcher's members and their homes.
    private var watched: [String: String] = [:]
    /// Who gave the last answer.
    private var server: String?
    private var waiting: [(condition: Condition, isMet: OneShot<Void>)] = []
    /// No further requests are made.
    private var isOver = false

    init(host: Host, options: [String]) {
        self.host = host
        self.scope = DemoScope(host: host)
        self.options = options
        self.begin = host.clock.now
    }

    /// - Throws: `CommandFailure` where a request was lost, or something did not happen that should have.
    func play() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            try await self.enter(&group)
            group.addTask { try await self.sendRequests() }
            try await self.wait("the user gets an answer") { $0.server != nil }
            try await self.pause()
            try await self.killElement()
            try await self.pause()
            let dead = try await self.killRegistrar()
            try await self.pause()
            try await self.bringBack(dead, &group)
            try await self.pause()
            try await self.retireElement()
            try await self.pause()
            self.isOver = true
            try await self.wait("every request is answered") { $0.traffic.isAllAnswered }
            self.requests.finish()
            self.sumUp()
        }
    }

    private func pause() async throws { try await self.host.clock.sleep(for: Self.breath) }

    // MARK: The cast

    private func enter(_ group: inout Cast) async throws {
        self.say("three registrars, six pool elements, one user: real processes, SCTP between them")
        for number in 1...3 {
            let name = "registrar \(number)"
            try await self.startRegistrar(
                name, ["--asap", "sctp:127.0.0.1:0", "--enrp", "sctp:127.0.0.1:0", "--encapsulation-port", "0"], &group)
        }
        // All have the same list: the first registrar is everybody's favourite.
        let list = self.registrars.flatMap { ["--registrar", $0.asap] }
        self.start("watcher", ["watch", Self.pool, "--json"] + list, &group)
        let names = (1...6).map { "element \($0)" }
        for name in names {
            self.start(name, ["serve", "echo", Self.pool, "--listen", "sctp:127.0.0.1:0"] + list, &group)
        }
        for name in names {
            let line = try await self.readyLine(of: name)
            let id = line.split(separator: " ").first { $0.hasPrefix("id=") }?.dropFirst(3) ?? ""
            self.elements[String(id)] = name
        }
        self.start("user", ["connect", Self.pool, "--json"] + list, input: self.requests, &group)
        try await self.untilAllKnow("six elements in every registrar's handlespace") { $0.homes.count == 6 }
        let homes = self.homes()
        self.say("six elements have registered: \(homes); every registrar knows them all")
    }

    private func startRegistrar(_ name: String, _ arguments: [String], _ group: inout Cast) async throws {
        let peers = self.registrars.flatMap { ["--peer", $0.enrp] }
        // The first life of a registrar that comes back may still report its end.
        let key = self.ready[name] == nil ? name : "\(name) again"
        self.start(key, ["registrar"] + arguments + peers, &group)
        let registrar = try DemoRegistrar(name: name, ready: try await self.readyLine(of: key))
        self.processes[name] = self.processes[key]
        self.registrars.append(registrar)
        self.say("\(name), \(registrar.id), serves at \(registrar.asap), and registrars at \(registrar.enrp)")
    }

    private func start(_ name: String, _ arguments: [String], input: Mailbox<String>? = nil, _ group: inout Cast) {
        let process = DemoProcess(
            name: name, arguments: arguments + ["--preset", "lan", "--log-level", "error"] + self.options, input: input)
        self.ready[name] = OneShot()
        group.addTask { try await process.run { await self.happened($0, to: name) } }
    }

    private func readyLine(of name: String) async throws -> String {
        try await self.limited("\(name) is ready", self.ready[name] ?? OneShot())
    }

    // MARK: The plot

    private func killElement() async throws {
        guard let id = self.server, let name = self.elements[id] else { return }
        self.say("kill -9 \(name), which serves the user just now")
        let killed = self.happens("kill -9 \(name), the user's")
        self.processes[name]?.kill()
        try await self.userMovesOn(from: id, since: killed)
        try await self.forget(id, since: killed)
    }

    private func retireElement() async throws {
        guard let id = self.server, let name = self.elements[id] else { return }
        self.say("SIGTERM to \(name), which serves the user just now: it deregisters and ends")
        let told = self.happens("SIGTERM to \(name), the user's")
        self.processes[name]?.terminate()
        try await self.userMovesOn(from: id, since: told)
        try await self.forget(id, since: told)
    }

    private func userMovesOn(from id: String, since begin: ContinuousClock.Instant) async throws {
        try await self.wait("the user is served by another element") { $0.server != id }
        let successor = self.server.flatMap { self.elements[$0] } ?? "another one"
        self.say("the user is served by \(successor), \(self.since(begin))")
    }

    private func forget(_ id: String, since begin: ContinuousClock.Instant) async throws {
        let name = self.elements.removeValue(forKey: id) ?? id
        try await self.untilAllKnow("no registrar lists \(name) any more") { $0.homes[id] == nil }
        self.say("all registrars and the watcher know that \(name) is gone, \(self.since(begin))")
    }

    /// Kills the registrar that most depend on.
    private func killRegistrar() async throws -> DemoRegistrar {
        let dependents = Dictionary(grouping: self.watched.values) { $0 }.mapValues(\.count)
        guard let home = dependents.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }),
            let index = self.registrars.firstIndex(where: { $0.id == home.key })
        else { throw CommandFailure(.bug, "no registrar is home of anybody: \(dependents)") }
        let dead = self.registrars.remove(at: index)
        self.say("kill -9 \(dead.name), home of \(home.value) elements")
        let killed = self.happens("kill -9 \(dead.name), home of \(home.value)")
        self.processes[dead.name]?.kill()
        let count = self.elements.count
        try await self.untilAllKnow("every element has another home") { view in
            view.homes.count == count && !view.homes.values.contains(dead.id) && !view.peers.contains(dead.id)
        }
        self.say("all elements have another home: \(self.homes()); registrars and watcher agree, \(self.since(killed))")
        return dead
    }

    private func bringBack(_ dead: DemoRegistrar, _ group: inout Cast) async throws {
        self.say("\(dead.name) starts again, with its old identifier and ports")
        let started = self.happens("\(dead.name) starts again")
        try await self.startRegistrar(
            dead.name, ["--id", dead.id, "--asap", dead.asap, "--enrp", dead.enrp], &group)
        let count = self.elements.count
        try await self.untilAllKnow("\(dead.name) knows everything again") { $0.homes.count == count }
        self.say("\(dead.name) knows all \(count) elements and both peers again, \(self.since(started))")
    }

    private func sendRequests() async throws {
        while !self.isOver {
            _ = self.requests.put(self.traffic.ask(now: self.host.clock.now))
            try await self.host.clock.sleep(for: Self.requestInterval)
        }
    }

    // MARK: Waiting

    private func happens(_ what: String) -> ContinuousClock.Instant {
        let now = self.host.clock.now
        self.events.append(DemoEvent(what: what, begin: now))
        return now
    }

    /// Waits until all living registrars list one another, say the same of all elements, and it is right, and until the
    /// watcher has heard of it.
    private func untilAllKnow(_ what: String, _ isRight: @escaping @Sendable (DemoView) -> Bool) async throws {
        let ids = Set(self.registrars.map(\.id))
        let isAgreed: @Sendable ([DemoView]) -> Bool = { views in
            views.allSatisfy { isRight($0) && $0.homes == views[0].homes && $0.peers.count == ids.count - 1 }
        }
        try await self.scope.wait(for: self.registrars, what, within: Self.patience, until: isAgreed)
        try await self.wait("\(what), says the watcher") { isRight(DemoView(homes: $0.watched, peers: [])) }
        if !self.events.isEmpty { self.events[self.events.count - 1].known = self.host.clock.now }
    }

    /// Waits until what the processes say makes it true.
    private func wait(_ what: String, until condition: @escaping Condition) async throws {
        guard !condition(self) else { return }
        let isMet = OneShot<Void>()
        self.waiting.append((condition, isMet))
        try await self.limited(what, isMet)
    }

    private func limited<Value: Sendable>(_ what: String, _ outcome: OneShot<Value>) async throws -> Value {
        let clock = self.host.clock
        return try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await outcome.value() }
            group.addTask {
                try await clock.sleep(for: Self.patience)
                throw CommandFailure(.timedOut, "not within \(Self.patience / .seconds(1)) s: \(what)")
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    // MARK: What the processes say

    private func happened(_ event: DemoProcess.Event, to name: String) {
        switch event {
        case .started(let process): self.processes[name] = process
        case .line(let line):
            switch name {
            case "watcher": self.watched(line)
            case "user": self.answered(line)
            default: if line.hasPrefix("ready ") { self.ready[name]?.resolve(.success(line)) }
            }
        case .ended(let how):
            let failure = CommandFailure(.unreachable, "\(name) ended: \(how)")
            self.ready[name]?.resolve(.failure(failure))
            // Without them there is nothing to wait for.
            guard name == "user" || name == "watcher" else { break }
            for waiting in self.waiting { waiting.isMet.resolve(.failure(failure)) }
        }
        self.waiting.removeAll { waiting in
            guard waiting.condition(self) else { return false }
            waiting.isMet.resolve(.success(()))
            return true
        }
    }

    private func watched(_ line: String) {
        let homes = zip(Self.values(of: "id", in: line), Self.values(of: "home", in: line))
        switch Self.values(of: "change", in: line, length: 11).first?.split(separator: "\"").first {
        case "snapshot": self.watched = Dictionary(homes) { $1 }
        case "joined", "updated": self.watched.merge(homes) { $1 }
        case "left": for (id, _) in homes { self.watched[id] = nil }
        case "interrupted": self.say("watcher: its registrar is gone; it looks for another one")
        case "resumed": self.say("watcher: another registrar tells it of the pool again")
        default: break
        }
    }

    private func answered(_ line: String) {
        self.traffic.answer(now: self.host.clock.now)
        self.server = Self.values(of: "element", in: line).first ?? self.server
    }

    /// The beginnings of all values of a key in a line that this program has written: identifiers have ten characters.
    private static func values(of key: String, in line: String, length: Int = 10) -> [String] {
        line.split(separator: "\"\(key)\":\"", omittingEmptySubsequences: false).dropFirst().map {
            String($0.prefix(length))
        }
    }

    // MARK: Speech

    private func sumUp() {
        self.say("\(self.traffic.asked.count) requests, \(self.traffic.answered.count) answers")
        Terminal.print("")
        for line in DemoEvent.table(self.events, self.traffic, end: self.host.clock.now) { Terminal.print(line) }
        Terminal.print("")
    }

    /// How many elements have which home.
    private func homes() -> String {
        let counts = Dictionary(grouping: self.watched.values) { $0 }.mapValues(\.count)
        return self.registrars.compactMap { registrar in counts[registrar.id].map { "\($0) with \(registrar.name)" } }
            .joined(separator: ", ")
    }

    private func say(_ text: String) {
        let tenths = Int((self.host.clock.now - self.begin) / .milliseconds(100))
        let stamp = "\(tenths / 10).\(tenths % 10) s"
        Terminal.print(String(repeating: " ", count: max(0, 7 - stamp.count)) + stamp + "  " + text)
    }

    private func since(_ begin: ContinuousClock.Instant) -> String {
        "\(milliseconds(self.host.clock.now - begin)) after that"
    }
}
