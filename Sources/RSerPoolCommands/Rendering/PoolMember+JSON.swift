// SPDX-License-Identifier: Apache-2.0

package import RSerPoolWire

extension PoolMember {
    /// The commands' element object: `{"id","home","transport","addresses","port","use","life","policy"}`, then `"udp"` where
    /// it lives behind an encapsulation port and `"asap"` where its ASAP transport is known.
    package var json: JSON {
        var members: [(String, JSON)] = [("id", self.id.json), ("home", self.home.json)]
        members += self.transport.members
        members.append(("life", self.life.json))
        members.append(("policy", self.policy.json))
        if let port = self.encapsulationPort { members.append(("udp", .integer(port))) }
        if let asapTransport { members.append(("asap", asapTransport.json)) }
        return .object(members)
    }

    /// One line for people: identifier, endpoint, use, policy, life, home.
    package var line: String {
        let endpoint = self.transport.endpointText(encapsulationPort: self.encapsulationPort)
        let life = self.life == .infinite ? "for ever" : "for \(self.life.rawValue) s"
        return
            "\(self.id)  \(endpoint)  \(self.transport.use.name)  \(self.policy.argument)  \(life)  home \(self.home)"
    }
}
