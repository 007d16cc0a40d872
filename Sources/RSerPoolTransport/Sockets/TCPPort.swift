// SPDX-License-Identifier: Apache-2.0

package import NetworkAddress
package import SocketLoop

/// What a TCP port had to turn away.
package struct TCPCounters: Hashable, Sendable {
    /// Connections above `PortOptions.maxIncomingLinks`, reset at once.
    package var refusedConnections = 0
    /// How often accepting paused because the system had no descriptor or memory left.
    package var acceptPauses = 0
    /// Connections that were cut off because what came was no framing, too long, or took too long.
    package var framingErrors = 0
}

/// Messages over TCP connections (RFC 5352 §3.3): a listener, connections to others, and a cutter that finds the messages.
///
/// Bounds: `TCPLimits`, the options' `sendBufferLimit` and `maxIncomingLinks`; per connection at most one incomplete message
/// is kept, and one read of 64 KiB is worked on per turn. Of several remote addresses one after the other is tried.
/// Messages sent before `.up` wait for it. Call ``close(within:)`` in the end: the loop holds
/// the port until then.
package actor TCPPort: Port {
    package nonisolated let id: PortID
    package nonisolated let local: LocalEndpoint
    nonisolated let loop: SocketLoop
    let framing: MessageCutter
    let options: PortOptions
    let limits: TCPLimits

    /// Empty once it closes.
    var listeners: [StreamSocket]
    private var receiver: (any PortReceiver)?
    var connections: [UInt64: TCPConnection] = [:]
    private var lastNumber: UInt64 = 0
    private var incomingCount = 0
    private var acceptTimer: TimerID?
    /// Connections with something to write at the end of this turn.
    var unsent: [TCPConnection] = []
    var isFlushing = false
    /// Where each read lands first.
    var scratch = [UInt8](repeating: 0, count: TCPLimits.readLimit)
    /// Ends that are told after the call that caused them.
    private var endsToTell = 0
    private var isClosing = false
    private var isClosed = false
    private var closers: [CheckedContinuation<Void, Never>] = []
    package internal(set) var counters = TCPCounters()

    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }

    /// Binds, but accepts nobody before ``start(_:)``.
    package init(
        id: PortID, options: PortOptions, framing: @escaping MessageCutter, limits: TCPLimits, loop: SocketLoop
    ) throws(TransportError) {
        let (listeners, local) = try Self.bind(options)
        self.id = id
        self.local = local
        self.loop = loop
        self.framing = framing
        self.options = options
        self.limits = limits
        self.listeners = listeners
    }

    /// Begins to accept, and to tell `receiver`.
    package func start(_ receiver: any PortReceiver) throws(TransportError) {
        self.receiver = receiver
        do throws(SocketLoopError) {
            for (index, listener) in self.listeners.enumerated() {
                let handler = TCPDescriptorHandler(port: self, role: .listener(index))
                try self.loop.add(listener.descriptor, interest: .readable, handler: handler)
            }
        } catch {
            self.stopListening()
            throw TransportError(errno: error.errno, error.operation)
        }
    }

    // MARK: Port

    package nonisolated func connect(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        try self.isolated { port throws(TransportError) in try port.startConnecting(to: remote) }
    }

    package nonisolated func send(_ message: OutboundMessage, on link: LinkID) throws(TransportError) {
        try self.isolated { port throws(TransportError) in try port.enqueue(message.bytes, on: link) }
    }

    package nonisolated func shutdown(_ link: LinkID) {
        self.assumeIsolated { port in
            if let connection = port.connection(link) { port.finish(connection) }
        }
    }

    package nonisolated func abort(_ link: LinkID) {
        self.assumeIsolated { port in
            if let connection = port.connection(link) { port.cutOff(connection) }
        }
    }

    package nonisolated func setReading(_ isReading: Bool, on link: LinkID) {
        self.assumeIsolated { port in
            guard let connection = port.connection(link) else { return }
            guard connection.isPaused == isReading else { return }
            connection.isPaused = !isReading
            if isReading, !connection.input.isEmpty {
                port.loop.call { [number = connection.number] in port.assumeIsolated { $0.cutAgain(number) } }
            }
            guard connection.isReading || !isReading else { return }
            port.setInterest(
                connection,
                isReading ? connection.interest.union(.readable) : connection.interest.subtracting(.readable))
        }
    }

    package nonisolated func localAddresses(of link: LinkID) -> [IPAddress] {
        self.assumeIsolated { port in
            port.connection(link)?.socket.localAddress.map { [$0.ip] } ?? []
        }
    }

    package nonisolated func smoothedRoundTripTime(of link: LinkID) -> Duration? {
        self.assumeIsolated { $0.connection(link)?.socket.smoothedRoundTripTime }
    }

    package func close(within limit: Duration) async {
        guard !self.isClosed else { return }
        if !self.isClosing {
            self.isClosing = true
            self.stopListening()
            for connection in self.sortedConnections() { self.finish(connection) }
        }
        if limit > .zero, !self.isIdle {
            // Not cut short by cancellation: this is how a cancelled run() ends, and `limit` bounds it.
            let timer = self.after(limit) { $0.resumeClosers() }
            await withCheckedContinuation { self.closers.append($0) }
            self.loop.clock.cancel(timer)
        }
        guard !self.isClosed else { return }
        self.isClosed = true
        for connection in self.sortedConnections() { self.end(connection, .closed, withReset: true) }
        self.resumeClosers()
        self.receiver = nil
    }

    private var isIdle: Bool { self.connections.isEmpty && self.endsToTell == 0 }

    private func resumeClosers() {
        let closers = self.closers
        self.closers = []
        for closer in closers { closer.resume() }
    }

    private func sortedConnections() -> [TCPConnection] {
        self.connections.values.sorted { $0.number < $1.number }
    }

    private nonisolated func isolated<Value: Sendable>(
        _ body: @Sendable (isolated TCPPort) throws(TransportError) -> Value
    ) throws(TransportError) -> Value {
        try self.assumeIsolated { port in
            Result { () throws(TransportError) in try body(port) }
        }.get()
    }

    // MARK: Listening

    private static func bind(_ options: PortOptions) throws(TransportError) -> ([StreamSocket], LocalEndpoint) {
        var local = LocalEndpoint(scheme: .tcp, addresses: options.localAddresses, port: options.port)
        if local.addresses.isEmpty { local.addresses = [.anyIPv4] }
        guard options.acceptsLinks else { return ([], local) }
        // A free port at the first address may be taken at another one: then a few more are tried.
        for attempt in 1... {
            var listeners: [StreamSocket] = []
            var address = SocketAddress(ip: local.addresses[0], port: options.port)
            do throws(StreamSocket.SystemError) {
                if options.localAddresses.isEmpty {
                    listeners.append(try self.bindEverywhere(port: options.port))
                } else {
                    for ip in options.localAddresses {
                        address.ip = ip
                        listeners.append(try .listening(at: address, isDualStack: false))
                        address.port = listeners[0].localAddress?.port ?? address.port
                    }
                }
                local.port = listeners[0].localAddress?.port ?? options.port
                return (listeners, local)
            } catch {
                for listener in listeners { listener.close() }
                guard options.port == 0, listeners.count > 0, attempt < 10 else {
                    throw TransportError(errno: error.number, "tcp:\(address)")
                }
            }
        }
        preconditionFailure("the loop ends by returning or throwing")
    }

    /// One socket for both families; IPv4's alone where there is no IPv6.
    private static func bindEverywhere(port: UInt16) throws(StreamSocket.SystemError) -> StreamSocket {
        do throws(StreamSocket.SystemError) {
            return try .listening(at: SocketAddress(ip: .anyIPv6, port: port), isDualStack: true)
        } catch {
            guard TransportError(errno: error.number, "").code == .addressNotAvailable else { throw error }
            return try .listening(at: SocketAddress(ip: .anyIPv4, port: port), isDualStack: false)
        }
    }

    func acceptConnections(of index: Int) {
        for _ in 0..<self.limits.acceptsPerTurn {
            guard index < self.listeners.count else { return }
            let socket: StreamSocket
            let remote: SocketAddress?
            do throws(StreamSocket.SystemError) {
                (socket, remote) = try self.listeners[index].accepted()
            } catch {
                if error.isWouldBlock { return }
                if error.isExhaustion { return self.pauseAccepting() }
                // That connection is gone again before it was taken; the next one may be fine.
                continue
            }
            guard let remote, self.incomingCount < self.options.maxIncomingLinks else {
                self.counters.refusedConnections += 1
                socket.abort()
                self.receiver?.turnedAway(.tooManyLinks, at: self)
                continue
            }
            let connection = self.makeConnection(isIncoming: true, to: remote, socket: socket, phase: .open)
            guard self.watch(connection, interest: .readable) else {
                socket.abort()
                return self.pauseAccepting()
            }
            self.incomingCount += 1
            self.cameUp(connection)
        }
    }

    /// Lets newcomers wait in the system's queue for a moment: with level-triggered readiness the loop would spin instead.
    private func pauseAccepting() {
        self.counters.acceptPauses += 1
        guard self.acceptTimer == nil else { return }
        for listener in self.listeners { self.loop.change(listener.descriptor, interest: []) }
        self.acceptTimer = self.after(self.limits.acceptPause) { port in
            port.acceptTimer = nil
            for listener in port.listeners { port.loop.change(listener.descriptor, interest: .readable) }
        }
        self.receiver?.turnedAway(.noResources, at: self)
    }

    private func stopListening() {
        if let timer = self.acceptTimer.take() { self.loop.clock.cancel(timer) }
        for listener in self.listeners {
            self.loop.remove(listener.descriptor)
            listener.close()
        }
        self.listeners = []
    }

    // MARK: Connecting

    private func startConnecting(to remote: RemoteEndpoint) throws(TransportError) -> LinkID {
        guard !self.isClosing else { throw TransportError(.failed, "the port is closed") }
        guard let first = remote.addresses.first, remote.port != 0 else {
            throw TransportError(.addressNotAvailable, "there is no address or port to connect to")
        }
        let what = "tcp:\(SocketAddress(ip: first, port: remote.port))"
        let attempt: (StreamSocket, IPAddress, ArraySlice<IPAddress>)?
        do throws(StreamSocket.SystemError) {
            attempt = try self.attempt(remote.addresses[...], port: remote.port)
        } catch {
            throw TransportError(errno: error.number, what)
        }
        guard let (socket, address, others) = attempt else {
            self.lastNumber += 1
            self.tellEnd(self.lastNumber, .refused)
            return LinkID(port: self.id, number: self.lastNumber)
        }
        let connection = self.makeConnection(
            isIncoming: false, to: SocketAddress(ip: address, port: remote.port), socket: socket,
            phase: .connecting(others: others))
        guard self.watch(connection, interest: .writable) else {
            socket.close()
            throw TransportError(.outOfResources, "\(what): the system has no room to watch another connection")
        }
        connection.phaseTimer = self.after(self.limits.connect) { [number = connection.number] port in
            port.connections[number].map { port.end($0, .refused) }
        }
        return self.link(connection)
    }

    /// Begins to connect to the first address where that can be begun. Nil: nowhere. Throws if no socket is to be had.
    private func attempt(
        _ addresses: ArraySlice<IPAddress>, port: UInt16
    ) throws(StreamSocket.SystemError) -> (StreamSocket, IPAddress, others: ArraySlice<IPAddress>)? {
        var addresses = addresses
        while let address = addresses.popFirst() {
            let source = self.options.localAddresses.first { $0.family == address.family && !$0.isWildcard }
            do throws(StreamSocket.SystemError) {
                let socket = try StreamSocket.connecting(to: SocketAddress(ip: address, port: port), from: source)
                return (socket, address, addresses)
            } catch {
                if error.isExhaustion { throw error }
            }
        }
        return nil
    }

    /// The system has finished an attempt.
    func connectingEnded(_ connection: TCPConnection, others: ArraySlice<IPAddress>) {
        let remote = SocketAddress(ip: connection.remoteAddress, port: connection.remotePort)
        guard connection.socket.takeError() != 0 || connection.socket.isConnectedToItself(at: remote) else {
            self.cancelPhaseTimer(connection)
            connection.phase = .open
            self.setInterest(connection, connection.isPaused ? [] : .readable)
            if !connection.output.isEmpty { self.writeSoon(connection) }
            return self.cameUp(connection)
        }
        self.loop.remove(connection.socket.descriptor)
        connection.socket.abort()
        let next = try? self.attempt(others, port: connection.remotePort)
        guard let (socket, address, others) = next else { return self.forget(connection, .refused) }
        connection.socket = socket
        connection.remoteAddress = address
        connection.phase = .connecting(others: others)
        guard self.watch(connection, interest: .writable) else {
            socket.close()
            return self.forget(connection, .refused)
        }
    }

    // MARK: The life of a connection

    private func makeConnection(
        isIncoming: Bool, to remote: SocketAddress, socket: StreamSocket, phase: TCPConnection.Phase
    ) -> TCPConnection {
        self.lastNumber += 1
        return TCPConnection(
            number: self.lastNumber, isIncoming: isIncoming, remote: remote, socket: socket, phase: phase)
    }

    /// False when the system has no room for it.
    private func watch(_ connection: TCPConnection, interest: Interest) -> Bool {
        let handler = TCPDescriptorHandler(port: self, role: .connection(connection.number))
        do throws(SocketLoopError) {
            try self.loop.add(connection.socket.descriptor, interest: interest, handler: handler)
        } catch {
            return false
        }
        connection.interest = interest
        self.connections[connection.number] = connection
        return true
    }

    private func cameUp(_ connection: TCPConnection) {
        connection.socket.prepare(idle: self.limits.keepAliveIdle, interval: self.limits.keepAliveInterval)
        let remote = RemoteEndpoint(addresses: [connection.remoteAddress], port: connection.remotePort)
        self.tell(
            .up(Link(id: self.link(connection), scheme: .tcp, remote: remote, isIncoming: connection.isIncoming)))
    }

    /// Shuts a connection down: what waits is sent first.
    private func finish(_ connection: TCPConnection) {
        switch connection.phase {
        case .connecting: return self.cutOff(connection)
        case .open: connection.phase = .finishing(farEndHas: false)
        case .farEndFinished: connection.phase = .finishing(farEndHas: true)
        case .finishing: return
        }
        self.startFinishTimer(connection)
        if connection.output.isEmpty { self.sendFIN(connection) }
    }

    func sendFIN(_ connection: TCPConnection) {
        guard !connection.hasSentFIN else { return }
        connection.hasSentFIN = true
        connection.socket.finish()
    }

    func startFinishTimer(_ connection: TCPConnection) {
        self.cancelPhaseTimer(connection)
        connection.phaseTimer = self.after(self.limits.finish) { [number = connection.number] port in
            port.connections[number].map { port.end($0, .shutdown, withReset: true) }
        }
    }

    /// Ends a connection from inside a call of the receiver, who is told afterwards.
    private func cutOff(_ connection: TCPConnection) {
        self.discard(connection, withReset: true)
        self.tellEnd(connection.number, .closed)
    }

    /// Ends a connection and tells so. After a shutdown of ours the reason is `.closed`, whatever happened.
    func end(_ connection: TCPConnection, _ reason: LinkDownReason, withReset: Bool = false) {
        self.discard(connection, withReset: withReset)
        var reason = reason
        if case .finishing = connection.phase { reason = .closed }
        if reason == .protocolViolation { self.counters.framingErrors += 1 }
        self.tell(.down(self.link(connection), reason))
        self.checkClosing()
    }

    /// As `end`, for a connection whose socket is closed already.
    private func forget(_ connection: TCPConnection, _ reason: LinkDownReason) {
        self.cancelPhaseTimer(connection)
        self.connections[connection.number] = nil
        connection.hasEnded = true
        self.tell(.down(self.link(connection), reason))
        self.checkClosing()
    }

    private func discard(_ connection: TCPConnection, withReset: Bool) {
        self.cancelPhaseTimer(connection)
        if let timer = connection.partialTimer.take() { self.loop.clock.cancel(timer) }
        self.loop.remove(connection.socket.descriptor)
        if withReset { connection.socket.abort() } else { connection.socket.close() }
        self.connections[connection.number] = nil
        connection.hasEnded = true
        if connection.isIncoming { self.incomingCount -= 1 }
    }

    private func cancelPhaseTimer(_ connection: TCPConnection) {
        if let timer = connection.phaseTimer.take() { self.loop.clock.cancel(timer) }
    }

    private func checkClosing() {
        if self.isClosing, self.isIdle { self.resumeClosers() }
    }

    // MARK: Helpers

    func link(_ connection: TCPConnection) -> LinkID { LinkID(port: self.id, number: connection.number) }

    func connection(_ link: LinkID) -> TCPConnection? {
        link.port == self.id ? self.connections[link.number] : nil
    }

    func setInterest(_ connection: TCPConnection, _ interest: Interest) {
        guard interest != connection.interest else { return }
        connection.interest = interest
        self.loop.change(connection.socket.descriptor, interest: interest)
    }

    func tell(_ event: LinkEvent) {
        self.receiver?.received(event, from: self)
    }

    private func tellEnd(_ number: UInt64, _ reason: LinkDownReason) {
        self.endsToTell += 1
        let event = LinkEvent.down(LinkID(port: self.id, number: number), reason)
        // The receiver of now: closing meanwhile does not swallow it.
        self.loop.call { [receiver = self.receiver] in
            receiver?.received(event, from: self)
            self.assumeIsolated { port in
                port.endsToTell -= 1
                port.checkClosing()
            }
        }
    }

    func after(_ span: Duration, _ body: @escaping @Sendable (isolated TCPPort) -> Void) -> TimerID {
        self.loop.clock.schedule(at: self.loop.clock.now.advanced(by: span)) {
            self.assumeIsolated { body($0) }
        }
    }
}
