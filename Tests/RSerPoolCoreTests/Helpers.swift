// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire

typealias Instant = ContinuousClock.Instant

/// Where the time of a test begins.
private let origin = ContinuousClock().systemEpoch

/// A moment of a test.
func at(_ span: Duration) -> Instant { origin + span }
func at(seconds: Int) -> Instant { origin + .seconds(seconds) }

/// SplitMix64 by Steele, Lea and Flood, public domain: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var value = self.state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

let echo: PoolHandle = "EchoPool"
let home = RegistrarID(rawValue: 0xcafe_0001)

func id(_ number: Int) -> PoolElementID { PoolElementID(rawValue: UInt32(number)) }

func member(
    _ number: Int, policy: PoolPolicy = .roundRobin, transport: UserTransport? = nil, home: RegistrarID = home,
    life: RegistrationLife = .infinite
) -> PoolMember {
    PoolMember(
        id: id(number), home: home, life: life,
        transport: transport ?? .sctp(SCTPTransport(port: 7, addresses: [.ipv4(0xc000_0201)])), policy: policy)
}

func registrar(_ number: Int, _ scheme: RegistrarAddress.Scheme = .sctp) -> RegistrarAddress {
    RegistrarAddress(scheme: scheme, addresses: [.ipv4(0xc000_0200 + UInt32(number))], port: 3863)
}

/// How far a count of `trials` with probability `probability` may lie from its mean: six standard deviations, one false alarm in 10⁸.
func tolerance(_ trials: Int, _ probability: Double) -> Int {
    Int(6 * (Double(trials) * probability * (1 - probability)).squareRoot()) + 1
}

extension Handlespace {
    /// What a test wants to know of a pool; nil for an unknown one.
    func ids(of pool: PoolHandle) -> [PoolElementID]? { self.withPool(pool) { $0.ids } }

    func policyType(of pool: PoolHandle) -> PolicyType? { self.withPool(pool) { $0.policyType } }

    /// The Pool Element parameter that pool users get.
    func encoded(_ key: ElementKey) -> [UInt8]? { self.withRecord(of: key) { Array($0.parameter) } }
}
