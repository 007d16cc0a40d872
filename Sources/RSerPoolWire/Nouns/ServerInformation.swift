// SPDX-License-Identifier: Apache-2.0

/// A registrar as registrars name one another: its ID and its ENRP endpoint (RFC 5354 §3.11).
package struct ServerInformation: Hashable, Sendable {
    package var id: RegistrarID
    package var transport: SCTPTransport
    /// Our private parameter 0xa951 behind the transport.
    package var encapsulationPort: UInt16?

    package init(id: RegistrarID, transport: SCTPTransport, encapsulationPort: UInt16? = nil) {
        self.id = id
        self.transport = transport
        self.encapsulationPort = encapsulationPort
    }
}
