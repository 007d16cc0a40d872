// SPDX-License-Identifier: Apache-2.0

public import RSerPoolTransport
public import RSerPoolWire

/// What a registrar knows of one of its peers.
public struct RegistrarPeer: Hashable, Sendable {
    public enum Status: String, Hashable, Sendable {
        case active
        /// Its takeover, by us or by somebody else, is under way.
        case notActive = "not-active"
        /// It has never said where it can be reached: a tool, mostly.
        case provisional
    }

    public var id: RegistrarID
    /// Its ENRP endpoint, as it says.
    public var endpoint: Endpoint?
    public var status: Status
    public var isConnected: Bool
    /// How long it has been silent.
    public var silence: Duration
    /// How many elements it is home of, as far as we know.
    public var elements: Int
    /// The PE checksum over them (RFC 5353 §3.6.1).
    public var checksum: UInt16
}
