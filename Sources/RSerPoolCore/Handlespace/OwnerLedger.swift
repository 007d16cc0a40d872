// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// The elements that one registrar is home of: their checksum, a fixed place for each, and the marks of an audit.
///
/// Places do not move while an element stays, so that a download can go on where it stopped while elements come and go.
struct OwnerLedger: Sendable {
    private struct Place: Sendable {
        var key: ElementKey
        /// The audit in which it was last confirmed.
        var confirmedIn: UInt32
        /// It came from another owner, and this one's table has not been compared since.
        var hasJustMoved: Bool
        /// Another owner, whose table listed it when it had just moved.
        var claimant: RegistrarID?
    }

    private var places: [Place?] = []
    private var free: [Int] = []
    private var audit: UInt32 = 0
    private(set) var checksum = PEChecksum()

    var count: Int { self.places.count - self.free.count }
    var isEmpty: Bool { self.count == 0 }
    /// One more than the last place in use.
    var end: Int { self.places.count }

    subscript(_ place: Int) -> ElementKey? { self.places[place]?.key }

    mutating func add(_ key: ElementKey, isMove: Bool = false) -> Int {
        self.checksum.add(key.pool, key.id)
        let entry = Place(key: key, confirmedIn: self.audit, hasJustMoved: isMove)
        if let place = self.free.popLast() {
            self.places[place] = entry
            return place
        }
        self.places.append(entry)
        return self.places.count - 1
    }

    mutating func remove(at place: Int) {
        guard let key = self.places[place]?.key else { return }
        self.checksum.remove(key.pool, key.id)
        self.places[place] = nil
        self.free.append(place)
    }

    /// Marks all (RFC 5353 §3.6.3 step 1).
    mutating func mark() {
        self.audit &+= 1
    }

    /// Takes an element's mark away.
    mutating func confirm(at place: Int) {
        self.places[place]?.confirmedIn = self.audit
        self.places[place]?.hasJustMoved = false
        self.places[place]?.claimant = nil
    }

    /// Another registrar's table lists it. One that has just moved here stays for now: that table may be older than the
    /// move. If it is not, the next table of either will tell.
    /// - Returns: whether it stays.
    mutating func deferClaim(of registrar: RegistrarID, at place: Int) -> Bool {
        guard let entry = self.places[place], entry.hasJustMoved, entry.claimant != registrar else { return false }
        self.places[place]?.claimant = registrar
        return true
    }

    /// Those that are still marked.
    var unconfirmed: [ElementKey] {
        self.places.compactMap { place in
            place.flatMap { $0.confirmedIn == self.audit ? nil : $0.key }
        }
    }

    /// Those that are still marked, at the end of an audit, and who else claims them. One that has just moved here is spared
    /// once, if nobody else claims it: its former owner's word and this one's table may have crossed, and the next audit
    /// will tell.
    ///
    /// - Parameters:
    ///   - isKnownToBeLost: of such a one, that it need not be spared.
    ///   - heeds: whose claims count.
    mutating func takeUnconfirmed(
        _ isKnownToBeLost: (ElementKey) -> Bool, heeding heeds: (RegistrarID) -> Bool
    ) -> [(key: ElementKey, claimant: RegistrarID?)] {
        var unconfirmed: [(key: ElementKey, claimant: RegistrarID?)] = []
        for index in self.places.indices {
            guard let place = self.places[index], place.confirmedIn != self.audit else { continue }
            let claimant = place.claimant.flatMap { heeds($0) ? $0 : nil }
            if place.hasJustMoved, claimant == nil, !isKnownToBeLost(place.key) {
                self.places[index]?.hasJustMoved = false
                self.places[index]?.claimant = nil
            } else {
                unconfirmed.append((place.key, claimant))
            }
        }
        return unconfirmed
    }

    var keys: [ElementKey] { self.places.compactMap { $0?.key } }
}
