// SPDX-License-Identifier: Apache-2.0

import SocketLoop
import Testing

@Suite("Whether a thread stays awake for the next message")
struct WakefulnessTests {
    private static let window: Int64 = 50_000

    @Test("It begins asleep; a short wait, the time to be woken included, makes it stay awake, a long one does not")
    func begins() {
        var wakefulness = Wakefulness(window: Self.window)
        #expect(!wakefulness.paysOff)
        wakefulness.slept(2 * Self.window)
        #expect(!wakefulness.paysOff)
        wakefulness = Wakefulness(window: Self.window)
        wakefulness.slept(2 * Self.window - 1)
        #expect(wakefulness.paysOff)
    }

    @Test("Where one wait in ten is long it sleeps nearly always, where one in a hundred is it hardly ever does")
    func rare() {
        func timesAwake(longEvery period: Int) -> Double {
            var wakefulness = Wakefulness(window: Self.window)
            var (awake, inVain) = (0, 0)
            for number in 1...100_000 {
                let isLong = number % period == 0
                if wakefulness.paysOff {
                    awake += 1
                    wakefulness.stayedAwake(found: !isLong)
                    if isLong { inVain += 1 }
                } else {
                    wakefulness.slept(isLong ? .max : 0)
                }
            }
            #expect(inVain < 1_100)
            return Double(awake) / 100_000
        }
        #expect(timesAwake(longEvery: 1) == 0)
        #expect(timesAwake(longEvery: 10) < 0.1)
        #expect(timesAwake(longEvery: 100) > 0.7)
        #expect(timesAwake(longEvery: .max) > 0.999)
    }

    @Test("Where all time awake is in vain, as the sender has no processor meanwhile, it is hardly tried any more")
    func inVain() {
        var wakefulness = Wakefulness(window: Self.window)
        var failures = 0
        for _ in 0..<100_000 {
            if wakefulness.paysOff {
                wakefulness.stayedAwake(found: false)
                failures += 1
            }
            wakefulness.slept(0)
        }
        #expect((50...120).contains(failures))
        // The sender has a processor of its own again: a thousand messages later it is as before.
        for _ in 0..<2_000 { wakefulness.slept(0) }
        for _ in 0..<10 { wakefulness.stayedAwake(found: true) }
        wakefulness.stayedAwake(found: false)
        #expect(!wakefulness.paysOff)
        for _ in 0..<16 { wakefulness.slept(0) }
        #expect(wakefulness.paysOff)
    }
}
