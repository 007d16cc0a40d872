// SPDX-License-Identifier: Apache-2.0

/// A message of the Endpoint Handlespace Redundancy Protocol (RFC 5353 §2):
///
///     +---------------+---------------+-------------------------------+
///     |     Type      |     Flags     |        Message Length         |
///     +---------------+---------------+-------------------------------+
///     |                      Sending Server's ID                      |
///     +---------------------------------------------------------------+
///     |                     Receiving Server's ID                     |
///     +---------------------------------------------------------------+
///     :                     what the type says                        :
package struct ENRPMessage: Hashable, Sendable {
    package var sender: RegistrarID
    /// 0 when it goes to the whole group (§2.1).
    package var receiver: RegistrarID
    package var body: Body

    package init(sender: RegistrarID, receiver: RegistrarID, body: Body) {
        self.sender = sender
        self.receiver = receiver
        self.body = body
    }

    /// The SCTP payload protocol identifier of every ENRP message (RFC 5353 §5.4).
    package static let payloadProtocol: UInt32 = 12
    /// Octets before the parameters: the header, and both servers' IDs.
    package static let headerLength = 12
    /// The port of registrars for one another (RFC 5353 §5.3).
    package static let port: UInt16 = 9901

    /// The message types (RFC 5353 §2), the raw value being what is on the wire.
    package enum MessageType: UInt8, Hashable, Sendable, CaseIterable {
        case presence = 0x01
        case handleTableRequest, handleTableResponse, handleUpdate, listRequest, listResponse
        case initTakeover, initTakeoverAck, takeoverServer, error

        /// Its name in the RFC, without `ENRP_`.
        package var name: String {
            switch self {
            case .presence: "PRESENCE"
            case .handleTableRequest: "HANDLE_TABLE_REQUEST"
            case .handleTableResponse: "HANDLE_TABLE_RESPONSE"
            case .handleUpdate: "HANDLE_UPDATE"
            case .listRequest: "LIST_REQUEST"
            case .listResponse: "LIST_RESPONSE"
            case .initTakeover: "INIT_TAKEOVER"
            case .initTakeoverAck: "INIT_TAKEOVER_ACK"
            case .takeoverServer: "TAKEOVER_SERVER"
            case .error: "ERROR"
            }
        }
    }

    /// One pool in a handle table response: its handle and some of its elements.
    package struct PoolEntry: Hashable, Sendable {
        package var pool: PoolHandle
        package var members: [PoolMember]

        package init(pool: PoolHandle, members: [PoolMember]) {
            self.pool = pool
            self.members = members
        }
    }

    package enum UpdateAction: UInt16, Hashable, Sendable {
        /// A new element, or another state of a known one.
        case addPoolElement = 0
        case deletePoolElement = 1
    }

    package enum Body: Hashable, Sendable {
        /// §2.1: I live, and this is the sum over my elements. R = please reply.
        case presence(replyRequired: Bool, checksum: UInt16?, information: ServerInformation?)
        /// §2.2: W = only the elements that you own.
        case handleTableRequest(ownChildrenOnly: Bool)
        /// §2.3: R = rejected, then there is nothing else in it; M = more follows on another request.
        case handleTableResponse(isRejected: Bool, moreFollows: Bool, [PoolEntry])
        /// §2.4. `takeoverSuggested` is flag 0x01 of an individual draft, which rsplib can send.
        case handleUpdate(UpdateAction, PoolHandle, PoolMember, takeoverSuggested: Bool)
        /// §2.5
        case listRequest
        /// §2.6: R = rejected.
        case listResponse(isRejected: Bool, [ServerInformation])
        /// §2.7: I want to take over the elements of `target`.
        case initTakeover(target: RegistrarID)
        /// §2.8
        case initTakeoverAck(target: RegistrarID)
        /// §2.9: I have taken them over.
        case takeoverServer(target: RegistrarID)
        /// §2.10
        case error([ErrorCause])

        package var type: MessageType {
            switch self {
            case .presence: .presence
            case .handleTableRequest: .handleTableRequest
            case .handleTableResponse: .handleTableResponse
            case .handleUpdate: .handleUpdate
            case .listRequest: .listRequest
            case .listResponse: .listResponse
            case .initTakeover: .initTakeover
            case .initTakeoverAck: .initTakeoverAck
            case .takeoverServer: .takeoverServer
            case .error: .error
            }
        }
    }
}
