// SPDX-License-Identifier: Apache-2.0

/// Where things stand by a tag of 32 bits, which several may share: a hash table in one array, probed one cell after the other.
///
/// Members of a pool are tagged with their identifiers, pools with a hash of their handles.
struct PlaceTable: Sendable {
    /// Tag in the upper half, place and 1 in the lower; 0: free. As many as a power of two.
    private var cells: [UInt64] = []
    /// How far a hash is shifted to be a cell's number.
    private var shift: UInt64 = 64
    private(set) var count = 0
    private let key: TableKey

    init(_ key: TableKey) {
        self.key = key
    }

    /// The place with that tag of which `isIt` is true.
    @inline(__always)
    func find(_ tag: UInt32, where isIt: (Int) -> Bool = { _ in true }) -> Int? {
        guard self.count > 0 else { return nil }
        return self.cells.withUnsafeBufferPointer { cells in
            var index = self.home(of: tag)
            while cells[index] != 0 {
                if Self.tag(of: cells[index]) == tag, isIt(Self.place(in: cells[index])) {
                    return Self.place(in: cells[index])
                }
                index = (index + 1) & (cells.count - 1)
            }
            return nil
        }
    }

    /// Enters a place that is not there.
    mutating func insert(_ tag: UInt32, _ place: Int) {
        if (self.count + 1) * 4 > self.cells.count * 3 { self.resize(to: max(4, self.cells.count * 2)) }
        self.put(UInt64(tag) << 32 | UInt64(place + 1))
        self.count += 1
    }

    /// Removes a place, if it is there with that tag.
    mutating func remove(_ tag: UInt32, _ place: Int) {
        guard self.count > 0 else { return }
        let (mask, cell) = (self.cells.count - 1, UInt64(tag) << 32 | UInt64(place + 1))
        var hole = self.home(of: tag)
        while self.cells[hole] != cell {
            guard self.cells[hole] != 0 else { return }
            hole = (hole + 1) & mask
        }
        self.count -= 1
        // Those behind move up, as far as they may stand there.
        var next = (hole + 1) & mask
        while self.cells[next] != 0 {
            let home = self.home(of: Self.tag(of: self.cells[next]))
            if (next - home) & mask >= (next - hole) & mask {
                self.cells[hole] = self.cells[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        self.cells[hole] = 0
        if self.count * 8 < self.cells.count, self.cells.count > 16 { self.resize(to: self.cells.count / 2) }
    }

    private mutating func resize(to length: Int) {
        let old = self.cells
        self.cells = [UInt64](repeating: 0, count: length)
        self.shift = UInt64(64 - length.trailingZeroBitCount)
        for cell in old where cell != 0 { self.put(cell) }
    }

    private mutating func put(_ cell: UInt64) {
        var index = self.home(of: Self.tag(of: cell))
        self.cells.withUnsafeMutableBufferPointer { cells in
            while cells[index] != 0 { index = (index + 1) & (cells.count - 1) }
            cells[index] = cell
        }
    }

    @inline(__always)
    private func home(of tag: UInt32) -> Int { Int(truncatingIfNeeded: self.key.hash(tag) >> self.shift) }

    @inline(__always)
    private static func tag(of cell: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: cell >> 32) }

    @inline(__always)
    private static func place(in cell: UInt64) -> Int { Int(truncatingIfNeeded: cell & 0xffff_ffff) - 1 }
}
