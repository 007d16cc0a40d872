// SPDX-License-Identifier: Apache-2.0

/// The user's requests and when their answers came, in order.
struct DemoTraffic: Sendable {
    private(set) var asked: [ContinuousClock.Instant] = []
    private(set) var answered: [ContinuousClock.Instant] = []

    var isAllAnswered: Bool { self.asked.count == self.answered.count }

    /// - Returns: the text of a new request.
    mutating func ask(now: ContinuousClock.Instant) -> String {
        self.asked.append(now)
        return "request \(self.asked.count)"
    }

    mutating func answer(now: ContinuousClock.Instant) { self.answered.append(now) }

    /// The longest that a request which was under way in this time had to wait for its answer.
    func longestWait(from begin: ContinuousClock.Instant, to end: ContinuousClock.Instant) -> Duration {
        zip(self.asked, self.answered).filter { $0.0 < end && $0.1 >= begin }.map { $0.1 - $0.0 }.max() ?? .zero
    }
}
