// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

/// The talk with one other registrar: its association, whether it lives, the audit of its elements, and the downloads that
/// it makes from us (RFC 5353 §3.2.3, §3.4, §3.6).
///
/// It lives on its registrar's executor and never calls the registrar: what is to be done is what its methods return.
actor PeerLink {
    /// A download that the peer makes (AMB-9): it belongs to one association and one W flag.
    private struct Download: Sendable {
        var link: LinkID
        var ownChildrenOnly: Bool
        var cursor: TableCursor
        var expires: ContinuousClock.Instant
    }

    nonisolated let id: RegistrarID
    private nonisolated let host: Host
    private let timers: ENRPTimers
    private(set) var dialect: Dialect

    /// The association that messages to it go over; nil while there is none.
    private(set) var link: LinkID?
    private(set) var port: (any Port)?
    /// Nil while it is provisional: it has never said where its ENRP endpoint is (a deviation from §3.4.1: it is answered
    /// and watched, but is in no LIST_RESPONSE, is not asked for agreement and is not taken over).
    private(set) var information: ServerInformation?
    private(set) var liveness: PeerLiveness
    private(set) var audit: Resynchronization
    private var download: Download?
    /// It has not told whom it knows since this association began, or since it was thought dead.
    private var owesList = true
    /// When it was asked that, while the answer is outstanding.
    private var listAsked: ContinuousClock.Instant?
    /// When it was asked that last.
    private var listLastAsked: ContinuousClock.Instant?
    /// Something for it found its buffer full: it has to compare checksums soon.
    private var hasMissedSomething = false

    init(id: RegistrarID, dialect: Dialect, timers: ENRPTimers, host: Host) {
        self.id = id
        self.dialect = dialect
        self.timers = timers
        self.host = host
        self.liveness = PeerLiveness(timers: timers, now: host.clock.now)
        self.audit = Resynchronization(timers: timers)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.host.executor.asUnownedSerialExecutor() }

    var isProvisional: Bool { self.information == nil }
    /// Whether it takes part in the scope: known, and neither dead nor being taken over.
    var isActive: Bool { !self.isProvisional && self.liveness.isActive }
    var isDownloading: Bool { self.download != nil }
    var audience: Audience { self.dialect == .rsplib ? .rsplibENRP : .enrp }

    var nextDeadline: ContinuousClock.Instant? {
        // A provisional one is forgotten with its association; until then nothing is due.
        let liveness = self.isProvisional ? nil : self.liveness.nextDeadline
        return [liveness, self.audit.nextDeadline, self.download?.expires].compactMap { $0 }.min()
    }

    // MARK: Association

    func attach(_ link: LinkID, port: any Port, dialect: Dialect, now: ContinuousClock.Instant) {
        if self.link != link {
            // It may have started anew, and others may have come meanwhile.
            self.oweList()
            // An answer to what was asked over another association is none to what is asked over this one.
            if self.link != nil { self.audit.abandon(now: now) }
        }
        self.link = link
        self.port = port
        self.dialect = dialect
    }

    /// Its association is over. `other` is another one that leads to it.
    func linkEnded(
        _ link: LinkID, other: (link: LinkID, port: any Port)?, now: ContinuousClock.Instant, patience: Int
    ) -> PeerLiveness.Action? {
        if self.download?.link == link { self.download = nil }
        guard self.link == link else { return nil }
        self.audit.abandon(now: now)
        self.link = other?.link
        self.port = other?.port
        guard other == nil, !self.isProvisional else { return nil }
        return self.liveness.linkEnded(now: now, patience: patience)
    }

    /// Hands a message to it.
    /// - Returns: whether it is on its way; a full buffer is made good by the next audit.
    func send(_ bytes: [UInt8]) -> Bool {
        guard let link = self.link, let port = self.port else { return false }
        do {
            try port.send(OutboundMessage(bytes: bytes, payloadProtocol: ENRPMessage.payloadProtocol), on: link)
            return true
        } catch {
            self.hasMissedSomething = true
            return false
        }
    }

    /// There is room again.
    /// - Returns: whether something did not find room before.
    func writable() -> Bool {
        defer { self.hasMissedSomething = false }
        return self.hasMissedSomething
    }

    /// - Returns: whether it was provisional before.
    func learned(_ information: ServerInformation) -> Bool {
        defer { self.information = information }
        return self.information == nil
    }

    // MARK: Life

    func heard(now: ContinuousClock.Instant) -> Bool {
        let isBack = self.liveness.heard(now: now)
        if isBack { self.owesList = true }
        return isBack
    }

    private func oweList() {
        self.owesList = true
        self.listAsked = nil
    }

    /// Whether to ask it whom it knows now: once, and again if it does not answer, or refuses.
    func asksForList(now: ContinuousClock.Instant) -> Bool {
        guard self.owesList, !self.isProvisional else { return false }
        if let asked = self.listAsked, now < asked + self.timers.maxTimeNoResponse { return false }
        self.listAsked = now
        self.listLastAsked = now
        return true
    }

    /// It asks us whom we know. Maybe it had lost us without our knowledge (we were stopped, and our associations live):
    /// whom it met meanwhile, we have to be told. It asks us in return, so not again within the time for an answer.
    func askedForList(now: ContinuousClock.Instant) {
        if let last = self.listLastAsked, now < last + self.timers.maxTimeNoResponse { return }
        self.owesList = true
    }

    /// Whether to ask it now, although it has told already.
    func asksForListAgain(now: ContinuousClock.Instant) -> Bool {
        self.owesList = true
        return self.asksForList(now: now)
    }

    /// - Parameter toSearch: the search for a mentor has asked it.
    /// - Returns: whether it was asked.
    func answeredList(isRejected: Bool, toSearch: Bool, now: ContinuousClock.Instant) -> Bool {
        guard self.listAsked != nil || toSearch else { return false }
        if toSearch { self.listLastAsked = now }
        self.listAsked = nil
        self.owesList = self.owesList && isRejected
        return true
    }

    func refused(now: ContinuousClock.Instant, inGrace: Bool) -> PeerLiveness.Action? {
        self.isProvisional || self.link != nil ? nil : self.liveness.refused(now: now, inGrace: inGrace)
    }

    /// When we last defended ourselves against a takeover by it.
    private var lastDefence: ContinuousClock.Instant?

    /// Whether to defend ourselves against a takeover by it: not again within the time that the defence may take.
    func isDefenceDue(now: ContinuousClock.Instant) -> Bool {
        if let last = self.lastDefence, now < last + self.timers.maxTimeNoResponse { return false }
        self.lastDefence = now
        return true
    }

    func markNotActive(now: ContinuousClock.Instant) { self.liveness.markNotActive(now: now) }

    func timersFired(now: ContinuousClock.Instant, inGrace: Bool, patience: Int) -> PeerLiveness.Action? {
        self.audit.timersFired(now: now)
        if let download, download.expires <= now { self.download = nil }
        return self.isProvisional ? nil : self.liveness.timersFired(now: now, inGrace: inGrace, patience: patience)
    }

    // MARK: Audit

    /// When its checksum was last the one that we expect.
    private(set) var lastConfirmed: ContinuousClock.Instant?

    func confirmed(now: ContinuousClock.Instant) {
        self.lastConfirmed = now
        self.audit.checksumsAgree(now: now)
    }

    func checksumsDiffer(now: ContinuousClock.Instant) -> [Resynchronization.Action] {
        self.audit.checksumsDiffer(now: now)
    }

    func requestNotSent(now: ContinuousClock.Instant) {
        self.audit.requestNotSent(now: now)
    }

    func answerArrived(moreFollows: Bool, now: ContinuousClock.Instant) -> Bool {
        self.audit.answerArrived(moreFollows: moreFollows, now: now)
    }

    func receivedTable(
        isRejected: Bool, isEmpty: Bool, moreFollows: Bool, now: ContinuousClock.Instant
    ) -> [Resynchronization.Action] {
        self.audit.receivedTable(isRejected: isRejected, isEmpty: isEmpty, moreFollows: moreFollows, now: now)
    }

    // MARK: Download

    /// Where a download goes on; a new one starts at the beginning (AMB-9).
    func cursor(for ownChildrenOnly: Bool, of registrar: RegistrarID, over link: LinkID) -> TableCursor {
        if let download, download.link == link, download.ownChildrenOnly == ownChildrenOnly { return download.cursor }
        return TableCursor(ownedBy: ownChildrenOnly ? registrar : nil)
    }

    /// A part was sent. `cursor` is where the next one begins; nil after the last.
    func sentTable(
        _ cursor: TableCursor?, ownChildrenOnly: Bool, over link: LinkID, now: ContinuousClock.Instant
    ) {
        self.download = cursor.map {
            Download(
                link: link, ownChildrenOnly: ownChildrenOnly, cursor: $0,
                expires: now + self.timers.tableTimeout * 3 / 2)
        }
    }
}
