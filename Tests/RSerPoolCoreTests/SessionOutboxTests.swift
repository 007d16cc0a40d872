// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import Testing

@Suite("What a session was given to send (RFC 5352 §6.5, RFC 5351 §4.2)")
struct SessionOutboxTests: ~Copyable {
    var outbox = SessionOutbox()

    private mutating func add(_ name: UInt8, _ options: SendOptions = [], wantsAnswer: Bool = false) -> UInt64 {
        self.outbox.append(SessionOutbox.Data(bytes: [name]), options: options, wantsAnswer: wantsAnswer)
    }

    /// Hands over all that may go out now.
    private mutating func pump() -> [UInt8] {
        var names: [UInt8] = []
        while let piece = self.outbox.next {
            names += piece.data.bytes
            self.outbox.handOverNext()
        }
        return names
    }

    @Test(
        "Pieces go out in order; one request at a time is out, messages go on until the next one [ASAP-242, ASAP-243]")
    mutating func order() {
        _ = self.add(1)
        let first = self.add(2, wantsAnswer: true)
        _ = self.add(3)
        let second = self.add(4, wantsAnswer: true)
        _ = self.add(5)
        var names = self.pump()
        #expect(names == [1, 2, 3])
        #expect(self.outbox.isRequestOut == true)
        var answered = self.outbox.answered()
        #expect(answered?.number == first)
        names = self.pump()
        #expect(names == [4, 5])
        answered = self.outbox.answered()
        #expect(answered?.number == second)
        #expect(self.outbox.count == 0)
        answered = self.outbox.answered()
        #expect(answered == nil)
    }

    @Test("The link is lost: a request that was out goes first, then what waited; what was sent is gone [ARC-065]")
    mutating func lost() {
        _ = self.add(1)
        _ = self.add(2, wantsAnswer: true)
        _ = self.add(3, wantsAnswer: true)
        _ = self.pump()
        let failed = self.outbox.linkLost(unsent: [])
        #expect(failed.isEmpty)
        #expect(self.outbox.next?.data.bytes == [2])
        #expect(self.outbox.next?.fate == .perhapsExecuted)
        let names = self.pump()
        #expect(names == [2])
        #expect(self.outbox.repeated == 1)
        #expect(self.outbox.sinceCheckpoint == 1)
        self.outbox.checkpoint()
        #expect(self.outbox.sinceCheckpoint == 0)
    }

    @Test("What the transport had not begun to send goes again, in order, before what waited [ARC-065]")
    mutating func unsent() {
        for name in 1...3 as ClosedRange<UInt8> { _ = self.add(name) }
        _ = self.add(4, wantsAnswer: true)
        _ = self.pump()
        _ = self.add(5)
        _ = self.add(6, wantsAnswer: true)
        let failed = self.outbox.linkLost(unsent: [3, 4].map { SessionOutbox.Data(bytes: [$0]) })
        #expect(failed.isEmpty)
        #expect(self.outbox.sinceCheckpoint == 2)
        var names = self.pump()
        #expect(names == [3, 4, 5])
        #expect(self.outbox.repeated == 0, "the request had never been sent")
        _ = self.outbox.answered()
        names = self.pump()
        #expect(names == [6])
    }

    @Test("No fail-over: it fails with what is known of its fate [ASAP-254]", arguments: [false, true])
    mutating func noFailover(isUnsent: Bool) {
        let number = self.add(1, .noFailover, wantsAnswer: true)
        _ = self.pump()
        let failed = self.outbox.linkLost(unsent: isUnsent ? [SessionOutbox.Data(bytes: [1])] : [])
        #expect(failed.map(\.number) == [number])
        #expect(failed.first?.fate == (isUnsent ? .notExecuted : .perhapsExecuted))
        #expect(self.outbox.count == 0)
    }

    @Test("At most once: what was surely not executed goes on, what may have been fails", arguments: [false, true])
    mutating func atMostOnce(isUnsent: Bool) {
        _ = self.add(1, .atMostOnce, wantsAnswer: true)
        _ = self.pump()
        let failed = self.outbox.linkLost(unsent: isUnsent ? [SessionOutbox.Data(bytes: [1])] : [])
        #expect(failed.map(\.fate) == (isUnsent ? [] : [.perhapsExecuted]))
        #expect(self.outbox.isEmpty == !isUnsent)
    }

    @Test("A message that was not to fail over is given back when the transport could not send it")
    mutating func unsentMessage() {
        _ = self.add(1, .noFailover)
        _ = self.pump()
        self.outbox.handOver(.noFailover)
        self.outbox.handOver([])
        let failed = self.outbox.linkLost(unsent: [2, 3].map { SessionOutbox.Data(bytes: [$0]) })
        #expect(failed.map(\.data.bytes) == [[2]])
        #expect(failed.map(\.fate) == [.notExecuted])
        #expect(self.outbox.next?.data.bytes == [3])
    }

    @Test("Whoever waits no more takes the piece out; one that is out says so")
    mutating func withdraw() {
        let first = self.add(1, wantsAnswer: true)
        let second = self.add(2, wantsAnswer: true)
        _ = self.pump()
        var withdrawn = self.outbox.withdraw(second)
        #expect(withdrawn?.isOut == false)
        #expect(withdrawn?.piece.fate == .notExecuted)
        withdrawn = self.outbox.withdraw(first)
        #expect(withdrawn?.isOut == true)
        #expect(withdrawn?.piece.fate == .perhapsExecuted)
        withdrawn = self.outbox.withdraw(first)
        #expect(withdrawn == nil)
        #expect(self.outbox.count == 0)
    }

    @Test("Against a naive twin: a hundred thousand steps, nothing is lost, doubled or out of order")
    mutating func twin() {
        var generator = SystemRandomNumberGenerator()
        var waiting: [UInt64] = []
        var sent: [UInt64] = []
        for _ in 0..<100_000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                if !self.outbox.isFull { waiting.append(self.add(0)) }
            case 4..<9:
                if let piece = self.outbox.next {
                    #expect(piece.number == waiting.first)
                    sent.append(waiting.removeFirst())
                    self.outbox.handOverNext()
                }
            default:
                let count = Int.random(in: 0...min(3, sent.count), using: &generator)
                let unsent = sent.suffix(count)
                _ = self.outbox.linkLost(unsent: unsent.map { _ in SessionOutbox.Data(bytes: [0]) })
                waiting = Array(unsent) + waiting
                sent = []
            }
            #expect(self.outbox.count == waiting.count)
        }
    }
}
