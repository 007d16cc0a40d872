// SPDX-License-Identifier: Apache-2.0

/// What kind of world it is. The defaults are a local network with userland SCTP.
package struct WorldOptions: Sendable {
    /// Who keeps the associations of a process, and so what others see when it is killed or stopped.
    package enum SCTPStack: Sendable {
        /// The system does: a killed process ends them with SHUTDOWN, a stopped one keeps them.
        case kernel
        /// The process does: a killed one says nothing, a stopped one does not answer, and others find out by
        /// heartbeats.
        case userland
    }

    package var sctpStack = SCTPStack.userland
    /// How all ways are that nobody has set apart with `World.setConditions`.
    package var conditions = PathConditions()
    /// How long a silent far end stays unnoticed on SCTP ports with `fastFailureDetection`; drawn anew each time.
    package var fastDetection: ClosedRange<Duration> = .milliseconds(100) ... .milliseconds(160)
    /// The same on other SCTP ports.
    package var normalDetection: ClosedRange<Duration> = .seconds(3) ... .seconds(6)
    /// The same for TCP, by its keep-alives or by what nobody acknowledges.
    package var tcpDetection: ClosedRange<Duration> = .seconds(60) ... .seconds(65)
    package var fastTCPDetection: ClosedRange<Duration> = .seconds(4) ... .seconds(5)
    /// How long an attempt to connect goes on where nobody answers.
    package var connectTimeout = Duration.seconds(5)
    /// The pause between two attempts of it.
    package var connectRetry = Duration.milliseconds(500)
    /// Octets on the way to one datagram port before further ones are lost, as in a socket's receive buffer.
    package var datagramBuffer = 212_992
    /// More work at one instant is reported as `WorldError.livelock`.
    package var jobsPerInstant = 1_000_000

    package init() {}
}

/// What the way from one node to another does to what is sent.
package struct PathConditions: Hashable, Sendable {
    package var latency: Duration
    /// Added to the latency: anything from nothing to this, drawn for each packet.
    package var jitter: Duration
    /// The share of packets that are lost. A link sends them again after ``retransmission``, so there it is only delay.
    package var loss: Double
    /// The share of datagrams that arrive twice; links hide it.
    package var duplication: Double
    package var retransmission: Duration

    package init(
        latency: Duration = .microseconds(100), jitter: Duration = .microseconds(900), loss: Double = 0,
        duplication: Double = 0, retransmission: Duration = .milliseconds(200)
    ) {
        self.latency = latency
        self.jitter = jitter
        self.loss = loss
        self.duplication = duplication
        self.retransmission = retransmission
    }
}

/// How a process ends.
package enum Death: Hashable, Sendable {
    /// It is killed (`kill -9`); its machine lives on and refuses who connects to it. The rest depends on the SCTP
    /// stack.
    case process
    /// Its machine loses power: nobody answers at its addresses until a node is started there again. If other nodes
    /// live on that machine, give them the same death.
    case machine
}
