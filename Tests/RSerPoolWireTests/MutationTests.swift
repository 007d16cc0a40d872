// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

/// Decodes `octets` as both protocols. A trap would end the test run; everything else that may not happen is a failure.
private func probe(_ octets: [UInt8], _ comment: @autoclosure () -> String) {
    do throws(WireError) {
        let decoded = try ASAPMessage.decode(octets[...])
        checkAgain(decoded, comment()) { octets throws(WireError) in
            try ASAPMessage.decode(octets)
        } _: {
            message throws(WireError) in
            try message.encoded(for: .enrp)
        }
    } catch {
        check(error, octets, comment())
    }
    do throws(WireError) {
        let decoded = try ENRPMessage.decode(octets[...])
        checkAgain(decoded, comment()) { octets throws(WireError) in
            try ENRPMessage.decode(octets)
        } _: {
            message throws(WireError) in
            try message.encoded(for: .enrp)
        }
    } catch {
        check(error, octets, comment())
    }
}

/// An offset within the octets, a reason, and no more to tell than the octets justify.
private func check(_ error: WireError, _ octets: [UInt8], _ comment: @autoclosure () -> String) {
    let said = error.causes.reduce(0) { $0 + $1.data.count }
    guard (0...octets.count).contains(error.offset), !error.reason.isEmpty, error.code != .tooLong,
        error.causes.count <= ParameterCursor.maximumCauses, said <= 2 * octets.count
    else {
        Issue.record("\(comment()): \(error), causes \(error.causes)")
        return
    }
}

/// What was understood is understood again after it was encoded.
private func checkAgain<Message>(
    _ decoded: Decoded<Message>, _ comment: @autoclosure () -> String,
    _ decode: (ArraySlice<UInt8>) throws(WireError) -> Decoded<Message>,
    _ encode: (Message) throws(WireError) -> [UInt8]
) {
    do throws(WireError) {
        let again = try decode(try encode(decoded.message)[...])
        if again != Decoded(message: decoded.message) {
            Issue.record("\(comment()): \(decoded.message) became \(again.message)")
        }
    } catch {
        Issue.record("\(comment()): \(decoded.message) cannot be sent: \(error)")
    }
}

@Suite("Broken messages (RFC 5354 §2–4)")
struct MutationTests {
    private static let names = Set(goldenASAP.keys).union(goldenENRP.keys).sorted()

    @Test("Cut off at any length, a message is an error, never a trap [WIRE-052, ENRP-024]", arguments: Self.names)
    func truncated(_ name: String) throws {
        let octets = try #require(golden[name])
        let length = Int(octets[2]) << 8 | Int(octets[3])
        for count in 0..<length {
            let cut = Array(octets[..<count])
            #expect(asapError(cut) != nil)
            #expect(enrpError(cut) != nil)
            probe(cut, "\(name) cut to \(count)")
        }
    }

    @Test(
        "Cut off at any length, its length corrected, a message is judged on what is there [WIRE-052]",
        arguments: Self.names)
    func shortened(_ name: String) throws {
        let octets = try #require(golden[name])
        for count in 4..<octets.count {
            var cut = Array(octets[..<count])
            cut[2] = 0
            cut[3] = UInt8(count)
            probe(cut, "\(name) shortened to \(count)")
        }
    }

    @Test("Any octet changed to anything does not trap [WIRE-024, WIRE-052, ENRP-024]", arguments: Self.names)
    func flipped(_ name: String) throws {
        let octets = try #require(golden[name])
        for index in octets.indices {
            let values =
                [0x00, 0x01, 0x03, 0x04, 0x7f, 0x80, 0xc0, 0xff] + (0..<8).map { octets[index] ^ (1 << $0) }
                + [octets[index] &+ 1, octets[index] &- 1]
            for value in values {
                var changed = octets
                changed[index] = value
                probe(changed, "\(name), octet \(index) is \(value)")
            }
        }
    }

    @Test("Every length field, off by up to eight, does not trap [WIRE-024, ENRP-024]", arguments: Self.names)
    func lengths(_ name: String) throws {
        let octets = try #require(golden[name])
        for index in stride(from: 2, to: octets.count - 1, by: 4) {
            let length = Int(octets[index]) << 8 | Int(octets[index + 1])
            for delta in -8...8 where length + delta >= 0 && length + delta <= 0xffff {
                var changed = octets
                changed[index] = UInt8((length + delta) >> 8)
                changed[index + 1] = UInt8((length + delta) & 0xff)
                probe(changed, "\(name), octets \(index) and \(index + 1) changed by \(delta)")
            }
        }
    }

    @Test("Several octets of random messages changed at random do not trap", arguments: 0..<40 as Range<UInt64>)
    func scrambled(_ seed: UInt64) throws {
        var draw = RandomMessages(seed: seed)
        for type in ASAPMessage.MessageType.allCases {
            let octets = try draw.asap(type).encoded()
            for round in 0..<20 {
                var changed = octets
                for _ in 0...Int.random(in: 0...3, using: &draw.generator) {
                    changed[Int.random(in: changed.indices, using: &draw.generator)] =
                        UInt8.random(in: 0...255, using: &draw.generator)
                }
                probe(changed, "seed \(seed), \(type), round \(round): \(hexadecimal(changed))")
            }
        }
        for type in ENRPMessage.MessageType.allCases {
            let octets = try draw.enrp(type).encoded()
            for round in 0..<20 {
                var changed = octets
                changed[Int.random(in: changed.indices, using: &draw.generator)] =
                    UInt8.random(in: 0...255, using: &draw.generator)
                probe(changed, "seed \(seed), \(type), round \(round): \(hexadecimal(changed))")
            }
        }
    }

    @Test("Random octets behind a plausible header do not trap", arguments: 0..<40 as Range<UInt64>)
    func garbage(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for round in 0..<300 {
            let count = Int.random(in: 4...120, using: &generator)
            var octets = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            octets[0] = UInt8.random(in: 0...16, using: &generator)
            octets[2] = 0
            octets[3] = UInt8(count)
            // Half of them with small numbers where types and lengths stand, so that some get further.
            if Bool.random(using: &generator) {
                for index in stride(from: 4, to: count - 3, by: 4) where Bool.random(using: &generator) {
                    octets[index] = 0
                    octets[index + 1] &= 0x1f
                    octets[index + 2] = 0
                    octets[index + 3] &= 0x3f
                }
            }
            probe(octets, "seed \(seed), round \(round): \(hexadecimal(octets))")
        }
    }

    @Test("An exchange of neighbouring parameters is refused or means the same")
    func reordered() throws {
        let parts = [handleTLV, elementTLV(sctpTLV, roundRobinTLV), idTLV, roundRobinTLV, hex("000c0008 00090004")]
        for first in parts {
            for second in parts {
                for third in parts {
                    for type in 0...14 as ClosedRange<UInt8> {
                        probe(message(type, first + second + third), "type \(type)")
                        probe(message(type, [0, 0, 0, 1] + first + second + third), "type \(type)")
                        probe(message(type, hex("11111111 22222222 00000000") + first + second + third), "type \(type)")
                    }
                }
            }
        }
    }
}
