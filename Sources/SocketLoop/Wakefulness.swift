// SPDX-License-Identifier: Apache-2.0

/// Learns from how long the last waits took whether it pays to stay awake for the next message.
///
/// To be woken takes a thread some ten microseconds, more than it needs for a request, and much of that is processor time. So
/// where messages follow one another closely, who stays awake answers sooner and works less. Where they do not, staying
/// awake is a waste: nearly all waits have to be short before it begins, and a single long one ends it. Where who would send
/// the next message waits for our processor, no time awake is ever long enough: each failure costs twice what the last one
/// did, until it is hardly tried any more.
package struct Wakefulness {
    /// How many short waits make up for a long one, and for a time awake in vain at first and in the end.
    private static let priceOfLong = 16
    private static let highestPrice = 1024

    /// How long to stay awake at most, in nanoseconds; 0: never.
    package let window: Int64
    /// It pays when this is above zero.
    private var balance = 0
    private var priceOfFailure = Self.priceOfLong

    package init(window: Int64) {
        self.window = window
    }

    /// Whether to stay awake now, for at most ``window``.
    package var paysOff: Bool { self.balance > 0 }

    /// Something came while the thread was awake (`found`), or did not within ``window``.
    package mutating func stayedAwake(found: Bool) {
        if found {
            self.priceOfFailure = max(self.priceOfFailure / 2, Self.priceOfLong)
            self.gain()
        } else {
            self.lose(self.priceOfFailure)
            self.priceOfFailure = min(self.priceOfFailure * 2, Self.highestPrice)
        }
    }

    /// Something came while the thread slept. The time to be woken is part of the wait: who stays awake waits less.
    package mutating func slept(_ nanoseconds: Int64) {
        if nanoseconds < 2 * self.window {
            self.gain()
        } else {
            self.lose(Self.priceOfLong)
        }
    }

    private mutating func gain() {
        self.balance = min(self.balance + 1, Self.priceOfLong)
    }

    private mutating func lose(_ price: Int) {
        self.balance = max(self.balance - price, -Self.highestPrice)
    }
}
