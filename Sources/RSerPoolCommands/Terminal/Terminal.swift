// SPDX-License-Identifier: Apache-2.0

internal import Dispatch
internal import Glibc

/// Standard output and error, whole lines at a time, unbuffered: who reads sees each line as it happens.
package enum Terminal {
    package static func print(_ line: String) {
        self.write(line + "\n", to: STDOUT_FILENO)
    }

    /// Text that ends its lines itself.
    package static func write(_ text: String) {
        self.write(text, to: STDOUT_FILENO)
    }

    package static func printError(_ line: String) {
        self.write(line + "\n", to: STDERR_FILENO)
    }

    /// A reader that has gone away, or a full disk, ends nothing here: what cannot be written is lost.
    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written > 0 {
                bytes.removeFirst(written)
            } else if errno != EINTR {
                return
            }
        }
    }
}

/// The lines of standard input, read one at a time when somebody wants one.
package struct InputLines: AsyncSequence, Sendable {
    package typealias Element = String

    package init() {}

    package func makeAsyncIterator() -> Iterator { Iterator() }

    package struct Iterator: AsyncIteratorProtocol {
        /// Reading may block for ever: it has a thread of its own.
        private let queue = DispatchQueue(label: "standard input")

        package mutating func next() async -> String? {
            let queue = self.queue
            return await withCheckedContinuation { continuation in
                queue.async { continuation.resume(returning: readLine(strippingNewline: true)) }
            }
        }
    }
}
