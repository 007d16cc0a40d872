// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// The elements that one registrar is home of: their checksum, a fixed place for each, and the marks of an audit.
///
/// Places do not move while an element stays, so that a download can go on where it stopped while elements come and go.
struct OwnerLedger: Sendable {
    /// Where an element stands in the handlespace.
    struct Standing: Hashable, Sendable {
        var pool: UInt32
        var slot: UInt32
    }

    private struct Place: Sendable {
        var standing: Standing
        /// The audit in which it was last confirmed.
        var confirmedIn: UInt32

        static let free = Place(standing: Standing(pool: .max, slot: .max), confirmedIn: 0)

        var isFree: Bool { self.standing.pool == .max }
    }

    private var places: [Place] = []
    private var free: [UInt32] = []
    private var audit: UInt32 = 0
    /// Whether there may be marks that count. Without them a renewal need not look at its place here.
    private var isMarked = false
    /// Places of those that came from another owner, and this one's table has not been compared since; and another owner,
    /// whose table listed it since then.
    private var moved: [Int: RegistrarID?] = [:]
    private(set) var checksum = PEChecksum()

    var count: Int { self.places.count - self.free.count }
    var isEmpty: Bool { self.count == 0 }
    /// One more than the last place in use.
    var end: Int { self.places.count }

    subscript(_ place: Int) -> Standing? {
        let place = self.places[place]
        return place.isFree ? nil : place.standing
    }

    mutating func add(
        _ standing: Standing, _ share: PEChecksum.Share, _ id: PoolElementID, isMove: Bool = false
    ) -> Int {
        self.checksum.add(share, id)
        let entry = Place(standing: standing, confirmedIn: self.audit)
        let place: Int
        if let free = self.free.popLast() {
            place = Int(free)
            self.places[place] = entry
        } else {
            place = self.places.count
            self.places.reserve(place + 1)
            self.places.append(entry)
        }
        if isMove { self.moved[place] = .some(nil) }
        return place
    }

    mutating func remove(at place: Int, _ share: PEChecksum.Share, _ id: PoolElementID) {
        self.checksum.remove(share, id)
        self.places[place] = .free
        self.free.append(UInt32(place))
        if !self.moved.isEmpty { self.moved[place] = nil }
    }

    /// Marks all (RFC 5353 §3.6.3 step 1).
    mutating func mark() {
        self.audit &+= 1
        self.isMarked = true
    }

    /// Takes an element's mark away.
    mutating func confirm(at place: Int) {
        if self.isMarked { self.places[place].confirmedIn = self.audit }
        if !self.moved.isEmpty { self.moved[place] = nil }
    }

    /// Another registrar's table lists it. One that has just moved here stays for now: that table may be older than the
    /// move. If it is not, the next table of either will tell.
    /// - Returns: whether it stays.
    mutating func deferClaim(of registrar: RegistrarID, at place: Int) -> Bool {
        guard let claimant = self.moved[place], claimant != registrar else { return false }
        self.moved[place] = registrar
        return true
    }

    /// Those that are still marked.
    var unconfirmed: [Standing] {
        self.places.compactMap { $0.isFree || $0.confirmedIn == self.audit ? nil : $0.standing }
    }

    /// Those that are still marked, at the end of an audit, and who else claims them. One that has just moved here is spared
    /// once, if nobody else claims it: its former owner's word and this one's table may have crossed, and the next audit
    /// will tell.
    ///
    /// - Parameters:
    ///   - isKnownToBeLost: of such a one, that it need not be spared.
    ///   - heeds: whose claims count.
    mutating func takeUnconfirmed(
        _ isKnownToBeLost: (Standing) -> Bool, heeding heeds: (RegistrarID) -> Bool
    ) -> [(standing: Standing, claimant: RegistrarID?)] {
        self.isMarked = false
        var unconfirmed: [(standing: Standing, claimant: RegistrarID?)] = []
        for index in self.places.indices {
            let place = self.places[index]
            guard !place.isFree, place.confirmedIn != self.audit else { continue }
            let moved = self.moved[index]
            let claimant = (moved ?? nil).flatMap { heeds($0) ? $0 : nil }
            if moved != nil, claimant == nil, !isKnownToBeLost(place.standing) {
                self.moved[index] = nil
            } else {
                unconfirmed.append((place.standing, claimant))
            }
        }
        return unconfirmed
    }

    var standings: [Standing] { self.places.compactMap { $0.isFree ? nil : $0.standing } }
}
