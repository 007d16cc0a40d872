// SPDX-License-Identifier: Apache-2.0

internal import RSerPoolTestKit

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

// Lives through the scopes of many seeds; Configuration/simulate is what people call.

/// What the command line says.
struct Order {
    var first: UInt64 = 1
    var count: UInt64 = 100
    /// Of so many processes this is one: each takes every so-manieth seed.
    var stride: UInt64 = 1
    var transcript: Int?
    /// Every so-manieth seed is lived through twice.
    var repetition: UInt64 = 16
    var failuresAllowed = 20
    /// Only the number of seeds until the first failure is wanted.
    var isHunt = false

    init(_ arguments: [String]) {
        var rest = arguments[...]
        func number(_ option: String) -> UInt64 {
            guard let text = rest.popFirst(), let number = UInt64(text) else { Order.fail("\(option) needs a number") }
            return number
        }
        while let option = rest.popFirst() {
            switch option {
            case "--from": self.first = number(option)
            case "--seeds": self.count = number(option)
            case "--seed":
                self.first = number(option)
                self.count = 1
                self.repetition = 1
            case "--stride": self.stride = max(1, number(option))
            case "--transcript": self.transcript = 400
            case "--lines": self.transcript = Int(number(option))
            case "--repeat": self.repetition = number(option)
            case "--failures": self.failuresAllowed = Int(number(option))
            case "--hunt": self.isHunt = true
            default: Order.fail("unknown option \(option)")
            }
        }
    }

    static func fail(_ message: String) -> Never {
        print("scope-simulator: \(message)")
        exit(64)
    }
}

func seconds(_ span: Duration) -> Double { span / .seconds(1) }
func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

let order = Order(Array(CommandLine.arguments.dropFirst()))
let clock = ContinuousClock()
let begin = clock.now
var (seeds, faults, jobs, failures) = (0, 0, 0, 0)
var virtual = Duration.zero
var longest: [String: (Duration, UInt64)] = [:]

var seed = order.first
while seed < order.first + order.count {
    defer { seed += order.stride }
    var outcome = Scope.run(seed: seed, transcript: order.count == 1 ? order.transcript : nil)
    seeds += 1
    faults += outcome.faults
    jobs += outcome.jobs
    virtual += outcome.virtualTime
    let preset = outcome.settings.preset.rawValue
    if outcome.longestSettling > longest[preset]?.0 ?? .zero { longest[preset] = (outcome.longestSettling, seed) }
    if !order.isHunt, outcome.failure != nil || (order.repetition > 0 && seed % order.repetition == 0) {
        let again = Scope.run(seed: seed)
        if again.fingerprint != outcome.fingerprint {
            failures += 1
            print("seed \(seed) is not reproducible: \(outcome.fingerprint), then \(again.fingerprint)")
        }
    }
    guard outcome.failure != nil || (order.count == 1 && order.transcript != nil) else { continue }
    if outcome.failure != nil { failures += 1 }
    if order.isHunt {
        print("found \(seeds) \(seed) \(outcome.failure?.invariant ?? "")")
        exit(0)
    }
    if order.count > 1 { outcome.transcript = [] }
    print(outcome.report)
    fflush(nil)
    if failures >= order.failuresAllowed { break }
}
if order.isHunt {
    print("not-found \(seeds)")
    exit(0)
}
let took = seconds(clock.now - begin)
let settling = longest.sorted { $0.key < $1.key }.map {
    "\($0.key) \(rounded(seconds($0.value.0))) s (seed \($0.value.1))"
}
print(
    """
    \(seeds) seeds, \(rounded(seconds(virtual) / 3600)) virtual hours in \(rounded(took)) s, \
    \(Int(seconds(virtual) / max(took, 0.001))) times real time, \(faults) faults, \(jobs) jobs, \
    longest settling \(settling.joined(separator: ", ")), \(failures) failures
    """)
exit(failures == 0 ? 0 : 1)
