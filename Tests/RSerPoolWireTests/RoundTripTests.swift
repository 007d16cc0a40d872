// SPDX-License-Identifier: Apache-2.0

import RSerPoolWire
import Testing

@Suite("Random messages (RFC 5352 §2.2, RFC 5353 §2)")
struct RoundTripTests {
    @Test("Every ASAP message decodes to what was encoded", arguments: ASAPMessage.MessageType.allCases)
    func asap(_ type: ASAPMessage.MessageType) throws {
        for seed in 0..<300 as Range<UInt64> {
            var draw = RandomMessages(seed: seed << 8 | UInt64(type.rawValue))
            let message = draw.asap(type)
            let octets = try message.encoded()
            #expect(octets.count.isMultiple(of: 4))
            #expect(Int(octets[2]) << 8 + Int(octets[3]) > octets.count - 4)
            let decoded = try ASAPMessage.decode(octets[...])
            guard decoded == Decoded(message: message) else {
                Issue.record("\(type), seed \(seed): \(message) became \(decoded), octets \(hexadecimal(octets))")
                return
            }
        }
    }

    @Test("Every ENRP message decodes to what was encoded", arguments: ENRPMessage.MessageType.allCases)
    func enrp(_ type: ENRPMessage.MessageType) throws {
        for seed in 0..<300 as Range<UInt64> {
            var draw = RandomMessages(seed: seed << 8 | UInt64(type.rawValue))
            let message = draw.enrp(type)
            let octets = try message.encoded()
            #expect(octets.count.isMultiple(of: 4))
            #expect(Int(octets[2]) << 8 + Int(octets[3]) > octets.count - 4)
            let decoded = try ENRPMessage.decode(octets[...])
            guard decoded == Decoded(message: message) else {
                Issue.record("\(type), seed \(seed): \(message) became \(decoded), octets \(hexadecimal(octets))")
                return
            }
        }
    }

    @Test("Unknown parameters of action 10 anywhere between the parameters of a message change nothing [WIRE-020]")
    func interspersed() throws {
        for type in ASAPMessage.MessageType.allCases where type != .endpointKeepAlive && type != .serverAnnounce {
            for seed in 0..<30 as Range<UInt64> {
                var draw = RandomMessages(seed: seed << 8 | UInt64(type.rawValue))
                let expected = draw.asap(type)
                let octets = try expected.encoded()
                var value: [UInt8] = []
                var rest = octets[4...]
                while !rest.isEmpty {
                    let length = Int(rest[rest.startIndex + 2]) << 8 + Int(rest[rest.startIndex + 3])
                    value += tlv(0x8000 | UInt16(seed), Array(repeating: 1, count: Int(seed) % 5))
                    value += rest.prefix((length + 3) & ~3)
                    rest = rest.dropFirst((length + 3) & ~3)
                }
                let stretched = message(type.rawValue, value, flags: octets[1])
                let decoded = try ASAPMessage.decode(stretched[...])
                #expect(decoded == Decoded(message: expected), "\(type), seed \(seed)")
            }
        }
    }

    @Test("What rsplib reads holds no parameter of ours")
    func rsplib() throws {
        for seed in 0..<100 as Range<UInt64> {
            var draw = RandomMessages(seed: seed)
            for type in ENRPMessage.MessageType.allCases where type != .error {
                let octets = try draw.enrp(type).encoded(for: .rsplibENRP)
                let fields = try ENRPMessage.decode(octets[...]).message
                #expect(try fields.encoded(for: .enrp) == octets, "seed \(seed)")
            }
        }
    }
}
