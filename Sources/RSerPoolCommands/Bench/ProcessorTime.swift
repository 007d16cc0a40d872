// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Glibc

/// The processor time that another process of this machine has used, in user mode and in the system; nil where nobody knows.
func processorTime(of process: Int32) -> Double? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
        // The second field is a name in parentheses, which may have blanks.
        let end = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
}
