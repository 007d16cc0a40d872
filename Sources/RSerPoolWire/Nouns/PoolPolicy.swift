// SPDX-License-Identifier: Apache-2.0

/// The number of a pool member selection policy (RFC 5356 §7.1).
public struct PolicyType: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let roundRobin = PolicyType(rawValue: 0x0000_0001)
    public static let weightedRoundRobin = PolicyType(rawValue: 0x0000_0002)
    public static let random = PolicyType(rawValue: 0x0000_0003)
    public static let weightedRandom = PolicyType(rawValue: 0x0000_0004)
    public static let priority = PolicyType(rawValue: 0x0000_0005)
    public static let leastUsed = PolicyType(rawValue: 0x4000_0001)
    public static let leastUsedDegradation = PolicyType(rawValue: 0x4000_0002)
    public static let priorityLeastUsed = PolicyType(rawValue: 0x4000_0003)
    public static let randomizedLeastUsed = PolicyType(rawValue: 0x4000_0004)

    // Hybrids of those; private numbers, as rsplib has them.
    public static let randomizedPriorityLeastUsed = PolicyType(rawValue: 0xb000_1001)
    public static let randomizedLeastUsedDegradation = PolicyType(rawValue: 0xb000_1002)
    public static let priorityLeastUsedDegradation = PolicyType(rawValue: 0xb000_1003)
    public static let randomizedPriorityLeastUsedDegradation = PolicyType(rawValue: 0xb000_1004)
    // draft-dreibholz-rserpool-delay
    public static let weightedRandomDPF = PolicyType(rawValue: 0xb000_2001)
    public static let leastUsedDPF = PolicyType(rawValue: 0xb000_2002)
    public static let leastUsedDegradationDPF = PolicyType(rawValue: 0xb000_2003)

    /// Bit 31, "X": numbers that no standard assigns.
    public var isPrivate: Bool { self.rawValue & 0x8000_0000 != 0 }
    /// Bit 30, "A": the elements' values change with their state, so they re-register as it changes. The private types with
    /// loads (0xb000…) do not have it, although theirs do.
    public var isAdaptive: Bool { self.rawValue & 0x4000_0000 != 0 }
    /// 0 in both ranges is no policy (RFC 5356 §7.1).
    public var isInvalid: Bool { self.rawValue == 0 || self.rawValue == 0x4000_0000 }
}

/// How much of an element's capacity is in use, or is added by one more request (RFC 5356 §3.1).
///
/// A 32-bit fraction: 0 is idle, `UInt32.max` fully used, linear between.
public struct Load: RawRepresentable, Hashable, Sendable, Comparable {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// A fraction of the whole; what lies outside 0…1, or is no number, is taken to the nearer end (NaN to 0).
    public init(fraction: Double) {
        // Not `rounded()`: that would make every program link the C mathematics library.
        let clamped = fraction > 0 ? min(fraction, 1) : 0
        self.rawValue = UInt32(clamped * Double(UInt32.max) + 0.5)
    }

    public var fraction: Double { Double(self.rawValue) / Double(UInt32.max) }

    public static let idle = Load(rawValue: 0)
    public static let full = Load(rawValue: .max)

    public static func < (left: Load, right: Load) -> Bool { left.rawValue < right.rawValue }
}

/// A pool member selection policy together with one element's values for it (RFC 5354 §3.8, RFC 5356 §4 and §5).
///
/// The type belongs to the pool, the values to each element.
public enum PoolPolicy: Hashable, Sendable {
    case roundRobin
    /// Twice the weight, twice the requests; an element of weight 0 is never selected (RFC 5356 §3.2).
    case weightedRoundRobin(weight: UInt32)
    case random
    case weightedRandom(weight: UInt32)
    /// The greatest number is served first.
    case priority(UInt32)
    case leastUsed(load: Load)
    case leastUsedDegradation(load: Load, degradation: Load)
    case priorityLeastUsed(load: Load, degradation: Load)
    case randomizedLeastUsed(load: Load)
    /// Randomized Priority Least Used: drawn with the weight 1 − load − degradation, the capacity that one request more
    /// would leave. It and the next three join policies of RFC 5356; each has at least the least possible weight.
    case randomizedPriorityLeastUsed(load: Load, degradation: Load)
    /// Randomized Least Used with Degradation: drawn with the weight 1 − load − n · degradation, after n answers with it.
    case randomizedLeastUsedDegradation(load: Load, degradation: Load)
    /// Priority Least Used with Degradation: the least load + (n + 1) · degradation first, after n answers with it.
    case priorityLeastUsedDegradation(load: Load, degradation: Load)
    /// Randomized Priority Least Used with Degradation: drawn with the weight 1 − load − (n + 1) · degradation.
    case randomizedPriorityLeastUsedDegradation(load: Load, degradation: Load)
    /// Weighted Random with a distance penalty factor (draft-dreibholz-rserpool-delay): drawn with the weight
    /// weight · (1 − distance · dpf), at least 1; an element of weight 0 is never selected.
    ///
    /// The factor is what each millisecond takes off, as a fraction. The distance is in milliseconds, in steps of 50; the
    /// home registrar measures and writes it, elements say 0.
    case weightedRandomDPF(weight: UInt32, dpf: Load, distance: UInt32)
    /// Least Used with a distance penalty factor (draft-dreibholz-rserpool-delay): the least load + distance · dpf first.
    ///
    /// The factor is the load that each millisecond stands for; the distance as with ``weightedRandomDPF(weight:dpf:distance:)``.
    case leastUsedDPF(load: Load, dpf: Load, distance: UInt32)
    /// Least Used with Degradation and a distance penalty factor: the least load + n · degradation + distance · dpf first,
    /// after n answers with it.
    case leastUsedDegradationDPF(load: Load, degradation: Load, dpf: Load, distance: UInt32)
    /// A type this code does not know, with the octets behind it.
    case unknown(PolicyType, [UInt8])

    /// How much of its capacity the element has in use; nil where the policy does not go by load.
    public var load: Load? {
        switch self {
        case .leastUsed(let load), .randomizedLeastUsed(let load): load
        case .leastUsedDegradation(let load, _), .priorityLeastUsed(let load, _): load
        case .randomizedPriorityLeastUsed(let load, _), .randomizedLeastUsedDegradation(let load, _): load
        case .priorityLeastUsedDegradation(let load, _), .randomizedPriorityLeastUsedDegradation(let load, _): load
        case .leastUsedDPF(let load, _, _), .leastUsedDegradationDPF(let load, _, _, _): load
        case .roundRobin, .weightedRoundRobin, .random, .weightedRandom, .priority, .weightedRandomDPF, .unknown: nil
        }
    }

    /// The same policy with another load; nil where it has none.
    public func with(load: Load) -> PoolPolicy? {
        switch self {
        case .leastUsed: .leastUsed(load: load)
        case .randomizedLeastUsed: .randomizedLeastUsed(load: load)
        case .leastUsedDegradation(_, let degradation): .leastUsedDegradation(load: load, degradation: degradation)
        case .priorityLeastUsed(_, let degradation): .priorityLeastUsed(load: load, degradation: degradation)
        case .randomizedPriorityLeastUsed(_, let degradation):
            .randomizedPriorityLeastUsed(load: load, degradation: degradation)
        case .randomizedLeastUsedDegradation(_, let degradation):
            .randomizedLeastUsedDegradation(load: load, degradation: degradation)
        case .priorityLeastUsedDegradation(_, let degradation):
            .priorityLeastUsedDegradation(load: load, degradation: degradation)
        case .randomizedPriorityLeastUsedDegradation(_, let degradation):
            .randomizedPriorityLeastUsedDegradation(load: load, degradation: degradation)
        case .leastUsedDPF(_, let dpf, let distance): .leastUsedDPF(load: load, dpf: dpf, distance: distance)
        case .leastUsedDegradationDPF(_, let degradation, let dpf, let distance):
            .leastUsedDegradationDPF(load: load, degradation: degradation, dpf: dpf, distance: distance)
        case .roundRobin, .weightedRoundRobin, .random, .weightedRandom, .priority, .weightedRandomDPF, .unknown: nil
        }
    }

    public var type: PolicyType {
        switch self {
        case .roundRobin: .roundRobin
        case .weightedRoundRobin: .weightedRoundRobin
        case .random: .random
        case .weightedRandom: .weightedRandom
        case .priority: .priority
        case .leastUsed: .leastUsed
        case .leastUsedDegradation: .leastUsedDegradation
        case .priorityLeastUsed: .priorityLeastUsed
        case .randomizedLeastUsed: .randomizedLeastUsed
        case .randomizedPriorityLeastUsed: .randomizedPriorityLeastUsed
        case .randomizedLeastUsedDegradation: .randomizedLeastUsedDegradation
        case .priorityLeastUsedDegradation: .priorityLeastUsedDegradation
        case .randomizedPriorityLeastUsedDegradation: .randomizedPriorityLeastUsedDegradation
        case .weightedRandomDPF: .weightedRandomDPF
        case .leastUsedDPF: .leastUsedDPF
        case .leastUsedDegradationDPF: .leastUsedDegradationDPF
        case .unknown(let type, _): type
        }
    }
}
