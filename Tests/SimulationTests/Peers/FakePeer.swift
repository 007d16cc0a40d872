// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTestKit
import RSerPoolTransport
import RSerPoolWire
import SocketLoop

/// An ENRP message around `values`.
func enrp(
    _ type: ENRPMessage.MessageType, flags: UInt8 = 0, from sender: UInt32, to receiver: UInt32 = 0,
    _ values: [UInt8]...
) -> [UInt8] {
    message(type.rawValue, flags: flags, octets(sender) + octets(receiver), Array(values.joined()))
}

func checksumTLV(_ checksum: UInt16) -> [UInt8] { tlv(0x000f, octets(checksum)) }

func serverTLV(_ id: UInt32, port: UInt16 = 9901, _ addresses: IPAddress...) -> [UInt8] {
    tlv(0x000b, octets(id) + tlv(0x0004, octets(port) + octets(0 as UInt16) + addresses.flatMap(addressTLV)))
}

/// A Pool Element as registrars tell of it: round robin at SCTP port 7 of `address`, which is its ASAP transport too.
func ownedTLV(
    _ id: UInt32, home: UInt32, life: UInt32 = 300, at address: IPAddress, port: UInt16 = 7, asap: UInt16 = 7,
    policy: [UInt8] = roundRobinTLV
) -> [UInt8] {
    elementTLV(id, home: home, life: life, sctpTLV(port: port, address), policy, sctpTLV(port: asap, address))
}

/// The PE checksum over elements of one pool, summed up as RFC 1071 says, without the product's help.
func checksum(_ elements: (pool: String, id: UInt32)...) -> UInt16 { checksum(elements) }

func checksum(_ elements: [(pool: String, id: UInt32)]) -> UInt16 {
    var sum: UInt32 = 0
    for (pool, id) in elements {
        let handle = Array(pool.utf8)
        let block = handle + [UInt8](repeating: 0, count: -handle.count & 3) + octets(id)
        for index in stride(from: 0, to: block.count, by: 2) {
            sum += UInt32(block[index]) << 8 | UInt32(block[index + 1])
            sum = (sum & 0xffff) + (sum >> 16)
        }
    }
    return ~UInt16(sum)
}

/// A fake registrar that speaks ENRP in raw octets; it is polite unless its manners say otherwise.
struct FakePeer {
    struct Manners: Sendable {
        /// Whether a PRESENCE with R = 1 and an INIT_TAKEOVER with its own ID are answered by a PRESENCE.
        var answersPresence = true
        /// Whether an INIT_TAKEOVER is answered by its acknowledgement.
        var acknowledges = true
        /// What a LIST_REQUEST is answered with: Server Information parameters; nil: silence.
        var servers: [[UInt8]]? = []
        var rejectsList = false
        /// What HANDLE_TABLE_REQUESTs with W = 0 are answered with, part by part; nil: silence.
        var tables: [[UInt8]]? = [[]]
        /// The same with W = 1.
        var ownTables: [[UInt8]]? = [[]]
        var rejectsTable = false
        /// How many parts of tables it gives before it is silent.
        var partsLeft = Int.max
        /// Said before the answer to the second request for a part of a table.
        var betweenParts: [[UInt8]] = []
        /// Over its own elements.
        var checksum: UInt16 = 0xffff
    }

    /// What its script needs.
    private final class Voice: Sendable {
        let id: UInt32
        let information: [UInt8]
        let manners = Locked(Manners())
        /// The part of a table that is to be given next.
        let parts = Locked<[Bool: Int]>([:])

        init(id: UInt32, information: [UInt8]) {
            self.id = id
            self.information = information
        }

        func presence(replyRequired: Bool, to receiver: UInt32 = 0) -> [UInt8] {
            enrp(
                .presence, flags: replyRequired ? 1 : 0, from: self.id, to: receiver,
                checksumTLV(self.manners.withLock { $0.checksum }), self.information)
        }

        func answers(to bytes: [UInt8]) -> [[UInt8]] {
            guard bytes.count >= 12, let type = ENRPMessage.MessageType(rawValue: bytes[0]) else { return [] }
            let manners = self.manners.withLock { $0 }
            let sender = number(bytes, at: 4)
            switch type {
            case .presence:
                return bytes[1] & 1 != 0 && manners.answersPresence
                    ? [self.presence(replyRequired: false, to: sender)] : []
            case .listRequest:
                if manners.rejectsList { return [enrp(.listResponse, flags: 1, from: self.id, to: sender)] }
                return manners.servers.map { [enrp(.listResponse, from: self.id, to: sender, Array($0.joined()))] }
                    ?? []
            case .handleTableRequest: return self.tableAnswers(ownOnly: bytes[1] & 1 != 0, manners, to: sender)
            case .initTakeover:
                let target = number(bytes, at: 12)
                if target == self.id {
                    return manners.answersPresence ? [self.presence(replyRequired: false)] : []
                }
                return manners.acknowledges
                    ? [enrp(.initTakeoverAck, from: self.id, to: sender, octets(target))] : []
            default: return []
            }
        }

        private func tableAnswers(ownOnly: Bool, _ manners: Manners, to sender: UInt32) -> [[UInt8]] {
            if manners.rejectsTable { return [enrp(.handleTableResponse, flags: 1, from: self.id, to: sender)] }
            guard let tables = ownOnly ? manners.ownTables : manners.tables, manners.partsLeft > 0 else { return [] }
            self.manners.withLock { $0.partsLeft -= 1 }
            let part = self.parts.withLock { $0[ownOnly] ?? 0 }
            let isLast = part + 1 >= tables.count
            self.parts.withLock { $0[ownOnly] = isLast ? 0 : part + 1 }
            let table = enrp(.handleTableResponse, flags: isLast ? 0 : 2, from: self.id, to: sender, tables[part])
            return (part == 1 ? manners.betweenParts : []) + [table]
        }
    }

    let id: UInt32
    let peer: ScriptedPeer
    private let voice: Voice

    init(id: UInt32, peer: ScriptedPeer) {
        self.id = id
        self.peer = peer
        let voice = Voice(id: id, information: serverTLV(id, port: peer.number, peer.address))
        self.voice = voice
        peer.follow { heard, _ in
            heard.payloadProtocol == ENRPMessage.payloadProtocol ? voice.answers(to: heard.bytes) : []
        }
    }

    var address: IPAddress { self.peer.address }
    var information: [UInt8] { serverTLV(self.id, port: self.peer.number, self.address) }
    var endpoint: Endpoint { .sctp("\(self.address)", port: self.peer.number) }
    /// An element of its own, at port 7 of its own machine.
    func element(_ id: UInt32, life: UInt32 = 300, policy: [UInt8] = roundRobinTLV) -> [UInt8] {
        ownedTLV(id, home: self.id, life: life, at: self.address, policy: policy)
    }

    func behave(_ change: (inout Manners) -> Void) { self.voice.manners.withLock { change(&$0) } }

    /// Says nothing any more, whatever comes.
    func fallSilent() {
        self.behave {
            $0.answersPresence = false
            $0.acknowledges = false
            $0.servers = nil
            $0.tables = nil
            $0.ownTables = nil
        }
    }

    func say(
        _ type: ENRPMessage.MessageType, flags: UInt8 = 0, to receiver: UInt32 = 0, _ values: [UInt8]...
    ) throws {
        try self.peer.send(enrp(type, flags: flags, from: self.id, to: receiver, Array(values.joined())))
    }

    func sayPresence(replyRequired: Bool = false) throws {
        try self.peer.send(self.voice.presence(replyRequired: replyRequired))
    }

    func add(_ pool: String, _ element: [UInt8]) throws {
        try self.say(.handleUpdate, octets(0 as UInt32), handleTLV(pool), element)
    }

    func delete(_ pool: String, _ element: [UInt8]) throws {
        try self.say(.handleUpdate, octets(0x0001_0000 as UInt32), handleTLV(pool), element)
    }

    func heard(_ type: ENRPMessage.MessageType) -> [ScriptedPeer.Heard] { self.peer.heard(type) }

    /// Everything of that type since a moment, the moment itself included.
    func heard(_ type: ENRPMessage.MessageType, since moment: Duration) -> [ScriptedPeer.Heard] {
        self.peer.heard(type).filter { $0.time >= moment }
    }
}

/// The number in the four octets at `offset`.
func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
    guard bytes.count >= offset + 4 else { return 0 }
    return bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
}

/// An ENRP message by the product's own decoder; nil for what is none.
func decodedENRP(_ bytes: [UInt8]) -> ENRPMessage? { try? ENRPMessage.decode(bytes[...]).message }

/// The elements of HANDLE_TABLE_RESPONSEs, in order.
func elements(_ responses: [ScriptedPeer.Heard]) -> [(pool: String, member: PoolMember)] {
    responses.flatMap { heard -> [(pool: String, member: PoolMember)] in
        guard case .handleTableResponse(_, _, let entries)? = decodedENRP(heard.bytes)?.body else { return [] }
        return entries.flatMap { entry in entry.members.map { (entry.pool.description, $0) } }
    }
}

/// The checksum in a PRESENCE.
func checksum(in presence: [UInt8]) -> UInt16? {
    guard case .presence(_, let checksum, _)? = decodedENRP(presence)?.body else { return nil }
    return checksum
}
