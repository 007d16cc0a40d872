// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire
import Testing

@Suite("Golden vectors (RFC 5352 §2.2, RFC 5353 §2, RFC 5354 §3–4)")
struct GoldenTests {
    @Test(
        "ASAP octets decode to their meaning, and it encodes to the same octets [WIRE-010, WIRE-013]",
        arguments: goldenASAP.keys.sorted())
    func asap(_ name: String) throws {
        let octets = try #require(golden[name])
        let expected = try #require(goldenASAP[name])
        #expect(try ASAPMessage.decode(octets[...]) == Decoded(message: expected, unrecognized: []))
        #expect(hexadecimal(try expected.encoded()) == hexadecimal(octets))
    }

    @Test(
        "ENRP octets decode to their meaning, and it encodes to the same octets [ENRP-001]",
        arguments: goldenENRP.keys.sorted())
    func enrp(_ name: String) throws {
        let octets = try #require(golden[name])
        let expected = try #require(goldenENRP[name])
        #expect(try ENRPMessage.decode(octets[...]) == Decoded(message: expected, unrecognized: []))
        #expect(hexadecimal(try expected.encoded()) == hexadecimal(octets))
    }

    @Test("Every golden vector is a message with a meaning, or one of the two bare parameters")
    func complete() {
        let covered = Set(goldenASAP.keys).union(goldenENRP.keys)
        #expect(covered.isDisjoint(with: ["E14", "E17"]))
        #expect(covered.union(["E14", "E17"]) == Set(golden.keys))
        #expect(Set(goldenASAP.values.map(\.type)) == Set(ASAPMessage.MessageType.allCases))
        #expect(Set(goldenENRP.values.map(\.body.type)) == Set(ENRPMessage.MessageType.allCases))
    }

    @Test("A slice that does not start at index 0 decodes like an array", arguments: ["E4", "E12"])
    func slices(_ name: String) throws {
        let octets = try #require(golden[name])
        let shifted = ([0xaa, 0xbb, 0xcc] + octets + [0xdd])[3..<(3 + octets.count)]
        #expect(try ASAPMessage.decode(shifted).message == goldenASAP[name])
    }

    @Test("Offsets of errors count from the start of the message, not of its storage")
    func offsets() throws {
        let octets = try #require(golden["E3"])
        let shifted = ([0xaa, 0xbb, 0xcc] + octets)[3...]
        var broken = shifted
        broken[3 + 16 + 3] = 0xff  // the Pool Element reaches beyond the message
        let error = #expect(throws: WireError.self) { try ASAPMessage.decode(broken) }
        #expect(error?.code == .badLength)
        #expect(error?.offset == 18)
    }

    @Test("Message names and numbers are those of the RFCs")
    func names() {
        #expect(ASAPMessage.MessageType.allCases.map(\.rawValue) == Array(1...14))
        #expect(ENRPMessage.MessageType.allCases.map(\.rawValue) == Array(1...10))
        #expect(ASAPMessage.MessageType(rawValue: 0x0d)?.name == "BUSINESS_CARD")
        #expect(ENRPMessage.MessageType(rawValue: 0x09)?.name == "TAKEOVER_SERVER")
        #expect(ASAPMessage.payloadProtocol == 11)
        #expect(ENRPMessage.payloadProtocol == 12)
        #expect(ASAPMessage.port == 3863)
        #expect(ENRPMessage.port == 9901)
    }

    @Test("Server Information alone stands in a list response byte by byte [ENRP-020]")
    func serverInformation() throws {
        let message = ENRPMessage(
            sender: registrar, receiver: .undetermined,
            body: .listResponse(
                isRejected: false,
                [ServerInformation(id: registrar, transport: SCTPTransport(port: 9901, addresses: [v4(10)]))]))
        let octets = try message.encoded()
        #expect(Array(octets[12...]) == golden["E17"])
        #expect(try ENRPMessage.decode(octets[...]).message == message)
    }
}
