// SPDX-License-Identifier: Apache-2.0

/// What one waits for on a descriptor, and what happened to it.
package struct Interest: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Something can be read, the peer has closed, or a connection waits to be accepted.
    package static let readable = Interest(rawValue: 1)
    /// There is room to write again.
    package static let writable = Interest(rawValue: 2)
    /// An error is pending on the descriptor, or its error queue is not empty. Reported without being asked for.
    package static let failed = Interest(rawValue: 4)
}

/// Whoever owns a descriptor of the loop.
package protocol DescriptorHandler: AnyObject, Sendable {
    /// The descriptor is ready; called on the loop's thread, level-triggered, so what is left now comes again next
    /// turn.
    ///
    /// Do a bounded amount of work: every other descriptor waits meanwhile.
    func ready(_ events: Interest)
}
