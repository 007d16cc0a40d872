// SPDX-License-Identifier: Apache-2.0

import RSerPoolWire

/// A parameter of `type` around `value`, padded.
func tlv(_ type: UInt16, _ value: [UInt8] = [], padding: UInt8 = 0) -> [UInt8] {
    let length = 4 + value.count
    return [UInt8(type >> 8), UInt8(type & 0xff), UInt8(length >> 8), UInt8(length & 0xff)] + value
        + [UInt8](repeating: padding, count: -length & 3)
}

/// A message of `type` around `value`; its length counts all of it.
func message(_ type: UInt8, _ value: [UInt8], flags: UInt8 = 0) -> [UInt8] {
    let length = 4 + value.count
    return [type, flags, UInt8(length >> 8), UInt8(length & 0xff)] + value
}

/// "EchoPool" as a parameter.
let handleTLV = hex("0009000c 4563686f 506f6f6c")
/// PE Identifier 0x12345678.
let idTLV = hex("000e0008 12345678")
let roundRobinTLV = hex("00080008 00000001")
/// SCTP, port 7, data only, 192.0.2.1.
let sctpTLV = hex("00040010 00070000 00010008 c0000201")
/// TCP and UDP, port 7, 192.0.2.1.
let tcpTLV = hex("00050010 00070000 00010008 c0000201")
let udpTLV = hex("00060010 00070000 00010008 c0000201")

/// A Pool Element like that of ``echoMember(home:life:transport:policy:asapTransport:)`` around `nested`.
func elementTLV(_ nested: [UInt8]..., life: UInt32 = 300) -> [UInt8] {
    tlv(
        0x000a,
        hex("12345678 00000000") + (0..<4).map { UInt8(truncatingIfNeeded: life >> (24 - 8 * $0)) } + nested.joined())
}

/// A REGISTRATION of "EchoPool" around a Pool Element and what follows it.
func registration(_ element: [UInt8], _ more: [UInt8] = []) -> [UInt8] { message(0x01, handleTLV + element + more) }

/// What decoding throws; nil if it does not.
func asapError(_ octets: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try ASAPMessage.decode(octets[...])
        return nil
    } catch { return error }
}

/// What decoding throws; nil if it does not.
func enrpError(_ octets: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try ENRPMessage.decode(octets[...])
        return nil
    } catch { return error }
}

extension ErrorCause {
    /// Cause 0x0003 with the offending parameter.
    static func invalid(_ tlv: [UInt8]) -> ErrorCause { ErrorCause(.invalidValues, data: tlv) }
    static func unrecognized(_ tlv: [UInt8]) -> ErrorCause { ErrorCause(.unrecognizedParameter, data: tlv) }
}
