// SPDX-License-Identifier: Apache-2.0

/// How a message is sent to a pool (RFC 5352 §6.5.5). Numbers below 0x1_0000 are the RFC's.
public struct SendOptions: OptionSet, Hashable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// To the element that the session is bound to, failing over as ``failover`` says.
    public static let useDefault: SendOptions = []
    /// When the element cannot be reached, another one gets it, silently: the default. What had been handed over may then
    /// be carried out twice.
    public static let failover = SendOptions(rawValue: 0x0001)
    /// Nobody else gets it: it fails with what is known of its fate.
    public static let noFailover = SendOptions(rawValue: 0x0002)
    /// To the element that got the last message: what a session does anyway; given alone, a message before which there was
    /// none fails.
    public static let toLast = SendOptions(rawValue: 0x0004)
    /// A copy to every element of the pool, without a selection. Not for requests.
    public static let toAll = SendOptions(rawValue: 0x0008)
    /// With ``toAll``: to this process as well, where it is an element of the pool itself.
    public static let toSelf = SendOptions(rawValue: 0x0010)
    /// Not in the order of its stream, where the transport can do that (SCTP).
    public static let unordered = SendOptions(rawValue: 0x1000)
    /// Ours: fails over only what was surely not executed; what may have been fails with that word.
    public static let atMostOnce = SendOptions(rawValue: 0x1_0000)
}

/// What is known of a request that was not answered.
public enum RequestFate: String, Hashable, Sendable {
    /// No element got it.
    case notExecuted
    /// An element got it, or may have got it: it may have been executed, once or, with fail-over, more often.
    case perhapsExecuted
}
