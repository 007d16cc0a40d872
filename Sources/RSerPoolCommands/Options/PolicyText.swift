// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
package import RSerPoolWire

func parsePolicy(_ text: String, option: String) throws(CommandFailure) -> PoolPolicy {
    if let policy = PoolPolicy(argument: text) { return policy }
    throw CommandFailure(
        .usage,
        "\(option) \(text): no policy; write round-robin, random, least-used:0.5 or weighted-random:10 for example")
}

extension PoolPolicy {
    /// `round-robin`, `least-used:0.5`, and so on: the policy's name and its values. Distances are measured, not written.
    package init?(argument text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard let type = PolicyCatalogue.standard[named: String(parts[0])]?.type else { return nil }
        var values = PolicyValues(texts: parts.dropFirst())
        guard let policy = values.policy(type), values.isUsedUp else { return nil }
        self = policy
    }
}

/// What is behind a policy's name.
private struct PolicyValues {
    var texts: ArraySlice<Substring>

    var isUsedUp: Bool { self.texts.isEmpty }

    mutating func policy(_ type: PolicyType) -> PoolPolicy? {
        switch type {
        case .roundRobin: .roundRobin
        case .random: .random
        case .weightedRoundRobin: self.number().map { .weightedRoundRobin(weight: $0) }
        case .weightedRandom: self.number().map { .weightedRandom(weight: $0) }
        case .priority: self.number().map { .priority($0) }
        case .leastUsed: self.load().map { .leastUsed(load: $0) }
        case .randomizedLeastUsed: self.load().map { .randomizedLeastUsed(load: $0) }
        case .leastUsedDegradation: self.loads().map { .leastUsedDegradation(load: $0, degradation: $1) }
        case .priorityLeastUsed: self.loads().map { .priorityLeastUsed(load: $0, degradation: $1) }
        case .randomizedPriorityLeastUsed:
            self.loads().map { .randomizedPriorityLeastUsed(load: $0, degradation: $1) }
        case .randomizedLeastUsedDegradation:
            self.loads().map { .randomizedLeastUsedDegradation(load: $0, degradation: $1) }
        case .priorityLeastUsedDegradation:
            self.loads().map { .priorityLeastUsedDegradation(load: $0, degradation: $1) }
        case .randomizedPriorityLeastUsedDegradation:
            self.loads().map { .randomizedPriorityLeastUsedDegradation(load: $0, degradation: $1) }
        case .weightedRandomDPF:
            self.number().flatMap { weight in
                self.load().map { .weightedRandomDPF(weight: weight, dpf: $0, distance: 0) }
            }
        case .leastUsedDPF: self.loads().map { .leastUsedDPF(load: $0, dpf: $1, distance: 0) }
        case .leastUsedDegradationDPF:
            self.loads().flatMap { load, degradation in
                self.load().map {
                    .leastUsedDegradationDPF(load: load, degradation: degradation, dpf: $0, distance: 0)
                }
            }
        default: nil
        }
    }

    private mutating func number() -> UInt32? { self.texts.popFirst().flatMap { UInt32($0) } }

    /// A fraction from 0 to 1.
    private mutating func load() -> Load? {
        guard let fraction = self.texts.popFirst().flatMap({ Double($0) }), (0...1).contains(fraction) else {
            return nil
        }
        return Load(fraction: fraction)
    }

    private mutating func loads() -> (Load, Load)? {
        guard let first = self.load(), let second = self.load() else { return nil }
        return (first, second)
    }
}
