// SPDX-License-Identifier: Apache-2.0

internal import Crypto
internal import RSerPoolWire

/// The secret with which the elements of a pool sign the state cookies that they give their users to keep (RFC 5352 §3.8).
///
/// All elements of a pool have the same one, so that each can verify what another one has signed; users cannot read or change
/// it unnoticed. What a signature does not do: the state can be read, as it is not encrypted; an old cookie can be sent again;
/// and a user can present a cookie that was given to another one. Put into the state what tells users and times apart.
///
///     +---------------+
///     |  Version = 1  |
///     +---------------+-----------------------------------------------+
///     :                             State                             :
///     +---------------------------------------------------------------+
///     :        HMAC-SHA-256 over version, pool handle and state       :
///     +---------------------------------------------------------------+
public struct CookieKey: Sendable {
    private static let version: UInt8 = 1
    private static let tagLength = 32

    private let key: SymmetricKey

    /// - Parameter octets: at least 16, drawn by chance: a random number generator's, or from a file that all elements share.
    public init(octets: [UInt8]) {
        precondition(octets.count >= 16, "a cookie key has at least 16 octets, not \(octets.count)")
        self.key = SymmetricKey(data: octets)
    }

    /// One for this process alone: cookies are then good for this element and nobody else.
    public static func random() -> CookieKey {
        CookieKey(key: SymmetricKey(size: .bits256))
    }

    private init(key: SymmetricKey) {
        self.key = key
    }

    func sign(_ state: [UInt8], of pool: PoolHandle) -> [UInt8] {
        [Self.version] + state + Array(HMAC<SHA256>.authenticationCode(for: self.signed(state, pool), using: self.key))
    }

    /// The state in a cookie that was signed with this key for this pool; nil for anything else.
    func open(_ cookie: [UInt8], of pool: PoolHandle) -> [UInt8]? {
        guard cookie.first == Self.version, cookie.count > Self.tagLength else { return nil }
        let state = Array(cookie[1..<(cookie.count - Self.tagLength)])
        let tag = cookie.suffix(Self.tagLength)
        return HMAC<SHA256>.isValidAuthenticationCode(tag, authenticating: self.signed(state, pool), using: self.key)
            ? state : nil
    }

    /// The length keeps handle and state apart.
    private func signed(_ state: [UInt8], _ pool: PoolHandle) -> [UInt8] {
        let length = pool.octets.count
        return [Self.version, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)] + pool.octets
            + state
    }
}
