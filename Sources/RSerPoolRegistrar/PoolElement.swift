// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

/// An element that this registrar is home of: the link it registered over, its life and its keep-alives.
///
/// It lives on its registrar's executor. It never calls the registrar: what the registrar has to do is what its methods
/// return.
actor PoolElement {
    typealias Watch = ElementWatch<LinkID>

    /// What became of an input.
    enum Verdict: Sendable {
        case nothing
        /// A keep-alive is on its way.
        case asked
        /// It has no link to be asked over: it needs one to ``remote``.
        case connect
        case remove(Watch.Removal)
    }

    private let host: Host
    private let key: ElementKey
    /// The keep-alive that it gets, encoded once.
    private let keepAlive: [UInt8]
    private var watch: Watch
    private var generator: HostGenerator

    /// The link that it registered over, or the newest one opened to ask it; nil while there is none.
    private(set) var link: LinkID?
    private(set) var port: any Port
    /// Its ASAP transport: where the REGISTRATION came from (ASAP-074).
    private(set) var remote: RemoteEndpoint
    /// The link that is being opened to ask it.
    private(set) var opening: LinkID?

    init(
        key: ElementKey, registeredOver link: Link, port: any Port, settings: Watch.Settings, keepAlive: [UInt8],
        host: Host
    ) {
        self.key = key
        self.host = host
        self.keepAlive = keepAlive
        self.watch = Watch(settings: settings)
        self.generator = host.makeGenerator()
        self.link = link.id
        self.port = port
        self.remote = link.remote
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    var nextDeadline: ContinuousClock.Instant? { self.watch.nextDeadline }
    var isBeingChecked: Bool { self.watch.isBeingChecked }

    func registered(over link: Link, port: any Port, life: Duration?, now: ContinuousClock.Instant) {
        self.link = link.id
        self.port = port
        self.remote = link.remote
        self.opening = nil
        self.watch.registered(life: life, now: now, using: &self.generator)
    }

    func acknowledged(now: ContinuousClock.Instant) {
        self.watch.acknowledged(now: now, using: &self.generator)
    }

    func reported(by reporter: LinkID, now: ContinuousClock.Instant) -> Verdict {
        self.carryOut(self.watch.reported(by: reporter, now: now))
    }

    func challenged(now: ContinuousClock.Instant) -> Verdict {
        self.carryOut(self.watch.challenged(now: now))
    }

    func timersFired(now: ContinuousClock.Instant, inGrace: Bool) -> Verdict {
        self.carryOut(self.watch.timersFired(now: now, inGrace: inGrace))
    }

    /// A link is being opened to ask it.
    func linkIsOpening(_ link: LinkID) {
        self.opening = link
    }

    /// A link that leads to it is up. Nil: it has another one by now.
    func linkOpened(_ link: Link) -> Verdict? {
        guard self.link == nil else { return nil }
        self.opening = nil
        self.link = link.id
        return self.watch.isBeingChecked ? self.carryOut(.sendKeepAlive) : .nothing
    }

    /// The link that it registered over, or the one that was opened to ask it, is over.
    func linkEnded(
        _ link: LinkID, _ reason: LinkDownReason, now: ContinuousClock.Instant, inGrace: Bool
    ) -> Verdict {
        if self.opening == link {
            self.opening = nil
            // Nobody is there to be asked. In grace the keep-alive's timer tries again.
            return inGrace ? .nothing : self.carryOut(self.watch.keepAliveUndeliverable())
        }
        guard self.link == link else { return .nothing }
        self.link = nil
        let wasOrderly = reason == .shutdown || reason == .closed || reason == .protocolViolation
        return self.carryOut(self.watch.linkEnded(wasOrderly: wasOrderly, now: now, inGrace: inGrace))
    }

    private func carryOut(_ action: Watch.Action?) -> Verdict {
        switch action {
        case nil: .nothing
        case .remove(let reason): .remove(reason)
        case .sendKeepAlive: self.ask()
        }
    }

    private func ask() -> Verdict {
        if let link = self.link {
            do {
                try self.port.send(
                    OutboundMessage(bytes: self.keepAlive, payloadProtocol: ASAPMessage.payloadProtocol), on: link)
                return .asked
            } catch {
                // A full buffer is silence of the far end: the keep-alive's timer judges it.
                if error.code == .bufferFull { return .asked }
                self.link = nil
            }
        }
        return self.opening == nil ? .connect : .nothing
    }
}
