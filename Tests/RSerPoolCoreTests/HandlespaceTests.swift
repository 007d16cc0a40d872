// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("Handlespace (RFC 5352 §3.1, §3.2; RFC 5353 §3.6.2)")
struct HandlespaceTests {
    private static let tcp = UserTransport.tcp(SocketAddress(ip: .ipv4(0xc000_0201), port: 7))
    private static let control = UserTransport.sctp(
        SCTPTransport(port: 7, use: .dataAndControl, addresses: [.ipv4(0xc000_0201)]))

    @Test(
        """
        The first element makes the pool, further ones join it, a known identifier renews [ASAP-064, ASAP-066, \
        ASAP-069]
        """
    )
    func joining() {
        var space = Handlespace()
        #expect(space.register(member(1), in: echo) == .added(createdPool: true))
        #expect(space.register(member(2), in: echo) == .added(createdPool: false))
        #expect(space.register(member(2), in: echo) == .updated(changed: false))
        #expect(space.ids(of: echo) == [id(1), id(2)])
        #expect(space.elementCount == 2)
        #expect(space.poolCount == 1)
    }

    @Test("Handles are compared octet by octet [ASAP-018]")
    func handlesAreExact() {
        var space = Handlespace()
        #expect(space.register(member(1), in: "Echo") == .added(createdPool: true))
        #expect(space.register(member(1, policy: .random), in: "echo") == .added(createdPool: true))
        #expect(space.handles == ["Echo", "echo"])
        #expect(space.policyType(of: "Echo") == .roundRobin)
    }

    @Test(
        """
        What differs from the pool is a cause, several in the order 0005, 0007, 0008 [ASAP-065, ASAP-067, \
        ASAP-068, POL-017]
        """,
        arguments: [
            (member(2, policy: .random), [ErrorCause.Code.inconsistentPolicy]),
            (member(2, transport: .sctp(SCTPTransport(port: 9, addresses: [.ipv4(1)]))), []),
            (member(2, transport: tcp), [.inconsistentTransport]),
            (member(2, transport: control), [.inconsistentTransportUse]),
            (member(2, policy: .random, transport: tcp), [.inconsistentPolicy, .inconsistentTransport]),
            (member(2, policy: .random, transport: control), [.inconsistentPolicy, .inconsistentTransportUse]),
        ])
    func inconsistencies(newcomer: PoolMember, expected: [ErrorCause.Code]) {
        var space = Handlespace()
        _ = space.register(member(1), in: echo)
        switch space.register(newcomer, in: echo) {
        case .rejected(let causes):
            #expect(causes.map(\.code) == expected)
            #expect(space.ids(of: echo) == [id(1)])
        case let outcome:
            #expect(expected.isEmpty, "\(outcome)")
            #expect(space.ids(of: echo) == [id(1), id(2)])
        }
    }

    @Test("All three differences at once, against a pool of data and control [ASAP-068]")
    func allThree() {
        var space = Handlespace()
        _ = space.register(member(1, transport: Self.control), in: echo)
        let outcome = space.register(member(2, policy: .leastUsed(load: .idle), transport: Self.tcp), in: echo)
        #expect(
            outcome
                == .rejected([
                    ErrorCause(.inconsistentPolicy, data: PoolPolicy.roundRobin.encodedParameter()),
                    ErrorCause(.inconsistentTransport, data: Self.control.encodedParameter()),
                    ErrorCause(.inconsistentTransportUse),
                ]))
    }

    @Test("A re-registration passes the same tests, and a rejected one changes nothing [ASAP-070]")
    func reregistrationIsChecked() {
        var space = Handlespace()
        _ = space.register(member(1), in: echo)
        guard case .rejected = space.register(member(1, policy: .random), in: echo) else {
            Issue.record("the only element changed the policy of its pool")
            return
        }
        #expect(space.member(ElementKey(pool: echo, id: id(1))) == member(1))
        #expect(space.elementCount == 1)
    }

    @Test("An accepted re-registration replaces the attributes, and says whether others see a difference [ASAP-071]")
    func reregistrationReplaces() {
        var space = Handlespace()
        let key = ElementKey(pool: echo, id: id(1))
        _ = space.register(member(1, policy: .leastUsed(load: Load(rawValue: 10))), in: echo)
        let changed = member(
            1, policy: .leastUsed(load: Load(rawValue: 90)),
            transport: .sctp(SCTPTransport(port: 8, addresses: [.ipv4(0xc000_0201)])))
        #expect(space.register(changed, in: echo) == .updated(changed: true))
        #expect(space.member(key) == changed)
        #expect(space.encoded(key) == changed.encodedParameter(for: .asap))
    }

    @Test("With its last element a pool goes; a new first element may choose anew [ASAP-098, ASAP-099]")
    func lastElementTakesThePool() {
        var space = Handlespace()
        _ = space.register(member(1), in: echo)
        #expect(space.remove(ElementKey(pool: echo, id: id(2))) == nil)
        #expect(space.remove(ElementKey(pool: echo, id: id(1))) == member(1).home)
        #expect(space.ids(of: echo) == nil)
        #expect(space.elementCount == 0)
        #expect(space.register(member(1, policy: .random), in: echo) == .added(createdPool: true))
    }

    @Test(
        "A policy that is not there is refused with its parameter, and leaves no pool behind [POL-002, POL-005]",
        arguments: [0x0000_0006, 0x8000_0001, 0x4000_0005] as [UInt32])
    func unknownPolicies(type: UInt32) {
        var space = Handlespace()
        let policy = PoolPolicy.unknown(PolicyType(rawValue: type), [1, 2, 3, 4])
        #expect(
            space.register(member(1, policy: policy), in: echo)
                == .rejected([ErrorCause(.invalidValues, data: policy.encodedParameter())]))
        #expect(space.poolCount == 0)
        #expect(space.elementCount == 0)
        #expect(space.register(member(1), in: echo) == .added(createdPool: true))
    }

    @Test("At a limit newcomers are rejected with the cause of the limit; who is there may renew [ASAP-075]")
    func limits() {
        var limits = Handlespace.Limits()
        limits.maxPools = 2
        limits.maxElements = 3
        limits.maxHandleLength = 8
        var space = Handlespace(limits: limits)
        #expect(space.register(member(1), in: "EchoPool") == .added(createdPool: true))
        #expect(space.register(member(1), in: "EchoPool1") == .rejected([ErrorCause(.invalidValues)]))
        #expect(space.register(member(1), in: "b") == .added(createdPool: true))
        #expect(space.register(member(1), in: "c") == .rejected([ErrorCause(.lackOfResources)]))
        #expect(space.register(member(2), in: "b") == .added(createdPool: false))
        #expect(space.register(member(3), in: "b") == .rejected([ErrorCause(.lackOfResources)]))
        #expect(space.register(member(2), in: "b") == .updated(changed: false))
        #expect(space.elementCount == 3)
        #expect(space.handles == ["EchoPool", "b"])
    }

    @Test("A Pool Element that would not fit an answer is rejected")
    func giantMember() {
        var space = Handlespace()
        let giant = UserTransport.opaque([UInt8](repeating: 1, count: 40_000))
        #expect(space.register(member(1, transport: giant), in: echo) == .rejected([ErrorCause(.invalidValues)]))
        #expect(space.poolCount == 0)
    }

    @Test(
        "The checksum follows each change, and equals one computed anew [WIRE-059, WIRE-060]",
        arguments: 0..<20 as Range<UInt64>)
    func checksum(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let homes = [RegistrarID(rawValue: 1), RegistrarID(rawValue: 2)]
        let handles: [PoolHandle] = ["a", "EchoPool", "EchoPool1"]
        var space = Handlespace()
        var naive: [ElementKey: RegistrarID] = [:]
        for step in 0..<400 {
            let key = ElementKey(
                pool: handles[Int.random(in: 0..<3, using: &generator)],
                id: id(Int.random(in: 1...9, using: &generator)))
            if Bool.random(using: &generator) {
                let owner = homes[Int.random(in: 0..<2, using: &generator)]
                _ = space.register(member(Int(key.id.rawValue), home: owner), in: key.pool)
                naive[key] = owner
            } else {
                space.remove(key)
                naive[key] = nil
            }
            for owner in homes {
                var anew = PEChecksum()
                for (key, home) in naive where home == owner { anew.add(key.pool, key.id) }
                #expect(space.checksum(of: owner) == anew.value, "seed \(seed), step \(step)")
            }
        }
        for key in naive.keys { space.remove(key) }
        #expect(space.checksum(of: homes[0]) == 0xffff)
        #expect(space.elementCount == 0)
    }

    @Test(
        "A selection hands out the octets that the element registered, its own policy values in them [POL-018, POL-019]"
    )
    func selection() {
        var space = Handlespace()
        var generator = ChoiceGenerator(seed: 1)
        let members = (1...3).map { member($0, policy: .leastUsed(load: Load(rawValue: UInt32($0)))) }
        for member in members { _ = space.register(member, in: echo) }
        var octets: [[UInt8]] = []
        let taken = space.choose(from: echo, upTo: 2, using: &generator) { octets.append(Array($0.parameter)) }
        #expect(taken == 2)
        #expect(octets == members.prefix(2).map { $0.encodedParameter(for: .asap) })
        let policy = space.withPool(echo) { $0.encodedPolicy }
        #expect(policy == members[0].policy.encodedParameter())
        let nobody = space.choose(from: "nobody", upTo: 2, using: &generator)
        #expect(nobody == nil)
    }

    @Test("Registering again without a change takes the degradations of a member back [POL-081]")
    func renewalHeeded() {
        var generator = ChoiceGenerator(seed: 1)
        var space = Handlespace()
        let members = [(load: 0, degradation: 30), (50, 10)].enumerated().map { number, values in
            member(
                number + 1,
                policy: .leastUsedDegradation(
                    load: Load(rawValue: UInt32(values.0)), degradation: Load(rawValue: UInt32(values.1))))
        }
        for member in members { _ = space.register(member, in: echo) }
        func first() -> [UInt8] {
            var octets: [UInt8] = []
            _ = space.choose(from: echo, upTo: 1, using: &generator) { octets = Array($0.parameter) }
            return octets
        }
        let octets = members.map { $0.encodedParameter(for: .asap) }
        #expect([first(), first(), first()] == [octets[0], octets[0], octets[1]])
        #expect(space.register(members[0], in: echo) == .updated(changed: false))
        #expect([first(), first(), first()] == [octets[0], octets[0], octets[1]])
    }
}
