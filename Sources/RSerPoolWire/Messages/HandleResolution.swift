// SPDX-License-Identifier: Apache-2.0

/// Asks who is in a pool (RFC 5352 §2.2.5, type 0x05): Pool Handle; S = keep telling me.
package struct HandleResolution: Hashable, Sendable {
    package var pool: PoolHandle
    /// S: wants an update whenever the pool changes, for as long as the association lasts.
    package var wantsUpdates: Bool
    /// rsplib's option 0x803f: how many elements are wanted; 0 leaves it to the registrar, `UInt32.max` is "all that fit".
    package var count: UInt32?
    /// Our option 0xa952: updates may be increments.
    package var wantsIncrements: Bool

    package init(pool: PoolHandle, wantsUpdates: Bool = false, count: UInt32? = nil, wantsIncrements: Bool = false) {
        self.pool = pool
        self.wantsUpdates = wantsUpdates
        self.count = count
        self.wantsIncrements = wantsIncrements
    }

    init(from cursor: inout ParameterCursor, flag: Bool) throws(WireError) {
        self.init(
            pool: try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle")), wantsUpdates: flag)
        while let option = try cursor.next() {
            switch option.type {
            case .resolutionOption:
                self.count = try option.blaming { (reader) throws(WireError) in try reader.readUInt32("item count") }
            case .incrementalUpdates:
                _ = try IncrementalUpdate(from: option)
                self.wantsIncrements = true
            default: break
            }
        }
    }

    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        try WireWriter.asap(.handleResolution, flag: self.wantsUpdates) { writer in
            self.pool.encode(into: &writer)
            if let count { writer.parameter(.resolutionOption) { $0.write(count) } }
            if self.wantsIncrements, audience.readsExtensions { IncrementalUpdate.wanted.encode(into: &writer) }
        }
    }
}
