// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire

let echoPool: PoolHandle = "EchoPool"
let element = PoolElementID(rawValue: 0x1234_5678)
let registrar = RegistrarID(rawValue: 0xcafe_0001)
let seven = PoolElementID(rawValue: 7)
private let one = RegistrarID(rawValue: 0x1111_1111)
private let two = RegistrarID(rawValue: 0x2222_2222)
private let three = RegistrarID(rawValue: 0x3333_3333)

func v4(_ last: UInt32) -> IPAddress { .ipv4(0xc000_0200 | last) }

/// A member as most golden vectors have it: SCTP port 7 at 192.0.2.1, round robin, 300 s.
func echoMember(
    home: RegistrarID = .undetermined, life: RegistrationLife = .seconds(300),
    transport: UserTransport = .sctp(SCTPTransport(port: 7, addresses: [v4(1)])), policy: PoolPolicy = .roundRobin,
    asapTransport: SCTPTransport? = nil
) -> PoolMember {
    PoolMember(
        id: element, home: home, life: life, transport: transport, policy: policy, asapTransport: asapTransport)
}

/// What the golden vectors of ASAP mean.
let goldenASAP: [String: ASAPMessage] = [
    "E1": .handleResolution(HandleResolution(pool: echoPool)),
    "E2": .handleResolution(HandleResolution(pool: "EchoPool1", wantsUpdates: true)),
    "E3": .registration(Registration(pool: echoPool, member: echoMember())),
    "E4": .registration(
        Registration(
            pool: echoPool,
            member: echoMember(
                life: .infinite,
                transport: .sctp(
                    SCTPTransport(port: 7, use: .dataAndControl, addresses: [v4(1), .ipv6(0x2001_0db8_0000_0000, 1)])),
                policy: .weightedRoundRobin(weight: 5)))),
    "E5": .registrationResponse(RegistrationResponse(pool: echoPool, id: element, isRejected: false)),
    "E6": .registrationResponse(
        RegistrationResponse(
            pool: echoPool, id: element, isRejected: true,
            causes: [ErrorCause(.inconsistentPolicy, data: hex("00080008 00000001"))])),
    "E7": .handleResolutionResponse(
        HandleResolutionResponse(pool: echoPool, outcome: .failed([ErrorCause(.unknownPoolHandle)]))),
    "E8": .handleResolutionResponse(
        HandleResolutionResponse(
            pool: echoPool, outcome: .members(policy: .roundRobin, [echoMember(home: registrar)]))),
    "E9a": .endpointKeepAlive(
        EndpointKeepAlive(registrar: registrar, pool: echoPool, wantsToBeHome: true, id: nil)),
    "E9b": .endpointKeepAliveAck(EndpointKeepAliveAck(pool: echoPool, id: element)),
    "E9c": .endpointUnreachable(EndpointUnreachable(pool: echoPool, id: element)),
    "E10a": .serverAnnounce(ServerAnnounce(registrar: registrar, transports: [])),
    "E10b": .serverAnnounce(
        ServerAnnounce(
            registrar: registrar,
            transports: [
                .sctp(SCTPTransport(port: 3863, addresses: [v4(10)])), .tcp(SocketAddress(ip: v4(10), port: 3863)),
            ])),
    "E11": .error(ASAPError(causes: [ErrorCause(.unrecognizedParameter, data: hex("c1230007 616263"))])),
    "E12": .error(
        ASAPError(causes: [
            ErrorCause(.unrecognizedParameter, data: hex("c1230007 616263")),
            ErrorCause(.unrecognizedParameter, data: hex("c1240004")),
        ])),
    "E13": .error(ASAPError(causes: [ErrorCause(.unrecognizedMessage, data: hex("41000004"))])),
    "E16": .cookie(Cookie(octets: Array("hello".utf8))),
    "W1": .cookieEcho(CookieEcho(octets: [1, 2, 3, 4])),
    "W2": .businessCard(
        BusinessCard(
            pool: "Echo",
            members: [
                PoolMember(
                    id: seven, life: .seconds(60),
                    transport: .dccp(SocketAddress(ip: .loopbackIPv4, port: 8080), serviceCode: 0x5345_5256),
                    policy: .priorityLeastUsed(load: Load(rawValue: 0x4000_0000), degradation: Load(rawValue: 1)))
            ])),
    "W3": .deregistration(Deregistration(pool: "Echo", id: seven)),
    "W4": .deregistrationResponse(
        DeregistrationResponse(pool: "Echo", id: seven, causes: [ErrorCause(.rejectedForSecurity)])),
    "X1": .handleResolution(
        HandleResolution(pool: echoPool, wantsUpdates: true, count: 1, wantsIncrements: true)),
    "X2": .handleResolutionResponse(
        HandleResolutionResponse(
            pool: "Echo", updatesFollow: true, outcome: .members(policy: .random, []),
            increment: IncrementalUpdate(isSnapshot: false, moreFollows: false, sequence: 261), gone: [seven])),
    "X3": .registration(
        Registration(
            pool: "Echo",
            member: PoolMember(
                id: seven, life: .seconds(60),
                transport: .sctp(SCTPTransport(port: 7, use: .dataAndControl, addresses: [v4(1)])), policy: .roundRobin,
                encapsulationPort: 9899))),
    "X4": .endpointKeepAlive(EndpointKeepAlive(registrar: registrar, pool: "Echo", wantsToBeHome: false, id: seven)),
]

/// What the golden vectors of ENRP mean.
let goldenENRP: [String: ENRPMessage] = [
    "N1": ENRPMessage(
        sender: one, receiver: .undetermined,
        body: .presence(replyRequired: false, checksum: 0xffff, information: nil)),
    "N2": ENRPMessage(
        sender: one, receiver: .undetermined,
        body: .presence(
            replyRequired: true, checksum: 0xffff,
            information: ServerInformation(id: one, transport: SCTPTransport(port: 9901, addresses: [v4(1)])))),
    "N3": ENRPMessage(sender: one, receiver: two, body: .handleTableRequest(ownChildrenOnly: true)),
    "N4": ENRPMessage(sender: one, receiver: .undetermined, body: .initTakeover(target: three)),
    "N5": ENRPMessage(
        sender: one, receiver: .undetermined,
        body: .handleUpdate(
            .addPoolElement, echoPool,
            echoMember(
                home: one, transport: .tcp(SocketAddress(ip: v4(1), port: 7)),
                asapTransport: SCTPTransport(port: 3863, addresses: [v4(1)])), takeoverSuggested: false)),
    "N6": ENRPMessage(
        sender: two, receiver: one, body: .error([ErrorCause(.unrecognizedMessage, data: hex("4b000004"))])),
    "W5": ENRPMessage(
        sender: two, receiver: one,
        body: .handleTableResponse(
            isRejected: false, moreFollows: true,
            [
                .init(
                    pool: "Echo",
                    members: [
                        PoolMember(
                            id: seven, home: two, life: .infinite, transport: .opaque(Array("abc".utf8)),
                            policy: .random)
                    ]),
                .init(
                    pool: "abc",
                    members: [
                        PoolMember(
                            id: PoolElementID(rawValue: 8), home: two, life: .seconds(1),
                            transport: .udp(SocketAddress(ip: v4(1), port: 53)), policy: .priority(10))
                    ]),
            ])),
    "W6": ENRPMessage(
        sender: two, receiver: one,
        body: .listResponse(
            isRejected: false,
            [ServerInformation(id: three, transport: SCTPTransport(port: 9901, addresses: [v4(3)]))])),
    "W7": ENRPMessage(sender: one, receiver: two, body: .listRequest),
    "W8": ENRPMessage(sender: two, receiver: one, body: .initTakeoverAck(target: three)),
    "W9": ENRPMessage(sender: one, receiver: .undetermined, body: .takeoverServer(target: three)),
    "W10": ENRPMessage(sender: two, receiver: one, body: .listResponse(isRejected: true, [])),
]
