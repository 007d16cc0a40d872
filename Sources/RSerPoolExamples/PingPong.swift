// SPDX-License-Identifier: Apache-2.0

public import Logging
public import RSerPool

/// A numbering service, best run as a pair of which one is active: each ping is answered with the next number, and the numbering
/// goes on where it was when the active element dies.
///
/// The state, one number for each user, travels in the state cookie: elements share nothing. With the policy `priority`
/// all users are at the element with the greatest number while that lives; the other one stands by.
///
/// Messages are those of rsplib's ping-pong service (payload protocol 33), so its programs and ours serve each other's users:
///
///     +---------------+---------------+-------------------------------+
///     | 1 ping 2 pong |   Flags = 0   |            Length             |
///     +---------------+---------------+-------------------------------+
///     |                    Message number (64 bits)                   |
///     +---------------------------------------------------------------+
///     |                 Pong: reply number (64 bits)                  |
///     +---------------------------------------------------------------+
///     :                             Text                              :
public enum PingPong {
    public static let payloadProtocol: UInt32 = 33

    /// What a user gets back.
    public struct Pong: Hashable, Sendable {
        public let message: UInt64
        public let reply: UInt64
        public let element: PoolElementID
    }

    /// An element of the pool.
    public static func server(
        in pool: PoolHandle, configuration: PoolElement.Configuration, host: Host, logger: Logger
    ) -> PoolElementServer {
        PoolElementServer(pool: pool, configuration: configuration, host: host, logger: logger) { session in
            var next = session.state.flatMap(Self.number(in:)) ?? 1
            for await request in session.requests {
                guard let message = UInt64(octets: request.bytes.dropFirst(4)), request.bytes[0] == 1 else { continue }
                let text = request.bytes.dropFirst(12)
                let length = UInt16(truncatingIfNeeded: 20 + text.count)
                try await session.send(
                    [2, 0] + length.octets + message.octets + next.octets + text, answering: request)
                next &+= 1
                // From now on another element can go on.
                try await session.keep(Self.mark + next.octets)
            }
        }
    }

    /// Sends one ping and waits for its pong.
    public static func ping(_ message: UInt64, _ text: String = "", over session: Session) async throws -> Pong {
        let text = Array(text.utf8)
        let length = UInt16(truncatingIfNeeded: 12 + text.count)
        let answer = try await session.request(
            [1, 0] + length.octets + message.octets + text, payloadProtocol: Self.payloadProtocol)
        guard answer.bytes.first == 2, let message = UInt64(octets: answer.bytes.dropFirst(4)),
            let reply = UInt64(octets: answer.bytes.dropFirst(12))
        else { throw ExampleError("\(answer.element) does not answer with a pong") }
        return Pong(message: message, reply: reply, element: answer.element)
    }

    /// What rsplib puts before the number in its cookies.
    private static let mark = Array("<PP-TD1>".utf8)

    private static func number(in state: [UInt8]) -> UInt64? {
        state.starts(with: self.mark) ? UInt64(octets: state.dropFirst(self.mark.count)) : nil
    }
}

/// What went wrong in an example, in one line.
public struct ExampleError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
