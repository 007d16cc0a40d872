// SPDX-License-Identifier: Apache-2.0

/// How patient a TCP port is, and how much it takes.
package struct TCPLimits: Sendable {
    /// How long a connection attempt may take in all; then `.down` with `.refused`. The system alone would wait for minutes.
    package var connect: Duration = .seconds(5)
    /// How long one message may take to arrive after its first octet; then `.down` with `.protocolViolation`.
    package var partialMessage: Duration = .seconds(30)
    /// How long the far end may take to read the rest and finish after a shutdown by either side; then it is cut off.
    package var finish: Duration = .seconds(5)
    /// How long nobody is accepted after the system had no descriptor or memory for another connection.
    package var acceptPause: Duration = .milliseconds(100)
    /// Silence after which a far end is asked whether it is still there, and how long it has for each of three answers.
    package var keepAliveIdle: Duration = .seconds(30)
    package var keepAliveInterval: Duration = .seconds(10)
    /// Connections accepted in one turn of the loop.
    package var acceptsPerTurn = 16

    /// The longest message in octets, padding included, both ways.
    package static let maxMessageLength = 65_536
    /// Octets read from one connection in one turn of the loop.
    package static let readLimit = 65_536

    /// - Parameter isFast: Whether a far end that is gone shall be noticed within about 4 s instead of about a minute.
    package init(isFast: Bool) {
        guard isFast else { return }
        self.keepAliveIdle = .seconds(1)
        self.keepAliveInterval = .seconds(1)
    }
}
