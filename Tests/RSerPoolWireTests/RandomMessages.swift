// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire

/// Draws messages that have one encoding: whatever comes out decodes to what was put in.
struct RandomMessages {
    var generator: SeededGenerator

    init(seed: UInt64) {
        self.generator = SeededGenerator(seed: seed)
    }

    private mutating func number(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &self.generator) }
    private mutating func yes() -> Bool { .random(using: &self.generator) }
    private mutating func port() -> UInt16 { .random(in: 0...UInt16.max, using: &self.generator) }

    /// The ends of the range come up often: that is where mistakes are.
    private mutating func word() -> UInt32 {
        switch self.number(0...5) {
        case 0: 0
        case 1: .max
        case 2: 0x8000_0000
        default: .random(in: 0...UInt32.max, using: &self.generator)
        }
    }

    private mutating func octets(_ count: ClosedRange<Int>) -> [UInt8] {
        (0..<self.number(count)).map { _ in .random(in: 0...255, using: &self.generator) }
    }

    private mutating func some<Element>(
        _ count: ClosedRange<Int>, _ draw: (inout RandomMessages) -> Element
    )
        -> [Element]
    {
        (0..<self.number(count)).map { _ in draw(&self) }
    }

    private mutating func maybe<Element>(_ draw: (inout RandomMessages) -> Element) -> Element? {
        self.yes() ? draw(&self) : nil
    }

    private mutating func pool() -> PoolHandle { PoolHandle(octets: self.octets(1...40)) }
    private mutating func element() -> PoolElementID { PoolElementID(rawValue: self.word()) }
    private mutating func registrar() -> RegistrarID { RegistrarID(rawValue: self.word()) }

    private mutating func address() -> IPAddress {
        self.yes() ? .ipv4(self.word()) : .ipv6(self.generator.next(), self.generator.next())
    }

    private mutating func socketAddress() -> SocketAddress { SocketAddress(ip: self.address(), port: self.port()) }

    private mutating func sctp() -> SCTPTransport {
        SCTPTransport(
            port: self.port(), use: self.yes() ? .dataOnly : .dataAndControl,
            addresses: self.some(1...4) { $0.address() })
    }

    mutating func transport() -> UserTransport {
        switch self.number(0...5) {
        case 0: .tcp(self.socketAddress())
        case 1: .udp(self.socketAddress())
        case 2: .udpLite(self.socketAddress())
        case 3: .dccp(self.socketAddress(), serviceCode: self.word())
        case 4: .opaque(self.octets(0...20))
        default: .sctp(self.sctp())
        }
    }

    mutating func policy() -> PoolPolicy {
        switch self.number(0...12) {
        case 0: .roundRobin
        case 1: .random
        case 2: .weightedRoundRobin(weight: self.word())
        case 3: .weightedRandom(weight: self.word())
        case 4: .priority(self.word())
        case 5: .leastUsed(load: Load(rawValue: self.word()))
        case 6: .randomizedLeastUsed(load: Load(rawValue: self.word()))
        case 7: .leastUsedDegradation(load: Load(rawValue: self.word()), degradation: Load(rawValue: self.word()))
        case 8: .priorityLeastUsed(load: Load(rawValue: self.word()), degradation: Load(rawValue: self.word()))
        case 9:
            .unknown(
                PolicyType(rawValue: .random(in: 0x8000_0000...0xffff_ffff, using: &self.generator)), self.octets(0...9)
            )
        case 10:
            .weightedRandomDPF(weight: self.word(), dpf: Load(rawValue: self.word()), distance: self.word())
        case 11:
            .leastUsedDegradationDPF(
                load: Load(rawValue: self.word()), degradation: Load(rawValue: self.word()),
                dpf: Load(rawValue: self.word()), distance: self.word())
        default:
            .unknown(PolicyType(rawValue: .random(in: 6...0x3fff_ffff, using: &self.generator)), self.octets(0...9))
        }
    }

    /// - Parameter isForRegistrars: then it may have what only they tell one another.
    mutating func member(isForRegistrars: Bool) -> PoolMember {
        let life: Int32 =
            isForRegistrars ? Int32(bitPattern: self.word()) : self.yes() ? -1 : Int32(self.number(1...Int(Int32.max)))
        return PoolMember(
            id: self.element(), home: self.registrar(), life: RegistrationLife(rawValue: life),
            transport: self.transport(),
            policy: self.policy(), asapTransport: isForRegistrars ? self.maybe { $0.sctp() } : nil,
            encapsulationPort: self.maybe { $0.port() })
    }

    private mutating func causes(_ count: ClosedRange<Int>) -> [ErrorCause] {
        self.some(count) { draw in
            ErrorCause(
                .init(rawValue: draw.yes() ? UInt16(draw.number(0...10)) : draw.port()), data: draw.octets(0...30))
        }
    }

    mutating func asap(_ type: ASAPMessage.MessageType) -> ASAPMessage {
        switch type {
        case .registration:
            return .registration(Registration(pool: self.pool(), member: self.member(isForRegistrars: false)))
        case .deregistration: return .deregistration(Deregistration(pool: self.pool(), id: self.element()))
        case .registrationResponse:
            return .registrationResponse(
                RegistrationResponse(
                    pool: self.pool(), id: self.element(), isRejected: self.yes(), causes: self.causes(0...3)))
        case .deregistrationResponse:
            return .deregistrationResponse(
                DeregistrationResponse(pool: self.pool(), id: self.element(), causes: self.causes(0...3)))
        case .handleResolution:
            return .handleResolution(
                HandleResolution(
                    pool: self.pool(), wantsUpdates: self.yes(), count: self.maybe { $0.word() },
                    wantsIncrements: self.yes()))
        case .handleResolutionResponse: return .handleResolutionResponse(self.handleResolutionResponse())
        case .endpointKeepAlive:
            return .endpointKeepAlive(
                EndpointKeepAlive(
                    registrar: self.registrar(), pool: self.pool(), wantsToBeHome: self.yes(),
                    id: self.maybe { $0.element() }))
        case .endpointKeepAliveAck:
            return .endpointKeepAliveAck(EndpointKeepAliveAck(pool: self.pool(), id: self.element()))
        case .endpointUnreachable:
            return .endpointUnreachable(EndpointUnreachable(pool: self.pool(), id: self.element()))
        case .serverAnnounce:
            return .serverAnnounce(
                ServerAnnounce(
                    registrar: self.registrar(),
                    transports: self.some(0...3) { $0.yes() ? .sctp($0.sctp()) : .tcp($0.socketAddress()) },
                    encapsulationPort: self.maybe { $0.port() }))
        case .cookie: return .cookie(Cookie(octets: self.octets(0...100)))
        case .cookieEcho: return .cookieEcho(CookieEcho(octets: self.octets(0...100)))
        case .businessCard:
            return .businessCard(
                BusinessCard(
                    pool: self.pool(), members: self.some(1...3) { $0.member(isForRegistrars: false) },
                    isLeaving: self.yes()))
        case .error: return .error(ASAPError(causes: self.causes(1...4)))
        }
    }

    private mutating func handleResolutionResponse() -> HandleResolutionResponse {
        let pool = self.pool()
        switch self.number(0...2) {
        case 0:
            return HandleResolutionResponse(pool: pool, updatesFollow: self.yes(), outcome: .failed(self.causes(1...3)))
        case 1:
            let members = self.some(1...5) { $0.member(isForRegistrars: false) }
            return HandleResolutionResponse(
                pool: pool, updatesFollow: self.yes(), outcome: .members(policy: self.maybe { $0.policy() }, members))
        default:
            let members = self.some(0...3) { $0.member(isForRegistrars: false) }
            return HandleResolutionResponse(
                pool: pool, updatesFollow: true, outcome: .members(policy: self.policy(), members),
                increment: IncrementalUpdate(isSnapshot: self.yes(), moreFollows: self.yes(), sequence: self.word()),
                gone: self.some(0...3) { $0.element() })
        }
    }

    mutating func enrp(_ type: ENRPMessage.MessageType) -> ENRPMessage {
        ENRPMessage(sender: self.registrar(), receiver: self.registrar(), body: self.body(type))
    }

    private mutating func information() -> ServerInformation {
        ServerInformation(id: self.registrar(), transport: self.sctp(), encapsulationPort: self.maybe { $0.port() })
    }

    private mutating func body(_ type: ENRPMessage.MessageType) -> ENRPMessage.Body {
        switch type {
        case .presence:
            return .presence(
                replyRequired: self.yes(), checksum: self.maybe { $0.port() },
                information: self.maybe { $0.information() })
        case .handleTableRequest: return .handleTableRequest(ownChildrenOnly: self.yes())
        case .handleTableResponse:
            guard self.number(0...3) > 0 else { return .handleTableResponse(isRejected: true, moreFollows: false, []) }
            return .handleTableResponse(
                isRejected: false, moreFollows: self.yes(),
                self.some(0...3) { draw in
                    .init(pool: draw.pool(), members: draw.some(0...3) { $0.member(isForRegistrars: true) })
                })
        case .handleUpdate:
            return .handleUpdate(
                self.yes() ? .addPoolElement : .deletePoolElement, self.pool(), self.member(isForRegistrars: true),
                takeoverSuggested: self.yes())
        case .listRequest: return .listRequest
        case .listResponse:
            guard self.number(0...3) > 0 else { return .listResponse(isRejected: true, []) }
            return .listResponse(isRejected: false, self.some(0...4) { $0.information() })
        case .initTakeover: return .initTakeover(target: self.registrar())
        case .initTakeoverAck: return .initTakeoverAck(target: self.registrar())
        case .takeoverServer: return .takeoverServer(target: self.registrar())
        case .error: return .error(self.causes(1...4))
        }
    }
}
