// SPDX-License-Identifier: Apache-2.0

extension PoolPolicy {
    /// Pool Member Selection Policy (RFC 5354 §3.8, payloads RFC 5356 §4 and §5):
    ///
    ///     +-------------------------------+-------------------------------+
    ///     |         Type = 0x8            |      Length = 8, 12, 16, …    |
    ///     +-------------------------------+-------------------------------+
    ///     |                         Policy Type                           |
    ///     +---------------------------------------------------------------+
    ///     :   Weight, Priority or Load        [Load Degradation]          :
    ///     :   [Distance Penalty Factor        Distance in ms]             :
    ///     +---------------------------------------------------------------+
    ///
    /// A longer payload than the type has is accepted and its excess ignored (WIRE-057).
    package init(from parameter: Parameter) throws(WireError) {
        self = try parameter.blaming { (reader) throws(WireError) in
            let type = PolicyType(rawValue: try reader.readUInt32("policy type"))
            guard !type.isInvalid else { throw parameter.invalid("policy type \(type.rawValue) is invalid") }
            switch type {
            case .roundRobin: return .roundRobin
            case .random: return .random
            case .weightedRoundRobin: return .weightedRoundRobin(weight: try reader.readUInt32("weight"))
            case .weightedRandom: return .weightedRandom(weight: try reader.readUInt32("weight"))
            case .priority: return .priority(try reader.readUInt32("priority"))
            case .leastUsed: return .leastUsed(load: try Load(from: &reader))
            case .randomizedLeastUsed: return .randomizedLeastUsed(load: try Load(from: &reader))
            case .leastUsedDegradation:
                return .leastUsedDegradation(load: try Load(from: &reader), degradation: try Load(from: &reader))
            case .priorityLeastUsed:
                return .priorityLeastUsed(load: try Load(from: &reader), degradation: try Load(from: &reader))
            default: return try PoolPolicy(extension: type, from: &reader) ?? .unknown(type, Array(reader.readRest()))
            }
        }
    }

    /// Those of the drafts; nil for others.
    private init?(extension type: PolicyType, from reader: inout WireReader) throws(WireError) {
        switch type {
        case .randomizedPriorityLeastUsed:
            self = .randomizedPriorityLeastUsed(load: try Load(from: &reader), degradation: try Load(from: &reader))
        case .randomizedLeastUsedDegradation:
            self = .randomizedLeastUsedDegradation(load: try Load(from: &reader), degradation: try Load(from: &reader))
        case .priorityLeastUsedDegradation:
            self = .priorityLeastUsedDegradation(load: try Load(from: &reader), degradation: try Load(from: &reader))
        case .randomizedPriorityLeastUsedDegradation:
            self = .randomizedPriorityLeastUsedDegradation(
                load: try Load(from: &reader), degradation: try Load(from: &reader))
        case .weightedRandomDPF:
            self = .weightedRandomDPF(
                weight: try reader.readUInt32("weight"), dpf: try Load(from: &reader),
                distance: try reader.readUInt32("distance"))
        case .leastUsedDPF:
            self = .leastUsedDPF(
                load: try Load(from: &reader), dpf: try Load(from: &reader),
                distance: try reader.readUInt32("distance"))
        case .leastUsedDegradationDPF:
            self = .leastUsedDegradationDPF(
                load: try Load(from: &reader), degradation: try Load(from: &reader), dpf: try Load(from: &reader),
                distance: try reader.readUInt32("distance"))
        default: return nil
        }
    }

    package func encode(into writer: inout WireWriter) {
        switch self {
        case .roundRobin, .random:
            writer.write(UInt64(ParameterType.policy.rawValue) << 48 | 8 << 32 | UInt64(self.type.rawValue))
            return
        default: break
        }
        writer.parameter(.policy) { writer in
            writer.write(self.type.rawValue)
            switch self {
            case .roundRobin, .random: break
            case .weightedRoundRobin(let weight), .weightedRandom(let weight): writer.write(weight)
            case .priority(let priority): writer.write(priority)
            case .leastUsed(let load), .randomizedLeastUsed(let load): writer.write(load.rawValue)
            case .leastUsedDegradation(let load, let degradation), .priorityLeastUsed(let load, let degradation):
                writer.write(load.rawValue)
                writer.write(degradation.rawValue)
            case .unknown(_, let octets): writer.write(octets)
            default: for word in self.words { writer.write(word) }
            }
        }
    }

    /// The parameter alone, as cause 0x0005 carries it.
    package func encodedParameter() -> [UInt8] {
        var writer = WireWriter()
        self.encode(into: &writer)
        return writer.bytes
    }
}

extension Load {
    fileprivate init(from reader: inout WireReader) throws(WireError) {
        self.init(rawValue: try reader.readUInt32("load"))
    }
}
