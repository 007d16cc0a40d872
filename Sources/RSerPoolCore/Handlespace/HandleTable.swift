// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

/// Where each pool stands by its handle: a hash table in one array, probed one cell after the other. The handles themselves
/// lie in the pools.
struct HandleTable: Sendable {
    /// The upper half of the hash, and the pool's index and 1; 0: free. As many as a power of two.
    private var cells: [UInt64] = []
    private(set) var count = 0
    private let key: TableKey

    init(_ key: TableKey) {
        self.key = key
    }

    /// - Parameter isIt: whether the pool with this index has the handle.
    func find(_ handle: PoolHandle, _ isIt: (Int) -> Bool) -> Int? {
        guard self.count > 0 else { return nil }
        return self.cells.withUnsafeBufferPointer { cells in
            let hash = self.hash(handle)
            var index = Self.home(of: hash, cells.count)
            while cells[index] != 0 {
                if cells[index] >> 32 == hash >> 32, isIt(Self.value(of: cells[index])) {
                    return Self.value(of: cells[index])
                }
                index = (index + 1) & (cells.count - 1)
            }
            return nil
        }
    }

    /// Enters one that is not there.
    mutating func insert(_ handle: PoolHandle, _ value: Int) {
        if (self.count + 1) * 4 > self.cells.count * 3 { self.resize(to: max(16, self.cells.count * 2)) }
        self.place((self.hash(handle) >> 32) << 32 | UInt64(value + 1))
        self.count += 1
    }

    /// Removes the pool with this index.
    mutating func remove(_ handle: PoolHandle, _ value: Int) {
        guard self.count > 0 else { return }
        let mask = self.cells.count - 1
        var hole = Self.home(of: self.hash(handle), self.cells.count)
        while Self.value(of: self.cells[hole]) != value {
            guard self.cells[hole] != 0 else { return }
            hole = (hole + 1) & mask
        }
        self.count -= 1
        // Those behind move up, as far as they may stand there.
        var next = (hole + 1) & mask
        while self.cells[next] != 0 {
            let home = Self.home(of: self.cells[next], self.cells.count)
            if (next - home) & mask >= (next - hole) & mask {
                self.cells[hole] = self.cells[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        self.cells[hole] = 0
        if self.count * 8 < self.cells.count, self.cells.count > 64 { self.resize(to: self.cells.count / 2) }
    }

    private mutating func resize(to length: Int) {
        let old = self.cells
        self.cells = [UInt64](repeating: 0, count: length)
        for cell in old where cell != 0 { self.place(cell) }
    }

    private mutating func place(_ cell: UInt64) {
        var index = Self.home(of: cell, self.cells.count)
        while self.cells[index] != 0 { index = (index + 1) & (self.cells.count - 1) }
        self.cells[index] = cell
    }

    private func hash(_ handle: PoolHandle) -> UInt64 {
        handle.octets.withUnsafeBytes { self.key.hash($0) }
    }

    /// The bits of the upper half that are not too many for the length choose the cell.
    private static func home(of hash: UInt64, _ length: Int) -> Int {
        Int(truncatingIfNeeded: hash >> 32) & (length - 1)
    }

    private static func value(of cell: UInt64) -> Int { Int(truncatingIfNeeded: cell & 0xffff_ffff) - 1 }
}
