// SPDX-License-Identifier: Apache-2.0

/// Something that the demo did to its processes, and what it cost.
struct DemoEvent: Sendable {
    let what: String
    let begin: ContinuousClock.Instant
    /// When all living registrars and the watcher knew.
    var known: ContinuousClock.Instant?

    /// Lines of a table, one for each event.
    static func table(
        _ events: [DemoEvent], _ traffic: DemoTraffic, end: ContinuousClock.Instant
    ) -> [String] {
        var rows = [["", "longest wait for an answer", "everybody knew after"]]
        for (index, event) in events.enumerated() {
            let next = index + 1 < events.count ? events[index + 1].begin : end
            rows.append([
                event.what, milliseconds(traffic.longestWait(from: event.begin, to: next)),
                event.known.map { milliseconds($0 - event.begin) } ?? "never",
            ])
        }
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = (1..<3).map { String(repeating: " ", count: widths[$0] - row[$0].count) + row[$0] }
            return ([row[0] + String(repeating: " ", count: widths[0] - row[0].count)] + cells).joined(separator: "   ")
        }
    }
}

func milliseconds(_ duration: Duration) -> String { "\(Int(duration / .milliseconds(1))) ms" }
