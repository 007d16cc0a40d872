// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

extension SelectionPolicy {
    /// The distance-sensitive policies (draft-dreibholz-rserpool-delay): a distance penalty factor, DPF, says what a
    /// millisecond between registrar and element costs. Whoever asks a registrar is near to it, so its distances will do.
    ///
    /// The distance is the one in the element's values, which its home registrar has measured; another registrar adds its
    /// own distance to that home. Users of Weighted Random draw by the values in the list, the others take the first.
    static let distanceSensitive = [
        SelectionPolicy(type: .weightedRandomDPF, name: "weighted-random-dpf", draw: .penalizedWeight),
        SelectionPolicy(type: .leastUsedDPF, name: "least-used-dpf", ascending: .penalizedLoad),
        SelectionPolicy(
            type: .leastUsedDegradationDPF, name: "least-used-degradation-dpf", ascending: .degradingPenalizedLoad),
    ]
}

extension AscendingOrder.Key {
    /// load + distance · DPF, not cut at full load: the nearer of two overloaded members is still the better one.
    package static let penalizedLoad = Self {
        guard case .leastUsedDPF(let load, let dpf, let distance) = $0 else { return nil }
        return .init(Self.penalized(load, dpf, distance))
    }

    /// The same, and as many degradations as there were answers with the member in it.
    package static let degradingPenalizedLoad = Self {
        guard case .leastUsedDegradationDPF(let load, let degradation, let dpf, let distance) = $0 else { return nil }
        return .init(Self.penalized(load, dpf, distance), degradation: degradation.rawValue)
    }

    /// (2³² − 1)² + 2³² − 1 is below 2⁶⁴: nothing wraps around.
    private static func penalized(_ load: Load, _ dpf: Load, _ distance: UInt32) -> UInt64 {
        UInt64(load.rawValue) + UInt64(dpf.rawValue) * UInt64(distance)
    }
}

extension WeightedRandomOrder.Weight {
    /// weight · (1 − distance · DPF) to the nearest integer, at least 1; weight 0 stays 0 (RFC 5356 §3.2).
    package static let penalizedWeight = Self {
        guard case .weightedRandomDPF(let weight, let dpf, let distance) = $0 else { return nil }
        guard weight > 0 else { return .init(0) }
        let whole = UInt128(Load.full.rawValue)
        let penalty = (UInt128(weight) * UInt128(distance) * UInt128(dpf.rawValue) + whole / 2) / whole
        return .init(penalty < UInt128(weight) ? UInt64(UInt128(weight) - penalty) : 1)
    }
}
