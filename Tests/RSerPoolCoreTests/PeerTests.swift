// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Whether a peer lives (RFC 5353 §3.4.3)")
struct PeerLivenessTests {
    private static func heard(_ timers: ENRPTimers = .rfc) -> PeerLiveness {
        PeerLiveness(timers: timers, now: at(seconds: 0))
    }

    private static func probed() -> PeerLiveness {
        var peer = self.heard()
        _ = peer.timersFired(now: at(seconds: 61), inGrace: false, patience: 0)
        return peer
    }

    private static func dead() -> PeerLiveness {
        var peer = self.probed()
        _ = peer.timersFired(now: at(seconds: 66), inGrace: false, patience: 0)
        return peer
    }

    @Test("MAX-TIME-LAST-HEARD without a word: a probe; MAX-TIME-NO-RESPONSE more: dead [ENRP-092, ENRP-093]")
    func silence() {
        var peer = Self.heard()
        #expect(peer.nextDeadline == at(seconds: 61))
        #expect(peer.timersFired(now: at(seconds: 60), inGrace: false, patience: 0) == nil)
        #expect(peer.timersFired(now: at(seconds: 61), inGrace: false, patience: 0) == .probe)
        #expect(peer.isActive)
        #expect(peer.nextDeadline == at(seconds: 66))
        #expect(peer.timersFired(now: at(seconds: 65), inGrace: false, patience: 0) == nil)
        #expect(peer.timersFired(now: at(seconds: 66), inGrace: false, patience: 0) == .declareDead)
        #expect(peer.isDead)
        #expect(!peer.isActive)
        #expect(peer.nextDeadline == nil)
        #expect(peer.timersFired(now: at(seconds: 100), inGrace: false, patience: 0) == nil)
    }

    @Test("Any word starts it anew; said is whether its takeover has to be stopped")
    func words() {
        var peer = Self.heard()
        #expect(peer.heard(now: at(seconds: 30)) == false)
        #expect(peer.nextDeadline == at(seconds: 91))
        peer = Self.probed()
        #expect(peer.heard(now: at(seconds: 65)) == false)
        #expect(peer.lastHeard == at(seconds: 65))
        #expect(peer.nextDeadline == at(seconds: 126))
        peer = Self.dead()
        #expect(peer.heard(now: at(seconds: 70)) == true)
        #expect(peer.isActive)
        peer.markNotActive(now: at(seconds: 80))
        #expect(peer.heard(now: at(seconds: 81)) == true)
        #expect(peer.isActive)
    }

    @Test("Its association ends: it is asked at once, and dead only when it does not answer")
    func linkEnds() {
        var peer = Self.heard()
        #expect(peer.linkEnded(now: at(seconds: 10), patience: 0) == .probe)
        #expect(peer.nextDeadline == at(seconds: 15))
        #expect(peer.linkEnded(now: at(seconds: 11), patience: 0) == .probe, "over another association")
        #expect(peer.nextDeadline == at(seconds: 15), "but no longer")
        #expect(peer.timersFired(now: at(seconds: 15), inGrace: false, patience: 0) == .declareDead)
        #expect(peer.linkEnded(now: at(seconds: 20), patience: 0) == nil)
        peer = Self.heard()
        #expect(peer.linkEnded(now: at(seconds: 10), patience: 2) == .probe)
        #expect(peer.nextDeadline == at(seconds: 25))
    }

    @Test("A refused association is death, when it was asked, and when we were not stopped [ENRP-093]")
    func refusal() {
        var peer = Self.heard()
        #expect(peer.refused(now: at(seconds: 1), inGrace: false) == nil)
        _ = peer.linkEnded(now: at(seconds: 2), patience: 0)
        #expect(peer.refused(now: at(seconds: 2), inGrace: true) == nil)
        #expect(peer.refused(now: at(seconds: 2), inGrace: false) == .declareDead)
        #expect(peer.refused(now: at(seconds: 3), inGrace: false) == nil)
    }

    @Test("While somebody else takes it over it is not watched, but not for ever")
    func notActive() {
        var peer = Self.heard()
        peer.markNotActive(now: at(seconds: 10))
        #expect(!peer.isActive)
        #expect(!peer.isDead)
        #expect(peer.nextDeadline == at(seconds: 71))
        peer.markNotActive(now: at(seconds: 15))
        #expect(peer.nextDeadline == at(seconds: 71), "said again it does not begin anew")
        #expect(peer.linkEnded(now: at(seconds: 20), patience: 0) == nil)
        #expect(peer.timersFired(now: at(seconds: 70), inGrace: false, patience: 0) == nil)
        #expect(peer.timersFired(now: at(seconds: 71), inGrace: false, patience: 0) == .probe)
        #expect(peer.timersFired(now: at(seconds: 76), inGrace: false, patience: 0) == .declareDead)
    }

    @Test("A registrar that is late asks more often; one that was stopped asks anew, and does not judge")
    func patience() {
        var peer = Self.probed()
        #expect(peer.timersFired(now: at(seconds: 66), inGrace: false, patience: 2) == .probe)
        #expect(peer.timersFired(now: at(seconds: 71), inGrace: false, patience: 2) == .probe)
        #expect(peer.timersFired(now: at(seconds: 76), inGrace: true, patience: 2) == .probe)
        #expect(peer.timersFired(now: at(seconds: 81), inGrace: false, patience: 1) == .probe)
        #expect(peer.timersFired(now: at(seconds: 86), inGrace: false, patience: 1) == .declareDead)
    }
}

@Suite("Endpoints of registrars")
struct PeerBookTests {
    private typealias Book = PeerBook<String>

    private static func endpoint(_ number: Int, port: UInt16 = 9901, udp: UInt16? = nil) -> RegistrarAddress {
        RegistrarAddress(
            scheme: .sctp, addresses: [.ipv4(0x0a00_0000 + UInt32(number))], port: port, encapsulationPort: udp)
    }

    private static func book(_ configured: Int...) -> Book {
        Book(configured: configured.map { self.endpoint($0) }, timers: .rfc, now: at(seconds: 0))
    }

    @Test("Configured ones come first, in their order; a known one is learned once")
    func order() {
        var book = Self.book(1, 2)
        #expect(book.learn(Self.endpoint(3), now: at(seconds: 0)) == 3)
        #expect(book.learn(Self.endpoint(3), now: at(seconds: 1)) == 3)
        #expect(book.learn(Self.endpoint(1), now: at(seconds: 1)) == 1)
        #expect(book.numbers == [1, 2, 3])
        #expect(book[1]?.isConfigured == true)
        #expect(book[3]?.isConfigured == false)
        #expect(book.due(now: at(seconds: 0)) == [1, 2, 3])
    }

    @Test("The same is what has one address and the port in common; UDP ports only where both are known")
    func sameness() {
        var book = Book(configured: [Self.endpoint(1, udp: 9899)], timers: .rfc, now: at(seconds: 0))
        #expect(book.number(matching: Self.endpoint(1)) == 1)
        #expect(book.number(matching: Self.endpoint(1, udp: 9899)) == 1)
        #expect(book.number(matching: Self.endpoint(1, udp: 9900)) == nil)
        #expect(book.number(matching: Self.endpoint(1, port: 9902)) == nil)
        let both = RegistrarAddress(scheme: .sctp, addresses: [.ipv4(7), .ipv4(0x0a00_0001)], port: 9901)
        #expect(book.learn(both, now: at(seconds: 0)) == 1)
    }

    @Test(
        "The pause before the next try doubles from 1 s to 60 s; one that came up begins anew; a hurry waits 1 s at most"
    )
    func pauses() {
        var book = Self.book(1)
        var now = at(seconds: 0)
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            #expect(book.due(now: now) == [1])
            book.use("link", for: 1, isUp: false, now: now)
            #expect(book.due(now: now) == [])
            #expect(book.nextDeadline == nil)
            #expect(book.linkDown("link", now: now) == 1)
            #expect(book.nextDeadline == now + .seconds(pause))
            now += .seconds(pause)
        }
        book.use("link", for: 1, isUp: false, now: now)
        #expect(book.linkUp("link", to: Self.endpoint(1), now: now) == 1)
        #expect(book.linkDown("link", now: now) == 1)
        #expect(book.nextDeadline == now + .seconds(1))
        book.failed(1, now: now)
        #expect(book.nextDeadline == now + .seconds(2))
        #expect(book.hurry(1, now: now) == false, "it was tried a moment ago")
        #expect(book.nextDeadline == now + .seconds(1))
        now += .milliseconds(1_001)
        book.failed(1, now: now)
        #expect(book.hurry(1, now: now) == true)
        #expect(book.due(now: now) == [1])
        #expect(book.linkDown("another", now: now) == nil)
    }

    @Test("An association from there counts as one to there")
    func incoming() {
        var book = Self.book(1)
        #expect(book.linkUp("in", to: Self.endpoint(2), now: at(seconds: 0)) == nil)
        #expect(book.linkUp("in", to: Self.endpoint(1), now: at(seconds: 0)) == 1)
        #expect(book.number(of: "in") == 1)
        #expect(book.due(now: at(seconds: 0)) == [])
    }

    @Test("Two endpoints that turn out to be one registrar's share its association, and are both free when it ends")
    func sharedLink() {
        var book = Self.book(1, 2)
        book.use("link", for: 1, isUp: true, now: at(seconds: 0))
        book.use("link", for: 2, isUp: true, now: at(seconds: 0))
        _ = book.linkDown("link", now: at(seconds: 10))
        #expect(book[1]?.link == nil)
        #expect(book[2]?.link == nil)
        #expect(book.due(now: at(seconds: 100)) == [1, 2])
    }

    @Test("Who has waited longest is tried first, so that nobody starves behind many that are silent")
    func fair() {
        var book = Self.book()
        for number in 0..<(3 * Book.maxOpening) { book.learn(Self.endpoint(1_000 + number), now: at(seconds: 0)) }
        var tried: Set<Int> = []
        var now = at(seconds: 0)
        for round in 0..<3 {
            let due = book.due(now: now)
            tried.formUnion(due)
            for number in due { book.use("\(number)-\(round)", for: number, isUp: false, now: now) }
            now += .seconds(20)
            for number in due { _ = book.linkDown("\(number)-\(round)", now: now) }
            now += .seconds(1)
        }
        #expect(tried.count == 3 * Book.maxOpening)
    }

    @Test("Learned ones are bounded: the one unused longest goes, those in use and configured ones stay")
    func bound() {
        var book = Self.book(1)
        for number in 0..<Book.maxLearned {
            let learned = book.learn(Self.endpoint(1_000 + number), now: at(seconds: number))
            if number == 0 { book.use("link", for: learned, isUp: true, now: at(seconds: 0)) }
        }
        #expect(book.numbers.count == 1 + Book.maxLearned)
        book.learn(Self.endpoint(9_999), now: at(seconds: 5_000))
        #expect(book.numbers.count == 1 + Book.maxLearned)
        #expect(book.number(matching: Self.endpoint(1)) == 1)
        #expect(book.number(matching: Self.endpoint(1_000)) == 2)
        #expect(book.number(matching: Self.endpoint(1_001)) == nil)
        #expect(book.number(matching: Self.endpoint(9_999)) != nil)
    }

    @Test(
        "Who was reached once stays when others are heard of; few are tried at a time, and the rest when there is room")
    func manyHeardOf() {
        var book = Self.book()
        let met = book.learn(Self.endpoint(1), now: at(seconds: 0))
        book.use("met", for: met, isUp: true, now: at(seconds: 0))
        _ = book.linkDown("met", now: at(seconds: 1))
        for number in 0..<(2 * Book.maxLearned) { book.learn(Self.endpoint(1_000 + number), now: at(seconds: 2)) }
        #expect(book.numbers.count == Book.maxLearned)
        #expect(book[met] != nil)
        let due = book.due(now: at(seconds: 3))
        #expect(due.count == Book.maxOpening)
        for number in due { book.use("\(number)", for: number, isUp: false, now: at(seconds: 3)) }
        #expect(book.due(now: at(seconds: 3)) == [])
        #expect(book.nextDeadline == nil)
        _ = book.linkDown("\(due[0])", now: at(seconds: 4))
        #expect(book.nextDeadline == at(seconds: 2))
        #expect(book.due(now: at(seconds: 4)).count == 1)
    }
}

@Suite("Homes of elements that are no peers")
struct AbsentOwnerTests {
    @Test("When it is absent too long all peers are asked; who is listed is waited for, nobody's friend is taken over")
    func absent() {
        var owner = AbsentOwner(timers: .rfc, now: at(seconds: 0))
        func fire(_ second: Int, isSpared: Bool = false, hasPeers: Bool = true) -> AbsentOwner.Action? {
            owner.timersFired(now: at(seconds: second), isSpared: isSpared, hasPeers: hasPeers)
        }
        #expect(owner.nextDeadline == at(seconds: 61))
        #expect(fire(60) == nil)
        #expect(fire(61) == .askPeers)
        #expect(owner.nextDeadline == at(seconds: 66))
        owner.listReceived()
        owner.listed(now: at(seconds: 62))
        #expect(owner.nextDeadline == at(seconds: 123))
        #expect(fire(123) == .askPeers)
        owner.listReceived()
        #expect(fire(128) == .takeOver)
        #expect(owner.nextDeadline == at(seconds: 189), "should that come to nothing")
        #expect(fire(189) == .askPeers)
        #expect(fire(194) == nil, "nobody has answered")
        #expect(fire(255) == .askPeers)
        #expect(fire(260, hasPeers: false) == .takeOver)
    }

    @Test("Who was stopped itself, or does not serve yet, waits on")
    func spared() {
        var owner = AbsentOwner(timers: .rfc, now: at(seconds: 0))
        #expect(owner.timersFired(now: at(seconds: 61), isSpared: true, hasPeers: true) == nil)
        #expect(owner.timersFired(now: at(seconds: 122), isSpared: false, hasPeers: true) == .askPeers)
        owner.listReceived()
        #expect(owner.timersFired(now: at(seconds: 127), isSpared: true, hasPeers: true) == nil)
        #expect(owner.nextDeadline == at(seconds: 188))
    }
}

@Suite("Resynchronization with a peer (RFC 5353 §3.6.3)")
struct ResynchronizationTests {
    private static func part(
        _ audit: inout Resynchronization, isRejected: Bool = false, isEmpty: Bool = false, more: Bool = false,
        at seconds: Int
    ) -> [Resynchronization.Action]? {
        guard audit.answerArrived(moreFollows: more, now: at(seconds: seconds)) else { return nil }
        return audit.receivedTable(
            isRejected: isRejected, isEmpty: isEmpty, moreFollows: more, now: at(seconds: seconds))
    }

    @Test("Mark and ask; each part with more to come is followed by a request; the last one purges")
    func parts() {
        var audit = Resynchronization(timers: .rfc)
        #expect(audit.nextDeadline == nil)
        #expect(audit.checksumsDiffer(now: at(seconds: 0)) == [.mark, .request])
        #expect(audit.isRunning)
        #expect(audit.nextDeadline == at(seconds: 5))
        #expect(audit.checksumsDiffer(now: at(seconds: 1)) == [], "one at a time")
        #expect(Self.part(&audit, more: true, at: 4) == [.request])
        #expect(audit.nextDeadline == at(seconds: 9))
        #expect(Self.part(&audit, at: 8) == [.purge])
        #expect(!audit.isRunning)
        #expect(Self.part(&audit, at: 8) == nil, "nobody asked")
    }

    enum End: CaseIterable {
        case complete, rejected, abandoned, late
    }

    @Test(
        "However it ends, half a heartbeat passes before the next; only a complete table removes",
        arguments: End.allCases)
    func pause(end: End) {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        switch end {
        case .complete: #expect(Self.part(&audit, at: 5) == [.purge])
        case .rejected: #expect(Self.part(&audit, isRejected: true, at: 5) == [])
        case .abandoned: audit.abandon(now: at(seconds: 5))
        case .late:
            audit.timersFired(now: at(seconds: 5))
            #expect(Self.part(&audit, at: 6) == nil)
        }
        #expect(!audit.isRunning)
        #expect(audit.nextDeadline == nil)
        #expect(audit.checksumsDiffer(now: at(.milliseconds(19_999))) == [])
        #expect(audit.checksumsDiffer(now: at(seconds: 20)) == [.mark, .request])
    }

    @Test("A late answer is not the next audit's: that one waits for it, and until the peer has forgotten the rest")
    func late() {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        audit.timersFired(now: at(seconds: 5))
        #expect(audit.checksumsDiffer(now: at(seconds: 30)) == [], "the answer may come")
        #expect(Self.part(&audit, more: true, at: 31) == nil, "as it does, too late")
        #expect(audit.checksumsDiffer(now: at(seconds: 40)) == [], "it would go on with its second part")
        #expect(audit.checksumsDiffer(now: at(seconds: 41)) == [.mark, .request])
        #expect(Self.part(&audit, at: 42) == [.purge])
    }

    @Test("Who speaks, and does not answer, is asked again all the same")
    func never() {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        audit.timersFired(now: at(seconds: 5))
        #expect(audit.checksumsDiffer(now: at(seconds: 30)) == [])
        #expect(audit.checksumsDiffer(now: at(seconds: 34)) == [])
        #expect(audit.checksumsDiffer(now: at(seconds: 35)) == [.mark, .request])
        #expect(Self.part(&audit, at: 36) == [.purge])
    }

    @Test("With another association nothing is outstanding")
    func anotherAssociation() {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        audit.timersFired(now: at(seconds: 5))
        audit.abandon(now: at(seconds: 6))
        #expect(audit.checksumsDiffer(now: at(seconds: 20)) == [.mark, .request])
    }

    @Test("A part without entries that promises more ends it, and removes nothing")
    func endless() {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        #expect(Self.part(&audit, isEmpty: true, more: true, at: 1) == [])
        #expect(!audit.isRunning)
    }

    @Test("Whole tables that do not help become rare; when the checksums are equal it begins anew")
    func backOff() {
        var audit = Resynchronization(timers: .rfc)
        var now = 0
        for pause in [15, 30, 60, 120, 240, 240] {
            #expect(audit.checksumsDiffer(now: at(seconds: now)) == [.mark, .request])
            #expect(Self.part(&audit, at: now) == [.purge])
            #expect(audit.checksumsDiffer(now: at(seconds: now + pause - 1)) == [])
            now += pause
        }
        _ = audit.checksumsDiffer(now: at(seconds: now))
        #expect(Self.part(&audit, at: now) == [.purge])
        audit.checksumsAgree(now: at(seconds: now + 1))
        #expect(audit.checksumsDiffer(now: at(seconds: now + 15)) == [])
        #expect(audit.checksumsDiffer(now: at(seconds: now + 16)) == [.mark, .request])
    }

    @Test("A deadline that is not there yet changes nothing")
    func early() {
        var audit = Resynchronization(timers: .rfc)
        _ = audit.checksumsDiffer(now: at(seconds: 0))
        audit.timersFired(now: at(.milliseconds(4_999)))
        #expect(audit.isRunning)
    }
}

@Suite("The search for a mentor (RFC 5353 §3.2.2, §3.2.3)")
struct MentorSearchTests {
    private static let own = RegistrarID(rawValue: 50)
    private static let smaller = RegistrarID(rawValue: 40)
    private static let larger = RegistrarID(rawValue: 60)

    private var generator = SeededGenerator(seed: 1)

    private static func search(_ timers: ENRPTimers = .rfc, isDiscovering: Bool = false) -> MentorSearch {
        MentorSearch(ownID: self.own, timers: timers, isDiscovering: isDiscovering, now: at(seconds: 0))
    }

    private mutating func start(_ search: inout MentorSearch, _ candidates: [Int]) -> [MentorSearch.Action] {
        search.start(candidates, now: at(seconds: 0), using: &self.generator)
    }

    private mutating func list(
        _ search: inout MentorSearch, by id: RegistrarID = larger, isRejected: Bool = false, _ candidates: [Int],
        at seconds: Int = 0
    ) -> [MentorSearch.Action] {
        search.receivedList(
            by: id, isRejected: isRejected, candidates, now: at(seconds: seconds), using: &self.generator)
    }

    private mutating func table(
        _ search: inout MentorSearch, isRejected: Bool = false, isEmpty: Bool = false, more: Bool = false,
        _ candidates: [Int], at seconds: Int = 0
    ) -> [MentorSearch.Action] {
        search.receivedTable(
            isRejected: isRejected, isEmpty: isEmpty, moreFollows: more, candidates, now: at(seconds: seconds),
            using: &self.generator)
    }

    private mutating func fire(
        _ search: inout MentorSearch, _ candidates: [Int], at now: Instant
    ) -> [MentorSearch.Action] {
        search.timersFired(candidates, now: now, using: &self.generator)
    }

    @Test("Nobody configured: alone, unless somebody may be discovered")
    mutating func nobody() {
        var search = Self.search()
        #expect(self.start(&search, []) == [.serve(.alone)])
        #expect(search.isOver)
        search = Self.search(isDiscovering: true)
        #expect(self.start(&search, []) == [])
        #expect(!search.isOver)
        #expect(
            search.candidatesChanged([4], now: at(seconds: 1), using: &self.generator) == [.contact(4)])
    }

    @Test("Contact, list, table in parts, and then it serves")
    mutating func wholeWay() {
        var search = Self.search()
        #expect(self.start(&search, [1, 2]) == [.contact(1)])
        #expect(search.reached(2, now: at(seconds: 0)) == [])
        #expect(search.reached(1, now: at(seconds: 0)) == [.requestList(1)])
        #expect(search.nextDeadline == at(seconds: 5))
        #expect(self.table(&search, [1, 2]) == [], "not asked for yet")
        #expect(search.asked == 1 && search.downloading == nil)
        #expect(self.list(&search, [1, 2]) == [.requestTable(1)])
        #expect(self.list(&search, [1, 2]) == [], "not asked again")
        #expect(search.asked == nil && search.downloading == 1)
        #expect(self.table(&search, more: true, [1, 2], at: 3) == [.requestTable(1)])
        #expect(search.nextDeadline == at(seconds: 8))
        #expect(self.table(&search, [1, 2], at: 4) == [.serve(.learned(from: 1))])
        #expect(search.isOver)
        #expect(search.nextDeadline == nil)
    }

    enum Failure: CaseIterable {
        case unreachable, notReached, silentToList, rejectsList, silentToTable, rejectsTable
    }

    @Test("Whatever the mentor fails at, the next one is contacted", arguments: Failure.allCases)
    mutating func backup(failure: Failure) {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        if failure != .unreachable, failure != .notReached { _ = search.reached(1, now: at(seconds: 0)) }
        if failure == .silentToTable || failure == .rejectsTable { _ = self.list(&search, [1, 2]) }
        let actions =
            switch failure {
            case .unreachable: search.failed(1, [1, 2], now: at(seconds: 1), using: &self.generator)
            case .notReached, .silentToList, .silentToTable: self.fire(&search, [1, 2], at: at(seconds: 5))
            case .rejectsList: self.list(&search, isRejected: true, [1, 2])
            case .rejectsTable: self.table(&search, isRejected: true, [1, 2])
            }
        // Asked again it shall not go on where it was.
        #expect(actions == (failure == .silentToTable ? [.disconnect(1), .contact(2)] : [.contact(2)]))
        #expect(
            search.failed(1, [1, 2], now: at(seconds: 5), using: &self.generator) == [], "it is not the mentor any more"
        )
    }

    @Test("Everybody has failed: a pause of 2 s to 5 s, and from the beginning")
    mutating func pause() throws {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        _ = search.failed(1, [1, 2], now: at(seconds: 0), using: &self.generator)
        #expect(search.failed(2, [1, 2], now: at(seconds: 1), using: &self.generator) == [])
        let next = try #require(search.nextDeadline)
        #expect((.seconds(2) ... .seconds(5)).contains(next - at(seconds: 1)))
        #expect(self.fire(&search, [1, 2], at: next - .milliseconds(1)) == [])
        #expect(self.fire(&search, [1, 2], at: next) == [.contact(1)])
    }

    @Test("Somebody new ends the pause; somebody tried does not")
    mutating func newcomer() {
        var search = Self.search()
        _ = self.start(&search, [1])
        _ = search.failed(1, [1], now: at(seconds: 0), using: &self.generator)
        #expect(search.candidatesChanged([1], now: at(seconds: 1), using: &self.generator) == [])
        #expect(search.candidatesChanged([1, 5], now: at(seconds: 1), using: &self.generator) == [.contact(5)])
        #expect(search.candidatesChanged([1, 5, 6], now: at(seconds: 1), using: &self.generator) == [], "it is busy")
    }

    @Test("After the search time it serves without a mentor; with no limit never")
    mutating func givingUp() throws {
        for isLimited in [true, false] {
            var timers = ENRPTimers.rfc
            if !isLimited { timers.mentorSearchTime = .zero }
            var search = Self.search(timers)
            var actions = self.start(&search, [1])
            var now = at(seconds: 0)
            while now < at(seconds: 1_000), !search.isOver {
                if actions == [.contact(1)] {
                    actions = search.failed(1, [1], now: now, using: &self.generator)
                } else {
                    now = try #require(search.nextDeadline)
                    actions = self.fire(&search, [1], at: now)
                }
            }
            #expect(search.isOver == isLimited)
            if isLimited {
                #expect(actions == [.serve(.noMentor)])
                #expect(now == at(seconds: 10))
            }
        }
    }

    @Test("Everybody who can be reached is starting too: the largest ID serves, the others wait")
    mutating func startingTogether() {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        _ = search.reached(1, now: at(seconds: 0))
        #expect(self.list(&search, by: Self.smaller, isRejected: true, [1, 2]) == [.contact(2)])
        #expect(search.failed(2, [1, 2], now: at(seconds: 0), using: &self.generator) == [.serve(.firstOfAll)])

        search = Self.search()
        _ = self.start(&search, [1])
        _ = search.reached(1, now: at(seconds: 0))
        #expect(self.list(&search, by: Self.larger, isRejected: true, [1]) == [])
        #expect(!search.isOver)
    }

    @Test("It does not begin by itself while somebody who serves may answer")
    mutating func servesSoon() {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        _ = search.reached(1, now: at(seconds: 0))
        _ = self.list(&search, by: Self.smaller, isRejected: true, [1, 2])
        _ = search.reached(2, now: at(seconds: 0))
        #expect(self.fire(&search, [1, 2], at: at(seconds: 5)) == [], "the second one is silent, and may serve")
        #expect(!search.isOver)
    }

    @Test("However many are silent, the search ends in time, and no later [ENRP-064]")
    mutating func manySilent() throws {
        var search = Self.search()
        let candidates = Array(1...20)
        var actions = self.start(&search, candidates)
        var asked = 0
        while !search.isOver {
            asked += actions.count { $0 == .contact(asked + 1) }
            actions = self.fire(&search, candidates, at: try #require(search.nextDeadline))
            try #require(asked < 5)
        }
        #expect(asked == 2)
        #expect(actions == [.serve(.noMentor)])
        search = Self.search()
        _ = self.start(&search, candidates)
        _ = self.fire(&search, candidates, at: at(seconds: 5))
        _ = search.reached(2, now: at(seconds: 7))
        #expect(search.nextDeadline == at(seconds: 10))
    }

    @Test("When a download breaks there is time for the backups, however long it took, but not for ever")
    mutating func brokenDownload() throws {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        _ = search.reached(1, now: at(seconds: 0))
        _ = self.list(&search, [1, 2])
        for second in 1...30 { _ = self.table(&search, more: true, [1, 2], at: second) }
        #expect(search.failed(1, [1, 2], now: at(seconds: 31), using: &self.generator) == [.contact(2)])
        #expect(search.reached(2, now: at(seconds: 32)) == [.requestList(2)])
        var actions: [MentorSearch.Action] = []
        var now = at(seconds: 32)
        while !search.isOver, now < at(seconds: 10_000) {
            now = try #require(search.nextDeadline)
            actions = self.fire(&search, [1, 2], at: now)
        }
        #expect(actions == [.serve(.noMentor)])
        #expect(now == at(seconds: 41))
    }

    @Test("A mentor whose table has no end, or no entries, is left")
    mutating func endlessTable() {
        var search = Self.search()
        _ = self.start(&search, [1, 2])
        _ = search.reached(1, now: at(seconds: 0))
        _ = self.list(&search, [1, 2])
        #expect(self.table(&search, isEmpty: true, more: true, [1, 2], at: 1) == [.disconnect(1), .contact(2)])

        var timers = ENRPTimers.rfc
        timers.mentorSearchTime = .seconds(3_600)
        search = Self.search(timers)
        _ = self.start(&search, [1, 2])
        _ = search.reached(1, now: at(seconds: 0))
        _ = self.list(&search, [1, 2])
        for second in 1..<300 {
            #expect(self.table(&search, more: true, [1, 2], at: second) == [.requestTable(1)])
        }
        #expect(self.table(&search, more: true, [1, 2], at: 300) == [.disconnect(1), .contact(2)])
    }
}
