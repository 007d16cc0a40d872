// SPDX-License-Identifier: Apache-2.0

/// Who is in a pool, as an answer or as an update (RFC 5352 §2.2.6, type 0x06).
///
/// Positive: Pool Handle, Policy (left out by others where it is round robin), Pool Elements; negative: Pool Handle and
/// Operation Error. A = updates will follow. With increments (``IncrementalUpdate``), behind the Pool Elements: PE
/// Identifiers of the elements that are gone, and the increment parameter; then there may be no Pool Element at all.
package struct HandleResolutionResponse: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// The pool's policy, nil where the message has none (then it is round robin), and elements in the order of the message.
        case members(policy: PoolPolicy?, [PoolMember])
        case failed([ErrorCause])
    }

    package var pool: PoolHandle
    /// A: the registrar will send updates.
    package var updatesFollow: Bool
    package var outcome: Outcome
    package var increment: IncrementalUpdate?
    /// Elements that left, in an increment.
    package var gone: [PoolElementID]

    package init(
        pool: PoolHandle, updatesFollow: Bool = false, outcome: Outcome, increment: IncrementalUpdate? = nil,
        gone: [PoolElementID] = []
    ) {
        self.pool = pool
        self.updatesFollow = updatesFollow
        self.outcome = outcome
        self.increment = increment
        self.gone = gone
    }

    /// An Operation Error makes the answer negative, whatever else is in it (WIRE-048).
    init(from cursor: inout ParameterCursor, flag: Bool) throws(WireError) {
        let handle = try cursor.mandatory(.poolHandle, "the pool handle")
        self.pool = try PoolHandle(from: handle)
        self.updatesFollow = flag
        self.gone = []
        var policy: PoolPolicy?
        var members: [PoolMember] = []
        var causes: [ErrorCause] = []
        while let parameter = try cursor.next() {
            switch parameter.type {
            case .policy where policy == nil && members.isEmpty: policy = try PoolPolicy(from: parameter)
            case .poolElement: members.append(try PoolMember(from: parameter, into: &cursor))
            case .operationError: causes += try [ErrorCause](from: parameter)
            case .poolElementID: self.gone.append(try PoolElementID(from: parameter))
            case .incrementalUpdates: self.increment = try IncrementalUpdate(from: parameter)
            default: break
            }
        }
        self.outcome = causes.isEmpty ? .members(policy: policy, members) : .failed(causes)
        if causes.isEmpty, members.isEmpty, self.increment == nil {
            throw handle.invalid("neither a pool element nor an error behind the pool handle", .missingParameter)
        }
        if !causes.isEmpty { self.increment = nil }
        if self.increment == nil { self.gone = [] }
    }

    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        try WireWriter.asap(.handleResolutionResponse, flag: self.updatesFollow) { writer in
            self.pool.encode(into: &writer)
            switch self.outcome {
            case .members(let policy, let members):
                policy?.encode(into: &writer)
                for member in members { member.encode(into: &writer, for: audience) }
                if audience.readsExtensions, let increment {
                    for id in self.gone { id.encode(into: &writer) }
                    increment.encode(into: &writer)
                }
            case .failed(let causes): writer.write(causes)
            }
        }
    }
}

/// Composes positive responses from elements that were encoded before, for the registrar: no field is encoded twice.
package struct HandleResolutionResponseComposer: ~Copyable, Sendable {
    private var writer: WireWriter
    private let flag: Bool
    private let increment: IncrementalUpdate?

    /// - Parameter head: the encoded Pool Handle and Policy parameters.
    package init(
        head: [UInt8], updatesFollow: Bool, increment: IncrementalUpdate? = nil, capacity: Int = 512
    ) {
        self.flag = updatesFollow
        self.increment = increment
        self.writer = WireWriter(capacity: capacity)
        self.writer.write(ASAPMessage.MessageType.handleResolutionResponse.rawValue)
        self.writer.write(updatesFollow ? 1 : 0 as UInt8)
        self.writer.write(0 as UInt16)
        self.writer.encodedParameter(head)
    }

    /// Adds an element by its encoded parameter.
    /// - Returns: false where it does not fit any more; nothing is added then.
    package mutating func add(member tlv: UnsafeRawBufferPointer) -> Bool {
        guard self.hasRoom(for: tlv.count) else { return false }
        self.writer.encodedParameter(tlv)
        return true
    }

    /// Adds an element that left, in an increment.
    package mutating func add(gone id: PoolElementID) -> Bool {
        guard self.hasRoom(for: 8) else { return false }
        id.encode(into: &self.writer)
        return true
    }

    private func hasRoom(for count: Int) -> Bool {
        self.writer.lengthSoFar + count + 3 + (self.increment == nil ? 0 : 12) <= WireWriter.maximumLength
    }

    /// The message, padded.
    /// - Parameter moreFollows: overrides the increment's flag: known only once it is full.
    package consuming func finish(moreFollows: Bool = false) throws(WireError) -> [UInt8] {
        if var increment {
            increment.moreFollows = moreFollows
            increment.encode(into: &self.writer)
        }
        return try self.writer.finishMessage()
    }
}

extension WireWriter {
    /// Fills in the length of a message that was begun by hand at the start of the buffer.
    fileprivate consuming func finishMessage() throws(WireError) -> [UInt8] {
        self.closeLength(from: 0)
        return try self.finish()
    }
}
