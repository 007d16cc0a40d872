// SPDX-License-Identifier: Apache-2.0

import RSerPoolWire
import Testing

@Suite("Policy parameters (RFC 5356 §4, §5, §7.1)")
struct PolicyCodingTests {
    private func decoded(_ policy: [UInt8]) throws -> PoolPolicy {
        let decoded = try ASAPMessage.decode(registration(elementTLV(sctpTLV, policy))[...])
        guard case .registration(let registration) = decoded.message else {
            throw WireError(.invalidValue, at: 0, "not a registration: \(decoded.message)")
        }
        return registration.member.policy
    }

    @Test(
        "Length and payload are those of the RFC [WIRE-055, POL-034, POL-044, POL-051, POL-060, POL-068, POL-079, POL-091, POL-101, POL-109]",
        arguments: [
            (.roundRobin, "00080008 00000001"),
            (.weightedRoundRobin(weight: 0x0102_0304), "0008000c 00000002 01020304"),
            (.random, "00080008 00000003"),
            (.weightedRandom(weight: .max), "0008000c 00000004 ffffffff"),
            (.priority(0), "0008000c 00000005 00000000"),
            (.leastUsed(load: .full), "0008000c 40000001 ffffffff"),
            (
                .leastUsedDegradation(load: Load(rawValue: 0x8000_0000), degradation: Load(rawValue: 0x1999_9999)),
                "00080010 40000002 80000000 19999999"
            ),
            (.priorityLeastUsed(load: .idle, degradation: .full), "00080010 40000003 00000000 ffffffff"),
            (.randomizedLeastUsed(load: Load(rawValue: 1)), "0008000c 40000004 00000001"),
            (.randomizedPriorityLeastUsed(load: .full, degradation: .idle), "00080010 b0001001 ffffffff 00000000"),
            (.randomizedLeastUsedDegradation(load: .full, degradation: .idle), "00080010 b0001002 ffffffff 00000000"),
            (.priorityLeastUsedDegradation(load: .full, degradation: .idle), "00080010 b0001003 ffffffff 00000000"),
            (
                .randomizedPriorityLeastUsedDegradation(load: .idle, degradation: .full),
                "00080010 b0001004 00000000 ffffffff"
            ),
            (
                .weightedRandomDPF(weight: 7, dpf: Load(rawValue: 8), distance: 50),
                "00080014 b0002001 00000007 00000008 00000032"
            ),
            (
                .leastUsedDPF(load: Load(rawValue: 7), dpf: Load(rawValue: 8), distance: 50),
                "00080014 b0002002 00000007 00000008 00000032"
            ),
            (
                .leastUsedDegradationDPF(
                    load: Load(rawValue: 7), degradation: Load(rawValue: 9), dpf: Load(rawValue: 8), distance: 50),
                "00080018 b0002003 00000007 00000009 00000008 00000032"
            ),
            (.unknown(PolicyType(rawValue: 0x8000_0001), []), "00080008 80000001"),
            (.unknown(PolicyType(rawValue: 0x3fff_ffff), [1, 2, 3, 4]), "0008000c 3fffffff 01020304"),
        ] as [(PoolPolicy, String)])
    func octets(_ policy: PoolPolicy, _ text: String) throws {
        #expect(hexadecimal(policy.encodedParameter()) == hexadecimal(hex(text)))
        #expect(try self.decoded(hex(text)) == policy)
    }

    @Test("Least used with degradation: golden vector E14 [WIRE-055, POL-091]")
    func e14() throws {
        let octets = try #require(golden["E14"])
        let policy = PoolPolicy.leastUsedDegradation(load: Load(fraction: 0.5), degradation: Load(fraction: 0.1))
        #expect(policy.encodedParameter()[..<12] == octets[..<12])
        let decoded = try self.decoded(octets)
        #expect(
            decoded
                == .leastUsedDegradation(load: Load(rawValue: 0x8000_0000), degradation: Load(rawValue: 0x1999_9999)))
        #expect(decoded.encodedParameter() == octets)
    }

    @Test("Types 0 and 0x40000000 are invalid [WIRE-056]", arguments: [0, 0x4000_0000] as [UInt32])
    func invalid(_ type: UInt32) throws {
        #expect(PolicyType(rawValue: type).isInvalid)
        let policy = tlv(0x0008, [UInt8(type >> 24), 0, 0, 0, 0, 0, 0, 1])
        #expect(asapError(registration(elementTLV(sctpTLV, policy)))?.causes == [.invalid(policy)])
    }

    @Test("A payload that is too short is invalid [WIRE-057]")
    func short() throws {
        let payloads: [(UInt32, Int)] = [
            (2, 4), (4, 4), (5, 4), (0x4000_0001, 4), (0x4000_0002, 8), (0x4000_0003, 8), (0x4000_0004, 4),
        ]
        for (type, needed) in payloads {
            for count in 0..<needed {
                let value = [UInt8(type >> 24), 0, 0, UInt8(type & 0xff)] + [UInt8](repeating: 1, count: count)
                let policy = tlv(0x0008, value)
                let error = try #require(asapError(registration(elementTLV(sctpTLV, policy))))
                #expect(error.code == .truncated)
                #expect(error.causes == [.invalid(Array(policy.prefix(8 + count)))])
                #expect(error.registrant == WireError.Registrant(pool: echoPool, id: element))
            }
        }
        for count in 0..<4 {
            let policy = tlv(0x0008, [UInt8](repeating: 0, count: count))
            #expect(asapError(registration(elementTLV(sctpTLV, policy)))?.code == .truncated)
        }
    }

    @Test("A payload that is too long is accepted, its excess ignored [WIRE-057]")
    func long() throws {
        #expect(try self.decoded(hex("0008000c 00000001 ffffffff")) == .roundRobin)
        #expect(try self.decoded(hex("00080010 40000001 00000007 ffffffff")) == .leastUsed(load: Load(rawValue: 7)))
        #expect(
            try self.decoded(hex("00080011 40000002 00000007 00000008 ff 000000"))
                == .leastUsedDegradation(load: Load(rawValue: 7), degradation: Load(rawValue: 8)))
    }

    @Test("Bit 31 means private use, bit 30 adaptive [POL-003]")
    func bits() {
        for policy in [PolicyType.roundRobin, .weightedRoundRobin, .random, .weightedRandom, .priority] {
            #expect(!policy.isAdaptive)
            #expect(!policy.isPrivate)
        }
        for policy in [PolicyType.leastUsed, .leastUsedDegradation, .priorityLeastUsed, .randomizedLeastUsed] {
            #expect(policy.isAdaptive)
            #expect(!policy.isPrivate)
        }
        #expect(PolicyType(rawValue: 0x8000_0001).isPrivate)
        #expect(!PolicyType(rawValue: 0x8000_0001).isAdaptive)
        #expect(PolicyType(rawValue: 0xc000_0000).isPrivate)
        #expect(PolicyType(rawValue: 0xc000_0000).isAdaptive)
        #expect(!PolicyType(rawValue: 0xc000_0000).isInvalid)
        #expect(PolicyType(rawValue: 0x7fff_ffff).isAdaptive)
        #expect(!PolicyType(rawValue: 0x3fff_ffff).isAdaptive)
    }

    @Test("Loads are linear fractions, taken to the nearer end outside of them")
    func loads() {
        #expect(Load(fraction: 0) == .idle)
        #expect(Load(fraction: 1) == .full)
        #expect(Load(fraction: -0.1) == .idle)
        #expect(Load(fraction: 1.5) == .full)
        #expect(Load(fraction: .nan) == .idle)
        #expect(Load(fraction: .infinity) == .full)
        #expect(Load(fraction: -.infinity) == .idle)
        #expect(Load(fraction: 0.5).rawValue == 0x8000_0000)
        #expect(Load.full.fraction == 1)
        var generator = SeededGenerator(seed: 5356)
        for _ in 0..<1_000 {
            let load = Load(rawValue: .random(in: 0...UInt32.max, using: &generator))
            #expect(Load(fraction: load.fraction) == load)
        }
    }
}
