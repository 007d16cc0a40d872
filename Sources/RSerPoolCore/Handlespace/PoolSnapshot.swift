// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// The members of a pool as they were at one moment, by identifier: for who is told all of them, in more messages than can
/// be sent at once.
package struct PoolSnapshot: Sendable {
    /// See ``PoolRoll/head``.
    package let head: [UInt8]
    /// Where the Pool Element parameters lie.
    fileprivate let parameters: [Range<Int>]
    /// Shared with the pool as long as nothing changes there.
    fileprivate let octets: [UInt8]

    init(head: [UInt8], parameters: [Range<Int>], octets: [UInt8]) {
        self.head = head
        self.parameters = parameters
        self.octets = octets
    }

    package var count: Int { self.parameters.count }

    /// Hands out the Pool Element parameter of the member at `index`.
    package func withParameter<Result>(at index: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.octets.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.parameters[index]])) }
    }
}
