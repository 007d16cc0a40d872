// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

/// Names an association; unique in this process and never reused, unlike the stacks' own numbers.
public struct AssociationID: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private static let last = Locked<UInt64>(0)

    static func next() -> AssociationID {
        AssociationID(
            rawValue: self.last.withLock { last in
                last += 1
                return last
            })
    }

    public var description: String { "association \(self.rawValue)" }
}
