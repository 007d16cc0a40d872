// SPDX-License-Identifier: Apache-2.0

import RSerPoolWire
import Testing

@Suite("Messages in a byte stream (RFC 5352 §2.1 over TCP)")
struct FramingTests {
    @Test("Messages cut out of a stream are the ones put into it, wherever the stream is cut [WIRE-012]")
    func cutAnywhere() throws {
        let names = goldenASAP.keys.sorted()
        let stream = try names.flatMap { try #require(golden[$0]) }
        let expected = names.compactMap { goldenASAP[$0] }
        for size in [1, 2, 3, 5, 64, stream.count] {
            var buffer: [UInt8] = []
            var messages: [ASAPMessage] = []
            for start in stride(from: 0, to: stream.count, by: size) {
                buffer += stream[start..<min(start + size, stream.count)]
                while let length = try MessageFraming.frameLength(buffer[...]), length <= buffer.count {
                    messages.append(try ASAPMessage.decode(buffer.prefix(length)).message)
                    buffer.removeFirst(length)
                }
            }
            #expect(messages == expected, "pieces of \(size)")
            #expect(buffer == [])
        }
    }

    @Test("Below four octets the length is not known yet")
    func incomplete() throws {
        for count in 0...3 { #expect(try MessageFraming.frameLength([5, 0, 0, 16][..<count]) == nil) }
        #expect(try MessageFraming.frameLength(([9] + [5, 0, 0, 16] as [UInt8])[1...]) == 16)
    }

    @Test("A frame is its length rounded up to four", arguments: [(4, 4), (5, 8), (17, 20), (65_535, 65_536)])
    func rounded(_ length: Int, _ frame: Int) throws {
        let header = [5, 0, UInt8(length >> 8), UInt8(length & 0xff)]
        #expect(try MessageFraming.frameLength(header[...]) == frame)
    }

    @Test("A length below four ends the stream [WIRE-052]", arguments: 0...3)
    func unreadable(_ length: UInt8) {
        let error = #expect(throws: WireError.self) { try MessageFraming.frameLength([5, 0, 0, length]) }
        #expect(error?.code == .badLength)
        #expect(error?.offset == 2)
    }
}

@Suite("Messages of a session in a byte stream")
struct EnvelopeTests {
    @Test("What is wrapped comes out again, wherever the stream is cut", arguments: [0, 1, 8, 300, 65_528])
    func roundTrip(_ count: Int) throws {
        let data = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let stream = SessionEnvelope.wrap(data, payloadProtocol: 0x0102_0304) + [0xff]
        #expect(Array(stream.prefix(4)) == [1, 2, 3, 4])
        for length in 0..<8 { #expect(try SessionEnvelope.frameLength(stream.prefix(length)) == nil) }
        let length = try #require(try SessionEnvelope.frameLength(([9] + stream)[1...]))
        #expect(length == count + 8)
        let (found, payloadProtocol) = SessionEnvelope.unwrap(Array(stream.prefix(length)))
        #expect(found == data)
        #expect(payloadProtocol == 0x0102_0304)
    }

    @Test("More data than any message holds ends the stream")
    func tooLong() throws {
        let error = #expect(throws: WireError.self) {
            try SessionEnvelope.frameLength([0, 0, 0, 0, 0, 0, 0xff, 0xf9])
        }
        #expect(error?.code == .badLength)
    }
}
