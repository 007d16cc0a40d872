// SPDX-License-Identifier: Apache-2.0

/// How much faster than the world's a machine's clock runs: all clocks are right at the beginning of the world.
package struct ClockDrift: Hashable, Sendable {
    /// Millionths; 20 000 is a clock that gains 2 %, as no real one does.
    package let partsPerMillion: Int64

    /// - Parameter partsPerMillion: −500 000 to 500 000.
    package init(partsPerMillion: Int64) {
        precondition((-500_000...500_000).contains(partsPerMillion))
        self.partsPerMillion = partsPerMillion
    }

    package static let none = ClockDrift(partsPerMillion: 0)

    private static let million: Int64 = 1_000_000

    /// What the clock shows at a moment of the world. Later moments never show less.
    func local(_ world: Int64) -> Int64 {
        guard self.partsPerMillion != 0 else { return world }
        let (millions, rest) = world.quotientAndRemainder(dividingBy: Self.million)
        return world + millions * self.partsPerMillion + rest * self.partsPerMillion / Self.million
    }

    /// The first moment of the world at which the clock shows at least that.
    func world(_ local: Int64) -> Int64 {
        guard self.partsPerMillion != 0, local > 0 else { return local }
        let rate = Self.million + self.partsPerMillion
        let (wholes, rest) = local.quotientAndRemainder(dividingBy: rate)
        let (scaled, overflow) = wholes.multipliedReportingOverflow(by: Self.million)
        guard !overflow else { return .max / 2 }
        var world = scaled + rest * Self.million / rate
        while self.local(world) < local { world += 1 }
        while world > 0, self.local(world - 1) >= local { world -= 1 }
        return world
    }
}
