// SPDX-License-Identifier: Apache-2.0

import CMalloc
import FilledHandlespace
import Foundation

/// What Configuration/rsplib-handlespace.c measures of rsplib's handlespace, of ours: nanoseconds of an operation, the median
/// of samples of a thousand, and octets of memory of a pool element. One line of JSON.
/// Usage: HandlespaceTimes POLICY POOLS MEMBERS.
func allocatedOctets() -> Int {
    let use = mallinfo2()
    return Int(use.uordblks + use.hblkhd)
}

/// - Returns: the median of 400 samples, or of as many as fit 2 s.
func median(_ prepare: () -> Void, _ body: (Int) -> Void) -> Int {
    var samples: [Double] = []
    let end = ContinuousClock.now + .seconds(2)
    while samples.count < 400, ContinuousClock.now < end {
        prepare()
        let time = ContinuousClock().measure { body(1_000) }
        samples.append(time / .nanoseconds(1_000))
    }
    return Int(samples.sorted()[samples.count / 2].rounded())
}

guard CommandLine.arguments.count == 4, let policy = FilledSpace.Policy(rawValue: CommandLine.arguments[1]),
    let pools = Int(CommandLine.arguments[2]), let members = Int(CommandLine.arguments[3]),
    pools > 0, members > 0, pools * members % 1_000 == 0
else {
    print("usage: HandlespaceTimes POLICY POOLS MEMBERS, together a multiple of 1 000")
    exit(64)
}
let space = FilledSpace(policy, pools: pools, members: members, isFilled: false)
let empty = allocatedOctets()
space.fillWhereEmpty()
let octets = (allocatedOctets() - empty) / (pools * members)
let again = median({ space.shuffle() }, { space.registerAgain($0) })
let resolutionOfOne = median({ space.shuffle() }, { space.resolve($0, upTo: 1) })
let resolutionOfTen = median({ space.shuffle() }, { space.resolve($0, upTo: 10) })
let registration = median({ space.beginAnewWhereFull() }, { space.register($0) })
let deregistration = median({ space.fillWhereEmpty() }, { space.deregister($0) })
print(
    """
    {"policy":"\(policy.rawValue)","pools":\(pools),"members":\(members),"register":\(registration),\
    "register-again":\(again),"resolve-1":\(resolutionOfOne),"resolve-10":\(resolutionOfTen),\
    "deregister":\(deregistration),"memory":\(octets)}
    """)
