// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import SCTP
import SocketLoop
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension SCTPSuite {
    /// What only the kernel's stack has.
    @Suite(
        "Kernel stack", .timeLimit(.minutes(3)),
        .enabled(if: SCTPStack.kernelIsAvailable || kernelIsRequired, "this machine's kernel has no SCTP"))
    struct Kernel {
        @Test("An association with two paths outlives one of them, and says which")
        func multiHoming() async throws {
            let far = try await Namespace()
            try far.addPath(0)
            try far.addPath(1)
            var options = SCTPEndpointOptions.fast
            options.localAddresses = [Namespace.address(0, 1), Namespace.address(1, 1)]
            let server = try await SCTPEndpoint(on: .kernel(on: far.loop), options: far.options)
            let serving = Task(executorPreference: far.loop.tasks) {
                for await batch in server.events {
                    for case .message(let message, let id) in batch { try await server.send(message, on: id) }
                }
            }
            let client = try await LoggedEndpoint(.kernel, options)
            let peer = SCTPPeer(addresses: [Namespace.address(0, 2), Namespace.address(1, 2)], port: server.port)
            let association = try await client.endpoint.connect(to: peer)
            #expect(Set(association.peer.addresses) == Set(peer.addresses))
            #expect(Set(client.endpoint.localAddresses) == Set(options.localAddresses))
            func exchange(_ byte: UInt8) async throws {
                try await client.endpoint.send(SCTPMessage(bytes: [byte]), on: association.id)
                #expect(try await client.message().0.bytes == [byte])
            }
            func path(_ wanted: SCTPPathState, _ address: IPAddress) async throws {
                try await client.next("\(wanted) of \(address)") {
                    if case .path(_, address, wanted) = $0 { () } else { nil }
                }
            }
            try await exchange(1)
            let first = Namespace.address(0, 2)
            try run("ip", "link", "set", "sctp0", "down")
            try await path(.unreachable, first)
            try await exchange(2)
            try run("ip", "link", "set", "sctp0", "up")
            try await path(.available, first)
            try await exchange(3)
            // With no path left the association is lost.
            try run("ip", "link", "set", "sctp0", "down")
            try run("ip", "link", "set", "sctp1", "down")
            #expect(try await client.down(of: association.id) == .lost)
            await client.close()
            await server.close(gracefulWithin: .zero)
            try await serving.value
            try far.remove()
        }

        @Test("The smoothed round-trip time is that of the path, though Linux counts it in ticks (RFC 6458 §8.2.2)")
        func roundTrip() async throws {
            let far = try await Namespace()
            try far.addPath(0)
            try far.addPath(1)
            try run("tc", "qdisc", "add", "dev", "sctp0", "root", "netem", "delay", "120ms")
            var options = SCTPEndpointOptions()
            options.localAddresses = [Namespace.address(0, 2)]
            let server = try await SCTPEndpoint(on: .kernel(on: far.loop), options: options)
            let serving = Task(executorPreference: far.loop.tasks) {
                for await batch in server.events {
                    for case .message(let message, let id) in batch { try await server.send(message, on: id) }
                }
            }
            options.localAddresses = [Namespace.address(0, 1)]
            let client = try await LoggedEndpoint(.kernel, options)
            let association = try await client.endpoint.connect(
                to: SCTPPeer(addresses: [Namespace.address(0, 2)], port: server.port))
            for byte in 0..<8 as Range<UInt8> {
                try await client.endpoint.send(SCTPMessage(bytes: [byte]), on: association.id)
                #expect(try await client.message().0.bytes == [byte])
            }
            let time = try #require(await client.endpoint.smoothedRoundTripTime(of: association.id))
            #expect(.milliseconds(90) ... .milliseconds(250) ~= time, "\(time)")
            await client.close()
            await server.close(gracefulWithin: .zero)
            try await serving.value
            try far.remove()
        }

        @Test("Kernel and userland stacks understand each other over UDP, both ways")
        func interoperability() async throws {
            let path = "/proc/sys/net/sctp/udp_port"
            let file = open(path, O_WRONLY | O_CLOEXEC)
            try #require(file >= 0, "\(path) cannot be written: this needs root")
            #expect(write(file, "9898", 4) == 4)
            close(file)
            let kernel = try await LoggedEndpoint(.kernel, reaction: echo)
            let userland = try await LoggedEndpoint(.userland, reaction: echo)
            #expect(kernel.endpoint.encapsulationPort == 9898)
            for (from, to) in [(kernel, userland), (userland, kernel)] {
                let client = try await LoggedEndpoint(from === kernel ? .kernel : .userland)
                let association = try await client.endpoint.connect(to: to.endpoint.peer)
                #expect(association.peer.encapsulationPort == to.endpoint.encapsulationPort)
                #expect(try await to.up().peer.encapsulationPort == client.endpoint.encapsulationPort)
                for length in [1, 1000, 65_536] {
                    let message = SCTPMessage(
                        bytes: [UInt8](repeating: UInt8(length & 0xff), count: length), stream: 2, payloadProtocol: 11)
                    try await client.endpoint.send(message, on: association.id)
                    #expect(try await client.message().0 == message)
                }
                await client.endpoint.close(gracefulWithin: .seconds(5))
            }
            await kernel.close()
            await userland.close()
            let reset = open(path, O_WRONLY | O_CLOEXEC)
            #expect(write(reset, "0", 1) == 1)
            close(reset)
        }
    }
}

/// A network namespace with a loop of its own in it, joined to ours by up to two wires. Needs root, as in the guest.
private struct Namespace {
    let loop: SocketLoop
    private let thread: CInt

    init() async throws {
        let loop = try SocketLoop(name: "far")
        self.loop = loop
        // Not in Glibc's module: unshare needs _GNU_SOURCE.
        let newNetwork: CInt = 0x4000_0000
        let unshare = try #require(dlsym(nil, "unshare")).assumingFunction((@convention(c) (CInt) -> CInt).self)
        let threadID = try #require(dlsym(nil, "gettid")).assumingFunction((@convention(c) () -> CInt).self)
        let (status, thread) = await loop.run { (unshare(newNetwork), threadID()) }
        try #require(status == 0, "a network namespace of its own needs root")
        self.thread = thread
        try self.inside("ip", "link", "set", "lo", "up")
    }

    static func address(_ path: Int, _ side: Int) -> IPAddress { .ipv4(0x0a62_0000 + UInt32(path) << 8 + UInt32(side)) }

    var options: SCTPEndpointOptions {
        var options = SCTPEndpointOptions.fast
        options.localAddresses = [Self.address(0, 2), Self.address(1, 2)]
        return options
    }

    func addPath(_ path: Int) throws {
        try run("ip", "link", "add", "sctp\(path)", "type", "veth", "peer", "name", "far\(path)")
        try run("ip", "link", "set", "far\(path)", "netns", "\(self.thread)")
        try run("ip", "addr", "add", "\(Self.address(path, 1))/24", "dev", "sctp\(path)")
        try run("ip", "link", "set", "sctp\(path)", "up")
        try self.inside("ip", "addr", "add", "\(Self.address(path, 2))/24", "dev", "far\(path)")
        try self.inside("ip", "link", "set", "far\(path)", "up")
    }

    func inside(_ command: String...) throws {
        try run(["nsenter", "--net=/proc/\(self.thread)/ns/net"] + command)
    }

    func remove() throws {
        for path in 0...1 { try run("ip", "link", "del", "sctp\(path)") }
        self.loop.stop()
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func assumingFunction<Function>(_ type: Function.Type) -> Function { unsafeBitCast(self, to: type) }
}

private func run(_ command: String...) throws { try run(command) }

private func run(_ command: [String]) throws {
    let status = reap(try spawn(command))
    try #require(status == 0, "\(command.joined(separator: " ")): \(status)")
}

private func spawn(_ command: String...) throws -> pid_t { try spawn(command) }

private func spawn(_ command: [String]) throws -> pid_t {
    var arguments = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var child = pid_t()
    let status = posix_spawnp(&child, command[0], nil, nil, &arguments, environ)
    try #require(status == 0, "\(command[0]): \(SocketLoopError.text(status))")
    return child
}

private func reap(_ child: pid_t) -> CInt {
    var status: CInt = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    return status
}
