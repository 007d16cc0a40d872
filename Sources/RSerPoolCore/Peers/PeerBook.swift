// SPDX-License-Identifier: Apache-2.0

/// Where other registrars may be reached: configured endpoints, which stay, and learned ones.
///
/// Who answers there is another matter: peers are known by their ID. Each endpoint that has no association is tried for
/// ever, with a pause that doubles from `reconnectPause` to `reconnectMax`; so halves that were cut apart find each other
/// again, after whatever time. At most ``maxLearned`` learned endpoints are kept; one that has never been reached makes room
/// first, and of several the one tried in vain most often. At most ``maxOpening`` are tried at a time.
package struct PeerBook<Link: Hashable & Sendable>: Sendable {
    package static var maxLearned: Int { 256 }
    package static var maxOpening: Int { 32 }

    package struct Entry: Sendable {
        package let endpoint: RegistrarAddress
        package let isConfigured: Bool
        /// The association that is open, or being opened, to it.
        package fileprivate(set) var link: Link?
        fileprivate var isUp = false
        fileprivate var wasReached = false
        fileprivate var lastTry: ContinuousClock.Instant?
        fileprivate var nextTry: ContinuousClock.Instant
        fileprivate var failures = 0
        fileprivate var lastUsed: ContinuousClock.Instant
    }

    private let timers: ENRPTimers
    /// By their numbers, which are never reused.
    private var entries: [Int: Entry] = [:]
    private var lastNumber = 0

    package init(configured: [RegistrarAddress], timers: ENRPTimers, now: ContinuousClock.Instant) {
        self.timers = timers
        for endpoint in configured { self.add(endpoint, isConfigured: true, now: now) }
    }

    /// The numbers of all endpoints, the configured ones first, each kind oldest first.
    package var numbers: [Int] {
        self.entries.sorted { ($0.value.isConfigured ? 0 : 1, $0.key) < ($1.value.isConfigured ? 0 : 1, $1.key) }.map(
            \.key)
    }

    package subscript(_ number: Int) -> Entry? { self.entries[number] }

    /// The first endpoint that an association leads to: one registrar may be known by several.
    package func number(of link: Link) -> Int? {
        self.entries.lazy.filter { $0.value.link == link }.map(\.key).min()
    }

    /// When the next endpoint is to be tried.
    package var nextDeadline: ContinuousClock.Instant? {
        // With the end of a try there is room for the next.
        guard self.openingCount < Self.maxOpening else { return nil }
        return self.entries.values.compactMap { $0.link == nil ? $0.nextTry : nil }.min()
    }

    /// Endpoints to be tried now.
    package func due(now: ContinuousClock.Instant) -> [Int] {
        // Who has waited longest comes first, so that none waits for ever for room.
        let due = self.entries.filter { $0.value.link == nil && $0.value.nextTry <= now }.sorted {
            ($0.value.nextTry, $0.value.isConfigured ? 0 : 1, $0.key)
                < ($1.value.nextTry, $1.value.isConfigured ? 0 : 1, $1.key)
        }
        return due.prefix(max(0, Self.maxOpening - self.openingCount)).map(\.key)
    }

    private var openingCount: Int { self.entries.values.count { $0.link != nil && !$0.isUp } }

    /// Takes an endpoint that somebody told of; a known one stays as it is.
    /// - Returns: its number.
    @discardableResult
    package mutating func learn(_ endpoint: RegistrarAddress, now: ContinuousClock.Instant) -> Int {
        if let known = self.number(matching: endpoint) { return known }
        let learned = self.entries.filter { !$0.value.isConfigured }
        if learned.count >= Self.maxLearned,
            let oldest = learned.min(by: {
                Self.worth($0.value, $0.key) < Self.worth($1.value, $1.key)
            })
        {
            self.entries[oldest.key] = nil
        }
        return self.add(endpoint, isConfigured: false, now: now)
    }

    private static func worth(_ entry: Entry, _ number: Int) -> (Int, Int, ContinuousClock.Instant, Int) {
        (entry.isUp ? 2 : entry.wasReached ? 1 : 0, entry.wasReached ? 0 : -entry.failures, entry.lastUsed, number)
    }

    /// An association to it is being opened, or one that is open leads there.
    package mutating func use(_ link: Link, for number: Int, isUp: Bool, now: ContinuousClock.Instant) {
        self.entries[number]?.link = link
        self.entries[number]?.isUp = isUp
        self.entries[number]?.lastUsed = now
        if isUp {
            self.entries[number]?.failures = 0
            self.entries[number]?.wasReached = true
        } else {
            self.entries[number]?.lastTry = now
        }
    }

    /// An association came up.
    /// - Returns: the endpoint that it leads to, if it is one of these.
    @discardableResult
    package mutating func linkUp(_ link: Link, to remote: RegistrarAddress, now: ContinuousClock.Instant) -> Int? {
        guard let number = self.number(of: link) ?? self.number(matching: remote) else { return nil }
        self.use(link, for: number, isUp: true, now: now)
        return number
    }

    /// An association is over, or never came up.
    /// - Returns: the first endpoint that it led to.
    package mutating func linkDown(_ link: Link, now: ContinuousClock.Instant) -> Int? {
        let led = self.number(of: link)
        while let number = self.number(of: link) {
            self.entries[number]?.link = nil
            self.entries[number]?.isUp = false
            self.postpone(number, now: now)
        }
        return led
    }

    /// It could not even be tried.
    package mutating func failed(_ number: Int, now: ContinuousClock.Instant) {
        self.postpone(number, now: now)
    }

    /// Has it tried as soon as it was not tried for `reconnectPause`: there is a reason.
    /// - Returns: whether that is now.
    @discardableResult
    package mutating func hurry(_ number: Int, now: ContinuousClock.Instant) -> Bool {
        guard let entry = self.entries[number] else { return false }
        let next = max(now, entry.lastTry.map { $0 + self.timers.reconnectPause } ?? now)
        self.entries[number]?.nextTry = next
        return next <= now
    }

    /// The endpoint with one of these addresses, and this port.
    package func number(matching endpoint: RegistrarAddress) -> Int? {
        self.entries.filter { Self.isSame($0.value.endpoint, endpoint) }.keys.min()
    }

    private static func isSame(_ left: RegistrarAddress, _ right: RegistrarAddress) -> Bool {
        left.port == right.port && left.addresses.contains(where: right.addresses.contains)
            && (left.encapsulationPort == nil || right.encapsulationPort == nil
                || left.encapsulationPort == right.encapsulationPort)
    }

    @discardableResult
    private mutating func add(_ endpoint: RegistrarAddress, isConfigured: Bool, now: ContinuousClock.Instant) -> Int {
        self.lastNumber += 1
        self.entries[self.lastNumber] = Entry(
            endpoint: endpoint, isConfigured: isConfigured, nextTry: now, lastUsed: now)
        return self.lastNumber
    }

    private mutating func postpone(_ number: Int, now: ContinuousClock.Instant) {
        guard let entry = self.entries[number] else { return }
        let pause = min(self.timers.reconnectPause * (1 << min(entry.failures, 16)), self.timers.reconnectMax)
        self.entries[number]?.failures += 1
        self.entries[number]?.nextTry = now + pause
    }
}
