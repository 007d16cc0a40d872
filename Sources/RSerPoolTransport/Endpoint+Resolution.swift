// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress

/// An endpoint whose names have been looked up.
package struct ResolvedEndpoint: Hashable, Sendable {
    package var scheme: Endpoint.Scheme
    /// Without repetitions, in the order of the hosts and then of the resolver. Empty: every local address.
    package var addresses: [IPAddress]
    package var port: UInt16
    package var encapsulationPort: UInt16?

    /// As somewhere to connect to; nil when it stands for every local address or has no port.
    package var remote: RemoteEndpoint? {
        guard !self.addresses.isEmpty, self.port != 0 else { return nil }
        return RemoteEndpoint(addresses: self.addresses, port: self.port, encapsulationPort: self.encapsulationPort)
    }
}

extension Endpoint {
    /// Looks the names up with the system's resolver, both address families. That may block for seconds when there are names:
    /// on a host's executor use ``lookedUp(defaultPort:)``.
    /// - Parameter defaultPort: The port if the endpoint has none.
    /// - Throws: one line with the name and the resolver's reason.
    package func resolved(defaultPort: UInt16) throws(EndpointError) -> ResolvedEndpoint {
        var addresses: [IPAddress] = []
        if !self.isEveryLocalAddress {
            for host in self.hosts {
                switch Self.lookUp(host) {
                case .success(let found):
                    addresses += found.filter { !addresses.contains($0) }
                case .failure(let problem):
                    throw EndpointError(self.description, problem.text, example: Self.example(self.scheme))
                }
            }
            guard !addresses.isEmpty else {
                throw EndpointError(self.description, "a host is missing", example: Self.example(self.scheme))
            }
        }
        return ResolvedEndpoint(
            scheme: self.scheme, addresses: addresses, port: self.port ?? defaultPort,
            encapsulationPort: self.encapsulationPort)
    }

    /// The same without blocking the caller's thread: names are looked up on a thread of their own. Plain addresses cost nothing.
    ///
    /// A cancelled task still waits for the resolver's answer; the resolver bounds that (`resolv.conf`, by default 5 s a try).
    package func lookedUp(defaultPort: UInt16) async throws(EndpointError) -> ResolvedEndpoint {
        if self.isEveryLocalAddress || self.hosts.allSatisfy({ IPAddress($0) != nil }) {
            return try self.resolved(defaultPort: defaultPort)
        }
        let outcome: Result<ResolvedEndpoint, EndpointError> = await withCheckedContinuation { continuation in
            let work = ThreadWork {
                continuation.resume(
                    returning: Result { () throws(EndpointError) in try self.resolved(defaultPort: defaultPort) })
            }
            if !work.startThread() {
                continuation.resume(
                    returning: .failure(
                        EndpointError(
                            self.description, "there is no thread left to look the name up",
                            example: Self.example(self.scheme))))
            }
        }
        return try outcome.get()
    }

    private static func lookUp(_ host: String) -> Result<[IPAddress], Problem> {
        if let address = IPAddress(host) { return .success([address]) }
        return SystemResolver.addresses(of: host).mapError { Problem("\(EndpointError.quoted(host)): \($0.text)") }
    }
}
