// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolTransport
import SocketLoop
import Testing

/// A port whose events are kept in order until somebody asks for them. Its methods hop to the loop.
final class TestPort: PortReceiver {
    /// What it does with an event at once, on the loop. False: the event is not kept.
    typealias Reaction = @Sendable (LinkEvent, any Port) -> Bool

    private struct State {
        var port: (any Port)?
        var events: [LinkEvent] = []
        var reader: Waiter<Void>?
    }

    let loop: SocketLoop
    private let state = Locked(State())
    private let reaction: Reaction

    private init(loop: SocketLoop, reaction: @escaping Reaction) {
        self.loop = loop
        self.reaction = reaction
    }

    static func open(
        _ carrier: Carrier, acceptsLinks: Bool = true, options change: (inout PortOptions) -> Void = { _ in },
        reaction: @escaping Reaction = { _, _ in true }
    ) async throws -> TestPort {
        let host = try carrier.host()
        var options = carrier.options(acceptsLinks: acceptsLinks)
        change(&options)
        let test = TestPort(loop: host.loop, reaction: reaction)
        let port = try await host.transport.open(options, receiver: test)
        test.state.withLock { $0.port = port }
        return test
    }

    /// Opens a port whose number was another's a moment ago: it stays taken for a moment more where another test starts a
    /// program, which inherits the descriptor until it is executed.
    static func whenFree<Opened: Sendable>(_ open: () async throws -> Opened) async throws -> Opened {
        let end = ContinuousClock.now + .seconds(5)
        while true {
            do {
                return try await open()
            } catch let error as TransportError where error.code == .addressInUse && ContinuousClock.now < end {}
        }
    }

    /// A TCP port with limits of the test's own.
    static func tcp(
        acceptsLinks: Bool = true, limits change: (inout TCPLimits) -> Void = { _ in },
        options changeOptions: (inout PortOptions) -> Void = { _ in }, reaction: @escaping Reaction = { _, _ in true }
    ) async throws -> TestPort {
        let host = try Carrier.tcp.host()
        var options = Carrier.tcp.options(acceptsLinks: acceptsLinks)
        changeOptions(&options)
        var limits = TCPLimits(isFast: true)
        change(&limits)
        let test = TestPort(loop: host.loop, reaction: reaction)
        let port = try TCPPort(
            id: PortID(rawValue: 1_000_000), options: options, framing: cutMessages, limits: limits, loop: host.loop)
        try await port.start(test)
        test.state.withLock { $0.port = port }
        return test
    }

    /// Sends everything back, and keeps only ups and downs.
    static let echo: Reaction = { event, port in
        guard case .message(let message, let link) = event else { return true }
        let answer = OutboundMessage(
            bytes: message.bytes, payloadProtocol: message.payloadProtocol, stream: message.stream)
        do { try port.send(answer, on: link) } catch { Issue.record("echo: \(error)") }
        return false
    }

    func received(_ event: LinkEvent, from port: any Port) {
        guard self.reaction(event, port) else { return }
        let reader = self.state.withLock { state in
            state.events.append(event)
            return state.reader.take()
        }
        reader?.end()
    }

    /// Only after `open`.
    var port: any Port {
        guard let port = self.state.withLock({ $0.port }) else { preconditionFailure("not opened") }
        return port
    }

    /// Where this port can be reached.
    var endpoint: RemoteEndpoint {
        let local = self.port.local
        return RemoteEndpoint(
            addresses: local.addresses, port: local.port, encapsulationPort: local.encapsulationPort)
    }

    // MARK: Acting

    func onLoop<Value: Sendable>(_ body: @escaping @Sendable (any Port) throws -> Value) async throws -> Value {
        let port = self.port
        return try await self.loop.run { try body(port) }
    }

    func connect(to remote: RemoteEndpoint) async throws -> LinkID {
        try await self.onLoop { try $0.connect(to: remote) }
    }

    func send(_ bytes: [UInt8], on link: LinkID) async throws {
        try await self.onLoop { try $0.send(OutboundMessage(bytes), on: link) }
    }

    func shutdown(_ link: LinkID) async throws { try await self.onLoop { $0.shutdown(link) } }
    func abort(_ link: LinkID) async throws { try await self.onLoop { $0.abort(link) } }
    func close(within limit: Duration = .seconds(10)) async { await self.port.close(within: limit) }

    /// Connects to another port; both links when both are up.
    func link(to other: TestPort) async throws -> (here: Link, there: Link) {
        let id = try await self.connect(to: other.endpoint)
        let here = try await self.up()
        #expect(here.id == id)
        return (here, try await other.up())
    }

    // MARK: Waiting

    struct Missing: Error, CustomStringConvertible {
        let what: String
        var description: String { "did not happen in time: \(self.what)" }
    }

    /// The next event for which `choose` has a value; those before it are dropped.
    func next<Value>(
        _ what: String, within limit: Duration = .seconds(20), _ choose: (LinkEvent) -> Value?
    ) async throws -> Value {
        let deadline = ContinuousClock.now.advanced(by: limit)
        while true {
            let (found, waiter) = self.state.withLock { state -> (Value?, Waiter<Void>?) in
                while !state.events.isEmpty {
                    if let value = choose(state.events.removeFirst()) { return (value, nil) }
                }
                let waiter = Waiter<Void>()
                state.reader = waiter
                return (nil, waiter)
            }
            if let found { return found }
            guard let waiter else { continue }
            let timer = self.loop.clock.schedule(at: deadline) { waiter.end(.failure(Missing(what: what))) }
            defer { self.loop.clock.cancel(timer) }
            try await waiter.value()
        }
    }

    func up() async throws -> Link {
        try await self.next("up") { if case .up(let link) = $0 { link } else { nil } }
    }

    func message() async throws -> (message: InboundMessage, link: LinkID) {
        try await self.next("message") { if case .message(let message, let link) = $0 { (message, link) } else { nil } }
    }

    func down(_ link: LinkID? = nil) async throws -> LinkDownReason {
        try await self.next("down") { event in
            guard case .down(let id, let reason) = event, link == nil || link == id else { return nil }
            return reason
        }
    }

    func writable() async throws -> LinkID {
        try await self.next("writable") { if case .writable(let link) = $0 { link } else { nil } }
    }

    /// Events that nobody has asked for yet.
    var pending: [LinkEvent] { self.state.withLock { $0.events } }
}
