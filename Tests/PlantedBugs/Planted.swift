// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

// Configuration/planted-bugs copies this file into each module of its scratch copy; it is no part of the package.

/// Which of the planted bugs this process has: the one with the number in RSERPOOL_PLANTED, or none.
enum Planted {
    private static let number = getenv("RSERPOOL_PLANTED").flatMap { Int(String(cString: $0)) } ?? 0

    static func isActive(_ bug: Int) -> Bool { self.number == bug }
}
