// SPDX-License-Identifier: Apache-2.0

/// A message of the Aggregate Server Access Protocol (RFC 5352 §2.2).
package enum ASAPMessage: Hashable, Sendable {
    case registration(Registration)
    case deregistration(Deregistration)
    case registrationResponse(RegistrationResponse)
    case deregistrationResponse(DeregistrationResponse)
    case handleResolution(HandleResolution)
    case handleResolutionResponse(HandleResolutionResponse)
    case endpointKeepAlive(EndpointKeepAlive)
    case endpointKeepAliveAck(EndpointKeepAliveAck)
    case endpointUnreachable(EndpointUnreachable)
    case serverAnnounce(ServerAnnounce)
    case cookie(Cookie)
    case cookieEcho(CookieEcho)
    case businessCard(BusinessCard)
    case error(ASAPError)

    /// The SCTP payload protocol identifier of every ASAP message (RFC 5352 §5).
    package static let payloadProtocol: UInt32 = 11
    /// The port of registrars for SCTP, TCP, and announcements over UDP (RFC 5352 §8.2).
    package static let port: UInt16 = 3863

    /// The message types (RFC 5352 §2.2, table 1).
    package enum MessageType: UInt8, Hashable, Sendable, CaseIterable {
        case registration = 0x01
        case deregistration, registrationResponse, deregistrationResponse
        case handleResolution, handleResolutionResponse
        case endpointKeepAlive, endpointKeepAliveAck, endpointUnreachable
        case serverAnnounce, cookie, cookieEcho, businessCard, error

        /// Its name in the RFC, without `ASAP_`.
        package var name: String {
            switch self {
            case .registration: "REGISTRATION"
            case .deregistration: "DEREGISTRATION"
            case .registrationResponse: "REGISTRATION_RESPONSE"
            case .deregistrationResponse: "DEREGISTRATION_RESPONSE"
            case .handleResolution: "HANDLE_RESOLUTION"
            case .handleResolutionResponse: "HANDLE_RESOLUTION_RESPONSE"
            case .endpointKeepAlive: "ENDPOINT_KEEP_ALIVE"
            case .endpointKeepAliveAck: "ENDPOINT_KEEP_ALIVE_ACK"
            case .endpointUnreachable: "ENDPOINT_UNREACHABLE"
            case .serverAnnounce: "SERVER_ANNOUNCE"
            case .cookie: "COOKIE"
            case .cookieEcho: "COOKIE_ECHO"
            case .businessCard: "BUSINESS_CARD"
            case .error: "ERROR"
            }
        }
    }

    package var type: MessageType {
        switch self {
        case .registration: .registration
        case .deregistration: .deregistration
        case .registrationResponse: .registrationResponse
        case .deregistrationResponse: .deregistrationResponse
        case .handleResolution: .handleResolution
        case .handleResolutionResponse: .handleResolutionResponse
        case .endpointKeepAlive: .endpointKeepAlive
        case .endpointKeepAliveAck: .endpointKeepAliveAck
        case .endpointUnreachable: .endpointUnreachable
        case .serverAnnounce: .serverAnnounce
        case .cookie: .cookie
        case .cookieEcho: .cookieEcho
        case .businessCard: .businessCard
        case .error: .error
        }
    }
}

/// What came out of a message: itself, and what has to be reported to its sender although it is processed (RFC 5354 §3).
package struct Decoded<Message: Hashable & Sendable>: Hashable, Sendable {
    package var message: Message
    /// One cause per unknown parameter whose type says "skip and report"; empty nearly always, and for error messages,
    /// which are never answered by one (WIRE-053).
    package var unrecognized: [ErrorCause]

    package init(message: Message, unrecognized: [ErrorCause] = []) {
        self.message = message
        self.unrecognized = unrecognized
    }
}

extension ASAPMessage {
    /// Reads one message: an SCTP user message, a datagram, or what ``MessageFraming`` cut out of a TCP stream.
    ///
    /// Octets behind the padded length are ignored; missing padding at the end is accepted.
    package static func decode(_ bytes: ArraySlice<UInt8>) throws(WireError) -> Decoded<ASAPMessage> {
        let isError = bytes.first == MessageType.error.rawValue
        do throws(WireError) {
            let header = try MessageHeader(from: bytes)
            guard let type = MessageType(rawValue: header.type) else { throw header.unknownType(bytes) }
            var cursor = ParameterCursor(header.value)
            let message = try ASAPMessage(type, header, &cursor)
            return Decoded(message: message, unrecognized: isError ? [] : cursor.unrecognized)
        } catch {
            throw error.answering(anError: isError)
        }
    }

    private init(
        _ type: MessageType, _ header: MessageHeader, _ cursor: inout ParameterCursor
    ) throws(WireError) {
        self =
            switch type {
            case .registration: .registration(try Registration(from: &cursor))
            case .deregistration: .deregistration(try Deregistration(from: &cursor))
            case .registrationResponse:
                .registrationResponse(try RegistrationResponse(from: &cursor, flag: header.flag))
            case .deregistrationResponse: .deregistrationResponse(try DeregistrationResponse(from: &cursor))
            case .handleResolution: .handleResolution(try HandleResolution(from: &cursor, flag: header.flag))
            case .handleResolutionResponse:
                .handleResolutionResponse(try HandleResolutionResponse(from: &cursor, flag: header.flag))
            case .endpointKeepAlive:
                .endpointKeepAlive(try EndpointKeepAlive(from: header.value, &cursor, flag: header.flag))
            case .endpointKeepAliveAck: .endpointKeepAliveAck(try EndpointKeepAliveAck(from: &cursor))
            case .endpointUnreachable: .endpointUnreachable(try EndpointUnreachable(from: &cursor))
            case .serverAnnounce: .serverAnnounce(try ServerAnnounce(from: header.value, &cursor))
            case .cookie: .cookie(try Cookie(from: &cursor))
            case .cookieEcho: .cookieEcho(try CookieEcho(from: &cursor))
            case .businessCard: .businessCard(try BusinessCard(from: &cursor))
            case .error: .error(try ASAPError(from: &cursor))
            }
    }

    /// The message as it goes on the wire, padded.
    /// - Throws: `.tooLong` where it does not fit 65 535 octets.
    package func encoded(for audience: Audience = .asap) throws(WireError) -> [UInt8] {
        switch self {
        case .registration(let message): try message.encoded(for: audience)
        case .deregistration(let message): try message.encoded()
        case .registrationResponse(let message): try message.encoded()
        case .deregistrationResponse(let message): try message.encoded()
        case .handleResolution(let message): try message.encoded(for: audience)
        case .handleResolutionResponse(let message): try message.encoded(for: audience)
        case .endpointKeepAlive(let message): try message.encoded()
        case .endpointKeepAliveAck(let message): try message.encoded()
        case .endpointUnreachable(let message): try message.encoded()
        case .serverAnnounce(let message): try message.encoded(for: audience)
        case .cookie(let message): try message.encoded()
        case .cookieEcho(let message): try message.encoded()
        case .businessCard(let message): try message.encoded(for: audience)
        case .error(let message): try message.encoded()
        }
    }
}

extension WireWriter {
    static func asap(
        _ type: ASAPMessage.MessageType, flag: Bool = false, capacity: Int = 128, _ body: (inout WireWriter) -> Void
    ) throws(WireError) -> [UInt8] {
        var writer = WireWriter(capacity: capacity)
        writer.message(type: type.rawValue, flags: flag ? 1 : 0, body)
        return try writer.finish()
    }
}
