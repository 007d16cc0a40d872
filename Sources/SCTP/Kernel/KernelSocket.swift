// SPDX-License-Identifier: Apache-2.0

internal import CSCTP
internal import CSocketLoop
internal import NetworkAddress
internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A one-to-many socket of the kernel.
///
/// Its associations share one send buffer, so a stuck peer could block the others. When the buffer is full, the
/// association with the most in it gets a socket of its own (peel off, RFC 6458 §9.2) and keeps its part of the buffer
/// to itself.
final class KernelSocket: StackSocket, @unchecked Sendable {
    // Proof of @unchecked Sendable: touched only on the loop's thread; `port` and the addresses are immutable.

    let port: UInt16
    let encapsulationPort: UInt16?
    let localAddresses: [IPAddress]
    weak var owner: (any StackSocketOwner)?
    private(set) var statistics = SCTPStatistics()
    var isReading = false {
        didSet {
            guard self.isReading != oldValue else { return }
            self.main.updateInterest()
            for association in self.associations.values { association.own?.updateInterest() }
        }
    }

    /// A descriptor of this socket: the shared one, or one association's own.
    private final class Line: DescriptorHandler, @unchecked Sendable {
        // Proof of @unchecked Sendable: touched only on the loop's thread.
        let descriptor: CInt
        /// The loop holds a line only while its socket is open.
        weak var socket: KernelSocket?
        private let loop: SocketLoop
        /// Associations that wait for room in this descriptor's buffer.
        var blocked: Set<AssociationID> = [] {
            didSet { self.updateInterest() }
        }

        init(_ descriptor: CInt, loop: SocketLoop) {
            self.descriptor = descriptor
            self.loop = loop
        }

        func open() throws(SCTPError) {
            do {
                try self.loop.add(self.descriptor, interest: self.interest, handler: self)
            } catch {
                throw SCTPError(errno: error.errno, "watching an SCTP socket")
            }
        }

        func close() {
            self.socket = nil
            self.loop.remove(self.descriptor)
            csctp_close(self.descriptor)
        }

        private var interest: Interest {
            var interest: Interest = self.socket?.isReading == true ? .readable : []
            if !self.blocked.isEmpty { interest.insert(.writable) }
            return interest
        }

        func updateInterest() {
            guard self.socket != nil else { return }
            self.loop.change(self.descriptor, interest: self.interest)
        }

        func ready(_ events: Interest) {
            self.socket?.ready(self, events)
        }
    }

    private final class Association {
        let id: AssociationID
        let isIncoming: Bool
        let stackID: Int32
        /// Its own socket, once it has been peeled off.
        var own: Line?
        var isUp = false
        /// Messages that were taken and still wait for room; no others are taken as long as there are any.
        var left: ArraySlice<SCTPMessage> = []

        init(id: AssociationID, isIncoming: Bool, stackID: Int32) {
            self.id = id
            self.isIncoming = isIncoming
            self.stackID = stackID
        }
    }

    private let stack: KernelStack
    private let batch: OpaquePointer
    private let options: SCTPEndpointOptions
    private let onlyIPv4: Bool
    private let defaultEncapsulation: CInt
    private var encapsulationIsSet = false
    private let main: Line
    private var isClosed = false
    private var associations: [AssociationID: Association] = [:]
    private var byStackID: [Int32: Association] = [:]
    private var reassembly: Reassembly
    /// What is sent in reaction to one batch of messages is sent together at its end.
    private let outbox: OpaquePointer
    private var isGathering = false
    /// Whose messages are in the outbox, and those messages.
    private var gathered: (association: Association, messages: [SCTPMessage])?

    /// What the system grants of it is bounded by net.core.[rw]mem_max.
    private static let bufferSize: CInt = 4 << 20
    private static let addressLimit = 256

    init(
        _ options: SCTPEndpointOptions, stack: KernelStack, batch: OpaquePointer, outbox: OpaquePointer
    ) throws(SCTPError) {
        self.stack = stack
        self.batch = batch
        self.options = options
        self.reassembly = Reassembly(limit: options.maxMessageLength)
        self.outbox = outbox
        self.onlyIPv4 = !options.localAddresses.isEmpty && options.localAddresses.allSatisfy { $0.family == .ipv4 }

        var settings = csctp_options()
        settings.outbound_streams = options.outboundStreams
        settings.inbound_streams = options.inboundStreams
        settings.initial_attempts = options.initialAttempts
        settings.path_retransmissions = options.pathMaxRetransmissions
        settings.association_retransmissions = options.associationMaxRetransmissions
        settings.rto_initial = options.rtoInitial.optionMilliseconds
        settings.rto_min = options.rtoMin.optionMilliseconds
        settings.rto_max = options.rtoMax.optionMilliseconds
        settings.heartbeat = (options.heartbeatInterval ?? .seconds(30)).optionMilliseconds
        settings.no_delay = options.noDelay ? 1 : 0
        settings.receive_buffer = Self.bufferSize
        settings.send_buffer = Self.bufferSize
        let addresses = options.localAddresses.map { csctp_address($0) }
        let descriptor = csctp_open(
            addresses, CInt(addresses.count), options.port, options.acceptsAssociations ? 1 : 0, &settings)
        guard descriptor >= 0 else {
            let hosts =
                options.localAddresses.isEmpty
                ? "every address" : options.localAddresses.map(\.description).joined(separator: ", ")
            throw SCTPError(errno: -descriptor, "binding SCTP port \(options.port) at \(hosts)")
        }
        var bound = [csctp_address](repeating: csctp_address(), count: Self.addressLimit)
        var port: UInt16 = 0
        let count = csctp_local_addresses(descriptor, &bound, CInt(bound.count), &port)
        guard count > 0, port != 0 else {
            csctp_close(descriptor)
            throw SCTPError(errno: count < 0 ? -count : EADDRNOTAVAIL, "reading the addresses of an SCTP socket")
        }
        self.port = port
        self.localAddresses = bound.prefix(Int(count)).compactMap(\.ip).filter { $0.family == .ipv4 || !$0.isLinkLocal }
        let encapsulation = csctp_local_encapsulation()
        self.encapsulationPort = encapsulation > 0 ? UInt16(clamping: encapsulation) : nil
        self.defaultEncapsulation = csctp_default_encapsulation(descriptor)
        self.main = Line(descriptor, loop: stack.loop)
        self.main.socket = self
    }

    func start() throws(SCTPError) {
        do throws(SCTPError) {
            try self.main.open()
        } catch {
            csctp_close(self.main.descriptor)
            throw error
        }
    }

    // MARK: Associations

    func connect(_ id: AssociationID, to peer: SCTPPeer) throws(SCTPError) {
        // Link-local addresses, as a peer on this machine reports them, name no interface here: one of them and the
        // kernel refuses the whole list.
        let addresses = peer.addresses.filter { $0.family == .ipv4 || !(self.onlyIPv4 || $0.isLinkLocal) }
        guard !addresses.isEmpty else { throw SCTPError(.addressUnavailable, "no local address can reach \(peer)") }
        var encapsulation: CInt = -1
        if let port = peer.encapsulationPort {
            encapsulation = CInt(port)
            self.encapsulationIsSet = true
        } else if self.encapsulationIsSet {
            encapsulation = self.defaultEncapsulation
        }
        var stackID: Int32 = 0
        let list = addresses.map { csctp_address($0) }
        let status = csctp_connect(
            self.main.descriptor, list, CInt(list.count), peer.port, encapsulation, &stackID)
        guard status == 0, stackID != 0 else {
            throw SCTPError(errno: status == 0 ? EIO : -status, "connecting to \(peer)")
        }
        self.enter(Association(id: id, isIncoming: false, stackID: stackID))
    }

    private func enter(_ association: Association) {
        self.associations[association.id] = association
        self.byStackID[association.stackID] = association
    }

    private func leave(_ association: Association) {
        self.associations[association.id] = nil
        if self.byStackID[association.stackID] === association { self.byStackID[association.stackID] = nil }
        self.reassembly.forget(association.id)
        if self.main.blocked.contains(association.id) { self.main.blocked.remove(association.id) }
        association.own?.close()
        association.own = nil
    }

    private func line(_ association: Association) -> Line { association.own ?? self.main }

    func send(_ message: SCTPMessage, on id: AssociationID) -> SendOutcome {
        guard let association = self.associations[id] else { return .failed(ENOTCONN) }
        guard association.left.isEmpty else { return .full }
        if self.isGathering, self.gather(message, association) { return .sent }
        var status = self.transmit(message, association)
        if status == -EAGAIN, association.own == nil, self.peelOffLargest() {
            status = self.transmit(message, association)
        }
        switch status {
        case 0: return .sent
        case -EAGAIN:
            self.line(association).blocked.insert(id)
            return .full
        default: return .failed(-status)
        }
    }

    /// Puts a message into the outbox. False: it is too long for that, and nothing is left there.
    private func gather(_ message: SCTPMessage, _ association: Association) -> Bool {
        if let gathered, gathered.association !== association { self.sendGathered() }
        if !self.add(message, association) {
            self.sendGathered()
            guard association.left.isEmpty else {
                association.left.append(message)
                return true
            }
            guard self.add(message, association) else { return false }
        }
        if self.gathered == nil { self.gathered = (association, []) }
        self.gathered?.messages.append(message)
        return true
    }

    private func add(_ message: SCTPMessage, _ association: Association) -> Bool {
        message.bytes.withUnsafeBytes {
            csctp_outbox_add(
                self.outbox, association.stackID, $0.baseAddress, $0.count, message.stream, message.payloadProtocol,
                message.unordered ? CInt(CSCTP_UNORDERED) : 0) == 1
        }
    }

    /// Sends what is in the outbox. What the system does not take waits for room; the endpoint has been told that it is sent.
    private func sendGathered() {
        guard let (association, messages) = self.gathered.take() else { return }
        var error: CInt = 0
        let sent = Int(csctp_outbox_send(self.outbox, self.line(association).descriptor, &error))
        guard sent < messages.count else { return }
        association.left = messages[sent...]
        self.sendLeft(association)
    }

    /// Sends what was left over, one by one; it stays where there is still no room for it.
    private func sendLeft(_ association: Association) {
        while let message = association.left.first {
            var status = self.transmit(message, association)
            if status == -EAGAIN, association.own == nil, self.peelOffLargest() {
                status = self.transmit(message, association)
            }
            if status == -EAGAIN {
                self.line(association).blocked.insert(association.id)
                return
            }
            // Sent, or never to be sent, as the association ends: that is told by itself.
            association.left = association.left.dropFirst()
        }
    }

    private func transmit(_ message: SCTPMessage, _ association: Association) -> CInt {
        message.bytes.withUnsafeBytes {
            csctp_send(
                self.line(association).descriptor, association.stackID, $0.baseAddress, $0.count, message.stream,
                message.payloadProtocol, message.unordered ? CInt(CSCTP_UNORDERED) : 0)
        }
    }

    /// Moves the association that holds most of the shared send buffer to a socket of its own.
    private func peelOffLargest() -> Bool {
        var largest: Association?
        var most: CInt = 0
        for association in self.associations.values where association.isUp && association.own == nil {
            let count = csctp_outstanding(self.main.descriptor, association.stackID)
            if count > most { (largest, most) = (association, count) }
        }
        guard let largest else { return false }
        let descriptor = csctp_peel_off(self.main.descriptor, largest.stackID)
        // Without a descriptor left, those who send wait for the shared buffer.
        guard descriptor >= 0 else { return false }
        let line = Line(descriptor, loop: self.stack.loop)
        line.socket = self
        do {
            try line.open()
        } catch {
            // It has left the shared socket and nobody would watch it.
            csctp_abort(descriptor, largest.stackID)
            csctp_close(descriptor)
            self.leave(largest)
            let id = largest.id
            self.stack.loop.call { [weak self] in self?.owner?.happened([.down(id, .lost)]) }
            return true
        }
        self.statistics.associationsPeeledOff += 1
        largest.own = line
        if self.main.blocked.remove(largest.id) != nil { line.blocked.insert(largest.id) }
        return true
    }

    func shutdown(_ id: AssociationID) -> Bool {
        guard let association = self.associations[id] else { return true }
        if self.gathered?.association === association { self.sendGathered() }
        let line = self.line(association)
        guard association.left.isEmpty else { return false }
        guard csctp_shutdown(line.descriptor, association.stackID) == -EAGAIN else { return true }
        line.blocked.insert(id)
        return false
    }

    func abort(_ id: AssociationID) {
        guard let association = self.associations[id] else { return }
        if self.gathered?.association === association { self.sendGathered() }
        csctp_abort(self.line(association).descriptor, association.stackID)
        self.leave(association)
    }

    func peer(of id: AssociationID) -> SCTPPeer? {
        self.associations[id].map(self.peer)
    }

    private func peer(_ association: Association) -> SCTPPeer {
        let descriptor = self.line(association).descriptor
        var list = [csctp_address](repeating: csctp_address(), count: Self.addressLimit)
        var port: UInt16 = 0
        let count = max(0, csctp_peer_addresses(descriptor, association.stackID, &list, CInt(list.count), &port))
        let addresses = list.prefix(Int(count)).compactMap(\.ip)
        var encapsulation: CInt = 0
        if count > 0 { encapsulation = csctp_encapsulation(descriptor, association.stackID, &list[0], port) }
        return SCTPPeer(
            addresses: addresses, port: port,
            encapsulationPort: encapsulation > 0 ? UInt16(clamping: encapsulation) : nil)
    }

    func smoothedRoundTripTime(of id: AssociationID) -> Duration? {
        guard let association = self.associations[id] else { return nil }
        let time = csctp_smoothed_round_trip(self.line(association).descriptor, association.stackID)
        return time > 0 ? .microseconds(time) : nil
    }

    func setHeartbeat(_ interval: Duration, on id: AssociationID) throws(SCTPError) {
        guard let association = self.associations[id] else { throw .unknown(id) }
        let status = csctp_set_heartbeat(
            self.line(association).descriptor, association.stackID, interval.optionMilliseconds)
        guard status == 0 else { throw SCTPError(errno: -status, "setting the heartbeat of \(id)") }
    }

    func probe(_ id: AssociationID) {
        guard let association = self.associations[id] else { return }
        csctp_probe(self.line(association).descriptor, association.stackID)
    }

    // MARK: Events

    private func ready(_ line: Line, _ events: Interest) {
        if events.contains(.failed) { _ = csl_take_error(line.descriptor) }
        if events.contains(.writable), !line.blocked.isEmpty {
            let blocked = line.blocked
            line.blocked = []
            let writable = blocked.sorted { $0.rawValue < $1.rawValue }.filter { id in
                guard let association = self.associations[id] else { return true }
                self.sendLeft(association)
                return association.left.isEmpty
            }
            if !writable.isEmpty { self.owner?.happened(writable.map { .writable($0) }) }
        }
        guard events.contains(.readable), self.isReading, !self.isClosed, line.socket != nil else { return }
        // One batch per turn: the loop comes back while more waits, after everybody else.
        let count = csctp_batch_receive(self.batch, line.descriptor)
        guard count > 0 else { return }
        var happened: [StackEvent] = []
        var event = csctp_event()
        for index in 0..<count {
            csctp_batch_event(self.batch, index, &event)
            self.take(event, &happened)
        }
        guard !happened.isEmpty else { return }
        self.isGathering = happened.count > 1
        self.owner?.happened(happened)
        self.isGathering = false
        self.sendGathered()
    }

    private func take(_ event: csctp_event, _ events: inout [StackEvent]) {
        let association = self.byStackID[event.association]
        switch Int(event.kind) {
        case CSCTP_DATA:
            if let association { self.received(event, association, &events) }
        case CSCTP_UP:
            self.cameUp(association ?? self.incoming(event), event, &events)
        case CSCTP_RESTARTED:
            // The peer has forgotten the association and begun anew: for us it is another one.
            let own = association?.own
            if let association {
                association.own = nil
                self.leave(association)
                events.append(.down(association.id, .lost))
            }
            let incoming = self.incoming(event)
            incoming.own = own
            self.cameUp(incoming, event, &events)
        case CSCTP_LOST, CSCTP_CANNOT_START:
            guard let association else { return }
            self.leave(association)
            let reason: SCTPDownReason = !association.isUp ? .refused : event.is_aborted != 0 ? .aborted : .lost
            events.append(.down(association.id, reason))
        case CSCTP_SHUTDOWN_COMPLETE:
            guard let association else { return }
            self.leave(association)
            events.append(.down(association.id, .shutdown))
        case CSCTP_SHUTDOWN_RECEIVED:
            if let association { events.append(.shutdownReceived(association.id)) }
        case CSCTP_PATH:
            guard let association, association.isUp, let address = event.path.ip,
                let state = Self.state(event.path_state)
            else { return }
            events.append(.path(association.id, address, state))
        default:
            break
        }
    }

    private func received(_ event: csctp_event, _ association: Association, _ events: inout [StackEvent]) {
        let isUnordered = event.is_unordered != 0
        do {
            let whole = try self.reassembly.add(
                UnsafeRawBufferPointer(start: event.bytes, count: event.length), to: association.id,
                stream: event.stream,
                unordered: isUnordered, isLast: event.is_last != 0)
            guard let whole else { return }
            let message = SCTPMessage(
                bytes: whole, stream: event.stream, payloadProtocol: event.payload_protocol, unordered: isUnordered)
            events.append(.message(message, association.id))
        } catch {
            events.append(.messageTooLong(association.id))
        }
    }

    private func incoming(_ event: csctp_event) -> Association {
        let association = Association(id: .next(), isIncoming: true, stackID: event.association)
        self.enter(association)
        return association
    }

    private func cameUp(_ association: Association, _ event: csctp_event, _ events: inout [StackEvent]) {
        association.isUp = true
        events.append(
            .up(
                SCTPAssociation(
                    id: association.id, peer: self.peer(association), isIncoming: association.isIncoming,
                    outboundStreams: event.outbound_streams, inboundStreams: event.inbound_streams)))
    }

    private static func state(_ value: Int32) -> SCTPPathState? {
        switch Int(value) {
        case CSCTP_PATH_AVAILABLE: .available
        case CSCTP_PATH_UNREACHABLE: .unreachable
        case CSCTP_PATH_REMOVED: .removed
        case CSCTP_PATH_ADDED: .added
        case CSCTP_PATH_PRIMARY: .madePrimary
        case CSCTP_PATH_CONFIRMED: .confirmed
        case CSCTP_PATH_POTENTIALLY_FAILED: .potentiallyFailed
        default: nil
        }
    }

    // MARK: Closing

    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.owner = nil
        self.sendGathered()
        for association in Array(self.associations.values) { self.leave(association) }
        self.main.close()
    }
}
