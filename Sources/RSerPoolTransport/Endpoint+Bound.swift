// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

extension Endpoint {
    /// What a port is really bound to, as text for others: `0.0.0.0` where it is every local address.
    package init(bound local: LocalEndpoint) {
        let isEveryAddress = local.addresses.isEmpty || local.addresses.contains { $0.isWildcard }
        self.init(
            scheme: local.scheme == .sctp ? .sctp : .tcp,
            hosts: isEveryAddress ? ["\(IPAddress.anyIPv4)"] : local.addresses.map(\.description), port: local.port,
            encapsulationPort: local.encapsulationPort)
    }
}
