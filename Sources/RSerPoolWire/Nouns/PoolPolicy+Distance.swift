// SPDX-License-Identifier: Apache-2.0

extension PoolPolicy {
    /// How far away the element is from its home registrar, in milliseconds; nil for policies without a distance.
    public var distance: UInt32? {
        switch self {
        case .weightedRandomDPF(_, _, let distance), .leastUsedDPF(_, _, let distance),
            .leastUsedDegradationDPF(_, _, _, let distance):
            distance
        default: nil
        }
    }

    /// The same policy and values at another distance; unchanged where there is none.
    package func at(distance: UInt32) -> PoolPolicy {
        switch self {
        case .weightedRandomDPF(let weight, let dpf, _):
            .weightedRandomDPF(weight: weight, dpf: dpf, distance: distance)
        case .leastUsedDPF(let load, let dpf, _): .leastUsedDPF(load: load, dpf: dpf, distance: distance)
        case .leastUsedDegradationDPF(let load, let degradation, let dpf, _):
            .leastUsedDegradationDPF(load: load, degradation: degradation, dpf: dpf, distance: distance)
        default: self
        }
    }

    /// The distance that goes with a smoothed round-trip time: half of it, rounded to the nearest 50 ms, so that jitter does
    /// not become news (draft-dreibholz-rserpool-delay).
    package static func distance(ofRoundTrip time: Duration) -> UInt32 {
        let milliseconds = max(0, time / 2 / .milliseconds(1))
        return UInt32(min(milliseconds, 1_000_000) / 50 + 0.5) * 50
    }
}

extension PolicyType {
    /// Whether its elements have a distance.
    package var hasDistance: Bool {
        self == .weightedRandomDPF || self == .leastUsedDPF || self == .leastUsedDegradationDPF
    }
}
