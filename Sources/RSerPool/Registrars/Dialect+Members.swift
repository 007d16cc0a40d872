// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolCore
internal import RSerPoolWire

extension [PoolMember] {
    /// As a registrar of that dialect meant them.
    func heard(in dialect: Dialect) -> [PoolMember] {
        guard dialect != .rfc else { return self }
        return self.map { member in
            var member = member
            member.life = dialect.heard(member.life)
            return member
        }
    }
}
