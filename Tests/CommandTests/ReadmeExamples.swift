// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import RSerPool
import Testing

// The README's examples, to the letter: that they compile is half of the test.

func serve() async throws {
    let element = PoolElement(
        in: "EchoPool", registrars: .list(.sctp("127.0.0.1")), host: try SocketHost.shared(),
        logger: Logger(label: "echo")
    ) { request in
        request.bytes
    }
    try await element.run()
}

func serveSessions(key: CookieKey) async throws {
    var configuration = PoolElement.Configuration(registrars: .list(.sctp("127.0.0.1")))
    configuration.cookieKey = key
    let server = PoolElementServer(
        pool: "CountPool", configuration: configuration, host: try SocketHost.shared(), logger: Logger(label: "count")
    ) { session in
        var count = session.state?.first ?? 0
        for await request in session.requests {
            count &+= 1
            try await session.send([count], answering: request)
            try await session.keep([count])
        }
    }
    try await server.run()
}

func use() async throws {
    let user = PoolUser(
        registrars: .list(.sctp("127.0.0.1"), .tcp("127.0.0.1")), host: try SocketHost.shared(),
        logger: Logger(label: "user"))
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await user.run() }
        let answer = try await user.withSession(with: "EchoPool") { try await $0.request(Array("hello".utf8)) }
        print(String(decoding: answer.bytes, as: UTF8.self), "from", answer.element)
        for await change in user.pool("EchoPool").changes { print(change) }
    }
}

@Suite("README")
struct ReadmeTests {
    @Test("Its Swift examples are the ones that are compiled here")
    func examples() throws {
        let here = URL(fileURLWithPath: #filePath)
        let root = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let readme = try String(contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        let source = try String(contentsOf: here, encoding: .utf8)
        let blocks = readme.components(separatedBy: "```swift\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
        #expect(blocks.count == 3)
        for block in blocks {
            let function = try #require(block.components(separatedBy: "\n\n").last)
            #expect(source.contains(function), "\(function)")
        }
    }
}
