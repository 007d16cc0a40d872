// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// How people write endpoints, durations, identifiers and pool handles; each failure is one line that names the
// option, the text, and a correct example.

func parseEndpoint(_ text: String, option: String) throws(CommandFailure) -> Endpoint {
    do {
        let endpoint = try Endpoint(parsing: text)
        guard !endpoint.isSecured else {
            throw CommandFailure(
                .usage, "\(option) \(text): TLS is not yet there; use sctp:127.0.0.1:3863 or tcp:127.0.0.1:3863")
        }
        return endpoint
    } catch let failure as CommandFailure {
        throw failure
    } catch {
        throw CommandFailure(.usage, "\(option): \(error)")
    }
}

/// `1.5s`, `250ms`, `2min`, `1h`; a bare number is seconds.
func parseDuration(_ text: String, option: String) throws(CommandFailure) -> Duration {
    let units: [(String, Double)] = [
        ("ms", 0.001), ("us", 0.000_001), ("min", 60), ("s", 1), ("m", 60), ("h", 3600), ("", 1),
    ]
    for (unit, seconds) in units where text.hasSuffix(unit) {
        let digits = text.dropLast(unit.count)
        guard let first = digits.first, first.isASCII, first.isNumber || first == ".", let number = Double(digits),
            number.isFinite, number * seconds < 4_000_000_000
        else { continue }
        return .seconds(number * seconds)
    }
    throw CommandFailure(.usage, "\(option) \(text): no duration; write 1.5s, 250ms, 2min or 1h")
}

func parseIdentifier(_ text: String, option: String) throws(CommandFailure) -> UInt32 {
    let value = text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    guard let value, value != 0 else {
        throw CommandFailure(
            .usage, "\(option) \(text): no identifier; write a number from 1 to 4294967295, or 0x1a2b3c4d")
    }
    return value
}

/// POOL is text; `0x…`, or with `--pool-hex` any text, gives raw octets.
func parsePool(_ text: String, isHexadecimal: Bool) throws(CommandFailure) -> PoolHandle {
    guard !text.isEmpty else { throw CommandFailure(.usage, "POOL: an empty pool handle; write EchoPool for example") }
    guard isHexadecimal || text.hasPrefix("0x") else { return PoolHandle(text) }
    guard let octets = octets(hexadecimal: text.hasPrefix("0x") ? text.dropFirst(2) : text[...]), !octets.isEmpty else {
        throw CommandFailure(.usage, "POOL \(text): no octets; write 0x4563686f for example")
    }
    return PoolHandle(octets: octets)
}

/// GROUP:PORT of a multicast group.
func parseGroup(_ text: String, option: String) throws(CommandFailure) -> SocketAddress {
    if let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 {
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if let ip = IPAddress(String(isBracketed ? host.dropFirst().dropLast() : host)), ip.isMulticast,
            isBracketed == (ip.family == .ipv6)
        {
            return SocketAddress(ip: ip, port: port)
        }
    }
    throw CommandFailure(
        .usage, "\(option) \(text): no multicast group and port; write 224.0.1.185:3863 or [ff05::133]:3863")
}
