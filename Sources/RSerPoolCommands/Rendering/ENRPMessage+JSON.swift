// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension ENRPMessage {
    /// What the message says, field by field, in the order of the RFC's figures; what is absent is left out.
    package var members: [(String, JSON)] {
        [("sender", self.sender.json), ("receiver", self.receiver.json)] + self.body.members
    }
}

extension ENRPMessage.Body {
    fileprivate var members: [(String, JSON)] {
        switch self {
        case .presence(let replyRequired, let checksum, let information):
            [("reply-required", .bool(replyRequired))]
                + (checksum.map { [("checksum", .string(checksumText($0)))] } ?? [])
                + (information.map { [("server", $0.json)] } ?? [])
        case .handleTableRequest(let ownChildrenOnly): [("own-children-only", .bool(ownChildrenOnly))]
        case .handleTableResponse(let isRejected, let moreFollows, let entries):
            [
                ("rejected", .bool(isRejected)), ("more", .bool(moreFollows)),
                (
                    "pools",
                    .array(entries.map { ["pool": $0.pool.json, "elements": .array($0.members.map(\.json))] })
                ),
            ]
        case .handleUpdate(let action, let pool, let member, let takeoverSuggested):
            [
                ("action", action == .addPoolElement ? "add" : "delete"), ("pool", pool.json), ("element", member.json),
            ] + (takeoverSuggested ? [("takeover-suggested", true)] : [])
        case .listRequest: []
        case .listResponse(let isRejected, let servers):
            [("rejected", .bool(isRejected)), ("servers", .array(servers.map(\.json)))]
        case .initTakeover(let target), .initTakeoverAck(let target), .takeoverServer(let target):
            [("target", target.json)]
        case .error(let causes): errors(causes)
        }
    }
}

/// A PE checksum as the commands print it: `0x` and four digits.
package func checksumText(_ checksum: UInt16) -> String {
    let digits = String(checksum, radix: 16)
    return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
}
