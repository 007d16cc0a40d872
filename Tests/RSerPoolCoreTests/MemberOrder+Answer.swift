// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore

extension MemberOrder {
    /// One answer; `room` is how many fit the message.
    mutating func answer(
        upTo count: Int, room: Int = .max, using generator: inout ChoiceGenerator
    ) -> [Slot] {
        let buffer = UnsafeMutableBufferPointer<Slot>.allocate(capacity: min(count, 10_000))
        defer { buffer.deallocate() }
        var list = OutputSpan(buffer: buffer, initializedCount: 0)
        self.list(&list, using: &generator)
        let chosen = UnsafeBufferPointer(rebasing: buffer[..<min(list.finalize(for: buffer), room)])
        if !chosen.isEmpty { self.choose(chosen.span) }
        return Array(chosen)
    }
}
