// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import RSerPoolWire
import SCTP
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What links are made of in the tests that every kind must pass.
enum Carrier: String, CaseIterable, CustomTestStringConvertible {
    case tcp
    case userlandSCTP
    case kernelSCTP

    /// Kernel SCTP is tested where there is one; with `RSERPOOL_REQUIRE_KERNEL_SCTP` its absence fails the tests.
    static let available = Self.allCases.filter {
        $0 != .kernelSCTP || SCTPStack.kernelIsAvailable || getenv("RSERPOOL_REQUIRE_KERNEL_SCTP") != nil
    }

    var testDescription: String { self.rawValue }

    var isSCTP: Bool { self != .tcp }

    /// The host these links live on; shared by all tests.
    func host() throws -> Host {
        switch self {
        case .tcp, .userlandSCTP: try Self.userland.get()
        case .kernelSCTP: try Self.kernel.get()
        }
    }

    private static let userland = Result { try SocketHost.open(SocketHostOptions(stack: .userland)) }
    private static let kernel = Result { try SocketHost.open(SocketHostOptions(stack: .kernel)) }

    func options(acceptsLinks: Bool) -> PortOptions {
        PortOptions(
            scheme: self.isSCTP ? .sctp : .tcp(framing: cutMessages), localAddresses: [.loopbackIPv4],
            acceptsLinks: acceptsLinks, fastFailureDetection: true)
    }
}

let cutMessages: MessageCutter = { try MessageFraming.frameLength($0) }

/// A message that frames itself: type and flags 0, the length, then octets that tell its number.
func message(_ number: Int, length: Int = 16) -> [UInt8] {
    var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: length)
    let announced = min(length, 0xffff)
    let header = UInt64(announced) << 32 | UInt64(UInt32(number))
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: header >> UInt64(56 - 8 * index)) }
    return bytes
}

func number(of message: InboundMessage) -> Int {
    message.bytes[4..<8].reduce(0) { $0 << 8 | Int($1) }
}

extension Host {
    var loop: SocketLoop {
        guard let loop = self.executor as? SocketLoop else { preconditionFailure("not a host on sockets") }
        return loop
    }
}

extension OutboundMessage {
    init(_ bytes: [UInt8], stream: UInt16 = 0) {
        self.init(bytes: bytes, payloadProtocol: 11, stream: stream)
    }
}
