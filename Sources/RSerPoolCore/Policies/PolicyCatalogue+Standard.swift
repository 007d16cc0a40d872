// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension PolicyCatalogue {
    /// Those of RFC 5356, the hybrids of them, and those of draft-dreibholz-rserpool-delay.
    public static let standard: PolicyCatalogue = {
        var catalogue = PolicyCatalogue()
        let all = SelectionPolicy.ofRFC5356 + SelectionPolicy.hybrids + SelectionPolicy.distanceSensitive
        for policy in all { catalogue.insert(policy) }
        return catalogue
    }()
}

extension SelectionPolicy {
    /// Round robin policies go through the list in turn, as the registrar has weighed it; random ones draw, by the members'
    /// own values where there are weights (POL-059, POL-108); priority takes the greatest (POL-067).
    fileprivate static let ofRFC5356 = [
        SelectionPolicy(type: .roundRobin, name: "round-robin", listUse: .inTurn) { RoundRobinOrder() },
        SelectionPolicy(type: .weightedRoundRobin, name: "weighted-round-robin", listUse: .inTurn) {
            WeightedRoundRobinOrder()
        },
        SelectionPolicy(type: .random, name: "random", listUse: .random) { RandomOrder() },
        SelectionPolicy(type: .weightedRandom, name: "weighted-random", draw: .weight),
        // The first of several with one priority, as the registrar lets them take turns.
        SelectionPolicy(
            type: .priority, name: "priority",
            listUse: .greatest { if case .priority(let priority) = $0 { UInt64(priority) } else { 0 } },
            makeOrder: { AscendingOrder(.priority) }),
        SelectionPolicy(type: .leastUsed, name: "least-used", ascending: .load),
        SelectionPolicy(type: .leastUsedDegradation, name: "least-used-degradation", ascending: .degradingLoad),
        SelectionPolicy(type: .priorityLeastUsed, name: "priority-least-used", ascending: .loadAfterwards),
        SelectionPolicy(type: .randomizedLeastUsed, name: "randomized-least-used", draw: .freeCapacity),
    ]

    /// The registrar lists by a number, ascending, and its users take the first.
    package init(type: PolicyType, name: String, ascending key: AscendingOrder.Key) {
        self.init(type: type, name: name, listUse: .inOrder) { AscendingOrder(key) }
    }

    /// The registrar draws by weights, and so do its users.
    package init(type: PolicyType, name: String, draw weight: WeightedRandomOrder.Weight) {
        self.init(type: type, name: name, listUse: .random { weight.standing($0)?.weight ?? 1 }) {
            WeightedRandomOrder(weight)
        }
    }
}
