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
        /// Another registrar is its home.
        case yield(to: RegistrarID)
    }

    private let host: Host
    private let key: ElementKey
    private let registrar: RegistrarID
    private let namesElement: Bool
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

    /// The link over which it has taken us for its home: by a registration, or by its answer to a keep-alive with H.
    private var homeLink: LinkID?
    /// Its next answer makes us its home: the keep-alives have H.
    private var wantsToBeHome = false
    /// Who else claims to be its home, while we ask it.
    private var challenger: RegistrarID?
    /// Its answer is news for the other registrars.
    private var isClaiming = false

    /// - Parameter link: the one that it registered over; nil: it was inherited.
    init(
        key: ElementKey, registrar: RegistrarID, link: LinkID?, remote: RemoteEndpoint, port: any Port,
        settings: Watch.Settings, namesElement: Bool, host: Host
    ) {
        self.key = key
        self.registrar = registrar
        self.namesElement = namesElement
        self.host = host
        let keepAlive = EndpointKeepAlive(
            registrar: registrar, pool: key.pool, wantsToBeHome: false, id: namesElement ? key.id : nil)
        // The handle came in a longer message than this one: it fits.
        self.keepAlive = (try? keepAlive.encoded()) ?? []
        self.watch = Watch(settings: settings)
        self.generator = host.makeGenerator()
        self.link = link
        self.port = port
        self.remote = remote
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    var nextDeadline: ContinuousClock.Instant? { self.watch.nextDeadline }
    var isBeingChecked: Bool { self.watch.isBeingChecked }

    func registered(over link: Link, port: any Port, life: Duration?, now: ContinuousClock.Instant) {
        self.link = link.id
        self.port = port
        self.remote = link.remote
        self.opening = nil
        self.homeLink = link.id
        self.wantsToBeHome = false
        self.challenger = nil
        self.isClaiming = false
        self.watch.registered(life: life, now: now, using: &self.generator)
    }

    /// - Returns: whether it has taken us for its home by that, and the other registrars have to hear it.
    func acknowledged(over link: LinkID, now: ContinuousClock.Instant) -> (becameHome: Bool, isNews: Bool) {
        self.watch.acknowledged(now: now, using: &self.generator)
        guard self.wantsToBeHome else { return (false, false) }
        defer {
            self.wantsToBeHome = false
            self.challenger = nil
            self.isClaiming = false
        }
        self.homeLink = link
        return (true, self.isClaiming)
    }

    // MARK: Being its home

    /// Whether the association stands over which it has taken us for its home.
    var isLinkedAsHome: Bool { self.link != nil && self.homeLink == self.link }

    /// It was inherited: a fresh life, and nothing else before it was asked.
    func inherited(life: Duration?, now: ContinuousClock.Instant) {
        self.wantsToBeHome = true
        self.watch.inherited(life: life, now: now)
    }

    /// A link that leads to it is there already.
    func useLink(_ link: Link, port: any Port) {
        self.link = link.id
        self.port = port
        self.remote = link.remote
    }

    /// Asks it to take us for its home.
    func rehome(now: ContinuousClock.Instant) -> Verdict {
        guard self.wantsToBeHome, !self.watch.isBeingChecked else { return .nothing }
        return self.carryOut(self.watch.asked(now: now))
    }

    /// Asks it to confirm that we are its home, over the association that says so; without one we leave it to `challenger`.
    func claimHome(against challenger: RegistrarID, now: ContinuousClock.Instant) -> Verdict {
        guard self.isLinkedAsHome else { return .yield(to: challenger) }
        return self.claim(against: challenger, now: now)
    }

    /// The same where nobody else would take it: over a new association if need be.
    func insistOnHome(now: ContinuousClock.Instant) -> Verdict {
        self.claim(against: nil, now: now)
    }

    private func claim(against challenger: RegistrarID?, now: ContinuousClock.Instant) -> Verdict {
        if self.isClaiming, self.watch.isBeingChecked { return .nothing }
        self.wantsToBeHome = true
        self.isClaiming = true
        self.challenger = challenger
        return self.carryOut(self.watch.asked(now: now))
    }

    func reported(by reporter: LinkID, now: ContinuousClock.Instant) -> Verdict {
        self.carryOut(self.watch.reported(by: reporter, now: now))
    }

    func challenged(now: ContinuousClock.Instant) -> Verdict {
        self.carryOut(self.watch.challenged(now: now))
    }

    func timersFired(now: ContinuousClock.Instant, inGrace: Bool, patience: Int) -> Verdict {
        self.carryOut(self.watch.timersFired(now: now, inGrace: inGrace, patience: patience))
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
        if self.homeLink == link { self.homeLink = nil }
        if let challenger { return .yield(to: challenger) }
        let wasOrderly = reason == .shutdown || reason == .closed || reason == .protocolViolation
        return self.carryOut(self.watch.linkEnded(wasOrderly: wasOrderly, now: now, inGrace: inGrace))
    }

    private func carryOut(_ action: Watch.Action?) -> Verdict {
        switch action {
        case nil: .nothing
        case .remove(let reason): self.challenger.map { .yield(to: $0) } ?? .remove(reason)
        case .sendKeepAlive: self.ask()
        }
    }

    private func ask() -> Verdict {
        if let link = self.link {
            do {
                try self.port.send(
                    OutboundMessage(bytes: self.question, payloadProtocol: ASAPMessage.payloadProtocol), on: link)
                return .asked
            } catch {
                // A full buffer is silence of the far end: the keep-alive's timer judges it.
                if error.code == .bufferFull { return .asked }
                self.link = nil
            }
        }
        return self.opening == nil ? .connect : .nothing
    }

    private var question: [UInt8] {
        guard self.wantsToBeHome else { return self.keepAlive }
        let keepAlive = EndpointKeepAlive(
            registrar: self.registrar, pool: self.key.pool, wantsToBeHome: true,
            id: self.namesElement ? self.key.id : nil)
        return (try? keepAlive.encoded()) ?? []
    }
}
