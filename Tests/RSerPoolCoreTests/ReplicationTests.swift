// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCore
import RSerPoolWire
import Testing

/// What a handlespace knows, kept in the simplest way.
private struct Twin {
    var members: [ElementKey: PoolMember] = [:]
    var marked: Set<ElementKey> = []

    func owned(by registrar: RegistrarID) -> Set<ElementKey> {
        Set(self.members.filter { $0.value.home == registrar }.keys)
    }

    /// RFC 1071, word by word.
    func checksum(of registrar: RegistrarID) -> UInt16 {
        var sum: UInt32 = 0
        for key in self.owned(by: registrar) {
            var octets = key.pool.octets + [UInt8](repeating: 0, count: -key.pool.octets.count & 3)
            octets += (0..<4).map { UInt8(truncatingIfNeeded: key.id.rawValue >> (24 - 8 * $0)) }
            for index in stride(from: 0, to: octets.count, by: 2) {
                sum += UInt32(octets[index]) << 8 | UInt32(octets[index + 1])
                sum = (sum & 0xffff) + (sum >> 16)
            }
        }
        return ~UInt16(sum)
    }
}

@Suite("Copies of others' elements (RFC 5353 §3.2.3, §3.3, §3.6)")
struct ReplicationTests {
    private static let other = RegistrarID(rawValue: 0xcafe_0002)
    private static let third = RegistrarID(rawValue: 0xcafe_0003)
    private static let homes = [home, other, third]
    private static let tcp = UserTransport.tcp(SocketAddress(ip: .ipv4(0xc000_0201), port: 7))
    private static let pools: [PoolHandle] = ["EchoPool", "abc", "A", "AAAA", "x7"]

    private static func key(_ number: Int, _ pool: PoolHandle = echo) -> ElementKey {
        ElementKey(pool: pool, id: id(number))
    }

    // MARK: Properties

    @Test(
        """
        Whatever comes and goes, moves and is marked: owners, marks and checksums are those of a recomputation \
        [ENRP-137, ENRP-138, ENRP-139]
        """,
        arguments: 0..<20 as Range<UInt64>)
    func randomHistory(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var space = Handlespace()
        var twin = Twin()
        for step in 0..<1_000 {
            let key = Self.key(
                Int.random(in: 0..<12, using: &generator), Self.pools.randomElement(using: &generator) ?? echo)
            let owner = Self.homes.randomElement(using: &generator) ?? home
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                var member = member(0, home: owner)
                member.id = key.id
                let known = twin.members[key]
                let outcome = space.replicate(member, in: key.pool)
                switch outcome {
                case .added(let createdPool):
                    #expect(known == nil)
                    #expect(createdPool == twin.members.keys.allSatisfy { $0.pool != key.pool })
                case .updated(_, let formerHome):
                    #expect(known != nil)
                    #expect(formerHome == (known?.home == owner ? nil : known?.home))
                case .refused, .poolGivesWay: Issue.record("\(outcome)")
                }
                twin.members[key] = member
                twin.marked.remove(key)
            case 4..<7:
                let expected = twin.members.removeValue(forKey: key)
                #expect(space.remove(key) == expected?.home)
                twin.marked.remove(key)
            case 7:
                // A mark is the former owner's affair: what moves is not marked.
                if twin.members[key]?.home != owner { twin.marked.remove(key) }
                space.changeHome(of: key, to: owner)
                twin.members[key]?.home = owner
            case 8:
                space.mark(ownedBy: owner)
                twin.marked.formUnion(twin.owned(by: owner))
            default:
                for marked in space.marked(ownedBy: owner) { space.remove(marked) }
                for marked in twin.owned(by: owner).intersection(twin.marked) { twin.members[marked] = nil }
                twin.marked.subtract(twin.marked.filter { twin.members[$0] == nil })
            }
            guard step % 10 == 0 else { continue }
            #expect(space.members == twin.members)
            for owner in Self.homes {
                #expect(space.checksum(of: owner) == twin.checksum(of: owner))
                #expect(space.rsplibChecksum(of: owner) == twin.checksum(of: owner), "rsplib's, of a small set")
                #expect(Set(space.keys(ownedBy: owner)) == twin.owned(by: owner))
                #expect(space.count(ownedBy: owner) == twin.owned(by: owner).count)
                #expect(Set(space.marked(ownedBy: owner)) == twin.owned(by: owner).intersection(twin.marked))
            }
        }
    }

    @Test(
        "A download while elements come and go: who stays is seen, nobody twice, no more than there ever were [ENRP-052]",
        arguments: 0..<20 as Range<UInt64>, [nil, home])
    func randomDownload(seed: UInt64, owner: RegistrarID?) {
        var generator = SeededGenerator(seed: seed)
        var space = Handlespace()
        for number in 0..<300 {
            _ = space.replicate(member(number, home: Self.homes[number % 3]), in: Self.pools[number % 5])
        }
        let staying = space.members.filter { owner == nil || $0.value.home == owner }
        var touched: Set<ElementKey> = []
        var seen: [ElementKey] = []
        var cursor = TableCursor(ownedBy: owner)
        var hasMore = true
        var parts = 0
        while hasMore {
            parts += 1
            var room = Int.random(in: 1...15, using: &generator)
            hasMore = space.continueTable(&cursor) { pool, member in
                guard room > 0 else { return false }
                room -= 1
                seen.append(ElementKey(pool: pool, id: member.member?.id ?? id(0)))
                return true
            }
            for _ in 0..<Int.random(in: 0..<6, using: &generator) {
                let number = Int.random(in: 0..<300, using: &generator)
                let key = Self.key(number, Self.pools[number % 5])
                touched.insert(key)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: space.remove(key)
                case 1: _ = space.replicate(member(number, home: Self.homes[number % 3]), in: key.pool)
                default: space.changeHome(of: key, to: Self.homes.randomElement(using: &generator) ?? home)
                }
            }
        }
        #expect(parts > 5)
        let counts = Dictionary(seen.map { ($0, 1) }, uniquingKeysWith: +)
        for (key, member) in staying where !touched.contains(key) {
            #expect(counts[key] == 1, "\(member.id) of \(key.pool)")
        }
        for (key, count) in counts where count > 1 { #expect(touched.contains(key)) }
    }

    @Test("Nothing to download ends at once; an owner that is gone ends its download")
    func emptyDownloads() {
        var space = Handlespace()
        for owner in [nil, home] {
            var cursor = TableCursor(ownedBy: owner)
            #expect(space.continueTable(&cursor) { _, _ in true } == false)
        }
        for number in 1...3 { _ = space.replicate(member(number), in: echo) }
        var cursor = TableCursor(ownedBy: home)
        var count = 0
        let hasMore = space.continueTable(&cursor) { _, _ in
            count += 1
            return count <= 1
        }
        #expect(hasMore)
        for number in 1...3 { space.remove(Self.key(number)) }
        #expect(space.continueTable(&cursor) { _, _ in true } == false)
    }

    // MARK: Checksums

    @Test(
        "Of 30 000 elements rsplib's 32 bits have run over, ours have not; all gone, both say 0xffff again [ENRP-139]")
    func largeSets() {
        var sum = PEChecksum()
        var expected: UInt32 = 0
        var words: UInt64 = 0
        for number in 0..<30_000 as Range<UInt32> {
            let id = 0xffff_ffff - number
            sum.add(echo, PoolElementID(rawValue: id))
            for word in [0x4563, 0x686f, 0x506f, 0x6f6c, id >> 16, id & 0xffff] as [UInt32] {
                expected += word
                expected = (expected & 0xffff) + (expected >> 16)
                words += UInt64(UInt16(word).byteSwapped)
            }
        }
        #expect(sum.value == ~UInt16(expected))
        #expect(words > UInt64(UInt32.max))
        var wrapped = UInt32(truncatingIfNeeded: words)
        while wrapped > 0xffff { wrapped = (wrapped & 0xffff) + (wrapped >> 16) }
        #expect(sum.rsplibValue == (~UInt16(wrapped)).byteSwapped)
        #expect(sum.rsplibValue != sum.value)
        for number in 0..<30_000 as Range<UInt32> { sum.remove(echo, PoolElementID(rawValue: 0xffff_ffff - number)) }
        #expect(sum.value == 0xffff)
        #expect(sum.rsplibValue == 0xffff)
        #expect(sum == PEChecksum())
    }

    @Test("A home that changes takes the element's share along; attributes are not in it [ENRP-126]")
    func movingChecksums() {
        var space = Handlespace()
        _ = space.replicate(member(1, home: Self.other), in: echo)
        let share = space.checksum(of: Self.other)
        #expect(space.checksum(of: home) == 0xffff)
        space.changeHome(of: Self.key(1), to: home)
        #expect(space.checksum(of: home) == share)
        #expect(space.checksum(of: Self.other) == 0xffff)
        #expect(space.member(Self.key(1))?.home == home)
        let encoded = space.encoded(Self.key(1))
        #expect(encoded == space.member(Self.key(1))?.encodedParameter(for: .asap), "what users see changes too")
        _ = space.register(member(1, life: .seconds(7)), in: echo)
        #expect(space.checksum(of: home) == share)
    }

    // MARK: Pools of two shapes

    @Test("Of two shapes the smaller stays, by policy, transport type and use, whoever comes first [ENRP-082]")
    func shapes() {
        let small = member(1, home: Self.other)
        let control = UserTransport.sctp(
            SCTPTransport(port: 7, use: .dataAndControl, addresses: [.ipv4(0xc000_0201)]))
        for large in [member(2, policy: .random), member(2, transport: Self.tcp), member(2, transport: control)] {
            #expect(PoolShape(of: small) < PoolShape(of: large))
            var space = Handlespace()
            _ = space.replicate(small, in: echo)
            guard case .refused(let causes) = space.replicate(large, in: echo) else {
                Issue.record("taken: \(large)")
                continue
            }
            #expect(causes.count == 1)
            #expect(space.ids(of: echo) == [id(1)])

            space = Handlespace()
            _ = space.replicate(large, in: echo)
            #expect(space.replicate(small, in: echo) == .poolGivesWay(conflicting: [id(2)]))
            #expect(space.ids(of: echo) == [id(2)], "nothing has happened yet")
            space.remove(Self.key(2))
            #expect(space.replicate(small, in: echo) == .added(createdPool: true))
        }
    }

    @Test("The policy comes before the transport")
    func shapeOrder() {
        let transport = PoolShape(of: member(1, transport: Self.tcp))
        let policy = PoolShape(of: member(1, policy: .random))
        #expect(transport < policy)
        #expect(PoolShape(of: member(1)) < transport)
    }

    @Test("The only member may take another shape, smaller or larger: it is another pool then")
    func soleMember() {
        for (before, after) in [(PoolPolicy.random, PoolPolicy.roundRobin), (.roundRobin, .random)] {
            var space = Handlespace()
            _ = space.replicate(member(1, policy: before, home: Self.other), in: echo)
            #expect(
                space.replicate(member(1, policy: after, home: Self.third), in: echo)
                    == .updated(changed: true, formerHome: Self.other))
            #expect(space.policyType(of: echo) == after.type)
            #expect(space.elementCount == 1)
            #expect(space.checksum(of: Self.other) == 0xffff)
        }
        var space = Handlespace()
        _ = space.replicate(member(1), in: echo)
        _ = space.replicate(member(2), in: echo)
        guard case .refused = space.replicate(member(1, policy: .random), in: echo) else {
            Issue.record("one of two may not")
            return
        }
        #expect(space.member(Self.key(1))?.policy == .roundRobin)
    }
}

@Suite("What an audit removes (RFC 5353 §3.6.3 step 5)")
struct UnlistedTests {
    private static let first = RegistrarID(rawValue: 1)
    private static let second = RegistrarID(rawValue: 2)

    private static func member(_ id: UInt32, home: RegistrarID) -> PoolMember {
        PoolMember(
            id: PoolElementID(rawValue: id), home: home, life: .seconds(300),
            transport: .sctp(SCTPTransport(port: 7, addresses: [.ipv4(0x0a00_0001)])), policy: .roundRobin)
    }

    @Test("What is not listed goes; what has just moved to its home is spared once [ENRP-144]")
    func moved() {
        var space = Handlespace()
        _ = space.replicate(Self.member(1, home: Self.second), in: "P")
        _ = space.replicate(Self.member(2, home: Self.first), in: "P")
        _ = space.replicate(Self.member(2, home: Self.second), in: "P")
        _ = space.replicate(Self.member(3, home: Self.first), in: "P")
        space.changeHome(of: ElementKey(pool: "P", id: PoolElementID(rawValue: 3)), to: Self.second)
        space.mark(ownedBy: Self.second)
        #expect(space.takeUnlisted(ownedBy: Self.second).map(\.key.id.rawValue) == [1])
        space.mark(ownedBy: Self.second)
        _ = space.replicate(Self.member(3, home: Self.second), in: "P")
        #expect(Set(space.takeUnlisted(ownedBy: Self.second).map(\.key.id.rawValue)) == [1, 2])
        #expect(space.takeUnlisted(ownedBy: Self.first).isEmpty)
    }

    @Test(
        "A table that may be older than a move does not undo it; the next one of either registrar settles it [ENRP-144]"
    )
    func claimed() {
        let key = ElementKey(pool: "P", id: PoolElementID(rawValue: 1))
        func moved() -> Handlespace {
            var space = Handlespace()
            _ = space.replicate(Self.member(1, home: Self.first), in: "P")
            _ = space.replicate(Self.member(1, home: Self.second), in: "P")
            return space
        }
        var space = moved()
        var stays = space.deferClaim(of: Self.second, on: key)
        #expect(!stays, "it is its home")
        stays = space.deferClaim(of: Self.first, on: key)
        #expect(stays, "the table of its former home")
        stays = space.deferClaim(of: Self.first, on: key)
        #expect(!stays, "it says so again")

        space = moved()
        _ = space.deferClaim(of: Self.first, on: key)
        space.mark(ownedBy: Self.second)
        var unlisted = space.takeUnlisted(ownedBy: Self.second)
        #expect(unlisted.map(\.key) == [key])
        #expect(unlisted.map(\.claimant) == [Self.first], "its new home does not say so")

        space = moved()
        _ = space.deferClaim(of: Self.first, on: key)
        space.mark(ownedBy: Self.second)
        _ = space.replicate(Self.member(1, home: Self.second), in: "P")
        unlisted = space.takeUnlisted(ownedBy: Self.second)
        #expect(unlisted.isEmpty, "its new home says so")

        space = moved()
        _ = space.deferClaim(of: Self.first, on: key)
        space.mark(ownedBy: Self.second)
        unlisted = space.takeUnlisted(ownedBy: Self.second, heeding: { _ in false })
        #expect(unlisted.isEmpty, "the claimant is dead: it is spared once")
        unlisted = space.takeUnlisted(ownedBy: Self.second, heeding: { _ in true })
        #expect(unlisted.map(\.claimant) == [nil])

        space = moved()
        _ = space.deferClaim(of: Self.first, on: key)
        _ = space.replicate(Self.member(1, home: Self.second), in: "P")
        stays = space.deferClaim(of: Self.first, on: key)
        #expect(!stays, "it has not just moved any more")
    }

    @Test("What nobody else will ask is not spared, even if it has just moved [ENRP-144]")
    func lost() {
        var space = Handlespace()
        _ = space.replicate(Self.member(1, home: Self.first), in: "P")
        _ = space.replicate(Self.member(1, home: Self.second), in: "P")
        space.mark(ownedBy: Self.second)
        #expect(space.takeUnlisted(ownedBy: Self.second, unsparing: { _ in true }).map(\.key.id.rawValue) == [1])
    }
}
