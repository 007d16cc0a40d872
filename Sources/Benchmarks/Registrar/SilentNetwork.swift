// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import SocketLoop

/// A network that takes every message and carries none: what is left is the registrar's own cost.
struct SilentNetwork: Transport {
    /// The registrar's port for elements and users.
    let port = SilentPort()

    nonisolated(nonsending) func open(
        _ options: PortOptions, receiver: any PortReceiver
    ) async throws(TransportError) -> any Port {
        self.port.receiver.withLock { $0 = $0 ?? receiver }
        return self.port
    }

    nonisolated(nonsending) func open(
        _ options: DatagramOptions, receiver: any DatagramReceiver
    ) async throws(TransportError) -> any DatagramPort {
        throw TransportError(.unsupported, "a silent network has no multicast")
    }
}

final class SilentPort: Port {
    let id = PortID(rawValue: 1)
    let local = LocalEndpoint(scheme: .sctp, addresses: [.loopbackIPv4], port: 3863)
    let receiver = Locked<(any PortReceiver)?>(nil)
    private let sent = Locked(0)

    /// Messages that it was given.
    var sentCount: Int { self.sent.withLock { $0 } }

    func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError) {
        self.sent.withLock { $0 += 1 }
    }

    func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        throw TransportError(.unsupported, "a silent network leads nowhere")
    }

    func setReading(_ isReading: Bool, on link: LinkID) {}
    func shutdown(_ link: LinkID) {}
    func abort(_ link: LinkID) {}
    func localAddresses(of link: LinkID) -> [IPAddress] { [.loopbackIPv4] }
    func smoothedRoundTripTime(of link: LinkID) -> Duration? { nil }
    func close(within limit: Duration) async {}
}

/// The loop's clock, put forward at will: what a registrar does at most every so often is done at once.
final class ForwardClock: MonotonicClock {
    private let loop: any MonotonicClock
    private let ahead = Locked(Duration.zero)

    init(_ loop: any MonotonicClock) {
        self.loop = loop
    }

    var now: ContinuousClock.Instant { self.loop.now + self.ahead.withLock { $0 } }
    var minimumResolution: Duration { self.loop.minimumResolution }

    func putForward(_ duration: Duration) {
        self.ahead.withLock { $0 += duration }
    }

    func schedule(at deadline: ContinuousClock.Instant, _ body: @escaping @Sendable () -> Void) -> TimerID {
        self.loop.schedule(at: deadline - self.ahead.withLock { $0 }, body)
    }

    func cancel(_ timer: TimerID) {
        self.loop.cancel(timer)
    }
}
