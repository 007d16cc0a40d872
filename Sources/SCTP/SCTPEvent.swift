// SPDX-License-Identifier: Apache-2.0

public import NetworkAddress

/// What happens to an endpoint's associations, in order per association: `up`, then anything, then exactly one `down`.
///
/// An attempt that fails has only the `down`.
public enum SCTPEvent: Sendable {
    case up(SCTPAssociation)
    case message(SCTPMessage, AssociationID)
    /// One of the peer's addresses changed its state.
    case path(AssociationID, IPAddress, SCTPPathState)
    /// After a message was refused with `SCTPError.Code.bufferFull`: the queue has fallen to half of `sendBufferLimit`.
    case writable(AssociationID)
    /// A message that the endpoint had accepted and not yet handed to the stack when the association ended. Those
    /// handed over may have arrived or not: nobody knows.
    case sendFailed(AssociationID, SCTPMessage)
    /// The peer has begun to shut down: it will take no more messages.
    case shutdownReceived(AssociationID)
    case down(AssociationID, SCTPDownReason)
}

/// Whether one of the peer's addresses works.
public enum SCTPPathState: Hashable, Sendable {
    case available
    case unreachable
    /// Proved to be the peer's (RFC 9260 §5.4).
    case confirmed
    /// Suspected: missed an answer (RFC 7829).
    case potentiallyFailed
    case added
    case removed
    case madePrimary
}

/// How an association ended.
public enum SCTPDownReason: Hashable, Sendable {
    /// Orderly, by either side: what had been sent has arrived.
    case shutdown
    /// The peer sent ABORT.
    case aborted
    /// The peer stopped answering, its host or port became unreachable, or it restarted.
    case lost
    /// It never came up: refused, unreachable, or no answer in time.
    case refused
    /// We aborted it, or closed the endpoint.
    case closed
}

/// Takes an endpoint's events synchronously.
package protocol SCTPReceiver: AnyObject, Sendable {
    /// Called on the loop, outside of any access to the endpoint's state: it may call back into the endpoint at once.
    func received(_ event: SCTPEvent, from endpoint: SCTPEndpoint)
}
