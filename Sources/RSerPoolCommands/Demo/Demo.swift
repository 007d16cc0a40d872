// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTransport

/// What the demo plays: a registrar, three pool elements, a watcher and a user, each a process of its own; one element is
/// killed, another one leaves in good order, and the user goes on.
actor Demo {
    struct Outcome: Sendable {
        var requests = 0
        var answers = 0
        var failures: [String] = []
    }

    static let pool = "DemoPool"
    private static let requestInterval = Duration.milliseconds(50)

    private let clock = ContinuousClock()
    private let begin: ContinuousClock.Instant
    private let options: [String]
    private var requests = Mailbox<String>(limit: 10_000)
    private var processes: [String: ProcessHandle] = [:]
    private var ready: [String: OneShot<String>] = [:]
    private var elementNames: [String: String] = [:]
    private var members: Set<String> = []
    private var memberCount: (wanted: Int, reached: OneShot<Void>)?
    private var lastElement: (id: String, changed: OneShot<String>)?
    private var leftAt: [String: ContinuousClock.Instant] = [:]
    private var lastAnswer: ContinuousClock.Instant?
    private var longestGap = Duration.zero
    private var outcome = Outcome()
    private var allAnswered = OneShot<Void>()
    /// No further requests are made.
    private var isOver = false
    /// The curtain has fallen: processes that end now were told to.
    private var hasEnded = false

    init(options: [String]) {
        self.options = options
        self.begin = self.clock.now
    }

    func play() async throws -> Outcome {
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            self.say("one registrar, three pool elements, one user: real processes, SCTP between them")
            let registrar = try await self.startRegistrar(&group)
            self.start("watcher", ["watch", Self.pool, "--json"] + registrar, &group)
            for number in 1...3 { try await self.startElement("element \(number)", registrar, &group) }
            try await self.waitForMembers(3)
            let input = self.requests
            self.start("user", ["connect", Self.pool, "--json"] + registrar, input: input, &group)
            group.addTask { try await self.sendRequests() }
            let used = try await self.waitForElement()
            try await self.clock.sleep(for: .seconds(2))
            try await self.killElement(used)
            try await self.clock.sleep(for: .seconds(2))
            try await self.retireElement()
            try await self.clock.sleep(for: .seconds(2))
            self.isOver = true
            try await self.allAnswered.value()
            self.hasEnded = true
        }
        self.summarize()
        return self.outcome
    }

    // MARK: The cast

    private func startRegistrar(_ group: inout ThrowingTaskGroup<Void, any Error>) async throws -> [String] {
        let arguments = [
            "registrar", "--asap", "sctp:127.0.0.1:0", "--encapsulation-port", "0", "--log-level", "warning",
        ]
        self.start("registrar", arguments, &group)
        let line = try await self.readyLine(of: "registrar")
        guard let endpoint = line.split(separator: " ").first(where: { $0.hasPrefix("asap=") })?.dropFirst(5) else {
            throw CommandFailure(.bug, "the registrar's ready line has no endpoint: \(line)")
        }
        self.say("registrar serves at \(endpoint)")
        return ["--registrar", String(endpoint)]
    }

    private func startElement(
        _ name: String, _ registrar: [String], _ group: inout ThrowingTaskGroup<Void, any Error>
    ) async throws {
        self.start(
            name, ["serve", "echo", Self.pool, "--listen", "sctp:127.0.0.1:0", "--log-level", "warning"] + registrar,
            &group)
        let line = try await self.readyLine(of: name)
        let id = line.split(separator: " ").first { $0.hasPrefix("id=") }?.dropFirst(3) ?? ""
        self.elementNames[String(id)] = name
        self.say("\(name) has registered as \(id)")
    }

    private func start(
        _ name: String, _ arguments: [String], input: Mailbox<String>? = nil,
        _ group: inout ThrowingTaskGroup<Void, any Error>
    ) {
        let process = DemoProcess(name: name, arguments: arguments + ["--preset", "lan"] + self.options, input: input)
        self.ready[name] = OneShot()
        group.addTask { try await process.run { await self.happened($0, to: name) } }
    }

    private func readyLine(of name: String) async throws -> String {
        let ready = self.ready[name] ?? OneShot()
        return try await withThrowingTaskGroup(of: String.self) { group in
            group.addTask { try await ready.value() }
            group.addTask {
                try await Task.sleep(for: .seconds(15))
                throw CommandFailure(.timedOut, "\(name) was not ready within 15 s")
            }
            defer { group.cancelAll() }
            return try await group.next() ?? ""
        }
    }

    // MARK: The plot

    private func sendRequests() async throws {
        while !self.isOver {
            self.outcome.requests += 1
            _ = self.requests.put("request \(self.outcome.requests)")
            try await self.clock.sleep(for: Self.requestInterval)
        }
        if self.outcome.answers == self.outcome.requests { self.allAnswered.resolve(.success(())) }
    }

    private func waitForMembers(_ count: Int) async throws {
        guard self.members.count < count else { return }
        let reached = OneShot<Void>()
        self.memberCount = (count, reached)
        try await reached.value()
    }

    private func waitForElement() async throws -> String {
        if let lastElement { return lastElement.id }
        let changed = OneShot<String>()
        self.lastElement = ("", changed)
        return try await changed.value()
    }

    private func killElement(_ id: String) async throws {
        guard let name = self.elementNames[id], let process = self.processes[name] else { return }
        self.say("kill -9 \(name), which serves the user just now")
        let changed = OneShot<String>()
        self.lastElement = (id, changed)
        let killed = self.clock.now
        self.longestGap = .zero
        process.kill()
        let successor = try await changed.value()
        self.say(
            "the user is served by \(self.elementNames[successor] ?? successor), \(self.milliseconds(since: killed)) after the kill"
        )
        try await self.waitForMembers(atMost: 2)
        if let left = self.leftAt[id] {
            self.say("the registrar had removed \(name) \(Self.milliseconds(left - killed)) after the kill")
        }
    }

    private func retireElement() async throws {
        guard let id = self.lastElement?.id, let name = self.elementNames[id], let process = self.processes[name] else {
            return
        }
        self.say("SIGTERM to \(name), which serves the user just now: it deregisters and ends")
        process.terminate()
        try await self.waitForMembers(atMost: 1)
    }

    private func waitForMembers(atMost count: Int) async throws {
        guard self.members.count > count else { return }
        let reached = OneShot<Void>()
        self.memberCount = (-count, reached)
        try await reached.value()
    }

    private func summarize() {
        self.say(
            "\(self.outcome.requests) requests, \(self.outcome.answers) answers, longest wait for an answer \(Self.milliseconds(self.longestGap))"
        )
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
            self.ready[name]?.resolve(
                .failure(CommandFailure(.unreachable, "\(name) ended before it was ready: \(how)")))
            if name == "user", !self.hasEnded {
                self.outcome.failures.append("the user ended: \(how)")
                self.allAnswered.resolve(.success(()))
            }
        }
    }

    private func watched(_ line: String) {
        let ids = Self.identifiers(in: line)
        if line.contains(#""change":"snapshot""#) {
            self.members = Set(ids)
        } else if let id = ids.first, line.contains(#""change":"joined""#) {
            self.members.insert(id)
        } else if let id = ids.first, line.contains(#""change":"left""#) {
            self.members.remove(id)
            self.leftAt[id] = self.clock.now
            self.say("watcher: \(self.elementNames[id] ?? id) has left the pool")
        }
        if let (wanted, reached) = self.memberCount,
            wanted > 0 ? self.members.count >= wanted : self.members.count <= -wanted
        {
            self.memberCount = nil
            reached.resolve(.success(()))
        }
    }

    private func answered(_ line: String) {
        let now = self.clock.now
        self.outcome.answers += 1
        if let lastAnswer { self.longestGap = max(self.longestGap, now - lastAnswer) }
        self.lastAnswer = now
        guard let element = Self.value(of: "element", in: line) else { return }
        if self.lastElement?.id != element {
            let waiting = self.lastElement?.changed
            self.lastElement = (element, OneShot())
            waiting?.resolve(.success(element))
        }
        if self.isOver, self.outcome.answers == self.outcome.requests { self.allAnswered.resolve(.success(())) }
    }

    /// The values of all `"id"` members of a line that this program has written.
    private static func identifiers(in line: String) -> [String] {
        line.split(separator: #""id":""#).dropFirst().map { String($0.prefix(10)) }
    }

    private static func value(of key: String, in line: String) -> String? {
        line.split(separator: "\"\(key)\":\"", maxSplits: 1).dropFirst().first.map { String($0.prefix(10)) }
    }

    // MARK: Speech

    private func say(_ text: String) {
        let tenths = Int((self.clock.now - self.begin) / .milliseconds(100))
        let stamp = "\(tenths / 10).\(tenths % 10) s"
        Terminal.print(String(repeating: " ", count: max(0, 7 - stamp.count)) + stamp + "  " + text)
    }

    private func milliseconds(since instant: ContinuousClock.Instant) -> String {
        Self.milliseconds(self.clock.now - instant)
    }

    private static func milliseconds(_ duration: Duration) -> String { "\(Int(duration / .milliseconds(1))) ms" }
}
