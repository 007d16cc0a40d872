// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import SocketLoop

/// One TCP connection of a port; only ever touched by its port, on the loop.
final class TCPConnection {
    enum Phase {
        /// Leaves for `open`, or ends as refused. `others`: addresses still to be tried.
        case connecting(others: ArraySlice<IPAddress>)
        /// Leaves for `finishing` when we shut it down, for `farEndFinished` when the far end does, or ends.
        case open
        /// The far end has finished; what waits here is still sent, then it ends as `.shutdown`.
        case farEndFinished
        /// We have shut it down: what waits is sent, then a FIN; it ends as `.closed` when the far end has finished as well.
        case finishing(farEndHas: Bool)
    }

    let number: UInt64
    let isIncoming: Bool
    let remotePort: UInt16
    var remoteAddress: IPAddress
    var socket: StreamSocket
    var phase: Phase
    /// The port does not know it any more: that may be so after its receiver had the word.
    var hasEnded = false
    var interest: Interest = []
    /// A part of a message; below ``TCPLimits/maxMessageLength`` octets between two reads.
    var input: [UInt8] = []
    var output = ByteQueue()
    /// A send was refused: say `.writable` when there is room.
    var owesWritable = false
    var isInUnsent = false
    /// Its receiver wants nothing more for now.
    var isPaused = false
    var hasSentFIN = false
    /// When the first octet of the message in `input` came.
    var partialSince: ContinuousClock.Instant?
    var partialTimer: TimerID?
    /// The limit of `connecting`, or of both kinds of ending.
    var phaseTimer: TimerID?

    init(number: UInt64, isIncoming: Bool, remote: SocketAddress, socket: StreamSocket, phase: Phase) {
        self.number = number
        self.isIncoming = isIncoming
        self.remotePort = remote.port
        self.remoteAddress = remote.ip
        self.socket = socket
        self.phase = phase
    }

    var takesMessages: Bool {
        switch self.phase {
        case .connecting, .open, .farEndFinished: true
        case .finishing: false
        }
    }

    /// Whether more may come from the far end.
    var isReading: Bool {
        switch self.phase {
        case .open, .finishing(farEndHas: false): !self.isPaused
        case .connecting, .farEndFinished, .finishing(farEndHas: true): false
        }
    }
}

/// Hands a descriptor's readiness to its port.
final class TCPDescriptorHandler: DescriptorHandler {
    enum Role: Sendable {
        case listener(Int)
        case connection(UInt64)
    }

    private let port: TCPPort
    private let role: Role

    init(port: TCPPort, role: Role) {
        self.port = port
        self.role = role
    }

    func ready(_ events: Interest) {
        let role = self.role
        self.port.assumeIsolated { port in
            switch role {
            case .listener(let index): port.acceptConnections(of: index)
            case .connection(let number): port.ready(number, events)
            }
        }
    }
}
