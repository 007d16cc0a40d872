// SPDX-License-Identifier: Apache-2.0

import RSerPoolTestKit
import SocketLoop

/// What happened, in order, and whether it happened on the node that it should.
final class Log: Sendable {
    struct Entry: Sendable {
        var text: String
        var isOnNode: Bool
    }

    private let state = Locked<[Entry]>([])

    func add(_ node: Node, _ text: String) {
        let isOnNode = node.isIsolatingCurrentContext() == true
        self.state.withLock { $0.append(Entry(text: text, isOnNode: isOnNode)) }
    }

    var entries: [Entry] { self.state.withLock { $0 } }
    var texts: [String] { self.entries.map(\.text) }
}
