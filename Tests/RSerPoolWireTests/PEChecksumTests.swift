// SPDX-License-Identifier: Apache-2.0

import RSerPoolWire
import Testing

/// The definition, word by word: all blocks one after the other, RFC 1071 over them.
private func naiveChecksum(_ elements: [(PoolHandle, PoolElementID)]) -> UInt16 {
    var octets: [UInt8] = []
    for (pool, id) in elements {
        octets += pool.octets
        while !octets.count.isMultiple(of: 4) { octets.append(0) }
        octets += (0..<4).map { UInt8(truncatingIfNeeded: id.rawValue >> (24 - 8 * UInt32($0))) }
    }
    var sum: UInt32 = 0
    for index in stride(from: 0, to: octets.count, by: 2) {
        sum += UInt32(octets[index]) << 8 + UInt32(octets[index + 1])
        if sum > 0xffff { sum = (sum & 0xffff) + 1 }
    }
    return ~UInt16(sum)
}

@Suite("PE checksum (RFC 5353 §3.6.2)")
struct PEChecksumTests {
    private typealias Element = (PoolHandle, UInt32)

    @Test(
        "The worked values come out, in any order [WIRE-058]",
        arguments: [
            ([], 0xffff),
            ([("EchoPool", 0x1234_5678)], 0x29a5),
            ([("EchoPool1", 1)], 0x6150),
            ([("EchoPool", 0x1234_5678), ("EchoPool1", 1)], 0x8af5),
            ([("abc", 1)], 0x3b9c),
            ([("A", 0xffff_ffff)], 0xbeff),
            ([("EchoPool", 0x1234_5678), ("abc", 1)], 0x6541),
            ([("EchoPool", 0x1234_5678), ("EchoPool", 0x9abc_def0)], 0x4249),
            ([("EchoPool", 0x1234_5678), ("abc", 1), ("EchoPool", 0x9abc_def0)], 0x7de5),
            ([("AAAA", 0xbebe_bebe)], 0x0000),
            // Folding 0x1ffff carries once more.
            ([(PoolHandle(octets: [0xff, 0xff]), 0xffff_0001)], 0xfffe),
        ] as [([(PoolHandle, UInt32)], UInt16)])
    func vectors(_ elements: [(PoolHandle, UInt32)], _ expected: UInt16) {
        for order in [elements, elements.reversed()] {
            var checksum = PEChecksum()
            for (pool, id) in order { checksum.add(pool, PoolElementID(rawValue: id)) }
            #expect(checksum.value == expected)
            #expect(naiveChecksum(order.map { ($0.0, PoolElementID(rawValue: $0.1)) }) == expected)
        }
    }

    @Test(
        "It follows each coming and going, and agrees with a fresh computation [WIRE-059, WIRE-060]",
        arguments: 0..<20 as Range<UInt64>)
    func incremental(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var checksum = PEChecksum()
        var elements: [(PoolHandle, PoolElementID)] = []
        for step in 0..<300 {
            if elements.isEmpty || Bool.random(using: &generator) {
                let length = Int.random(in: 1...9, using: &generator)
                // Octets of 0x00 and 0xff bring sums near the places where folded arithmetic goes wrong.
                let octets = (0..<length).map { _ in
                    [0x00, 0xff, UInt8.random(in: 0...255, using: &generator)].randomElement(using: &generator)!
                }
                let id = PoolElementID(
                    rawValue: [0, .max, UInt32.random(in: 0...UInt32.max, using: &generator)].randomElement(
                        using: &generator)!)
                elements.append((PoolHandle(octets: octets), id))
                checksum.add(PoolHandle(octets: octets), id)
            } else {
                let (pool, id) = elements.remove(at: Int.random(in: elements.indices, using: &generator))
                checksum.remove(pool, id)
            }
            let expected = naiveChecksum(elements)
            #expect(checksum.value == expected, "seed \(seed), step \(step)")
            if checksum.value != expected { return }
        }
        for (pool, id) in elements { checksum.remove(pool, id) }
        #expect(checksum.value == 0xffff)
        #expect(checksum == PEChecksum())
    }

    @Test("An element that sums to 0xffff leaves no trace behind [WIRE-060]")
    func negativeZero() {
        var checksum = PEChecksum()
        checksum.add("AAAA", PoolElementID(rawValue: 0xbebe_bebe))
        #expect(checksum.value == 0)
        checksum.remove("AAAA", PoolElementID(rawValue: 0xbebe_bebe))
        #expect(checksum.value == 0xffff)
    }

    @Test("The parameter has length 6 and two octets of padding [WIRE-061, ENRP-009]")
    func parameter() throws {
        let presence = ENRPMessage(
            sender: registrar, receiver: .undetermined,
            body: .presence(replyRequired: false, checksum: 0x29a5, information: nil))
        let octets = try presence.encoded()
        #expect(octets == hex("01000012 cafe0001 00000000 000f0006 29a50000"))
        #expect(try ENRPMessage.decode(octets[...]).message == presence)
    }
}
