// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolWire

/// Octets from hexadecimal digits; blanks are for reading.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    precondition(digits.count % 2 == 0, "half an octet in \(text)")
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// A parameter of `type` around `value`, padded.
func tlv(_ type: UInt16, _ value: [UInt8] = []) -> [UInt8] {
    let length = 4 + value.count
    return [UInt8(type >> 8), UInt8(type & 0xff), UInt8(length >> 8), UInt8(length & 0xff)] + value
        + [UInt8](repeating: 0, count: -length & 3)
}

/// A message of `type` around `value`, padded.
func message(_ type: UInt8, flags: UInt8 = 0, _ value: [UInt8]...) -> [UInt8] {
    let value = Array(value.joined())
    let length = 4 + value.count
    return [type, flags, UInt8(length >> 8), UInt8(length & 0xff)] + value + [UInt8](repeating: 0, count: -length & 3)
}

func octets(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
func octets(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

func handleTLV(_ handle: String) -> [UInt8] { tlv(0x0009, Array(handle.utf8)) }
func idTLV(_ id: UInt32) -> [UInt8] { tlv(0x000e, octets(id)) }
func addressTLV(_ address: IPAddress) -> [UInt8] { tlv(address.family == .ipv4 ? 0x0001 : 0x0002, address.octets) }

func sctpTLV(port: UInt16 = 7, use: UInt16 = 0, _ addresses: IPAddress...) -> [UInt8] {
    tlv(0x0004, octets(port) + octets(use) + addresses.flatMap(addressTLV))
}

func tcpTLV(port: UInt16 = 7, reserved: UInt16 = 0, _ addresses: IPAddress...) -> [UInt8] {
    tlv(0x0005, octets(port) + octets(reserved) + addresses.flatMap(addressTLV))
}

func udpTLV(port: UInt16 = 7, _ addresses: IPAddress...) -> [UInt8] {
    tlv(0x0006, octets(port) + octets(0 as UInt16) + addresses.flatMap(addressTLV))
}

func policyTLV(_ type: UInt32, _ values: UInt32...) -> [UInt8] {
    tlv(0x0008, octets(type) + values.flatMap { octets($0) })
}

let roundRobinTLV = policyTLV(1)
let randomTLV = policyTLV(3)
func leastUsedTLV(_ load: UInt32) -> [UInt8] { policyTLV(0x4000_0001, load) }

/// A Pool Element around `nested`.
func elementTLV(_ id: UInt32, home: UInt32 = 0, life: UInt32 = 300, _ nested: [UInt8]...) -> [UInt8] {
    tlv(0x000a, octets(id) + octets(home) + octets(life) + nested.joined())
}

/// The causes of an Operation Error as TLVs without padding between code and data: (code, data).
func errorTLV(_ causes: (UInt16, [UInt8])...) -> [UInt8] {
    var value: [UInt8] = []
    for (index, cause) in causes.enumerated() {
        let length = 4 + cause.1.count
        value += octets(cause.0) + octets(UInt16(length)) + cause.1
        if index + 1 < causes.count { value += [UInt8](repeating: 0, count: -length & 3) }
    }
    return tlv(0x000c, value)
}

/// Messages in the RFC's words.
enum Say {
    static func register(_ pool: String, _ element: [UInt8]) -> [UInt8] { message(0x01, handleTLV(pool), element) }
    static func deregister(_ pool: String, _ id: UInt32) -> [UInt8] { message(0x02, handleTLV(pool), idTLV(id)) }
    static func registered(_ pool: String, _ id: UInt32) -> [UInt8] { message(0x03, handleTLV(pool), idTLV(id)) }
    static func rejected(_ pool: String, _ id: UInt32, _ causes: [UInt8]) -> [UInt8] {
        message(0x03, flags: 1, handleTLV(pool), idTLV(id), causes)
    }
    static func left(_ pool: String, _ id: UInt32) -> [UInt8] { message(0x04, handleTLV(pool), idTLV(id)) }
    static func resolve(_ pool: String, s: Bool = false, _ more: [UInt8] = []) -> [UInt8] {
        message(0x05, flags: s ? 1 : 0, handleTLV(pool), more)
    }
    static func unknown(_ pool: String) -> [UInt8] { message(0x06, handleTLV(pool), errorTLV((0x0009, []))) }
    static func members(
        _ pool: String, a: Bool = false, policy: [UInt8] = roundRobinTLV, _ elements: [[UInt8]], _ more: [UInt8] = []
    ) -> [UInt8] {
        message(0x06, flags: a ? 1 : 0, handleTLV(pool), policy, Array(elements.joined()), more)
    }
    static func keepAlive(_ registrar: UInt32, _ pool: String, h: Bool = false, _ more: [UInt8] = []) -> [UInt8] {
        message(0x07, flags: h ? 1 : 0, octets(registrar), handleTLV(pool), more)
    }
    static func alive(_ pool: String, _ id: UInt32) -> [UInt8] { message(0x08, handleTLV(pool), idTLV(id)) }
    static func unreachable(_ pool: String, _ id: UInt32) -> [UInt8] { message(0x09, handleTLV(pool), idTLV(id)) }
    static func error(_ causes: (UInt16, [UInt8])...) -> [UInt8] {
        var value: [UInt8] = []
        for cause in causes {
            let length = 4 + cause.1.count
            value += [UInt8](repeating: 0, count: -value.count & 3)
            value += octets(cause.0) + octets(UInt16(length)) + cause.1
        }
        return message(0x0e, Array(tlv(0x000c, value).prefix(4 + value.count)))
    }

    /// rsplib's 0x803f: so many elements in the answer.
    static func count(_ count: UInt32) -> [UInt8] { tlv(0x803f, octets(count)) }
    /// Our 0xa952: increments, please.
    static let increments = tlv(0xa952, octets(0 as UInt32) + octets(0 as UInt32))
}

/// What a message of an answer says, decoded by the product's own decoder; nil for what is none.
func decoded(_ bytes: [UInt8]) -> ASAPMessage? { try? ASAPMessage.decode(bytes[...]).message }

extension [UInt8] {
    /// For comparing with a failure that a person can read.
    var hex: String { hexadecimal(self) }
}
