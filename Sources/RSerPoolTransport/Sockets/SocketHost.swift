// SPDX-License-Identifier: Apache-2.0

internal import CSocketLoop
internal import SCTP
internal import SocketLoop

/// Why a process cannot live on sockets as it wants to.
public struct SocketHostError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One line: what is missing, and what to do.
    public let message: String

    public var description: String { self.message }

    init(_ message: String) {
        self.message = message
    }
}

/// Hosts on real sockets: one thread each, which waits for descriptors and timers and is the executor of all that lives there.
///
/// Everything of a process belongs on one host, ``shared(_:)``: registrars, pool elements and pool users then share a thread.
/// ``open(_:)`` gives further hosts. Those with the userland stack share its thread nevertheless, and the UDP ports: there is one
/// userland stack in a process, and it stays for ever.
public enum SocketHost {
    /// A host with its own thread (userland stack: the thread of that stack), until ``close(_:)``.
    /// - Throws: one line; with `.auto` a missing SCTP is told only when an SCTP endpoint is opened.
    public static func open(_ options: SocketHostOptions = SocketHostOptions()) throws(SocketHostError) -> Host {
        let isUserland =
            switch options.stack {
            case .auto: !SCTPStack.kernelIsAvailable
            case .kernel: false
            case .userland: true
            }
        let (loop, stack) = isUserland ? try self.userland(options) : try self.kernel(options)
        // A seed for each element from the system would be four system calls a registration.
        var chance = SystemRandomNumberGenerator()
        let seeds = Locked(HostGenerator(seed: (chance.next(), chance.next(), chance.next(), chance.next())))
        return Host(
            executor: loop, tasks: loop.tasks, clock: loop.clock,
            transport: SocketTransport(loop: loop, stack: stack, encapsulationPort: options.encapsulationPort),
            drawSeed: { seeds.withLock { $0.next() } }, releaseFreedMemory: { csl_release_freed_memory() })
    }

    /// The host of this process: started by the first call, the same one for later calls. It lasts as long as the process.
    /// - Throws: as ``open(_:)``, and when it runs already with another stack or UDP port than `options` want.
    public static func shared(_ options: SocketHostOptions = SocketHostOptions()) throws(SocketHostError) -> Host {
        try self.process.withLock { process throws(SocketHostError) in
            if let process {
                guard process.options.stack == options.stack,
                    process.options.encapsulationPort == options.encapsulationPort
                else {
                    throw SocketHostError(
                        "this process has its host already, with SCTP stack \(process.options.stack.rawValue) and UDP port "
                            + "\(process.options.encapsulationPort); use the same options everywhere")
                }
                return process.host
            }
            let host = try self.open(options)
            process = (options, host)
            return host
        }
    }

    /// Ends the thread of a host that ``open(_:)`` gave, when what was queued has run. Close everything that lives on it before:
    /// what waits for it afterwards waits for ever. The userland stack's thread does not end.
    public static func close(_ host: Host) {
        guard let loop = host.executor as? SocketLoop, !SCTPStack.isUserland(loop) else { return }
        loop.stop()
    }

    private static let process = Locked<(options: SocketHostOptions, host: Host)?>(nil)

    private typealias Ground = (loop: SocketLoop, stack: Result<SCTPStack, TransportError>)

    private static func kernel(_ options: SocketHostOptions) throws(SocketHostError) -> Ground {
        let loop = try self.startLoop(options)
        do throws(SCTPError) {
            return (loop, .success(try .kernel(on: loop)))
        } catch {
            loop.stop()
            throw SocketHostError("\(error.message); load its sctp module, or choose the userland stack")
        }
    }

    private static func userland(_ options: SocketHostOptions) throws(SocketHostError) -> Ground {
        do throws(SCTPError) {
            let stack = try SCTPStack.userland { () throws(SocketLoopError) in
                try SocketLoop(name: options.name, busyPoll: options.busyPoll)
            }
            return (stack.loop, .success(stack))
        } catch {
            // Nobody asked for SCTP: the rest works.
            guard options.stack == .auto else { throw SocketHostError(error.message) }
            return (try self.startLoop(options), .failure(TransportError(error)))
        }
    }

    private static func startLoop(_ options: SocketHostOptions) throws(SocketHostError) -> SocketLoop {
        do throws(SocketLoopError) {
            return try SocketLoop(name: options.name, busyPoll: options.busyPoll)
        } catch {
            throw SocketHostError("no thread for sockets can be started: \(error)")
        }
    }
}
