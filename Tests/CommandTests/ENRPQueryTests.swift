// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolCommands
import RSerPoolCore
import RSerPoolRegistrar
import RSerPoolTransport
import RSerPoolWire
import Synchronization
import Testing

@Suite("Asking a registrar over ENRP (RFC 5353 §3.2.2, §3.2.3)", .timeLimit(.minutes(1)))
struct ENRPQueryTests {
    private static let id = RegistrarID(rawValue: 0x22)

    private static func member(_ id: UInt32, home: UInt32 = 0x22, life: RegistrationLife = .seconds(300)) -> PoolMember
    {
        let transport = SCTPTransport(port: 7, addresses: [.ipv4(0xc000_0201)])
        return PoolMember(
            id: PoolElementID(rawValue: id), home: RegistrarID(rawValue: home), life: life,
            transport: .sctp(transport), policy: .roundRobin, asapTransport: transport)
    }

    private static func table(_ entries: [(PoolHandle, [PoolMember])], more: Bool) -> ENRPMessage.Body {
        .handleTableResponse(
            isRejected: false, moreFollows: more, entries.map { ENRPMessage.PoolEntry(pool: $0.0, members: $0.1) })
    }

    @Test("The parts of a table are put together, whichever pools and elements they repeat")
    func parts() async throws {
        let registrar = try await FakeRegistrar.start([
            Self.table([("B", [Self.member(9)]), ("A", [Self.member(2)])], more: true),
            Self.table([("A", [Self.member(2, home: 0x33), Self.member(1)])], more: true),
            Self.table([], more: false),
        ])
        let table = try await registrar.query().handlespace()
        #expect(table.registrar == Self.id)
        #expect(table.pools["A"]?.values.map(\.id.rawValue).sorted() == [1, 2])
        #expect(table.pools["A"]?[PoolElementID(rawValue: 2)]?.home.rawValue == 0x33, "the later word counts")
        #expect(table.pools["B"]?.count == 1)
        let requests = registrar.requests
        #expect(requests.count == 3)
        #expect(requests.allSatisfy { $0.body == .handleTableRequest(ownChildrenOnly: false) })
        #expect(Set(requests.map(\.sender)).count == 1 && requests[0].sender != .undetermined)

        var output = ""
        HandlespaceDump(table).write(asJSON: true) { output += $0 }
        let lines = output.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].hasPrefix(#"{"pool":"A","elements":[{"id":"0x00000001","home":"0x00000022","#))
        #expect(lines[0].contains(#"},{"id":"0x00000002","home":"0x00000033","#) && lines[0].hasSuffix("}]}"))
        #expect(lines[1].hasPrefix(#"{"pool":"B","elements":[{"id":"0x00000009","#))
        var checksum = PEChecksum()
        checksum.add("A", PoolElementID(rawValue: 1))
        checksum.add("B", PoolElementID(rawValue: 9))
        #expect(
            lines[2]
                == #"{"registrar":"0x00000022","pools":2,"elements":3,"checksum":"\#(checksumText(checksum.value))"}"#)
    }

    @Test("A dump of many elements comes in pieces and is whole")
    func pieces() {
        var table = ENRPQuery.Table(registrar: Self.id)
        for id in 1...2_000 as ClosedRange<UInt32> {
            table.pools["A", default: [:]][PoolElementID(rawValue: id)] = Self.member(id)
        }
        var pieces: [String] = []
        HandlespaceDump(table).write(asJSON: true) { pieces.append($0) }
        #expect(pieces.count > 3 && pieces.allSatisfy { $0.utf8.count < 70_000 })
        let lines = pieces.joined().split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[0].split(separator: #"{"id":"#).count == 2_001)
    }

    @Test("A rejection is tried again after a pause, and in the end told")
    func rejections() async throws {
        let no = ENRPMessage.Body.handleTableResponse(isRejected: true, moreFollows: false, [])
        let starting = try await FakeRegistrar.start([no, no, Self.table([("A", [Self.member(1)])], more: false)])
        #expect(try await starting.query().handlespace().pools.count == 1)
        let never = try await FakeRegistrar.start([.listResponse(isRejected: true, [])])
        let error = await #expect(throws: ENRPQueryError.self) {
            try await never.query(patience: .seconds(1)).peers()
        }
        #expect(error?.code == .unreachable && error?.message.contains("rejects") == true)
        #expect(never.requests.count > 1)
    }

    @Test("A table without end is given up")
    func endless() async throws {
        let registrar = try await FakeRegistrar.start([Self.table([], more: true)])
        let error = await #expect(throws: ENRPQueryError.self) { try await registrar.query().handlespace() }
        #expect(error?.code == .malformed)
    }

    @Test("What cannot be decoded is exit 65, with the octet")
    func malformed() async throws {
        let registrar = try await FakeRegistrar.start([], octets: [0x06, 0, 0, 4])
        let error = await #expect(throws: ENRPQueryError.self) { try await registrar.query().peers() }
        #expect(error?.code == .malformed && error?.message.contains("offset 4") == true, "\(error?.message ?? "")")
        #expect(error.map { CommandFailure($0).exit } == .undecodable)
    }

    @Test("Errors are told, those for security with an exit code of their own")
    func errors() async throws {
        let registrar = try await FakeRegistrar.start([.error([ErrorCause(.rejectedForSecurity)])])
        let error = await #expect(throws: ENRPQueryError.self) { try await registrar.query().peers() }
        #expect(error.map { CommandFailure($0).exit } == .refusedForSecurity)
    }

    @Test("Only rsplib's dialect is introduced to us, and its lives are milliseconds")
    func dialect() async throws {
        let life = RegistrationLife(rawValue: 300_000)
        let registrar = try await FakeRegistrar.start([Self.table([("A", [Self.member(1, life: life)])], more: false)])
        let table = try await registrar.query(.rsplib).handlespace()
        #expect(table.pools["A"]?[PoolElementID(rawValue: 1)]?.life == .seconds(300))
        let first = try #require(registrar.requests.first)
        guard case .presence(false, 0xffff, let information?) = first.body else {
            Issue.record("\(first)")
            return
        }
        #expect(information.id == first.sender)
        #expect(information.transport.addresses == [.loopbackIPv4] && information.transport.port != 0)
        #expect(registrar.requests.count == 2)
    }
}

/// Answers each request with the next answer of a list, the last one again and again.
private final class FakeRegistrar: PortReceiver {
    private struct State {
        var answers: [ENRPMessage.Body]
        var requests: [ENRPMessage] = []
        /// Held: without it the endpoint would be gone.
        var port: (any Port)?
    }

    private static let host = Result { try SocketHost.open(SocketHostOptions(stack: .userland, encapsulationPort: 0)) }

    /// Sent instead of the answers.
    private let octets: [UInt8]?
    private let state: Mutex<State>
    private let endpoint = OneShot<Endpoint>()

    private init(_ answers: [ENRPMessage.Body], octets: [UInt8]?) {
        self.state = Mutex(State(answers: answers))
        self.octets = octets
    }

    static func start(_ answers: [ENRPMessage.Body], octets: [UInt8]? = nil) async throws -> FakeRegistrar {
        let registrar = FakeRegistrar(answers, octets: octets)
        let port = try await self.host.get().transport.open(
            PortOptions(scheme: .sctp, localAddresses: [.loopbackIPv4], acceptsLinks: true), receiver: registrar)
        registrar.state.withLock { $0.port = port }
        registrar.endpoint.resolve(.success(Endpoint(bound: port.local)))
        return registrar
    }

    /// What was asked, and presences.
    var requests: [ENRPMessage] { self.state.withLock { $0.requests } }

    func query(_ dialect: Dialect = .rfc, patience: Duration = .seconds(10)) async throws -> ENRPQuery {
        var timers = ENRPTimers.rfc
        timers.mentorRetryPause = .milliseconds(10)
        return ENRPQuery(
            of: try await self.endpoint.value(), dialect: dialect, timers: timers, fastFailureDetection: true,
            patience: patience, host: try Self.host.get())
    }

    func received(_ event: LinkEvent, from port: any Port) {
        guard case .message(let message, let link) = event,
            let request = try? ENRPMessage.decode(message.bytes[...]).message
        else { return }
        let answer: ENRPMessage.Body? = self.state.withLock { state in
            state.requests.append(request)
            if case .presence = request.body { return nil }
            return state.answers.count > 1 ? state.answers.removeFirst() : state.answers.first
        }
        let encoded = answer.flatMap {
            try? ENRPMessage(sender: RegistrarID(rawValue: 0x22), receiver: request.sender, body: $0).encoded()
        }
        guard let bytes = self.octets ?? encoded else { return }
        do {
            try port.send(OutboundMessage(bytes: bytes, payloadProtocol: message.payloadProtocol), on: link)
        } catch {
            Issue.record("no answer sent: \(error)")
        }
    }
}
