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

/// The loop all SCTP tests share: there is one userland stack per process, and it stays on its loop.
let sharedLoop: SocketLoop = {
    do {
        return try SCTPStack.userland { () throws(SocketLoopError) in try SocketLoop(name: "sctp-tests") }.loop
    } catch {
        fatalError("\(error)")
    }
}()

/// Set where kernel SCTP must be tested: then its absence is a failure and not a reason to skip.
let kernelIsRequired = getenv("RSERPOOL_REQUIRE_KERNEL_SCTP") != nil

/// The stacks the contract is tested with.
let availableStacks: [SCTPStack.Kind] =
    SCTPStack.kernelIsAvailable || kernelIsRequired ? [.userland, .kernel] : [.userland]

extension SCTPStack {
    static func shared(_ kind: Kind) throws -> SCTPStack {
        switch kind {
        case .kernel: try .kernel(on: sharedLoop)
        case .userland: try .userland(on: sharedLoop)
        }
    }
}

extension SCTPEndpointOptions {
    /// Quick timers on loopback, any ports.
    static var loopback: SCTPEndpointOptions {
        var options = SCTPEndpointOptions.fast
        options.localAddresses = [.loopbackIPv4]
        return options
    }
}

extension SCTPEndpoint {
    /// Where this endpoint can be reached.
    nonisolated var peer: SCTPPeer {
        SCTPPeer(addresses: self.localAddresses, port: self.port, encapsulationPort: self.encapsulationPort)
    }

    /// `submit` for tests, which are not on the loop.
    func submitted(_ count: Int, stream: UInt16 = 0, on id: AssociationID) throws {
        try self.submit(
            [UInt8](repeating: 7, count: count), stream: stream, payloadProtocol: 11, unordered: false, on: id)
    }
}

/// An endpoint whose events are kept in order until somebody asks for them.
final class LoggedEndpoint: SCTPReceiver {
    let endpoint: SCTPEndpoint
    private let state = Locked(State())
    /// What it does with an event at once, on the loop.
    private let reaction: @Sendable (SCTPEvent, isolated SCTPEndpoint) -> Void

    private struct State {
        var events: [SCTPEvent] = []
        var reader: Waiter<Void>?
    }

    init(
        _ kind: SCTPStack.Kind, _ options: SCTPEndpointOptions = .loopback,
        reaction: @escaping @Sendable (SCTPEvent, isolated SCTPEndpoint) -> Void = { _, _ in }
    ) async throws {
        self.endpoint = try await SCTPEndpoint(on: .shared(kind), options: options)
        self.reaction = reaction
        await self.endpoint.setReceiver(self)
    }

    func received(_ event: SCTPEvent, from endpoint: SCTPEndpoint) {
        endpoint.assumeIsolated { self.reaction(event, $0) }
        let reader = self.state.withLock { state in
            state.events.append(event)
            defer { state.reader = nil }
            return state.reader
        }
        reader?.end()
    }

    /// The next event for which `choose` has a value; those before it are dropped.
    func next<Value>(
        within limit: Duration = .seconds(20), _ what: String, _ choose: (SCTPEvent) -> Value?
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
            let timer = sharedLoop.clock.schedule(at: deadline) { waiter.end(.failure(Missing(what: what))) }
            defer { sharedLoop.clock.cancel(timer) }
            try await waiter.value()
        }
    }

    struct Missing: Error, CustomStringConvertible {
        let what: String
        var description: String { "did not happen in time: \(self.what)" }
    }

    func up() async throws -> SCTPAssociation {
        try await self.next("up") { if case .up(let association) = $0 { association } else { nil } }
    }

    func message() async throws -> (SCTPMessage, AssociationID) {
        try await self.next("message") { if case .message(let message, let id) = $0 { (message, id) } else { nil } }
    }

    func down(of id: AssociationID, within limit: Duration = .seconds(20)) async throws -> SCTPDownReason {
        try await self.next(within: limit, "down of \(id)") {
            if case .down(id, let reason) = $0 { reason } else { nil }
        }
    }

    func close() async {
        await self.endpoint.close(gracefulWithin: .zero)
    }
}

/// Sends every message back as it came.
func echo(_ event: SCTPEvent, _ endpoint: isolated SCTPEndpoint) {
    guard case .message(let message, let id) = event else { return }
    do {
        try endpoint.submit(
            message.bytes, stream: message.stream, payloadProtocol: message.payloadProtocol,
            unordered: message.unordered, on: id)
    } catch {
        // The association may have ended behind this message.
        if error.code != .notConnected, error.code != .unknownAssociation { Issue.record("echo: \(error)") }
    }
}

/// What this process holds, to find leaks.
struct Process {
    var residentBytes: Int
    var descriptors: Int

    /// Sanitizers keep freed memory back.
    static let sanitizerSlack = getenv("RSERPOOL_SANITIZER") != nil ? 200_000_000 : 0

    /// Processor time of the calling thread so far.
    static var threadTime: Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    static var current: Process {
        var text = [UInt8](repeating: 0, count: 256)
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        let count = read(file, &text, text.count)
        close(file)
        let fields = text.prefix(max(0, count)).split(separator: UInt8(ascii: " "))
        let pages = fields.count > 1 ? Int(String(decoding: fields[1], as: UTF8.self)) ?? 0 : 0
        var descriptors = 0
        if let directory = opendir("/proc/self/fd") {
            while readdir(directory) != nil { descriptors += 1 }
            closedir(directory)
        }
        return Process(residentBytes: pages * sysconf(Int32(_SC_PAGESIZE)), descriptors: descriptors)
    }
}
