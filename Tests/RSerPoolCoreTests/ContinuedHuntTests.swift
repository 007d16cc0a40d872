// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import Testing

@testable import RSerPoolCore

@Suite("Server hunt (RFC 5352 §3.6)")
struct ContinuedHuntTests {
    @Test("A registrar that lets us in and is gone at once is tried again after a pause, not before")
    func pauses() {
        let address = RegistrarAddress(scheme: .sctp, addresses: [.loopbackIPv4], port: 3863)
        var hunt = ServerHunt(timers: .rfc)
        let now = ContinuousClock().systemEpoch
        #expect(hunt.start([address], now: now) == [.connect(address)])
        #expect(hunt.attemptSucceeded(address) == [.adopt(address)])
        #expect(hunt.start([address], avoiding: address, isContinued: true, now: now) == [])
        #expect(hunt.nextDeadline == now + .seconds(1))
        #expect(hunt.timersFired([address], now: now + .seconds(1)) == [.connect(address)])
    }
}
