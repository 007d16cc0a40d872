// SPDX-License-Identifier: Apache-2.0

import Foundation
import RSerPoolWire

/// One message of each kind.
enum Samples {
    static let asap: [(name: String, bytes: [UInt8], message: ASAPMessage)] = {
        var kinds: Set<ASAPMessage.MessageType> = []
        return Self.corpus("asap").compactMap { bytes in
            guard let message = try? ASAPMessage.decode(bytes[...]).message, kinds.insert(message.type).inserted else {
                return nil
            }
            return (message.type.name, bytes, message)
        }
    }()

    static let enrp: [(name: String, bytes: [UInt8], message: ENRPMessage)] = {
        var kinds: Set<ENRPMessage.MessageType> = []
        return Self.corpus("enrp").compactMap { bytes in
            guard let message = try? ENRPMessage.decode(bytes[...]).message, kinds.insert(message.body.type).inserted
            else { return nil }
            return (message.body.type.name, bytes, message)
        }
    }()

    /// The fuzzer's inputs of one kind, the longest first, without the octet that says which kind they are.
    private static func corpus(_ kind: String) -> [[UInt8]] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "WireFuzz/Corpus")
        let files = (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        precondition(!files.isEmpty, "\(folder.path) has no messages")
        return files.filter { $0.lastPathComponent.hasPrefix(kind) }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
            .compactMap { try? Data(contentsOf: $0) }
            .map { Array($0.dropFirst()) }
            .sorted { $0.count > $1.count }
    }
}
