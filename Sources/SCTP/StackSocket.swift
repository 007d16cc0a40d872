// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress

/// The seam between the endpoint and the two stacks: everything here happens on the loop's thread.
protocol StackOpener: Sendable {
    func open(_ options: SCTPEndpointOptions) throws(SCTPError) -> any StackSocket
}

/// A one-to-many SCTP socket, with our own association identifiers.
protocol StackSocket: AnyObject, Sendable {
    var port: UInt16 { get }
    var encapsulationPort: UInt16? { get }
    var localAddresses: [IPAddress] { get }
    /// Told of every event, in batches, never inside a call of this socket.
    var owner: (any StackSocketOwner)? { get set }
    /// False leaves messages with the stack, which closes its window to the peers.
    var isReading: Bool { get set }
    var statistics: SCTPStatistics { get }

    /// Begins to associate; the outcome is an `up` or `down`, or the error thrown.
    func connect(_ id: AssociationID, to peer: SCTPPeer) throws(SCTPError)
    /// Hands one message to the stack.
    func send(_ message: SCTPMessage, on id: AssociationID) -> SendOutcome
    /// SHUTDOWN after what the stack holds. False: there is no room for it now, `writable` follows.
    func shutdown(_ id: AssociationID) -> Bool
    /// Ends an association at once, in any state; no event follows.
    func abort(_ id: AssociationID)
    func peer(of id: AssociationID) -> SCTPPeer?
    /// Nil while nothing has been measured.
    func smoothedRoundTripTime(of id: AssociationID) -> Duration?
    func setHeartbeat(_ interval: Duration, on id: AssociationID) throws(SCTPError)
    /// Sends a heartbeat now.
    func probe(_ id: AssociationID)
    /// Aborts what is left and gives everything back. No event follows.
    func close()
}

enum SendOutcome {
    case sent
    /// The stack has no room; `StackEvent.writable` follows.
    case full
    /// Never: the association ends or has ended, or the message cannot be sent.
    case failed(CInt)
}

protocol StackSocketOwner: AnyObject, Sendable {
    /// On the loop's thread.
    func happened(_ events: [StackEvent])
}

/// What a stack tells the endpoint.
enum StackEvent: Sendable {
    case up(SCTPAssociation)
    case message(SCTPMessage, AssociationID)
    case path(AssociationID, IPAddress, SCTPPathState)
    case writable(AssociationID)
    case shutdownReceived(AssociationID)
    case down(AssociationID, SCTPDownReason)
    /// The peer exceeded `maxMessageLength`: the endpoint aborts the association.
    case messageTooLong(AssociationID)
}

/// Puts messages together that the stack delivers in pieces.
struct Reassembly {
    private struct Key: Hashable {
        var association: AssociationID
        var stream: UInt16
        var unordered: Bool
    }

    private var parts: [Key: [UInt8]] = [:]
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
    }

    /// The whole message once its last piece is here; throws when it gets longer than it may.
    mutating func add(
        _ piece: UnsafeRawBufferPointer, to association: AssociationID, stream: UInt16, unordered: Bool, isLast: Bool
    ) throws(TooLong) -> [UInt8]? {
        // Almost every message is whole.
        if isLast, self.parts.isEmpty {
            guard piece.count <= self.limit else { throw TooLong() }
            return Array(piece)
        }
        let key = Key(association: association, stream: stream, unordered: unordered)
        var bytes = self.parts.removeValue(forKey: key) ?? []
        guard bytes.count + piece.count <= self.limit else { throw TooLong() }
        bytes.append(contentsOf: piece)
        if isLast { return bytes }
        self.parts[key] = bytes
        return nil
    }

    mutating func forget(_ association: AssociationID) {
        guard !self.parts.isEmpty else { return }
        self.parts = self.parts.filter { $0.key.association != association }
    }

    struct TooLong: Error {}
}
