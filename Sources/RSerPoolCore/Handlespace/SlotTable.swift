// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// Where each identifier's member stands in its pool: a hash table in one array, probed one cell after the other.
struct SlotTable: Sendable {
    /// Identifier in the upper half, slot and 1 in the lower; 0: free. As many as a power of two.
    private var cells: [UInt64] = []
    /// How far a hash is shifted to be a cell's number.
    private var shift: UInt64 = 64
    private(set) var count = 0
    private let key: TableKey

    init(_ key: TableKey) {
        self.key = key
    }

    subscript(_ id: PoolElementID) -> Int? {
        guard self.count > 0 else { return nil }
        return self.cells.withUnsafeBufferPointer { cells in
            var index = self.home(of: id.rawValue)
            while cells[index] != 0 {
                if Self.id(of: cells[index]) == id.rawValue { return Self.slot(of: cells[index]) }
                index = (index + 1) & (cells.count - 1)
            }
            return nil
        }
    }

    /// Enters one that is not there.
    mutating func insert(_ id: PoolElementID, _ slot: Int) {
        if (self.count + 1) * 4 > self.cells.count * 3 { self.resize(to: max(4, self.cells.count * 2)) }
        self.place(UInt64(id.rawValue) << 32 | UInt64(slot + 1))
        self.count += 1
    }

    mutating func remove(_ id: PoolElementID) {
        guard self.count > 0 else { return }
        let mask = self.cells.count - 1
        var hole = self.home(of: id.rawValue)
        while Self.id(of: self.cells[hole]) != id.rawValue || self.cells[hole] == 0 {
            guard self.cells[hole] != 0 else { return }
            hole = (hole + 1) & mask
        }
        self.count -= 1
        // Those behind move up, as far as they may stand there.
        var next = (hole + 1) & mask
        while self.cells[next] != 0 {
            let home = self.home(of: Self.id(of: self.cells[next]))
            if (next - home) & mask >= (next - hole) & mask {
                self.cells[hole] = self.cells[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        self.cells[hole] = 0
        if self.count * 8 < self.cells.count, self.cells.count > 16 { self.resize(to: self.cells.count / 2) }
    }

    /// All identifiers, in no order.
    var ids: [PoolElementID] {
        self.cells.compactMap { $0 == 0 ? nil : PoolElementID(rawValue: Self.id(of: $0)) }
    }

    private mutating func resize(to length: Int) {
        let old = self.cells
        self.cells = [UInt64](repeating: 0, count: length)
        self.shift = UInt64(64 - length.trailingZeroBitCount)
        for cell in old where cell != 0 { self.place(cell) }
    }

    private mutating func place(_ cell: UInt64) {
        var index = self.home(of: Self.id(of: cell))
        self.cells.withUnsafeMutableBufferPointer { cells in
            while cells[index] != 0 { index = (index + 1) & (cells.count - 1) }
            cells[index] = cell
        }
    }

    @inline(__always)
    private func home(of id: UInt32) -> Int { Int(truncatingIfNeeded: self.key.hash(id) >> self.shift) }

    @inline(__always)
    private static func id(of cell: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: cell >> 32) }

    @inline(__always)
    private static func slot(of cell: UInt64) -> Int { Int(truncatingIfNeeded: cell & 0xffff_ffff) - 1 }
}
