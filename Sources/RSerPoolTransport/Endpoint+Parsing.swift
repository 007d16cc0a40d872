// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

extension Endpoint {
    /// Reads the syntax that ``Endpoint`` describes. Names are not looked up here.
    /// - Throws: an error whose one line names the text, what is wrong, and a correct example.
    public init(parsing text: String) throws(EndpointError) {
        guard let colon = text.firstIndex(of: ":"), let scheme = Scheme(rawValue: text[..<colon].lowercased()) else {
            throw EndpointError(text, "it does not begin with sctp:, tcp:, tls: or stls:", example: Self.example(.sctp))
        }
        do throws(Problem) {
            let rest = try EndpointRest(text[text.index(after: colon)...], scheme: scheme)
            self.init(scheme: scheme, hosts: rest.hosts, port: rest.port, encapsulationPort: rest.encapsulationPort)
        } catch {
            throw EndpointError(text, error.text, example: error.example ?? Self.example(scheme))
        }
    }

    static func example(_ scheme: Scheme) -> String {
        switch scheme {
        case .sctp: "sctp:192.0.2.1:3863"
        case .tcp: "tcp:192.0.2.1:3863"
        case .tls: "tls:192.0.2.1:3864"
        case .stls: "stls:192.0.2.1:3864"
        }
    }

    struct Problem: Error {
        var text: String
        /// Nil: the scheme's usual one.
        var example: String?

        init(_ text: String, example: String? = nil) {
            self.text = text
            self.example = example
        }
    }
}

/// What follows the scheme.
private struct EndpointRest {
    var hosts: [String] = []
    var port: UInt16?
    var encapsulationPort: UInt16?

    init(_ text: Substring, scheme: Endpoint.Scheme) throws(Endpoint.Problem) {
        var text = text
        if let slash = text.firstIndex(of: "/") {
            self.encapsulationPort = try Self.encapsulationPort(text[slash...], scheme: scheme)
            text = text[..<slash]
        }
        try self.readHosts(&text)
        if !text.isEmpty {
            text.removeFirst()
            guard let port = Self.number(text) else {
                throw Endpoint.Problem("the port \(EndpointError.quoted(text)) is not a number from 0 to 65535")
            }
            self.port = port
        }
        try self.check(scheme)
    }

    private static func encapsulationPort(
        _ text: Substring, scheme: Endpoint.Scheme
    ) throws(Endpoint.Problem) -> UInt16 {
        let key = "/udp="
        guard text.hasPrefix(key) else {
            throw Endpoint.Problem("only /udp=PORT may follow the port", example: "sctp:192.0.2.1:3863/udp=9899")
        }
        guard scheme == .sctp || scheme == .stls else {
            throw Endpoint.Problem("/udp= is for SCTP only")
        }
        guard let port = self.number(text.dropFirst(key.count)), port != 0 else {
            throw Endpoint.Problem(
                "the UDP port is not a number from 1 to 65535", example: "sctp:192.0.2.1:3863/udp=9899")
        }
        return port
    }

    /// Digits only: `UInt16(_:)` would take a sign as well.
    private static func number(_ text: Substring) -> UInt16? {
        let isNumber = (1...5).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return isNumber ? UInt16(text) : nil
    }

    /// Reads hosts up to the colon before the port, or to the end.
    private mutating func readHosts(_ text: inout Substring) throws(Endpoint.Problem) {
        while true {
            guard self.hosts.count < Endpoint.maxHosts else {
                throw Endpoint.Problem("it has more than \(Endpoint.maxHosts) hosts")
            }
            self.hosts.append(text.first == "[" ? try Self.readBracketed(&text) : try Self.readPlain(&text))
            guard text.first == "," else { break }
            text.removeFirst()
        }
        guard text.isEmpty || text.first == ":" else {
            throw Endpoint.Problem("a comma or a colon must follow a host")
        }
    }

    private static func readBracketed(_ text: inout Substring) throws(Endpoint.Problem) -> String {
        let example = "tcp:[2001:db8::1]:3863"
        guard let end = text.firstIndex(of: "]") else {
            throw Endpoint.Problem("the bracket of the IPv6 address is not closed", example: example)
        }
        let inside = text[text.index(after: text.startIndex)..<end]
        guard let address = IPAddress(String(inside)), address.family == .ipv6 else {
            throw Endpoint.Problem("\(EndpointError.quoted(inside)) is no IPv6 address", example: example)
        }
        text = text[text.index(after: end)...]
        return String(inside)
    }

    private static func readPlain(_ text: inout Substring) throws(Endpoint.Problem) -> String {
        let end = text.firstIndex { $0 == "," || $0 == ":" } ?? text.endIndex
        let host = text[..<end]
        guard !host.isEmpty else { throw Endpoint.Problem("a host is missing") }
        // A second colon: somebody forgot the brackets.
        if end < text.endIndex, text[end] == ":", text[text.index(after: end)...].contains(":") {
            throw Endpoint.Problem(
                "it has too many colons; an IPv6 address needs brackets", example: "tcp:[2001:db8::1]:3863")
        }
        guard host == "*" || self.isAddressOrName(host) else {
            throw Endpoint.Problem("\(EndpointError.quoted(host)) is neither an address nor a name")
        }
        text = text[end...]
        return String(host)
    }

    private static func isAddressOrName(_ host: Substring) -> Bool {
        let bytes = host.utf8
        guard bytes.count <= 253, host.first != "-", host.first != "." else { return false }
        // What looks like an IPv4 address must be one: the system's resolver would read "127.1" or "3863" in its own way.
        if bytes.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) {
            return IPAddress(String(host)) != nil
        }
        return bytes.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
            default: false
            }
        }
    }

    private func check(_ scheme: Endpoint.Scheme) throws(Endpoint.Problem) {
        if self.hosts.contains("*"), self.hosts.count > 1 {
            throw Endpoint.Problem("* is every local address and stands alone", example: "\(scheme.rawValue):*:3863")
        }
        if scheme == .tcp || scheme == .tls, self.hosts.count > 1 {
            throw Endpoint.Problem("TCP has one host")
        }
    }
}
