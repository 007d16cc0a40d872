// SPDX-License-Identifier: Apache-2.0

/// What the world cannot put up with: each is a bug of what runs in it.
package enum WorldError: Error, Hashable, CustomStringConvertible {
    /// Work that makes more work without letting time pass. `node` did the last of it.
    case livelock(node: String, jobs: Int)
    /// Of a crashed node these many root tasks did not end: something waits without hearing of its cancellation.
    case survivedCrash(node: String, roots: Int)

    package var description: String {
        switch self {
        case .livelock(let node, let jobs): "more than \(jobs) jobs at one instant, the last on \(node)"
        case .survivedCrash(let node, let roots): "\(node) was crashed, and \(roots) of its root tasks did not end"
        }
    }
}

/// How a run of the world ended.
package enum RunOutcome: Hashable, Sendable {
    /// The moment came, or the condition holds.
    case reached
    /// The moment came before the condition held.
    case timedOut
    /// Nobody has anything to do, now or later; only a fault or a test can go on. These nodes' tasks still wait,
    /// perhaps for a continuation that nobody has any more.
    case stuck(alive: [String])
}
