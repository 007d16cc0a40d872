// SPDX-License-Identifier: Apache-2.0

public import Logging
public import RSerPool

/// A load-balanced calculation service: users hand in jobs of some size, each element works on its jobs at once and shares its speed
/// among them, tells its registrar how loaded it is, and refuses what would be too much.
///
/// With a policy that goes by load, `least-used` for example, new jobs go where there is room. How far a job has come is
/// kept with the user: when an element dies the next one goes on from there.
///
/// Messages are those of rsplib's calculation service (payload protocol 34), so its programs and ours serve each other's users:
///
///     +---------------+---------------+-------------------------------+
///     | Kind          |   Flags = 0   |          Length = 24          |
///     +---------------+---------------+-------------------------------+
///     |                          Job number                           |
///     +---------------------------------------------------------------+
///     |                      Job size (64 bits)                       |
///     +---------------------------------------------------------------+
///     |                 Completed so far (64 bits)                    |
///     +---------------------------------------------------------------+
public enum Calculation {
    public static let payloadProtocol: UInt32 = 34

    public struct Job: Hashable, Sendable {
        public let number: UInt32
        /// In calculations.
        public let size: UInt64

        public init(number: UInt32, size: UInt64) {
            self.number = number
            self.size = size
        }
    }

    public struct Result: Hashable, Sendable {
        public let job: Job
        /// Who finished it.
        public let element: PoolElementID
        public let elapsed: Duration
    }

    /// How much an element can do.
    public struct Capacity: Sendable {
        /// Calculations a second, shared by all jobs that are at work.
        public var speed: Double = 1_000_000
        /// Jobs at work at once; further ones are refused.
        public var jobs = 8

        public init() {}
    }

    /// An element of the pool. Its load is the share of its capacity that is at work.
    public static func server(
        in pool: PoolHandle, configuration: PoolElement.Configuration, capacity: Capacity = Capacity(), host: Host,
        logger: Logger
    ) -> PoolElementServer {
        let bench = Bench(capacity)
        var configuration = configuration
        if configuration.policy.load != nil { configuration.load = { await bench.load } }
        return PoolElementServer(pool: pool, configuration: configuration, host: host, logger: logger) { session in
            // A job that another element had begun.
            if let begun = session.state.flatMap(Message.init) {
                return try await self.work(on: begun, for: session, bench, host)
            }
            for await request in session.requests {
                guard let message = Message(request.bytes), message.kind == .request else { continue }
                try await self.work(on: message, for: session, bench, host)
            }
        }
    }

    private static func work(
        on job: Message, for session: ServedSession, _ bench: Bench, _ host: Host
    ) async throws {
        guard await bench.enter() else { return try await self.send(job.with(.reject), to: session) }
        do {
            try await self.send(job.with(.accept), to: session)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.advance(job, for: session, bench, host) }
                group.addTask { try await self.listen(to: session) }
                try await group.next()
                group.cancelAll()
            }
            await bench.leave()
        } catch {
            await bench.leave()
            throw error
        }
    }

    private static func advance(
        _ job: Message, for session: ServedSession, _ bench: Bench, _ host: Host
    ) async throws {
        var job = job
        var owed = 0.0
        while job.completed < job.size {
            try await host.clock.sleep(for: self.step)
            owed += await bench.speedOfOne * (self.step / .seconds(1))
            let done = UInt64(min(owed, 1e18))
            owed -= Double(done)
            job.completed += min(job.size - job.completed, done)
            try await session.keep(job.with(.request).bytes)
        }
        try await self.send(job.with(.complete), to: session)
    }

    /// While it works it says that it lives, to who asks, and stops when it is told to.
    private static func listen(to session: ServedSession) async throws {
        for await request in session.requests {
            switch Message(request.bytes)?.kind {
            case .keepAlive?:
                guard let message = Message(request.bytes) else { continue }
                try await self.send(message.with(.keepAliveAck), to: session)
            case .abort?: return
            default: break
            }
        }
    }

    private static func send(_ message: Message, to session: ServedSession) async throws {
        try await session.send(message.bytes, payloadProtocol: self.payloadProtocol)
    }

    /// How often the progress of a job is noted.
    private static let step = Duration.milliseconds(20)

    /// Hands in a job and waits until some element has finished it. Who refuses it is left for the next one.
    public static func calculate(
        _ job: Job, in pool: PoolHandle, as user: PoolUser, configuration: Session.Configuration = .init()
    ) async throws -> Result {
        let clock = ContinuousClock()
        let begin = clock.now
        for _ in 0..<Self.attempts {
            let finished = try await user.withSession(with: pool, configuration: configuration) {
                session -> PoolElementID? in
                try await session.send(
                    Message(kind: .request, job: job.number, size: job.size).bytes,
                    payloadProtocol: Self.payloadProtocol)
                for await event in session.events {
                    switch event {
                    case .message(let answer):
                        guard let message = Message(answer.bytes), message.job == job.number else { continue }
                        if message.kind == .complete { return answer.element }
                        if message.kind == .reject { return nil }
                    case .failedOver(let failover) where !failover.hasState:
                        // It had not begun: nobody knows of it.
                        try await session.send(
                            Message(kind: .request, job: job.number, size: job.size).bytes,
                            payloadProtocol: Self.payloadProtocol)
                    case .interrupted(let error): throw error
                    default: break
                    }
                }
                return nil
            }
            if let finished { return Result(job: job, element: finished, elapsed: clock.now - begin) }
        }
        throw ExampleError("job \(job.number): all elements of pool \(pool) that were asked have too much to do")
    }

    private static let attempts = 10

    /// Who is at work.
    private actor Bench {
        private let capacity: Capacity
        private var jobs = 0

        init(_ capacity: Capacity) {
            self.capacity = capacity
        }

        var load: Load { Load(fraction: Double(self.jobs) / Double(self.capacity.jobs)) }
        var speedOfOne: Double { self.capacity.speed / Double(max(1, self.jobs)) }

        func enter() -> Bool {
            guard self.jobs < self.capacity.jobs else { return false }
            self.jobs += 1
            return true
        }

        func leave() { self.jobs -= 1 }
    }

    private struct Message {
        enum Kind: UInt8 { case request = 1, accept, reject, abort, complete, keepAlive, keepAliveAck }

        var kind: Kind
        var job: UInt32
        var size: UInt64
        var completed: UInt64 = 0

        init(kind: Kind, job: UInt32, size: UInt64) {
            self.kind = kind
            self.job = job
            self.size = size
        }

        init?(_ bytes: [UInt8]) {
            guard let kind = bytes.first.flatMap(Kind.init), let job = UInt32(octets: bytes.dropFirst(4)),
                let size = UInt64(octets: bytes.dropFirst(8)), let completed = UInt64(octets: bytes.dropFirst(16))
            else { return nil }
            self.init(kind: kind, job: job, size: size)
            self.completed = completed
        }

        func with(_ kind: Kind) -> Message {
            var message = self
            message.kind = kind
            return message
        }

        var bytes: [UInt8] {
            [self.kind.rawValue, 0, 0, 24] + self.job.octets + self.size.octets + self.completed.octets
        }
    }
}
