// SPDX-License-Identifier: Apache-2.0

/// One element of a pool as registrars store it and pool users see it: the Pool Element parameter (RFC 5354 §3.10).
public struct PoolMember: Hashable, Sendable {
    public var id: PoolElementID
    /// The registrar that watches over it; `.undetermined` before one does.
    public var home: RegistrarID
    public var life: RegistrationLife
    /// Where its users reach it.
    public var transport: UserTransport
    public var policy: PoolPolicy
    /// Where registrars reach it; told between registrars only.
    public var asapTransport: SCTPTransport?
    /// The UDP port behind which its SCTP endpoint lives (RFC 6951), where it told one: our private parameter 0xa951.
    public var encapsulationPort: UInt16?

    public init(
        id: PoolElementID, home: RegistrarID = .undetermined, life: RegistrationLife, transport: UserTransport,
        policy: PoolPolicy, asapTransport: SCTPTransport? = nil, encapsulationPort: UInt16? = nil
    ) {
        self.id = id
        self.home = home
        self.life = life
        self.transport = transport
        self.policy = policy
        self.asapTransport = asapTransport
        self.encapsulationPort = encapsulationPort
    }
}
