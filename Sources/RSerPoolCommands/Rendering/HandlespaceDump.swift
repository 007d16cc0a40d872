// SPDX-License-Identifier: Apache-2.0

package import RSerPoolRegistrar
internal import RSerPoolWire

/// A registrar's handlespace as `rserpool dump` prints it: pools in the order of their handles, elements in the order of
/// their identifiers, then a summary.
package struct HandlespaceDump: Sendable {
    private let table: ENRPQuery.Table

    package init(_ table: ENRPQuery.Table) {
        self.table = table
    }

    /// Hands out whole text in pieces, since a pool may have a hundred thousand elements on one line.
    package func write(asJSON: Bool, to output: (String) -> Void) {
        var piece = ""
        var elements = 0
        var owned = 0
        var checksum = PEChecksum()
        for handle in self.table.pools.keys.sorted() {
            let members = self.table.pools[handle] ?? [:]
            piece += asJSON ? #"{"pool":\#(handle.json),"elements":["# : "pool \(handle): \(members.count)\n"
            var isFirst = true
            for id in members.keys.sorted() {
                guard let member = members[id] else { continue }
                piece += asJSON ? (isFirst ? "" : ",") + member.json.text : "  \(member.line)\n"
                isFirst = false
                if member.home == self.table.registrar {
                    owned += 1
                    checksum.add(handle, id)
                }
                if piece.utf8.count > 65_536 {
                    output(piece)
                    piece = ""
                }
            }
            elements += members.count
            if asJSON { piece += "]}\n" }
        }
        output(piece + self.summary(asJSON: asJSON, elements: elements, owned: owned, checksum) + "\n")
    }

    /// The checksum is the one over the elements whose home the asked registrar is (RFC 5353 §3.6.2).
    private func summary(asJSON: Bool, elements: Int, owned: Int, _ checksum: PEChecksum) -> String {
        let sum = checksumText(checksum.value)
        let pools = self.table.pools.count
        guard asJSON else {
            return
                "registrar \(self.table.registrar): pools \(pools), elements \(elements); own \(owned), checksum \(sum)"
        }
        return JSON.object([
            ("registrar", self.table.registrar.json), ("pools", .integer(pools)), ("elements", .integer(elements)),
            ("checksum", .string(sum)),
        ]).text
    }
}
