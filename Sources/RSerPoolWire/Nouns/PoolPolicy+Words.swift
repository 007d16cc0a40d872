// SPDX-License-Identifier: Apache-2.0

extension PoolPolicy {
    /// Values of a policy of your own, as 32-bit words.
    ///
    ///     PoolPolicy.custom(PolicyType(rawValue: 0x8000_0101), words: [Load(fraction: 0.5).rawValue])
    ///
    /// - Precondition: the type has bit 31 set; all others are the standards' (RFC 5356 §7.1). Nor is it one of the private
    ///   types that have a case here.
    public static func custom(_ type: PolicyType, words: [UInt32] = []) -> PoolPolicy {
        precondition(type.isPrivate, "a policy of one's own needs a type with bit 31 set")
        precondition(!Self.privateTypes.contains(type), "this policy has a case of its own")
        return .unknown(
            type, words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) } })
    }

    private static let privateTypes: Set<PolicyType> = [
        .randomizedPriorityLeastUsed, .randomizedLeastUsedDegradation, .priorityLeastUsedDegradation,
        .randomizedPriorityLeastUsedDegradation, .weightedRandomDPF, .leastUsedDPF, .leastUsedDegradationDPF,
    ]

    /// The values as 32-bit words, in the order in which they are on the wire; octets over at the end are left out.
    public var words: [UInt32] {
        switch self {
        case .roundRobin, .random: []
        case .weightedRoundRobin(let weight), .weightedRandom(let weight): [weight]
        case .priority(let priority): [priority]
        case .leastUsed(let load), .randomizedLeastUsed(let load): [load.rawValue]
        case .leastUsedDegradation(let load, let degradation), .priorityLeastUsed(let load, let degradation):
            [load.rawValue, degradation.rawValue]
        case .randomizedPriorityLeastUsed(let load, let degradation),
            .randomizedLeastUsedDegradation(let load, let degradation),
            .priorityLeastUsedDegradation(let load, let degradation),
            .randomizedPriorityLeastUsedDegradation(let load, let degradation):
            [load.rawValue, degradation.rawValue]
        case .weightedRandomDPF(let weight, let dpf, let distance): [weight, dpf.rawValue, distance]
        case .leastUsedDPF(let load, let dpf, let distance): [load.rawValue, dpf.rawValue, distance]
        case .leastUsedDegradationDPF(let load, let degradation, let dpf, let distance):
            [load.rawValue, degradation.rawValue, dpf.rawValue, distance]
        case .unknown(_, let octets):
            stride(from: 3, to: octets.count, by: 4).map { last in
                octets[last - 3...last].reduce(0) { $0 << 8 | UInt32($1) }
            }
        }
    }
}
