// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import CUSRSCTP
internal import NetworkAddress
internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

/// A one-to-many socket of usrsctp. It has no callbacks: the stack says when something may have come, and it is read
/// with `usrsctp_recvv`, so what nobody reads stays in usrsctp's buffer and closes the receive window.
final class UserlandSocket: StackSocket, @unchecked Sendable {
    // Proof of @unchecked Sendable: touched only on the loop's thread, like everything of `UserlandStack`.

    let port: UInt16
    let channels: [UDPChannel]
    let localAddresses: [IPAddress]
    let acceptsAssociations: Bool
    weak var owner: (any StackSocketOwner)?
    var mayHaveInput = false
    /// Whether the stack will ask what it has to hand over.
    var isDirty = false
    var isReading = false {
        didSet {
            if self.isReading, !oldValue { self.wake() }
        }
    }

    var encapsulationPort: UInt16? { self.channels[0].port }
    var statistics: SCTPStatistics { self.stack.statistics }

    /// An association of this socket and its way there.
    private final class Association {
        let id: AssociationID
        let isIncoming: Bool
        var stackID: sctp_assoc_t
        var handle: PeerHandle
        let remotePort: UInt16
        var isUp = false
        /// usrsctp had no room for a message.
        var isBlocked = false
        /// While connecting: where to try next, the nearest last.
        var candidates: [SocketAddress] = []
        var attemptTimer: TimerID?
        /// The tag its packets carry to us, once it is known.
        var localTag: UInt32?

        init(id: AssociationID, isIncoming: Bool, stackID: sctp_assoc_t, handle: PeerHandle, remotePort: UInt16) {
            self.id = id
            self.isIncoming = isIncoming
            self.stackID = stackID
            self.handle = handle
            self.remotePort = remotePort
        }
    }

    private let stack: UserlandStack
    private let options: SCTPEndpointOptions
    private let socket: OpaquePointer
    private var isClosed = false
    private var associations: [AssociationID: Association] = [:]
    private var byStackID: [sctp_assoc_t: Association] = [:]
    private var blocked: Set<AssociationID> = []
    private var reassembly: Reassembly
    private var wakeIsPending = false
    /// Events that arose inside a call.
    private var pending: [StackEvent] = []

    /// Messages read per turn and socket.
    private static let messagesPerTurn = 256
    /// The well-known port of encapsulated SCTP (RFC 6951 §5.1).
    private static let wellKnownPort: UInt16 = 9899
    private static let bufferSize: Int32 = 524_288

    init(
        _ options: SCTPEndpointOptions, channels: [UDPChannel], stack: UserlandStack, preferredPort: UInt16
    ) throws(SCTPError) {
        guard
            let socket = usrsctp_socket(AF_CONN, Int32(SOCK_SEQPACKET.rawValue), Int32(IPPROTO_SCTP), nil, nil, 0, nil)
        else {
            throw SCTPError(errno: errno, "opening a userland SCTP socket")
        }
        self.socket = socket
        self.options = options
        self.stack = stack
        self.channels = channels
        self.acceptsAssociations = options.acceptsAssociations
        self.reassembly = Reassembly(limit: options.maxMessageLength)
        self.localAddresses = Self.spellOut(channels.map(\.address))
        do throws(SCTPError) {
            try Self.configure(socket, options)
            self.port = try Self.bind(socket, options.port, preferred: preferredPort)
            if options.acceptsAssociations, usrsctp_listen(socket, 1) != 0 {
                throw SCTPError(errno: errno, "listening on SCTP port \(options.port)")
            }
        } catch {
            usrsctp_close(socket)
            throw error
        }
    }

    private static func spellOut(_ addresses: [IPAddress]) -> [IPAddress] {
        addresses.flatMap { address -> [IPAddress] in
            guard address.isWildcard else { return [address] }
            var found = [csl_address](repeating: csl_address(), count: 256)
            let count = csl_local_addresses(CInt(address.family.rawValue), &found, CInt(found.count))
            return found.prefix(Int(max(0, count))).compactMap(\.ip)
        }
    }

    private static func configure(_ socket: OpaquePointer, _ options: SCTPEndpointOptions) throws(SCTPError) {
        usrsctp_set_non_blocking(socket, 1)
        try self.set(socket, SOL_SOCKET, SO_SNDBUF, self.bufferSize)
        try self.set(socket, SOL_SOCKET, SO_RCVBUF, max(self.bufferSize, Int32(clamping: 2 * options.maxMessageLength)))
        // Closing aborts: what deserves an orderly end has had it before.
        try self.set(socket, SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        for event in [SCTP_ASSOC_CHANGE, SCTP_PEER_ADDR_CHANGE, SCTP_SHUTDOWN_EVENT] {
            try self.set(
                socket, SCTP_EVENT,
                sctp_event(se_assoc_id: sctp_assoc_t(SCTP_ALL_ASSOC), se_type: UInt16(event), se_on: 1))
        }
        try self.set(socket, SCTP_RECVRCVINFO, Int32(1))
        try self.set(socket, SCTP_NODELAY, Int32(options.noDelay ? 1 : 0))

        var initial = sctp_initmsg()
        initial.sinit_num_ostreams = options.outboundStreams
        initial.sinit_max_instreams = options.inboundStreams
        initial.sinit_max_attempts = options.initialAttempts
        initial.sinit_max_init_timeo = UInt16(clamping: options.rtoMax.optionMilliseconds)
        try self.set(socket, SCTP_INITMSG, initial)

        var timeouts = sctp_rtoinfo()
        timeouts.srto_initial = options.rtoInitial.optionMilliseconds
        timeouts.srto_min = options.rtoMin.optionMilliseconds
        timeouts.srto_max = options.rtoMax.optionMilliseconds
        try self.set(socket, SCTP_RTOINFO, timeouts)

        var association = sctp_assocparams()
        association.sasoc_asocmaxrxt = options.associationMaxRetransmissions
        try self.set(socket, SCTP_ASSOCINFO, association)

        var path = sctp_paddrparams()
        path.spp_hbinterval = (options.heartbeatInterval ?? .seconds(1)).optionMilliseconds
        path.spp_pathmaxrxt = options.pathMaxRetransmissions
        path.spp_flags = UInt32(SPP_HB_ENABLE)
        try self.set(socket, SCTP_PEER_ADDR_PARAMS, path)
    }

    private static func set(_ socket: OpaquePointer, _ option: Int32, _ value: some BitwiseCopyable) throws(SCTPError) {
        try self.set(socket, Int32(IPPROTO_SCTP), option, value)
    }

    private static func set<Value: BitwiseCopyable>(
        _ socket: OpaquePointer, _ level: Int32, _ option: Int32, _ value: Value
    ) throws(SCTPError) {
        var value = value
        guard usrsctp_setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Value>.size)) == 0 else {
            throw SCTPError(errno: errno, "setting option \(option) of a userland SCTP socket")
        }
    }

    /// Binds to the port asked for, or to any free one, beginning with the UDP port's number. usrsctp's own choice
    /// could not be read back: an AF_CONN socket lists no addresses before it has peers.
    private static func bind(_ socket: OpaquePointer, _ port: UInt16, preferred: UInt16) throws(SCTPError) -> UInt16 {
        var candidate = port == 0 ? preferred : port
        for _ in 0..<64 {
            var name = sockaddr_conn(sconn_family: UInt16(AF_CONN), sconn_port: candidate.bigEndian, sconn_addr: nil)
            let status = withUnsafeMutableBytes(of: &name) {
                usrsctp_bind(socket, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
            }
            if status == 0 { return candidate }
            guard errno == EADDRINUSE, port == 0 else {
                throw SCTPError(errno: errno, "binding userland SCTP port \(candidate)")
            }
            candidate = UInt16.random(in: 49152...65535)
        }
        throw SCTPError(errno: EADDRINUSE, "binding any userland SCTP port")
    }

    // MARK: Connecting

    func connect(_ id: AssociationID, to peer: SCTPPeer) throws(SCTPError) {
        let ports =
            peer.encapsulationPort.map { [$0] }
            ?? (peer.port == Self.wellKnownPort ? [peer.port] : [Self.wellKnownPort, peer.port])
        var candidates: [SocketAddress] = []
        for address in peer.addresses where self.channel(for: address) != nil {
            candidates += ports.map { SocketAddress(ip: address, port: $0) }
        }
        guard !candidates.isEmpty else {
            throw SCTPError(.addressUnavailable, "no local address can reach \(peer)")
        }
        candidates.reverse()
        let association = try self.attempt(id, port: peer.port, &candidates)
        association.candidates = candidates
        self.armAttempt(association)
    }

    private func channel(for address: IPAddress) -> UDPChannel? {
        self.channels.first { $0.address.family == address.family }
    }

    /// Sends an INIT to the next candidate that takes one.
    private func attempt(
        _ id: AssociationID, port: UInt16, _ candidates: inout [SocketAddress]
    ) throws(SCTPError) -> Association {
        var failure = SCTPError(.refused, "no address is left to try")
        while let candidate = candidates.popLast() {
            guard let channel = self.channel(for: candidate.ip) else { continue }
            let handle = try self.stack.handle(
                to: csl_address(candidate.ip, port: candidate.port), from: csl_address(), on: channel)
            guard self.stackID(handle, port: port) == 0 else {
                failure = SCTPError(
                    .alreadyAssociated, "there is an association with \(candidate.ip) SCTP port \(port) already")
                continue
            }
            self.stack.catchUp()
            var name = Self.name(handle, port: port)
            let status = withUnsafeMutableBytes(of: &name) {
                usrsctp_connect(
                    self.socket, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
            }
            let code = errno
            let stackID = self.stackID(handle, port: port)
            guard status == 0 || code == EINPROGRESS, stackID != 0 else {
                failure = SCTPError(errno: code, "connecting to \(candidate) SCTP port \(port)")
                continue
            }
            let association =
                self.associations[id]
                ?? Association(
                    id: id, isIncoming: false, stackID: stackID, handle: handle, remotePort: port)
            association.stackID = stackID
            association.handle = handle
            self.enter(association)
            self.mayHaveInput = true
            return association
        }
        throw failure
    }

    private static func name(_ handle: PeerHandle, port: UInt16) -> sockaddr_conn {
        sockaddr_conn(
            sconn_family: UInt16(AF_CONN), sconn_port: port.bigEndian,
            sconn_addr: UnsafeMutableRawPointer(bitPattern: handle.id))
    }

    private func stackID(_ handle: PeerHandle, port: UInt16) -> sctp_assoc_t {
        var name = Self.name(handle, port: port)
        return withUnsafeMutableBytes(of: &name) {
            usrsctp_getassocid(self.socket, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self))
        }
    }

    /// With other addresses left, one that is silent gets two INITs.
    private func armAttempt(_ association: Association) {
        guard !association.candidates.isEmpty else { return }
        let id = association.id
        let patience = max(self.options.rtoInitial * 3, .milliseconds(200))
        association.attemptTimer = self.stack.loop.clock.schedule(at: .now.advanced(by: patience)) { [weak self] in
            guard let self, let association = self.associations[id], !association.isUp else { return }
            association.attemptTimer = nil
            self.attemptFailed(association)
            self.wake()
        }
    }

    /// The present candidate is no good: the next one, or the end.
    private func attemptFailed(_ association: Association) {
        self.kill(association)
        self.leave(association)
        do throws(SCTPError) {
            var candidates = association.candidates
            let next = try self.attempt(association.id, port: association.remotePort, &candidates)
            next.candidates = candidates
            self.armAttempt(next)
        } catch {
            self.pending.append(.down(association.id, .refused))
        }
    }

    // MARK: The table of associations

    private func enter(_ association: Association) {
        self.associations[association.id] = association
        self.byStackID[association.stackID] = association
        self.stack.attach(association.id, to: association.handle)
    }

    private func leave(_ association: Association) {
        self.associations[association.id] = nil
        if self.byStackID[association.stackID] === association { self.byStackID[association.stackID] = nil }
        self.blocked.remove(association.id)
        self.reassembly.forget(association.id)
        self.stack.detach(association.id, from: association.handle)
        if let tag = association.localTag {
            self.stack.forget(tag: tag, localPort: self.port, remotePort: association.remotePort)
            association.localTag = nil
        }
        if let timer = association.attemptTimer {
            self.stack.loop.clock.cancel(timer)
            association.attemptTimer = nil
        }
    }

    // MARK: Sending

    func send(_ message: SCTPMessage, on id: AssociationID) -> SendOutcome {
        guard let association = self.associations[id] else { return .failed(ENOTCONN) }
        var info = sctp_sndinfo()
        info.snd_sid = message.stream
        info.snd_ppid = message.payloadProtocol.bigEndian
        info.snd_flags = message.unordered ? UInt16(SCTP_UNORDERED) : 0
        info.snd_assoc_id = association.stackID
        self.stack.catchUp()
        let sent = message.bytes.withUnsafeBytes { self.sendv($0, &info) }
        if sent >= 0 { return .sent }
        guard errno == EWOULDBLOCK else { return .failed(errno) }
        self.blocked.insert(id)
        return .full
    }

    func shutdown(_ id: AssociationID) -> Bool {
        guard let association = self.associations[id] else { return true }
        var info = sctp_sndinfo()
        info.snd_flags = UInt16(SCTP_EOF)
        info.snd_assoc_id = association.stackID
        self.stack.catchUp()
        if self.sendv(UnsafeRawBufferPointer(self.stack.messageBuffer.prefixBytes(0)), &info) < 0, errno == EWOULDBLOCK
        {
            self.blocked.insert(id)
            return false
        }
        self.wake()
        return true
    }

    private func sendv(_ bytes: UnsafeRawBufferPointer, _ info: inout sctp_sndinfo) -> Int {
        usrsctp_sendv(
            self.socket, bytes.baseAddress, bytes.count, nil, 0,
            &info, socklen_t(MemoryLayout<sctp_sndinfo>.size), UInt32(SCTP_SENDV_SNDINFO), 0)
    }

    func abort(_ id: AssociationID) {
        guard let association = self.associations[id] else { return }
        self.kill(association)
        self.leave(association)
    }

    /// Ends usrsctp's association, whatever it is doing. Nothing of it is reported any more once it has left the table.
    private func kill(_ association: Association) {
        var info = sctp_sndinfo()
        info.snd_flags = UInt16(SCTP_ABORT)
        info.snd_assoc_id = association.stackID
        if association.isUp, self.sendv(UnsafeRawBufferPointer(self.stack.messageBuffer.prefixBytes(0)), &info) >= 0 {
            return
        }
        // usrsctp takes no ABORT before an association is up, or while its queue is full: play the peer who aborts it.
        guard let tags = self.tags(of: association) else { return }
        if tags.gn_peers_tag != 0 {
            let toPeer = SCTPPacket.packet(
                .abort, flags: 0, from: self.port, to: association.remotePort, tag: tags.gn_peers_tag)
            self.stack.send(toPeer, to: association.handle)
        }
        let toUs = SCTPPacket.packet(
            .abort, flags: 0, from: association.remotePort, to: self.port, tag: tags.gn_local_tag)
        self.stack.inject(toUs, from: association.handle)
        self.mayHaveInput = true
    }

    private func tags(of association: Association) -> sctp_get_nonce_values? {
        var tags = sctp_get_nonce_values()
        tags.gn_assoc_id = association.stackID
        var length = socklen_t(MemoryLayout<sctp_get_nonce_values>.size)
        // SCTP_GET_NONCE_VALUES is not in usrsctp's public header, but its structure is.
        let option: Int32 = 0x1105
        guard usrsctp_getsockopt(self.socket, Int32(IPPROTO_SCTP), option, &tags, &length) == 0 else { return nil }
        return tags
    }

    // MARK: Paths

    func peer(of id: AssociationID) -> SCTPPeer? {
        self.associations[id].map(self.peer)
    }

    private func peer(_ association: Association) -> SCTPPeer {
        let handle = association.handle
        var addresses: [IPAddress] = []
        for address in ([handle.remote] + handle.aliases).compactMap(\.ip) where !addresses.contains(address) {
            addresses.append(address)
        }
        return SCTPPeer(addresses: addresses, port: association.remotePort, encapsulationPort: handle.remote.port)
    }

    func smoothedRoundTripTime(of id: AssociationID) -> Duration? {
        guard let association = self.associations[id] else { return nil }
        var path = sctp_paddrinfo()
        path.spinfo_assoc_id = association.stackID
        let name = Self.name(association.handle, port: association.remotePort)
        withUnsafeMutableBytes(of: &path.spinfo_address) { $0.storeBytes(of: name, as: sockaddr_conn.self) }
        var length = socklen_t(MemoryLayout<sctp_paddrinfo>.size)
        let status = usrsctp_getsockopt(
            self.socket, Int32(IPPROTO_SCTP), Int32(SCTP_GET_PEER_ADDR_INFO), &path, &length)
        return status == 0 && path.spinfo_srtt > 0 ? .milliseconds(Int64(path.spinfo_srtt)) : nil
    }

    func setHeartbeat(_ interval: Duration, on id: AssociationID) throws(SCTPError) {
        guard let association = self.associations[id] else { throw .unknown(id) }
        var path = self.path(association)
        path.spp_hbinterval = interval.optionMilliseconds
        path.spp_flags = UInt32(SPP_HB_ENABLE)
        try Self.set(self.socket, SCTP_PEER_ADDR_PARAMS, path)
    }

    func probe(_ id: AssociationID) {
        guard let association = self.associations[id], association.isUp else { return }
        self.stack.catchUp()
        var path = self.path(association)
        path.spp_flags = UInt32(SPP_HB_DEMAND)
        // Refused while the association is being shut down: then its own retransmissions are probes.
        try? Self.set(self.socket, SCTP_PEER_ADDR_PARAMS, path)
    }

    private func path(_ association: Association) -> sctp_paddrparams {
        var path = sctp_paddrparams()
        path.spp_assoc_id = association.stackID
        let name = Self.name(association.handle, port: association.remotePort)
        withUnsafeMutableBytes(of: &path.spp_address) { $0.storeBytes(of: name, as: sockaddr_conn.self) }
        return path
    }

    /// The network says that nobody listens where this handle leads. True if that concerned an association of this
    /// socket.
    func refused(_ handle: PeerHandle) -> Bool {
        var isConcerned = false
        for id in Array(handle.associations) {
            guard let association = self.associations[id] else { continue }
            isConcerned = true
            if !association.isUp {
                self.attemptFailed(association)
            } else if handle.refusals >= UserlandStack.refusalLimit {
                self.kill(association)
                self.leave(association)
                self.pending.append(.down(id, .lost))
            } else {
                self.probe(id)
            }
        }
        return isConcerned
    }

    // MARK: Reading

    /// Reads again soon, outside of the present call.
    private func wake() {
        self.mayHaveInput = true
        guard !self.wakeIsPending else { return }
        self.wakeIsPending = true
        self.stack.loop.call { [weak self] in
            guard let self else { return }
            self.wakeIsPending = false
            self.deliver([])
        }
    }

    /// Hands over what has come, and says who may send again: those whose peer has been heard (`touched`).
    func deliver(_ touched: Set<PeerHandle.ID>) {
        guard !self.isClosed else { return }
        var events = self.pending
        self.pending = []
        if self.mayHaveInput, self.isReading {
            self.mayHaveInput = false
            var budget = Self.messagesPerTurn
            while budget > 0, self.readOne(&events) { budget -= 1 }
            if budget == 0 { self.wake() }
        }
        if !self.blocked.isEmpty, !touched.isEmpty {
            for id in self.blocked {
                guard let association = self.associations[id], touched.contains(association.handle.id) else { continue }
                self.blocked.remove(id)
                events.append(.writable(id))
            }
        }
        guard !events.isEmpty else { return }
        self.owner?.happened(events)
    }

    private func readOne(_ events: inout [StackEvent]) -> Bool {
        let buffer = self.stack.messageBuffer
        var from = sockaddr_conn()
        var fromLength = socklen_t(MemoryLayout<sockaddr_conn>.size)
        var info = sctp_rcvinfo()
        var infoLength = socklen_t(MemoryLayout<sctp_rcvinfo>.size)
        var infoType: UInt32 = 0
        var flags: Int32 = 0
        let count = withUnsafeMutableBytes(of: &from) { name in
            usrsctp_recvv(
                self.socket, buffer.baseAddress, buffer.count,
                name.baseAddress?.assumingMemoryBound(to: sockaddr.self), &fromLength,
                &info, &infoLength, &infoType, &flags)
        }
        guard count > 0 else { return false }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        if flags & Int32(CUSRSCTP.MSG_NOTIFICATION) != 0 {
            self.notified(bytes, from, &events)
            return true
        }
        guard let association = self.byStackID[info.rcv_assoc_id] else { return true }
        let unordered = info.rcv_flags & UInt16(SCTP_UNORDERED) != 0
        do {
            let whole = try self.reassembly.add(
                bytes, to: association.id, stream: info.rcv_sid, unordered: unordered,
                isLast: flags & Int32(MSG_EOR) != 0)
            guard let whole else { return true }
            let message = SCTPMessage(
                bytes: whole, stream: info.rcv_sid, payloadProtocol: UInt32(bigEndian: info.rcv_ppid),
                unordered: unordered)
            events.append(.message(message, association.id))
        } catch {
            self.kill(association)
            events.append(.messageTooLong(association.id))
        }
        return true
    }

    private func notified(_ bytes: UnsafeRawBufferPointer, _ from: sockaddr_conn, _ events: inout [StackEvent]) {
        guard bytes.count >= 8 else { return }
        switch Int32(bytes.loadUnaligned(as: UInt16.self)) {
        case SCTP_ASSOC_CHANGE:
            guard bytes.count >= MemoryLayout<sctp_assoc_change>.size else { return }
            self.changed(bytes.loadUnaligned(as: sctp_assoc_change.self), from, &events)
        case SCTP_PEER_ADDR_CHANGE:
            guard bytes.count >= MemoryLayout<sctp_paddr_change>.size else { return }
            let change = bytes.loadUnaligned(as: sctp_paddr_change.self)
            guard let association = self.byStackID[change.spc_assoc_id], association.isUp,
                let state = Self.state(change.spc_state), let address = association.handle.remote.ip
            else { return }
            events.append(.path(association.id, address, state))
        case SCTP_SHUTDOWN_EVENT:
            guard bytes.count >= MemoryLayout<sctp_shutdown_event>.size else { return }
            let event = bytes.loadUnaligned(as: sctp_shutdown_event.self)
            guard let association = self.byStackID[event.sse_assoc_id] else { return }
            events.append(.shutdownReceived(association.id))
        default:
            break
        }
    }

    private static func state(_ value: UInt32) -> SCTPPathState? {
        switch Int32(value) {
        case SCTP_ADDR_AVAILABLE: .available
        case SCTP_ADDR_UNREACHABLE: .unreachable
        case SCTP_ADDR_REMOVED: .removed
        case SCTP_ADDR_ADDED: .added
        case SCTP_ADDR_MADE_PRIM: .madePrimary
        case SCTP_ADDR_CONFIRMED: .confirmed
        default: nil
        }
    }

    private func changed(_ change: sctp_assoc_change, _ from: sockaddr_conn, _ events: inout [StackEvent]) {
        let association = self.byStackID[change.sac_assoc_id]
        switch Int32(change.sac_state) {
        case SCTP_COMM_UP:
            if let association {
                self.cameUp(association, change, &events)
            } else if let incoming = self.incoming(change, from) {
                self.cameUp(incoming, change, &events)
            }
        case SCTP_RESTART:
            // The peer has forgotten the association and begun anew: for us it is another one.
            if let association {
                self.leave(association)
                events.append(.down(association.id, .lost))
            }
            if let incoming = self.incoming(change, from) { self.cameUp(incoming, change, &events) }
        case SCTP_COMM_LOST, SCTP_CANT_STR_ASSOC:
            guard let association else { return }
            guard association.isUp else {
                self.attemptFailed(association)
                events += self.pending
                self.pending = []
                return
            }
            self.leave(association)
            // The peer's ABORT chunk follows the structure; without one the stack gave up.
            let isAborted = Int(change.sac_length) > MemoryLayout<sctp_assoc_change>.size
            events.append(.down(association.id, isAborted ? .aborted : .lost))
        case SCTP_SHUTDOWN_COMP:
            guard let association else { return }
            self.leave(association)
            events.append(.down(association.id, .shutdown))
        default:
            break
        }
    }

    private func incoming(_ change: sctp_assoc_change, _ from: sockaddr_conn) -> Association? {
        guard let handle = self.stack.handle(UInt(bitPattern: from.sconn_addr)) else { return nil }
        let association = Association(
            id: .next(), isIncoming: true, stackID: change.sac_assoc_id, handle: handle,
            remotePort: UInt16(bigEndian: from.sconn_port))
        self.enter(association)
        return association
    }

    private func cameUp(_ association: Association, _ change: sctp_assoc_change, _ events: inout [StackEvent]) {
        association.isUp = true
        association.candidates = []
        if let timer = association.attemptTimer {
            self.stack.loop.clock.cancel(timer)
            association.attemptTimer = nil
        }
        if let tag = self.tags(of: association)?.gn_local_tag {
            association.localTag = tag
            self.stack.learn(
                tag: tag, localPort: self.port, remotePort: association.remotePort, handle: association.handle)
        }
        events.append(
            .up(
                SCTPAssociation(
                    id: association.id, peer: self.peer(association), isIncoming: association.isIncoming,
                    outboundStreams: change.sac_outbound_streams, inboundStreams: change.sac_inbound_streams)))
    }

    // MARK: Closing

    func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.owner = nil
        for association in Array(self.associations.values) {
            if !association.isUp { self.kill(association) }
            self.leave(association)
        }
        usrsctp_close(self.socket)
        self.stack.closed(self)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The first `count` octets, with an address even for none: usrsctp wants one.
    fileprivate func prefixBytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: self.baseAddress, count: count)
    }
}
