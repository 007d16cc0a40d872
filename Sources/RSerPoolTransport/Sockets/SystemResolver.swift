// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// The system's name service.
enum SystemResolver {
    struct Failure: Error {
        /// The resolver's words.
        var text: String
    }

    /// Addresses of both families in the resolver's order (RFC 6724). Blocks.
    static func addresses(of name: String) -> Result<[IPAddress], Failure> {
        var hints = addrinfo()
        // One kind of socket, or each address would come three times.
        hints.ai_socktype = systemStream
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, nil, &hints, &list)
        guard status == 0 else {
            return .failure(Failure(text: String(cString: gai_strerror(status))))
        }
        defer { freeaddrinfo(list) }
        var found: [IPAddress] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr.flatMap({ SocketAddress(system: $0) })?.ip, !found.contains(address)
            {
                found.append(address)
            }
            next = entry.pointee.ai_next
        }
        return found.isEmpty ? .failure(Failure(text: "it has no IP address")) : .success(found)
    }
}

/// A closure for a thread of its own, for the one thing that blocks and that nothing else can wait for: the name service.
final class ThreadWork: Sendable {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    /// False when the system has no thread left; the body then never runs.
    func startThread() -> Bool {
        var thread = pthread_t()
        let me = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { context in
                // Exactly what was handed over below.
                if let context { Unmanaged<ThreadWork>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, me.toOpaque())
        guard status == 0 else {
            me.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}
