// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
package import RSerPoolWire

extension PolicyType {
    /// The name that policies have on a command line; `0x` and eight digits for a type without one.
    package var name: String {
        PolicyCatalogue.standard[self]?.name ?? RegistrarID(rawValue: self.rawValue).description
    }
}

extension PoolPolicy {
    /// `{"type":"least-used","load":0.5}`: its name and its values; loads are fractions.
    package var json: JSON { .object([("type", .string(self.type.name))] + self.values) }

    /// As on a command line: `least-used:0.5`. Without the distance, which registrars measure.
    package var argument: String {
        ([self.type.name] + self.values.filter { $0.0 != "distance" }.map { $0.1.text.filter { $0 != "\"" } }).joined(
            separator: ":")
    }

    private var values: [(String, JSON)] {
        switch self {
        case .roundRobin, .random: []
        case .weightedRoundRobin(let weight), .weightedRandom(let weight): [("weight", .integer(weight))]
        case .priority(let priority): [("priority", .integer(priority))]
        case .leastUsed(let load), .randomizedLeastUsed(let load): [("load", load.json)]
        case .leastUsedDegradation(let load, let degradation), .priorityLeastUsed(let load, let degradation):
            [("load", load.json), ("degradation", degradation.json)]
        case .randomizedPriorityLeastUsed(let load, let degradation),
            .randomizedLeastUsedDegradation(let load, let degradation),
            .priorityLeastUsedDegradation(let load, let degradation),
            .randomizedPriorityLeastUsedDegradation(let load, let degradation):
            [("load", load.json), ("degradation", degradation.json)]
        case .weightedRandomDPF(let weight, let dpf, let distance):
            [("weight", .integer(weight)), ("dpf", dpf.json), ("distance", .integer(distance))]
        case .leastUsedDPF(let load, let dpf, let distance):
            [("load", load.json), ("dpf", dpf.json), ("distance", .integer(distance))]
        case .leastUsedDegradationDPF(let load, let degradation, let dpf, let distance):
            [
                ("load", load.json), ("degradation", degradation.json), ("dpf", dpf.json),
                ("distance", .integer(distance)),
            ]
        case .unknown(_, let octets): octets.isEmpty ? [] : [("data", .hexadecimal(octets))]
        }
    }
}

extension Load {
    /// The fraction with the fewest decimals that stands for this very load: 0.5, not 0.5000000001164153.
    package var json: JSON {
        var scale: Double = 1
        for _ in 0...10 {
            let rounded = Double(UInt64(self.fraction * scale + 0.5)) / scale
            if Load(fraction: rounded) == self { return .number(rounded) }
            scale *= 10
        }
        return .number(self.fraction)
    }
}
