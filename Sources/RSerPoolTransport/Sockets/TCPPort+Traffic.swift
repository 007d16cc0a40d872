// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

// What travels over the connections of a port.
extension TCPPort {
    func ready(_ number: UInt64, _ events: Interest) {
        guard let connection = self.connections[number] else { return }
        if case .connecting(let others) = connection.phase {
            return self.connectingEnded(connection, others: others)
        }
        if events.contains(.failed) {
            let number = connection.socket.takeError()
            if number != 0 {
                return self.end(connection, StreamSocket.SystemError(number: number).downReason)
            }
        }
        if events.contains(.writable), connection.interest.contains(.writable) {
            self.write(connection)
        }
        if events.contains(.readable), !connection.hasEnded, connection.isReading {
            self.read(connection)
        }
    }

    // MARK: In

    private func read(_ connection: TCPConnection) {
        let outcome = self.scratch.withUnsafeMutableBytes { buffer in
            Result { () throws(StreamSocket.SystemError) in try connection.socket.read(into: buffer) }
        }
        switch outcome {
        case .success(0):
            self.farEndFinished(connection)
        case .success(let count):
            self.cut(connection, count)
        case .failure(let error):
            if !error.isWouldBlock { self.end(connection, error.downReason) }
        }
    }

    /// Goes on with what has come before its receiver wanted nothing more.
    func cutAgain(_ number: UInt64) {
        guard let connection = self.connections[number], !connection.isPaused, !connection.input.isEmpty else { return }
        self.cut(connection, 0)
    }

    /// Finds the messages in what was kept and the first `count` octets of `scratch`, and hands them up.
    private func cut(_ connection: TCPConnection, _ count: Int) {
        var bytes: ArraySlice<UInt8>
        if connection.input.isEmpty {
            bytes = self.scratch[..<count]
        } else {
            // Moved out and in again, so that growing it octet by octet never copies the whole.
            var joined = connection.input
            connection.input = []
            joined += self.scratch[..<count]
            bytes = joined[...]
        }
        let arrived = bytes.count
        while !bytes.isEmpty {
            let length: Int?
            do {
                length = try self.framing(bytes)
            } catch {
                return self.end(connection, .protocolViolation, withReset: true)
            }
            guard (1...TCPLimits.maxMessageLength).contains(length ?? bytes.count + 1) else {
                return self.end(connection, .protocolViolation, withReset: true)
            }
            guard let length, length <= bytes.count else { break }
            let message = InboundMessage(bytes: Array(bytes.prefix(length)))
            bytes = bytes.dropFirst(length)
            self.tell(.message(message, self.link(connection)))
            guard !connection.hasEnded else { return }
            // What is here already waits for its receiver too.
            if connection.isPaused { break }
        }
        self.keep(connection, bytes, isUntouched: bytes.count == arrived)
    }

    /// Keeps the beginning of a message, and watches that the rest comes in time.
    private func keep(_ connection: TCPConnection, _ bytes: ArraySlice<UInt8>, isUntouched: Bool) {
        guard !bytes.isEmpty else {
            connection.partialSince = nil
            return
        }
        connection.input = Array(bytes)
        if connection.isPaused {
            connection.partialSince = nil
            return
        }
        if !isUntouched || connection.partialSince == nil { connection.partialSince = self.loop.clock.now }
        if connection.partialTimer == nil { self.watchPartial(connection, for: self.limits.partialMessage) }
    }

    private func watchPartial(_ connection: TCPConnection, for span: Duration) {
        connection.partialTimer = self.after(span) { [number = connection.number] port in
            guard let connection = port.connections[number] else { return }
            connection.partialTimer = nil
            guard let since = connection.partialSince else { return }
            let left = port.limits.partialMessage - since.duration(to: port.loop.clock.now)
            // The message of then has come; this is a later one.
            if left > .zero { return port.watchPartial(connection, for: left) }
            port.end(connection, .protocolViolation, withReset: true)
        }
    }

    private func farEndFinished(_ connection: TCPConnection) {
        self.setInterest(connection, connection.interest.subtracting(.readable))
        switch connection.phase {
        case .open where !connection.input.isEmpty:
            // In the midst of a message.
            self.end(connection, .protocolViolation)
        case .open where connection.output.isEmpty:
            self.end(connection, .shutdown)
        case .open:
            // It has asked and waits for the answers.
            connection.phase = .farEndFinished
            self.startFinishTimer(connection)
        case .finishing:
            connection.phase = .finishing(farEndHas: true)
            self.proceedWithEnding(connection)
        case .connecting, .farEndFinished:
            break
        }
    }

    // MARK: Out

    func enqueue(_ bytes: [UInt8], on link: LinkID) throws(TransportError) {
        guard let connection = self.connection(link), connection.takesMessages else {
            throw TransportError(.noSuchLink, "link \(link) has ended")
        }
        guard bytes.count <= TCPLimits.maxMessageLength else {
            throw TransportError(
                .messageTooLong, "\(bytes.count) octets, a message has at most \(TCPLimits.maxMessageLength)")
        }
        let waiting = connection.output.count
        guard waiting == 0 || waiting + bytes.count <= self.options.sendBufferLimit else {
            connection.owesWritable = true
            throw TransportError(.bufferFull, "\(waiting) octets wait on link \(link)")
        }
        connection.output.append(bytes)
        self.writeSoon(connection)
    }

    /// Writes what waits at the end of this turn, together with what is still added until then.
    func writeSoon(_ connection: TCPConnection) {
        // Who connects or waits for room is written when that has come.
        guard !connection.isInUnsent, !connection.interest.contains(.writable) else { return }
        connection.isInUnsent = true
        self.unsent.append(connection)
        guard self.unsent.count == 1 else { return }
        let flush: @Sendable () -> Void = { self.assumeIsolated { $0.flush() } }
        // What a flush causes is written in the next turn: the end of a turn must end.
        if self.isFlushing { self.loop.call(flush) } else { self.loop.atEndOfTurn(flush) }
    }

    /// Writes what this turn's messages have left on all connections, one call for each.
    private func flush() {
        let connections = self.unsent
        self.unsent = []
        self.isFlushing = true
        for connection in connections {
            connection.isInUnsent = false
            if !connection.hasEnded { self.write(connection) }
        }
        self.isFlushing = false
    }

    private func write(_ connection: TCPConnection) {
        let outcome = connection.output.withBytes { bytes in
            Result { () throws(StreamSocket.SystemError) in bytes.isEmpty ? 0 : try connection.socket.write(bytes) }
        }
        switch outcome {
        case .success(let count): connection.output.removeFirst(count)
        case .failure(let error):
            if !error.isWouldBlock { return self.end(connection, error.downReason) }
        }
        let isWaiting = !connection.output.isEmpty
        self.setInterest(
            connection, isWaiting ? connection.interest.union(.writable) : connection.interest.subtracting(.writable))
        if connection.owesWritable, connection.takesMessages,
            connection.output.count <= self.options.sendBufferLimit / 2
        {
            connection.owesWritable = false
            self.tell(.writable(self.link(connection)))
        }
        if !connection.hasEnded { self.proceedWithEnding(connection) }
    }

    /// What an ending connection does when everything is written.
    private func proceedWithEnding(_ connection: TCPConnection) {
        guard connection.output.isEmpty else { return }
        switch connection.phase {
        case .connecting, .open: break
        case .farEndFinished: self.end(connection, .shutdown)
        case .finishing(let farEndHas):
            self.sendFIN(connection)
            if farEndHas { self.end(connection, .closed) }
        }
    }
}
