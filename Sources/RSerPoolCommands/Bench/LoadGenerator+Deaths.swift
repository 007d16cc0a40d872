// SPDX-License-Identifier: Apache-2.0

internal import Histogram
internal import RSerPoolTransport
internal import RSerPoolWire
internal import SocketLoop

// Elements that die: their associations end all at once, and a subscriber is told.
extension LoadGenerator {
    private var watcher: Int { self.plan.connections }

    /// An element that has nothing to do with it.
    func registerBystander() throws {
        let pool = PoolHandle(octets: self.plan.pools[0].octets + Array("-unrelated".utf8))
        let bystander = try self.element(self.elements.count + 1, in: pool)
        self.bystander = bystander
        self.connections[self.homeConnection].sent.append(self.begin)
        self.send(bystander.registration, on: self.homeConnection)
    }

    /// The subscriber has its list, or a part of it; or it is told who has gone.
    func told(_ bytes: [UInt8], now: ContinuousClock.Instant) {
        guard case .handleResolutionResponse(let response)? = try? ASAPMessage.decode(bytes[...]).message else {
            return
        }
        if let increment = response.increment, increment.isSnapshot {
            if !increment.moreFollows, case .measuring = self.phase { self.endAssociations() }
            return
        }
        // The pool's last element has left: that is an update without a list.
        let gone = if case .failed = response.outcome { Array(self.died.keys) } else { response.gone }
        for id in gone {
            guard let end = self.died.removeValue(forKey: id) else { continue }
            self.record(now - end)
            self.outstanding -= 1
        }
        if self.outstanding == 0 { self.step.resolve(.success(())) }
    }

    private func endAssociations() {
        self.phase = .ending
        if let bystander {
            self.connections[self.homeConnection].sent.append(self.host.clock.now)
            self.send(bystander.registration, on: self.homeConnection)
        }
        self.outstanding = self.elements.count
        self.endAssociations(from: 0)
    }

    /// A hundred in one turn, so that what comes meanwhile is seen when it comes.
    private func endAssociations(from first: Int) {
        let next = min(first + 100, self.plan.connections)
        for number in first..<next {
            guard let link = self.connections[number].link else { continue }
            self.connections[number].link = nil
            let now = self.host.clock.now
            for element in stride(from: number, to: self.elements.count, by: self.plan.connections) {
                self.died[self.elements[element].id] = now
            }
            self.connections[number].port.abort(link)
        }
        guard next < self.plan.connections else { return }
        _ = self.host.clock.schedule(at: self.host.clock.now) {
            self.assumeIsolated { $0.endAssociations(from: next) }
        }
    }

    /// Nothing has died before its first registration; from then on it registers again and again.
    func bystanderAnswered(now: ContinuousClock.Instant) {
        let home = self.homeConnection
        guard let bystander, let sent = self.connections[home].sent.removeFirst() else { return }
        guard case .ending = self.phase else { return self.send(self.requests[0], on: self.watcher) }
        self.unrelated.record(Self.nanoseconds(now - sent))
        guard self.outstanding > 0 else { return }
        self.connections[home].sent.append(now)
        self.send(bystander.registration, on: home)
    }
}
