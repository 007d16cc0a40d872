// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolWire

extension SelectionPolicy {
    /// Hybrids of the policies of RFC 5356, under rsplib's private numbers. Their users draw where the registrar draws, and
    /// take the first where it sorts.
    static let hybrids = [
        SelectionPolicy(
            type: .randomizedPriorityLeastUsed, name: "randomized-priority-least-used", draw: .capacityAfterwards),
        SelectionPolicy(
            type: .randomizedLeastUsedDegradation, name: "randomized-least-used-degradation", draw: .degradingCapacity),
        SelectionPolicy(
            type: .priorityLeastUsedDegradation, name: "priority-least-used-degradation",
            ascending: .degradingLoadAfterwards),
        SelectionPolicy(
            type: .randomizedPriorityLeastUsedDegradation, name: "randomized-priority-least-used-degradation",
            draw: .degradingCapacityAfterwards),
    ]
}

extension AscendingOrder.Key {
    /// The load that there would be with one request more, and as many degradations as there were answers with the member.
    package static let degradingLoadAfterwards = Self {
        guard case .priorityLeastUsedDegradation(let load, let degradation) = $0 else { return nil }
        let step = degradation.rawValue
        return .init(UInt64(load.rawValue) + UInt64(step), degradation: step)
    }
}

extension WeightedRandomOrder.Weight {
    /// The capacity that would be left with one request more.
    package static let capacityAfterwards = Self {
        guard case .randomizedPriorityLeastUsed(let load, let degradation) = $0 else { return nil }
        return .capacity(over: load, degradation)
    }

    /// The capacity that is left, less a degradation for each answer with the member.
    package static let degradingCapacity = Self {
        guard case .randomizedLeastUsedDegradation(let load, let degradation) = $0 else { return nil }
        return .capacity(over: load, degrading: degradation)
    }

    /// The capacity that would be left with one request more, less a degradation for each answer with the member.
    package static let degradingCapacityAfterwards = Self {
        guard case .randomizedPriorityLeastUsedDegradation(let load, let degradation) = $0 else { return nil }
        return .capacity(over: load, degradation, degrading: degradation)
    }
}

extension WeightedRandomOrder.Standing {
    /// What is left of the whole, at least 1: nobody is unable only because it is busy (POL-106).
    fileprivate static func capacity(over load: Load, _ more: Load = .idle, degrading: Load = .idle) -> Self {
        let used = UInt64(load.rawValue) + UInt64(more.rawValue)
        let whole = UInt64(Load.full.rawValue)
        return Self(used < whole ? whole - used : 1, degradation: degrading.rawValue)
    }
}
