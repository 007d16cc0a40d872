// SPDX-License-Identifier: Apache-2.0

extension ENRPMessage {
    /// Reads one message.
    package static func decode(_ bytes: ArraySlice<UInt8>) throws(WireError) -> Decoded<ENRPMessage> {
        let isError = bytes.first == MessageType.error.rawValue
        do throws(WireError) {
            let header = try MessageHeader(from: bytes)
            guard let type = MessageType(rawValue: header.type) else { throw header.unknownType(bytes) }
            var value = header.value
            let sender = RegistrarID(rawValue: try value.readUInt32("sending server's ID"))
            let receiver = RegistrarID(rawValue: try value.readUInt32("receiving server's ID"))
            var cursor = ParameterCursor(value)
            let body = try Body(type, header.flags, value, &cursor)
            return Decoded(
                message: ENRPMessage(sender: sender, receiver: receiver, body: body),
                unrecognized: isError ? [] : cursor.unrecognized)
        } catch {
            throw error.answering(anError: isError)
        }
    }

    /// The message as it goes on the wire, padded.
    /// - Throws: `.tooLong` where it does not fit 65 535 octets.
    package func encoded(for audience: Audience = .enrp) throws(WireError) -> [UInt8] {
        var writer = WireWriter()
        writer.message(type: self.body.type.rawValue, flags: self.body.flags) { writer in
            writer.write(self.sender.rawValue)
            writer.write(self.receiver.rawValue)
            self.body.encode(into: &writer, for: audience)
        }
        return try writer.finish()
    }
}

extension ENRPMessage.Body {
    fileprivate init(
        _ type: ENRPMessage.MessageType, _ flags: UInt8, _ value: WireReader, _ cursor: inout ParameterCursor
    ) throws(WireError) {
        let low = flags & 1 != 0
        switch type {
        case .presence: self = try Self.presence(low, &cursor)
        case .handleTableRequest:
            self = .handleTableRequest(ownChildrenOnly: low)
            try cursor.rest()
        case .handleTableResponse:
            self = .handleTableResponse(
                isRejected: low, moreFollows: flags & 3 == 2,
                low ? try Self.nothing(&cursor) : try Self.entries(&cursor))
        case .handleUpdate: self = try Self.handleUpdate(value, low, &cursor)
        case .listRequest:
            self = .listRequest
            try cursor.rest()
        case .listResponse:
            self = .listResponse(isRejected: low, low ? try Self.nothing(&cursor) : try Self.servers(&cursor))
        case .initTakeover: self = .initTakeover(target: try Self.target(value, &cursor))
        case .initTakeoverAck: self = .initTakeoverAck(target: try Self.target(value, &cursor))
        case .takeoverServer: self = .takeoverServer(target: try Self.target(value, &cursor))
        case .error:
            self = .error(try [ErrorCause](from: try cursor.mandatory(.operationError, "the operation error")))
            try cursor.rest()
        }
    }

    private static func presence(_ flag: Bool, _ cursor: inout ParameterCursor) throws(WireError) -> Self {
        var checksum: UInt16?
        var information: ServerInformation?
        while let parameter = try cursor.next() {
            switch parameter.type {
            case .checksum: checksum = try readChecksum(parameter)
            case .serverInformation: information = try ServerInformation(from: parameter, into: &cursor)
            default: break
            }
        }
        return .presence(replyRequired: flag, checksum: checksum, information: information)
    }

    private static func handleUpdate(
        _ value: WireReader, _ flag: Bool, _ cursor: inout ParameterCursor
    ) throws(WireError) -> Self {
        var value = value
        let offset = value.offset
        let code = try value.readUInt16("update action")
        _ = try value.readUInt16("reserved field")
        guard let action = ENRPMessage.UpdateAction(rawValue: code) else {
            throw WireError(
                .invalidValue, at: offset, "update action \(code) is not assigned", causes: [ErrorCause(.invalidValues)]
            )
        }
        cursor = ParameterCursor(value)
        let pool = try PoolHandle(from: try cursor.mandatory(.poolHandle, "the pool handle"))
        let element = try cursor.mandatory(.poolElement, "the pool element")
        let member = try PoolMember(from: element, into: &cursor)
        try cursor.rest()
        return .handleUpdate(action, pool, member, takeoverSuggested: flag)
    }

    private static func target(
        _ value: WireReader, _ cursor: inout ParameterCursor
    ) throws(WireError) -> RegistrarID {
        var value = value
        let target = RegistrarID(rawValue: try value.readUInt32("targeting server's ID"))
        cursor = ParameterCursor(value)
        try cursor.rest()
        return target
    }

    private static func nothing<Entry>(_ cursor: inout ParameterCursor) throws(WireError) -> [Entry] {
        try cursor.rest()
        return []
    }

    private static func entries(_ cursor: inout ParameterCursor) throws(WireError) -> [ENRPMessage.PoolEntry] {
        var entries: [ENRPMessage.PoolEntry] = []
        while let parameter = try cursor.next() {
            switch parameter.type {
            case .poolHandle: entries.append(.init(pool: try PoolHandle(from: parameter), members: []))
            case .poolElement:
                guard !entries.isEmpty else {
                    throw parameter.invalid("a pool element before any pool handle", .unexpectedParameter)
                }
                entries[entries.count - 1].members.append(try PoolMember(from: parameter, into: &cursor))
            default: break
            }
        }
        return entries
    }

    private static func servers(_ cursor: inout ParameterCursor) throws(WireError) -> [ServerInformation] {
        var servers: [ServerInformation] = []
        while let parameter = try cursor.next() {
            if parameter.type == .serverInformation {
                servers.append(try ServerInformation(from: parameter, into: &cursor))
            }
        }
        return servers
    }

    fileprivate var flags: UInt8 {
        switch self {
        case .presence(let replyRequired, _, _): replyRequired ? 1 : 0
        case .handleTableRequest(let ownChildrenOnly): ownChildrenOnly ? 1 : 0
        case .handleTableResponse(let isRejected, let moreFollows, _): isRejected ? 1 : moreFollows ? 2 : 0
        case .listResponse(let isRejected, _): isRejected ? 1 : 0
        case .handleUpdate(_, _, _, let takeoverSuggested): takeoverSuggested ? 1 : 0
        case .listRequest, .initTakeover, .initTakeoverAck, .takeoverServer, .error: 0
        }
    }

    fileprivate func encode(into writer: inout WireWriter, for audience: Audience) {
        switch self {
        case .presence(_, let checksum, let information):
            if let checksum { writer.parameter(.checksum) { $0.write(checksum) } }
            information?.encode(into: &writer, for: audience)
        case .handleTableRequest, .listRequest: break
        case .handleTableResponse(let isRejected, _, let entries):
            for entry in entries where !isRejected {
                entry.pool.encode(into: &writer)
                for member in entry.members { member.encode(into: &writer, for: audience) }
            }
        case .handleUpdate(let action, let pool, let member, _):
            writer.write(action.rawValue)
            writer.write(0 as UInt16)
            pool.encode(into: &writer)
            member.encode(into: &writer, for: audience)
        case .listResponse(let isRejected, let servers):
            for server in servers where !isRejected { server.encode(into: &writer, for: audience) }
        case .initTakeover(let target), .initTakeoverAck(let target), .takeoverServer(let target):
            writer.write(target.rawValue)
        case .error(let causes): writer.write(causes)
        }
    }
}

extension ENRPMessage.Body {
    /// A list of as many of these servers as fit one message, the first ones (RFC 5353 §3.2.2.2, ENRP-049).
    package static func listResponse(of servers: [ServerInformation], for audience: Audience) -> Self {
        var length = ENRPMessage.headerLength
        let fitting = servers.prefix { server in
            length += server.encodedParameter(for: audience).count
            return length <= WireWriter.maximumLength
        }
        return .listResponse(isRejected: false, Array(fitting))
    }
}
