// SPDX-License-Identifier: Apache-2.0

/// What a session was given to send, in order, and what has become of each piece (RFC 5352 §6.5.1, RFC 5351 §4.2).
///
/// A piece waits; is handed over to the transport; and, if it is a request, waits for its answer. One request at a time is
/// out; messages that want no answer go on meanwhile, up to the next request. When the link is lost, what waited still
/// waits, what the transport had not begun to send waits again in front of it, a request that was out waits again or fails as
/// its options say, and messages that were sent are gone: perhaps they arrived.
///
/// A value without time and network: the session carries out what it says. It is not copied: looking at it would be a copy of
/// all fields, several times for each request.
package struct SessionOutbox: ~Copyable, Sendable {
    /// What goes over the wire.
    package struct Data: Hashable, Sendable {
        package var bytes: [UInt8]
        package var payloadProtocol: UInt32
        package var stream: UInt16
        package var isUnordered: Bool

        package init(bytes: [UInt8], payloadProtocol: UInt32 = 0, stream: UInt16 = 0, isUnordered: Bool = false) {
            self.bytes = bytes
            self.payloadProtocol = payloadProtocol
            self.stream = stream
            self.isUnordered = isUnordered
        }
    }

    package struct Piece: Hashable, Sendable {
        package let number: UInt64
        package let data: Data
        package let options: SendOptions
        package let wantsAnswer: Bool
        /// How many elements' links have taken it: each of these elements may have got it.
        package fileprivate(set) var handOvers = 0

        package var fate: RequestFate { self.handOvers > 0 ? .perhapsExecuted : .notExecuted }

        fileprivate var mayGoElsewhere: Bool {
            !self.options.contains(.noFailover) && !(self.options.contains(.atMostOnce) && self.handOvers > 0)
        }
    }

    /// Something that a link has taken.
    fileprivate struct HandedOver: Sendable {
        let number: UInt64
        let options: SendOptions
    }

    /// What a link has taken, the newest last, as far as it is remembered.
    package struct Taken: Sendable {
        fileprivate var pieces: [HandedOver] = []
    }

    /// Stands for what was not ours to repeat.
    private static let aside = UInt64.max

    /// Pieces that wait at a time; more callers are refused.
    package static let maxPieces = 4_096
    /// How far back the options of what a link has taken are remembered; what is older fails over, as is the default.
    private static let maxRemembered = 4_096

    /// From `firstWaiting` on.
    private var queue: [Piece] = []
    private var firstWaiting = 0
    /// The request that is out.
    private var outstanding: Piece?
    private var lastNumber: UInt64 = 0
    private var taken = Taken()
    /// Messages that were sent since the element's state was last given to us to keep, or since the session began.
    package private(set) var sinceCheckpoint = 0
    /// Requests that more than one element may have got, over all the session's life.
    package private(set) var repeated = 0

    package init() {}

    package var isEmpty: Bool { self.isNothingWaiting && self.outstanding == nil }
    /// A message may go out without waiting here.
    package var isNothingWaiting: Bool { self.firstWaiting == self.queue.count }
    package var isRequestOut: Bool { self.outstanding != nil }
    package var count: Int { self.queue.count - self.firstWaiting + (self.outstanding == nil ? 0 : 1) }
    package var isFull: Bool { self.count >= Self.maxPieces }

    /// Takes a piece.
    /// - Returns: its number, which names it from now on.
    package mutating func append(_ data: Data, options: SendOptions, wantsAnswer: Bool) -> UInt64 {
        self.lastNumber += 1
        self.queue.append(
            Piece(number: self.lastNumber, data: data, options: options, wantsAnswer: wantsAnswer))
        return self.lastNumber
    }

    /// What is to be handed over next: the first piece that waits, unless it is a request and another one is out.
    package var next: Piece? {
        guard !self.isNothingWaiting else { return nil }
        let piece = self.queue[self.firstWaiting]
        return piece.wantsAnswer && self.outstanding != nil ? nil : piece
    }

    /// The link has taken what ``next`` names.
    package mutating func handOverNext() {
        var piece = self.removeNext()
        if piece.wantsAnswer, piece.handOvers > 0 { self.repeated += 1 }
        piece.handOvers += 1
        self.note(piece.number, piece.options)
        if piece.wantsAnswer { self.outstanding = piece } else { self.sinceCheckpoint += 1 }
    }

    /// The link has taken a message that did not wait here.
    package mutating func handOver(_ options: SendOptions) {
        self.sinceCheckpoint += 1
        self.note(0, options)
    }

    /// The link has taken something that is not to be repeated for anybody: a handler's message, a copy for all.
    package mutating func handOverAside() {
        self.note(Self.aside, [])
    }

    private mutating func note(_ number: UInt64, _ options: SendOptions) {
        self.taken.pieces.append(HandedOver(number: number, options: options))
        if self.taken.pieces.count >= 2 * Self.maxRemembered { self.taken.pieces.removeFirst(Self.maxRemembered) }
    }

    /// ``next`` can never be sent, being too long for example.
    package mutating func removeNext() -> Piece {
        precondition(!self.isNothingWaiting, "nothing waits in the outbox")
        let piece = self.queue[self.firstWaiting]
        self.firstWaiting += 1
        // Moved up now and then, so that each step stays cheap.
        if 2 * self.firstWaiting > self.queue.count, self.firstWaiting > 64 || self.isNothingWaiting {
            self.queue.removeFirst(self.firstWaiting)
            self.firstWaiting = 0
        }
        return piece
    }

    /// The answer to the request that is out has come.
    package mutating func answered() -> Piece? {
        self.outstanding.take()
    }

    /// Nobody waits for a piece any more.
    /// - Returns: the piece, and whether it is out: then its answer may still come over this link, which has to end.
    package mutating func withdraw(_ number: UInt64) -> (piece: Piece, isOut: Bool)? {
        if let piece = self.outstanding, piece.number == number {
            self.outstanding = nil
            return (piece, true)
        }
        guard let index = self.queue[self.firstWaiting...].firstIndex(where: { $0.number == number }) else {
            return nil
        }
        return (self.queue.remove(at: index), false)
    }

    /// The element has given us its state to keep.
    package mutating func checkpoint() {
        self.sinceCheckpoint = 0
    }

    /// The link has ended.
    ///
    /// - Parameter unsent: what the transport had not begun to send, in order: it was not executed.
    /// - Returns: pieces that are not to go to another element.
    package mutating func linkLost(unsent: [Data]) -> [Piece] {
        var pieces = self.pieces(of: unsent, taken: self.taken)
        // It was sent before what was not.
        if let request = self.outstanding.take() { pieces.insert(request, at: 0) }
        self.taken = Taken()
        return self.putBack(pieces)
    }

    /// The link is left in good order, with no request out: what it has taken still arrives, unless ``restore(_:taken:)`` follows.
    package mutating func leaveLink() -> Taken {
        defer { self.taken = Taken() }
        return self.taken
    }

    /// A link that was left has ended before it had sent everything.
    /// - Returns: pieces that are not to go to another element.
    package mutating func restore(_ unsent: [Data], taken: Taken) -> [Piece] {
        self.putBack(self.pieces(of: unsent, taken: taken))
    }

    /// What a link handed back are the last ones that it took, in the same order.
    private mutating func pieces(of unsent: [Data], taken: Taken) -> [Piece] {
        var pieces: [Piece] = []
        let known = taken.pieces.suffix(unsent.count)
        for (index, data) in unsent.enumerated() {
            let position = known.endIndex - unsent.count + index
            let entry = position >= known.startIndex ? known[position] : HandedOver(number: 0, options: [])
            if entry.number == Self.aside { continue }
            if var request = self.outstanding, request.number == entry.number {
                self.outstanding = nil
                request.handOvers -= 1
                pieces.append(request)
            } else {
                self.sinceCheckpoint = max(0, self.sinceCheckpoint - 1)
                pieces.append(Piece(number: entry.number, data: data, options: entry.options, wantsAnswer: false))
            }
        }
        return pieces
    }

    /// Puts pieces in front of those that wait.
    /// - Returns: those that may not go elsewhere.
    private mutating func putBack(_ pieces: [Piece]) -> [Piece] {
        self.queue.replaceSubrange(..<self.firstWaiting, with: pieces.filter(\.mayGoElsewhere))
        self.firstWaiting = 0
        return pieces.filter { !$0.mayGoElsewhere }
    }

    /// No element can be had: nobody is to get anything any more.
    package mutating func removeAll() -> [Piece] {
        let pieces = (self.outstanding.take().map { [$0] } ?? []) + self.queue[self.firstWaiting...]
        self.queue = []
        self.firstWaiting = 0
        return pieces
    }
}

extension Optional {
    /// Moves the value out and leaves nil.
    fileprivate mutating func take() -> Wrapped? {
        defer { self = nil }
        return self
    }
}
