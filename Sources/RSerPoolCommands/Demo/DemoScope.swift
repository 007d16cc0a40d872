// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolRegistrar
internal import RSerPoolTransport
internal import RSerPoolWire

/// A registrar of the demo, as its `ready` line tells.
struct DemoRegistrar: Sendable {
    let name: String
    let id: String
    /// What it is bound to, so that it can come back to the same place.
    let asap: String
    let enrp: String
    private let endpoint: Endpoint

    init(name: String, ready line: String) throws(CommandFailure) {
        func value(_ key: String) -> String? {
            line.split(separator: " ").first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) }
        }
        guard let id = value("id"), let asap = value("asap"), let enrp = value("enrp"),
            let endpoint = try? Endpoint(parsing: enrp)
        else { throw CommandFailure(.bug, "the ready line of \(name) lacks something: \(line)") }
        (self.name, self.id, self.asap, self.enrp, self.endpoint) = (name, id, asap, enrp, endpoint)
    }

    /// What it knows, asked over ENRP as `rserpool dump` and `rserpool peers` do; nil where it does not answer.
    func view(from host: Host) async throws -> DemoView? {
        do {
            let table = try await self.query(from: host).handlespace()
            let listing = try await self.query(from: host).peers()
            var view = DemoView(peers: Set(listing.servers.map { "\($0.id)" }))
            for members in table.pools.values {
                for member in members.values { view.homes["\(member.id)"] = "\(member.home)" }
            }
            return view
        } catch is ENRPQueryError {
            return nil
        }
    }

    private func query(from host: Host) -> ENRPQuery {
        ENRPQuery(of: self.endpoint, timers: .lan, fastFailureDetection: true, patience: .seconds(2), host: host)
    }
}

/// What one registrar knows.
struct DemoView: Sendable, Equatable {
    /// Elements and their homes.
    var homes: [String: String] = [:]
    /// The registrars that it lists.
    var peers: Set<String>
}

/// All registrars that live, seen from outside.
struct DemoScope: Sendable {
    private static let pause = Duration.milliseconds(20)

    let host: Host

    /// Asks the registrars again and again, until all have answered and what they know is right.
    /// - Throws: `CommandFailure` after `limit`.
    func wait(
        for registrars: [DemoRegistrar], _ what: String, within limit: Duration,
        until isRight: @Sendable ([DemoView]) -> Bool
    ) async throws {
        let deadline = self.host.clock.now + limit
        while true {
            let views = try await self.views(of: registrars)
            if views.count == registrars.count, isRight(views) { return }
            guard self.host.clock.now < deadline else {
                throw CommandFailure(.timedOut, "not within \(limit / .seconds(1)) s: \(what)")
            }
            try await self.host.clock.sleep(for: Self.pause)
        }
    }

    private func views(of registrars: [DemoRegistrar]) async throws -> [DemoView] {
        try await withThrowingTaskGroup(of: DemoView?.self) { group in
            for registrar in registrars { group.addTask { try await registrar.view(from: self.host) } }
            var views: [DemoView] = []
            for try await case let view? in group { views.append(view) }
            return views
        }
    }
}
