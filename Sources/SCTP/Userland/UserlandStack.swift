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

/// usrsctp in this process, with our UDP sockets and our timers: one stack per process, initialised once and never
/// finished, as usrsctp's own finish fails while any association lives.
///
/// It runs on AF_CONN: usrsctp hands out packets for opaque handles and takes packets from them. All calls into it, and
/// its one callback, happen on the loop's thread. (Its "iterator" thread exists, but sends nothing on AF_CONN sockets.)
final class UserlandStack: StackOpener, @unchecked Sendable {
    // Proof of @unchecked Sendable: `loop` is immutable; everything else is touched only on the loop's thread:
    // endpoints, UDP channels and timers live there, and `output` moves there first if it is ever called elsewhere.

    let loop: SocketLoop
    /// Received datagrams; one batch for all UDP sockets, as they are read one after the other.
    let incoming: OpaquePointer
    /// One received message.
    let messageBuffer: UnsafeMutableRawBufferPointer
    var statistics = SCTPStatistics()

    private var sockets: [UInt16: UserlandSocket] = [:]
    private var channels: [ChannelKey: UDPChannel] = [:]
    private var handles: [PeerHandle.ID: PeerHandle] = [:]
    private var lastHandle: PeerHandle.ID = 0
    /// Handles that associations run over; they are never forgotten.
    private var busyHandles = 0
    /// Handles by the verification tags and ports of what peers send us.
    private var tags: [TagKey: PeerHandle.ID] = [:]

    private var channelsToFlush: [UDPChannel] = []
    private var touched: Set<PeerHandle.ID> = []
    /// Sockets that may have something to hand over, each once.
    private var dirty: [UserlandSocket] = []
    /// Sockets that are to be asked for news of timers, in this round.
    private var unasked: [UserlandSocket] = []
    private var isInTimers = false
    /// Milliseconds from one walk over usrsctp's timers to the next.
    private var pause: UInt64 = 10
    /// Counts batches of input.
    private var turn: UInt64 = 1

    /// Milliseconds of usrsctp's time since the start.
    private(set) var now: UInt64 = 0
    private let start = ContinuousClock.now
    private var nextSweep: UInt64 = 0
    private var tick: TimerID?
    private var ticksFast = false
    /// Answers to out-of-the-blue packets left in this second.
    private var answersLeft = 0
    private var answersSecond: UInt64 = 0

    /// Senders without an association are bounded, and forgotten when idle for as long as a cookie lives (RFC 9260
    /// §16).
    static let idleHandleLimit = 4096
    private static let handleLifetime: UInt64 = 60_000
    private static let answersPerSecond = 1000
    private static let aliasLimit = 8
    private static let socketsPerTick = 16
    private static let shortestPause = 10.0
    private static let longestPause = 50.0
    /// Of so many parts of the time, one goes to timers.
    private static let timerShare = 64.0
    /// Three refused probes in a row end an association: ICMP is a cue, not proof.
    static let refusalLimit = 3

    private struct ChannelKey: Hashable {
        var address: IPAddress
        var port: UInt16
    }

    private struct TagKey: Hashable {
        var tag: UInt32
        var localPort: UInt16
        var remotePort: UInt16
    }

    private static let current = Locked<UserlandStack?>(nil)

    /// The process's stack, if it has been started.
    static var running: UserlandStack? { self.current.withLock { $0 } }

    /// The process's stack; the first call starts it, on the loop that it makes.
    static func start(on makeLoop: () throws(SocketLoopError) -> SocketLoop) throws(SCTPError) -> UserlandStack {
        try self.current.withLock { (current) throws(SCTPError) in
            if let current { return current }
            let loop: SocketLoop
            do throws(SocketLoopError) {
                loop = try makeLoop()
            } catch {
                throw SCTPError(.noResources, "no thread for sockets can be started: \(error)")
            }
            let stack = try UserlandStack(loop: loop)
            current = stack
            return stack
        }
    }

    private init(loop: SocketLoop) throws(SCTPError) {
        guard let incoming = csl_batch_create(32, 65_536) else {
            throw SCTPError(.noResources, "no memory for the userland SCTP stack")
        }
        self.loop = loop
        self.incoming = incoming
        self.messageBuffer = .allocate(byteCount: 131_072, alignment: 16)
        usrsctp_init_nothreads(
            0,
            { handle, bytes, length, _, _ in
                guard let bytes else { return EINVAL }
                return UserlandStack.output(
                    UInt(bitPattern: handle), UnsafeRawBufferPointer(start: bytes, count: length))
            }, nil)
        // Without the ToS octet of received datagrams ECN cannot work; address changes make no sense on opaque handles.
        usrsctp_sysctl_set_sctp_ecn_enable(0)
        usrsctp_sysctl_set_sctp_asconf_enable(0)
        usrsctp_sysctl_set_sctp_auto_asconf(0)
    }

    // MARK: Endpoints

    func open(_ options: SCTPEndpointOptions) throws(SCTPError) -> any StackSocket {
        self.catchUp()
        let channels = try self.openChannels(options)
        do throws(SCTPError) {
            let socket = try UserlandSocket(options, channels: channels, stack: self, preferredPort: channels[0].port)
            self.sockets[socket.port] = socket
            self.setPace()
            return socket
        } catch {
            self.release(channels)
            throw error
        }
    }

    func closed(_ socket: UserlandSocket) {
        self.sockets[socket.port] = nil
        if self.sockets.isEmpty { self.unasked = [] }
        self.release(socket.channels)
        self.setPace()
    }

    private func openChannels(_ options: SCTPEndpointOptions) throws(SCTPError) -> [UDPChannel] {
        var addresses: [IPAddress] = []
        for address in options.localAddresses where !addresses.contains(address) { addresses.append(address) }
        let isEverywhere = addresses.isEmpty
        if isEverywhere { addresses = [.anyIPv4, .anyIPv6] }

        var failure: SCTPError?
        // With port 0 the first address picks one that another address may not have free: then another.
        for _ in 0..<(options.encapsulationPort == 0 ? 16 : 1) {
            var opened: [UDPChannel] = []
            do throws(SCTPError) {
                var port = options.encapsulationPort
                for address in addresses {
                    do throws(SCTPError) {
                        let channel = try self.channel(address, port: port)
                        channel.users += 1
                        opened.append(channel)
                        port = channel.port
                    } catch  where isEverywhere && address == .anyIPv6 && error.code == .addressUnavailable {
                        // A machine without IPv6 has every address all the same.
                    }
                }
                return opened
            } catch {
                self.release(opened)
                failure = error
                guard error.code == .addressInUse else { throw error }
            }
        }
        throw failure ?? SCTPError(.addressInUse, "no UDP port is free")
    }

    private func channel(_ address: IPAddress, port: UInt16) throws(SCTPError) -> UDPChannel {
        if port == 0, let shared = self.sharedChannel(at: address) { return shared }
        if let channel = self.channels[ChannelKey(address: address, port: port)] { return channel }
        let channel: UDPChannel
        do throws(SCTPError) {
            channel = try UDPChannel(address: address, port: port, stack: self)
        } catch  where error.code == .addressInUse {
            let wildcards = [IPAddress.anyIPv4, .anyIPv6]
            let own = self.channels.keys.first { key in
                key.port == port && (wildcards.contains(key.address) || wildcards.contains(address))
            }
            guard let own else { throw error }
            throw SCTPError(
                .addressInUse,
                "\(error.message): perhaps by this process, which has \(SocketAddress(ip: own.address, port: own.port)); endpoints that share a UDP port have to name the same addresses"
            )
        }
        try channel.start()
        channel.isShared = port == 0
        self.channels[ChannelKey(address: address, port: channel.port)] = channel
        return channel
    }

    /// The channel that endpoints which asked for any port have in common.
    private func sharedChannel(at address: IPAddress) -> UDPChannel? {
        self.channels.first { $0.key.address == address && $0.value.isShared }?.value
    }

    private func release(_ channels: [UDPChannel]) {
        for channel in channels {
            channel.users -= 1
            guard channel.users == 0 else { continue }
            for handle in Array(channel.handles.values) { self.forget(handle) }
            channel.close()
            self.channels[ChannelKey(address: channel.address, port: channel.port)] = nil
        }
    }

    // MARK: Handles

    func handle(_ id: PeerHandle.ID) -> PeerHandle? { self.handles[id] }

    /// The handle for a remote UDP address; a new one is registered with usrsctp.
    func handle(to remote: csl_address, from local: csl_address, on channel: UDPChannel) throws(SCTPError) -> PeerHandle
    {
        if let handle = channel.handles[RemoteKey(remote)] { return handle }
        if self.handles.count - self.busyHandles >= Self.idleHandleLimit { self.makeRoom() }
        self.lastHandle += 1
        let handle = PeerHandle(id: self.lastHandle, channel: channel, remote: remote, local: local, now: self.now)
        usrsctp_register_address(UnsafeMutableRawPointer(bitPattern: handle.id))
        self.handles[handle.id] = handle
        channel.handles[RemoteKey(remote)] = handle
        return handle
    }

    /// Handles without an association are bounded; the longest idle ones go first, many at a time, as this is a scan.
    private func makeRoom() {
        let idle = self.handles.values.filter { $0.associations.isEmpty }
        let oldest = idle.sorted { ($0.lastUse, $0.id) < ($1.lastUse, $1.id) }.prefix(Self.idleHandleLimit / 4)
        self.statistics.sendersRejected += UInt64(oldest.count)
        for handle in oldest { self.forget(handle) }
    }

    private func forget(_ handle: PeerHandle) {
        usrsctp_deregister_address(UnsafeMutableRawPointer(bitPattern: handle.id))
        self.handles[handle.id] = nil
        handle.channel.handles[RemoteKey(handle.remote)] = nil
        for alias in handle.aliases { handle.channel.handles[RemoteKey(alias)] = nil }
    }

    func attach(_ id: AssociationID, to handle: PeerHandle) {
        if handle.associations.isEmpty { self.busyHandles += 1 }
        handle.associations.insert(id)
        self.setPace()
    }

    func detach(_ id: AssociationID, from handle: PeerHandle) {
        guard handle.associations.remove(id) != nil, handle.associations.isEmpty else { return }
        self.busyHandles -= 1
        handle.lastUse = self.now
        self.fastUntil = self.now + 2000
    }

    /// From now on packets with this tag belong to the handle, wherever they come from.
    func learn(tag: UInt32, localPort: UInt16, remotePort: UInt16, handle: PeerHandle) {
        self.tags[TagKey(tag: tag, localPort: localPort, remotePort: remotePort)] = handle.id
    }

    func forget(tag: UInt32, localPort: UInt16, remotePort: UInt16) {
        self.tags[TagKey(tag: tag, localPort: localPort, remotePort: remotePort)] = nil
    }

    // MARK: Input

    func received(
        _ bytes: UnsafeRawBufferPointer, from remote: csl_address, to local: csl_address, on channel: UDPChannel
    ) {
        guard let packet = SCTPPacket(bytes) else {
            self.statistics.datagramsMalformed += 1
            return
        }
        guard let socket = self.sockets[packet.destinationPort], socket.channels.contains(where: { $0 === channel })
        else {
            return self.outOfTheBlue(packet, bytes, from: remote, to: local, on: channel)
        }
        if let handle = channel.handles[RemoteKey(remote)] {
            if RemoteKey(handle.remote) != RemoteKey(remote) { self.moved(handle, packet, bytes, to: remote) }
            return self.input(bytes, handle, local, socket)
        }
        // Unknown senders cost memory, so their packets must at least be whole.
        guard Self.checksumIsRight(bytes) else {
            self.statistics.datagramsWithWrongChecksum += 1
            return
        }
        if packet.verificationTag != 0, let handle = self.handle(taggedBy: packet), handle.channel === channel {
            // A peer with another address, or behind a NAT that has forgotten it (RFC 6951 §5.4).
            guard handle.aliases.count < Self.aliasLimit else { return }
            handle.aliases.append(handle.remote)
            handle.remote = remote
            channel.handles[RemoteKey(remote)] = handle
            self.statistics.peersMoved += 1
            return self.input(bytes, handle, local, socket)
        }
        switch packet.chunk {
        case .initiation where socket.acceptsAssociations, .cookieEcho:
            guard let handle = try? self.handle(to: remote, from: local, on: channel) else { return }
            self.input(bytes, handle, local, socket)
        default:
            self.outOfTheBlue(packet, bytes, from: remote, to: local, on: channel)
        }
    }

    private func handle(taggedBy packet: SCTPPacket) -> PeerHandle? {
        let key = TagKey(
            tag: packet.verificationTag, localPort: packet.destinationPort, remotePort: packet.sourcePort)
        return self.tags[key].flatMap { self.handles[$0] }
    }

    /// A known second address of a peer: answers go where its last authentic packet came from.
    private func moved(
        _ handle: PeerHandle, _ packet: SCTPPacket, _ bytes: UnsafeRawBufferPointer, to remote: csl_address
    ) {
        guard self.handle(taggedBy: packet) === handle, Self.checksumIsRight(bytes) else { return }
        handle.aliases.removeAll { RemoteKey($0) == RemoteKey(remote) }
        handle.aliases.append(handle.remote)
        handle.remote = remote
        self.statistics.peersMoved += 1
    }

    private func input(
        _ bytes: UnsafeRawBufferPointer, _ handle: PeerHandle, _ local: csl_address, _ socket: UserlandSocket
    ) {
        self.catchUp()
        handle.lastUse = self.now
        handle.refusals = 0
        handle.local = local
        usrsctp_conninput(UnsafeMutableRawPointer(bitPattern: handle.id), bytes.baseAddress, bytes.count, 0)
        self.mayHaveInput(socket)
        self.touched.insert(handle.id)
    }

    /// It is asked at the end of the present batch of input, or with the next tick.
    private func mayHaveInput(_ socket: UserlandSocket) {
        socket.mayHaveInput = true
        self.willAsk(socket)
    }

    private func willAsk(_ socket: UserlandSocket) {
        guard !socket.isDirty else { return }
        socket.isDirty = true
        self.dirty.append(socket)
    }

    /// Feeds usrsctp a packet as if the peer had sent it.
    func inject(_ packet: [UInt8], from handle: PeerHandle) {
        var packet = packet
        Self.seal(&packet)
        packet.withUnsafeBytes {
            usrsctp_conninput(UnsafeMutableRawPointer(bitPattern: handle.id), $0.baseAddress, $0.count, 0)
        }
    }

    private func outOfTheBlue(
        _ packet: SCTPPacket, _ bytes: UnsafeRawBufferPointer,
        from remote: csl_address, to local: csl_address, on channel: UDPChannel
    ) {
        guard Self.checksumIsRight(bytes) else {
            self.statistics.datagramsWithWrongChecksum += 1
            return
        }
        self.statistics.datagramsOutOfTheBlue += 1
        let second = self.milliseconds() / 1000
        if second != self.answersSecond {
            self.answersSecond = second
            self.answersLeft = Self.answersPerSecond
        }
        guard self.answersLeft > 0, var answer = packet.outOfTheBlueAnswer() else { return }
        self.answersLeft -= 1
        Self.seal(&answer)
        answer.withUnsafeBytes { channel.send($0, to: remote, from: local) }
    }

    /// ICMP says that a datagram to `remote` did not arrive.
    func unreachable(_ remote: csl_address, errno: CInt, on channel: UDPChannel) {
        guard let handle = channel.handles[RemoteKey(remote)] else { return }
        self.statistics.unreachableReports += 1
        // Only "nobody listens there" is about the peer itself; unreachable networks may come back.
        guard errno == ECONNREFUSED else { return }
        // Several datagrams sent at once are one question.
        guard handle.lastRefusal != self.turn else { return }
        handle.lastRefusal = self.turn
        handle.refusals += 1
        for socket in self.sockets.values where socket.refused(handle) { self.willAsk(socket) }
    }

    /// After a batch of datagrams: hand over what has become readable, and let those send who waited for room.
    func afterInput() {
        self.turn += 1
        let touched = self.touched
        let dirty = self.dirty
        self.touched = []
        self.dirty = []
        for socket in dirty {
            socket.isDirty = false
            socket.deliver(touched)
        }
    }

    private static func checksumIsRight(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let claimed = bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        return self.checksum(bytes) == claimed
    }

    /// The CRC32C as it stands in the packet, computed with zero in its place.
    private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 4) { copy in
            copy.copyMemory(from: bytes)
            copy.storeBytes(of: 0, toByteOffset: 8, as: UInt32.self)
            return usrsctp_crc32c(copy.baseAddress, copy.count)
        }
    }

    private static func seal(_ packet: inout [UInt8]) {
        let sum = packet.withUnsafeBytes { self.checksum($0) }
        packet.withUnsafeMutableBytes { $0.storeBytes(of: sum, toByteOffset: 8, as: UInt32.self) }
    }

    // MARK: Output

    private static func output(_ id: PeerHandle.ID, _ bytes: UnsafeRawBufferPointer) -> CInt {
        guard let stack = self.current.withLock({ $0 }) else { return ENETDOWN }
        guard stack.loop.isCurrent else {
            let copy = Array(bytes)
            stack.loop.call { copy.withUnsafeBytes { stack.send($0, to: id) } }
            return 0
        }
        stack.send(bytes, to: id)
        return 0
    }

    private func send(_ bytes: UnsafeRawBufferPointer, to id: PeerHandle.ID) {
        guard let handle = self.handles[id] else { return }
        if self.isInTimers, let packet = SCTPPacket(bytes), let socket = self.sockets[packet.sourcePort] {
            self.mayHaveInput(socket)
        }
        handle.channel.send(bytes, to: handle.remote, from: handle.local)
    }

    /// Sends a packet of our own making.
    func send(_ packet: [UInt8], to handle: PeerHandle) {
        var packet = packet
        Self.seal(&packet)
        packet.withUnsafeBytes { handle.channel.send($0, to: handle.remote, from: handle.local) }
    }

    func needsFlush(_ channel: UDPChannel) {
        if self.channelsToFlush.contains(where: { $0 === channel }) { return }
        self.channelsToFlush.append(channel)
        guard self.channelsToFlush.count == 1 else { return }
        self.loop.atEndOfTurn { [self] in
            let channels = self.channelsToFlush
            self.channelsToFlush = []
            for channel in channels where channel.users > 0 { channel.flush() }
            // Taking errors out may have ended associations.
            if !self.dirty.isEmpty { self.loop.call { self.afterInput() } }
        }
    }

    // MARK: Time

    private func milliseconds() -> UInt64 {
        let (seconds, attoseconds) = self.start.duration(to: .now).components
        return UInt64(max(0, seconds * 1000 + attoseconds / 1_000_000_000_000_000))
    }

    /// Tells usrsctp how much time has passed, at most every 10 ms: each call walks all of its timers. With very many of them
    /// less often, so that most of the time is left for other things.
    func catchUp() {
        let now = self.milliseconds()
        guard now >= self.now + self.pause else { return }
        let elapsed = now - self.now
        self.now = now
        let begin = ContinuousClock.now
        self.isInTimers = true
        usrsctp_handle_timers(UInt32(clamping: elapsed))
        self.isInTimers = false
        let share = begin.duration(to: .now) * Self.timerShare / .milliseconds(1)
        self.pause = UInt64(min(max(share, Self.shortestPause), Self.longestPause))
        self.askSome()
    }

    /// usrsctp does not say whose timer had news. Whose timer gives an association up, or a path, has sent something; for what
    /// else there may be, each socket is asked now and then: a few of them at once, as each costs as much as a message.
    private func askSome() {
        if self.unasked.isEmpty { self.unasked = Array(self.sockets.values) }
        for socket in self.unasked.suffix(Self.socketsPerTick) { self.mayHaveInput(socket) }
        self.unasked.removeLast(min(Self.socketsPerTick, self.unasked.count))
    }

    /// With the shortest pause while anybody is associated or associating, else 1 s: an idle process sleeps.
    func setPace() {
        let isFast = self.busyHandles > 0 || self.now < self.fastUntil
        guard self.tick == nil || isFast && !self.ticksFast else { return }
        if let tick = self.tick { self.loop.clock.cancel(tick) }
        self.ticksFast = isFast
        let pause: Duration = isFast ? .milliseconds(Int64(self.pause)) : .seconds(1)
        self.tick = self.loop.clock.schedule(at: .now.advanced(by: pause)) { [self] in
            self.tick = nil
            self.ticked()
        }
    }

    private func ticked() {
        self.catchUp()
        self.afterInput()
        if self.busyHandles > 0 { self.fastUntil = self.now + 2000 }
        if self.now >= self.nextSweep { self.sweep() }
        guard !self.sockets.isEmpty || !self.handles.isEmpty || self.now < self.fastUntil else { return }
        self.setPace()
    }

    /// Closing associations and sockets need usrsctp's timers a little longer.
    private var fastUntil: UInt64 = 0

    private func sweep() {
        self.nextSweep = self.now + 5000
        for handle in Array(self.handles.values)
        where handle.associations.isEmpty && handle.lastUse + Self.handleLifetime < self.now {
            self.forget(handle)
        }
    }
}
