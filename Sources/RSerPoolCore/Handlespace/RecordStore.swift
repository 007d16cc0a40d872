// SPDX-License-Identifier: Apache-2.0

/// The octets of a pool's records, one behind the other in one array.
///
/// What is given up leaves a gap. When gaps take more room than records, ``isSparse``, the owner has all records moved
/// together: so room stays in proportion, and an octet is moved once for each that was given up.
struct RecordStore: Sendable {
    /// A piece of the array, in units of four octets.
    struct Place: Hashable, Sendable {
        fileprivate var start: UInt32
        fileprivate var length: UInt32

        /// No record.
        static let none = Place(start: 0, length: 0)

        var range: Range<Int> { Int(self.start) * 4..<Int(self.start + self.length) * 4 }
    }

    private(set) var octets: [UInt8] = []
    private var used = 0

    /// Appends a record, whose length is a multiple of four.
    mutating func add(_ record: UnsafeRawBufferPointer) -> Place {
        let start = self.octets.count
        if self.octets.capacity < start + record.count {
            // Half as much more: with as much again half of it would often lie idle, and with a quarter each octet would be moved
            // four times.
            self.octets.reserveCapacity(start + start / 2 + max(record.count, 64))
        }
        self.octets.append(contentsOf: record)
        self.used += record.count
        return Place(start: UInt32(start / 4), length: UInt32(record.count / 4))
    }

    /// Replaces a record; one of the same length stays where it is.
    mutating func replace(_ place: Place, with record: UnsafeRawBufferPointer) -> Place {
        guard record.count == place.range.count else {
            self.remove(place)
            return self.add(record)
        }
        self.withOctets(place) { $0.copyMemory(from: record) }
        return place
    }

    mutating func remove(_ place: Place) {
        self.used -= place.range.count
        if self.used == 0 { self.octets = [] }
    }

    mutating func withOctets(_ place: Place, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        self.octets.withUnsafeMutableBytes { body(UnsafeMutableRawBufferPointer(rebasing: $0[place.range])) }
    }

    var isSparse: Bool { self.octets.count - self.used > self.used + 1_024 }

    /// An empty store with room for what is in use here.
    var emptied: RecordStore {
        var store = RecordStore()
        store.octets.reserveCapacity(self.used + self.used / 8)
        return store
    }
}
