// SPDX-License-Identifier: Apache-2.0

public import Logging
public import RSerPool

/// A download that does not notice when its server dies: how far it has come is in the state cookie, and any element that has
/// the same files goes on from there.
///
///     for try await chunk in … { file.write(chunk.bytes, at: chunk.offset) }
///
/// The user asks with the name; each message of the element is an offset (64 bits) and what is there; one without octets
/// ends it. After a fail-over some chunks come twice, as far as the cookie had not caught up: they say where they belong.
public enum Download {
    public struct Chunk: Hashable, Sendable {
        public let offset: UInt64
        public let bytes: [UInt8]
    }

    /// Instead of an offset.
    private static let noSuchFile = UInt64.max
    private static let chunkLength = 16_384
    /// Chunks between two cookies.
    private static let chunksPerCookie = 16

    /// An element of the pool.
    ///
    /// - Parameter read: up to so many octets of a named file from an offset on; nil where there is no such file.
    public static func server(
        in pool: PoolHandle, configuration: PoolElement.Configuration, host: Host, logger: Logger,
        read: @escaping @Sendable (_ name: String, _ offset: UInt64, _ count: Int) async throws -> [UInt8]?
    ) -> PoolElementServer {
        PoolElementServer(pool: pool, configuration: configuration, host: host, logger: logger) { session in
            var position: (name: String, offset: UInt64)?
            if let state = session.state, let offset = UInt64(octets: state) {
                position = (String(decoding: state.dropFirst(8), as: UTF8.self), offset)
            } else {
                var requests = session.requests.makeAsyncIterator()
                if let request = await requests.next() {
                    position = (String(decoding: request.bytes, as: UTF8.self), 0)
                }
            }
            guard let position else { return }
            let name = position.name
            var offset = position.offset
            for count in 1... {
                guard let bytes = try await read(name, offset, Self.chunkLength) else {
                    try await session.send(Self.noSuchFile.octets)
                    break
                }
                try await session.send(offset.octets + bytes)
                offset += UInt64(bytes.count)
                if bytes.isEmpty { break }
                if count % Self.chunksPerCookie == 0 { try await session.keep(offset.octets + Array(name.utf8)) }
                // The next one goes on, as soon as the user has moved.
                if session.isLeaving { try await session.keep(offset.octets + Array(name.utf8)) }
            }
            // Until the user has it all.
            for await _ in session.requests {}
        }
    }

    /// Fetches a file, whatever happens to the elements.
    ///
    /// - Returns: how many octets it has.
    @discardableResult
    public static func fetch(
        _ name: String, over session: Session, write: (Chunk) async throws -> Void
    ) async throws -> UInt64 {
        try await session.send(Array(name.utf8))
        var expected: UInt64 = 0
        for await event in session.events {
            switch event {
            case .message(let message):
                guard let offset = UInt64(octets: message.bytes) else {
                    throw ExampleError("\(message.element) sends no chunk of a file")
                }
                guard offset != Self.noSuchFile else { throw ExampleError("\(message.element) has no file \(name)") }
                // What came behind a gap comes again.
                guard offset <= expected else { continue }
                let bytes = Array(message.bytes.dropFirst(8))
                if bytes.isEmpty {
                    guard offset == expected else { continue }
                    return offset
                }
                try await write(Chunk(offset: offset, bytes: bytes))
                expected = max(expected, offset + UInt64(bytes.count))
            case .failedOver(let failover) where !failover.hasState:
                // Nobody has given us a cookie yet: from the beginning.
                try await session.send(Array(name.utf8))
            case .interrupted(let error): throw error
            default: break
            }
        }
        throw ExampleError("the session was closed before \(name) was there")
    }
}
