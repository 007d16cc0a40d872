// SPDX-License-Identifier: Apache-2.0

import RSerPoolCore
import RSerPoolWire
import Testing

@Suite("An element's registration (RFC 5352 §3.1, §3.2)")
struct ElementRegistrationTests {
    private static func machine(
        life: RegistrationLife = .seconds(300), mayChangeID: Bool = true, stops: Bool = false
    ) -> ElementRegistration {
        ElementRegistration(timers: .rfc, life: life, mayChangeID: mayChangeID, stopsAfterMaxAttempts: stops)
    }

    private static let granted = RegistrationResponse(pool: echo, id: id(1), isRejected: false)
    private static let left = DeregistrationResponse(pool: echo, id: id(1))

    private static func rejected(_ codes: ErrorCause.Code...) -> RegistrationResponse {
        RegistrationResponse(pool: echo, id: id(1), isRejected: true, causes: codes.map { ErrorCause($0) })
    }

    private static func registered(life: RegistrationLife = .seconds(300)) -> ElementRegistration {
        var machine = self.machine(life: life)
        _ = machine.homeFound(now: at(seconds: 0))
        _ = machine.received(self.granted, now: at(seconds: 0))
        return machine
    }

    @Test("It registers as soon as there is a home, and T2 runs [ASAP-039, ASAP-049, ASAP-053]")
    func registers() {
        var machine = Self.machine()
        #expect(machine.nextDeadline == nil)
        #expect(machine.homeFound(now: at(seconds: 0)) == [.sendRegistration])
        #expect(machine.nextDeadline == at(seconds: 30))
        #expect(machine.received(Self.granted, now: at(seconds: 1)) == [.report(.registered(warnings: []))])
        #expect(machine.isRegistered)
        #expect(machine.timersFired(now: at(seconds: 31)).isEmpty, "T2 was stopped")
    }

    @Test("It renews with T4, again and again [ASAP-059, ASAP-060]", arguments: [(60, 40), (10, 5), (3_600, 600)])
    func renews(life: Int32, interval: Int) {
        var machine = Self.registered(life: .seconds(life))
        var now = 0
        for _ in 0..<4 {
            #expect(machine.nextDeadline == at(seconds: now + interval))
            now += interval
            #expect(machine.timersFired(now: at(seconds: now)) == [.sendRegistration])
            #expect(machine.received(Self.granted, now: at(seconds: now)) == [.report(.registered(warnings: []))])
        }
    }

    @Test("A warning in a granted registration is passed on [ASAP-028]")
    func warning() {
        var machine = Self.machine()
        _ = machine.homeFound(now: at(seconds: 0))
        let causes = [ErrorCause(.invalidValues, data: [1, 2, 3, 4])]
        let response = RegistrationResponse(pool: echo, id: id(1), isRejected: false, causes: causes)
        #expect(machine.received(response, now: at(seconds: 0)) == [.report(.registered(warnings: causes))])
        #expect(machine.isRegistered)
    }

    @Test("T2 ends: another home is looked for, and the registration starts again there [ASAP-051, ASAP-052]")
    func t2() {
        var machine = Self.machine()
        _ = machine.homeFound(now: at(seconds: 0))
        #expect(machine.timersFired(now: at(seconds: 29)).isEmpty)
        #expect(machine.timersFired(now: at(seconds: 30)) == [.hunt])
        #expect(machine.homeFound(now: at(seconds: 31)) == [.sendRegistration])
    }

    @Test(
        """
        After more than MAX-REG-ATTEMPT it reports and goes on with back-off; a success begins the count anew \
        [ASAP-061, ASAP-062]
        """
    )
    func reportsAndGoesOn() {
        var machine = Self.machine()
        var sent: [Int] = []
        var reports: [Int: Int] = [:]
        func carryOut(_ actions: [ElementRegistration.Action], second: Int) {
            for action in actions {
                switch action {
                case .sendRegistration: sent.append(second)
                case .report(.noAnswer(let attempts)): reports[second] = attempts
                // Nobody better is found.
                case .hunt: carryOut(machine.homeFound(now: at(seconds: second)), second: second)
                default: Issue.record("\(action)")
                }
            }
        }
        carryOut(machine.homeFound(now: at(seconds: 0)), second: 0)
        for second in 1...400 { carryOut(machine.timersFired(now: at(seconds: second)), second: second) }
        #expect(sent == [0, 30, 60, 120, 210, 300, 390], "pauses of 30 s, doubling up to RETRAN-MAX")
        #expect(reports == [90: 3, 150: 4, 240: 5, 330: 6])

        _ = machine.received(Self.granted, now: at(seconds: 400))
        #expect(machine.isRegistered)
        #expect(machine.homeLost() == [.hunt])
        #expect(machine.homeFound(now: at(seconds: 400)) == [.sendRegistration])
        #expect(machine.timersFired(now: at(seconds: 430)) == [.hunt], "the count began anew")
    }

    @Test("With the option it stops after the third attempt [ASAP-062]")
    func stops() {
        var machine = Self.machine(stops: true)
        for attempt in 0..<3 {
            #expect(machine.homeFound(now: at(seconds: 30 * attempt)) == [.sendRegistration])
            let actions = machine.timersFired(now: at(seconds: 30 * attempt + 30))
            #expect(actions == (attempt < 2 ? [.hunt] : [.report(.gaveUp(attempts: 3))]))
        }
        #expect(machine.isGone)
        #expect(machine.nextDeadline == nil)
        #expect(machine.homeFound(now: at(seconds: 500)).isEmpty)
    }

    @Test("A rejection is reported and not repeated until something was corrected [ASAP-054, ASAP-055]")
    func rejection() {
        var machine = Self.machine()
        _ = machine.homeFound(now: at(seconds: 0))
        #expect(
            machine.received(Self.rejected(.inconsistentPolicy), now: at(seconds: 0))
                == [.report(.rejected([ErrorCause(.inconsistentPolicy)]))])
        #expect(machine.nextDeadline == nil)
        #expect(machine.timersFired(now: at(seconds: 3_600)).isEmpty)
        #expect(machine.homeFound(now: at(seconds: 3_600)).isEmpty)
        #expect(machine.contentChanged(now: at(seconds: 3_601)) == [.sendRegistration])
    }

    @Test("An identifier in use is exchanged, a fixed one is not [ASAP-056]", arguments: [true, false])
    func identifierInUse(mayChange: Bool) {
        var machine = Self.machine(mayChangeID: mayChange)
        _ = machine.homeFound(now: at(seconds: 0))
        let actions = machine.received(Self.rejected(.nonUniquePoolElementID), now: at(seconds: 0))
        #expect(
            actions
                == (mayChange
                    ? [.chooseNewID, .sendRegistration]
                    : [.report(.rejected([ErrorCause(.nonUniquePoolElementID)]))]))
    }

    @Test("The link to the home is lost: hunt, then register anew [ASAP-063]")
    func homeLost() {
        var machine = Self.registered()
        #expect(machine.homeLost() == [.hunt])
        #expect(!machine.isRegistered)
        #expect(machine.nextDeadline == nil)
        #expect(machine.homeFound(now: at(seconds: 5)) == [.sendRegistration])
    }

    @Test("A new home that adopts it is registered with [ASAP-156]")
    func adoption() {
        var machine = Self.registered()
        #expect(machine.homeFound(now: at(seconds: 5)) == [.sendRegistration])
    }

    @Test("A change of the content registers at once, without a home later [ASAP-057]")
    func contentChanged() {
        var machine = Self.registered()
        #expect(machine.contentChanged(now: at(seconds: 5)) == [.sendRegistration])
        _ = machine.homeLost()
        #expect(machine.contentChanged(now: at(seconds: 6)).isEmpty)
        #expect(machine.homeFound(now: at(seconds: 7)) == [.sendRegistration])
    }

    @Test("Removed unasked, it registers again [ASAP-106]")
    func expelled() {
        var machine = Self.registered()
        #expect(machine.received(Self.left, now: at(seconds: 5)) == [.report(.expelled([])), .sendRegistration])
    }

    @Test("It leaves by a deregistration, T3 running; the answer ends it [ASAP-087, ASAP-092, ASAP-095]")
    func deregisters() {
        var machine = Self.registered()
        #expect(machine.deregister(now: at(seconds: 5)) == [.sendDeregistration])
        #expect(machine.nextDeadline == at(seconds: 35))
        #expect(machine.received(Self.left, now: at(seconds: 6)) == [.report(.deregistered([]))])
        #expect(machine.isGone)
        #expect(machine.nextDeadline == nil)
    }

    @Test(
        "T3 ends, or the home is lost: another home is told; not for ever [ASAP-093, ASAP-094]",
        arguments: [true, false])
    func t3(isLost: Bool) {
        var machine = Self.registered()
        _ = machine.deregister(now: at(seconds: 0))
        let actions = isLost ? machine.homeLost() : machine.timersFired(now: at(seconds: 30))
        #expect(actions == [.hunt])
        #expect(machine.homeFound(now: at(seconds: 40)) == [.sendDeregistration])
        #expect(machine.timersFired(now: at(seconds: 70)) == [.hunt])
        #expect(machine.homeFound(now: at(seconds: 80)) == [.sendDeregistration])
        #expect(
            machine.timersFired(now: at(seconds: 110)) == [.report(.noAnswer(attempts: 3)), .report(.deregistered([]))])
        #expect(machine.isGone)
    }

    @Test("No home is left to tell: it leaves all the same, T3 having ended as many times [ASAP-094]")
    func leavesAlone() {
        var machine = Self.registered()
        _ = machine.deregister(now: at(seconds: 0))
        #expect(machine.homeLost() == [.hunt])
        #expect(machine.timersFired(now: at(seconds: 30)) == [.hunt])
        #expect(machine.timersFired(now: at(seconds: 60)) == [.hunt])
        #expect(
            machine.timersFired(now: at(seconds: 90)) == [.report(.noAnswer(attempts: 3)), .report(.deregistered([]))])
        #expect(machine.isGone)
    }

    @Test("Answers that nobody waits for change nothing")
    func unasked() {
        var machine = Self.machine()
        #expect(machine.received(Self.granted, now: at(seconds: 0)).isEmpty)
        #expect(machine.received(Self.left, now: at(seconds: 0)).isEmpty)
        #expect(machine.deregister(now: at(seconds: 1)) == [.report(.deregistered([]))])
        #expect(machine.homeFound(now: at(seconds: 2)).isEmpty)
        #expect(machine.homeLost().isEmpty)
        #expect(machine.deregister(now: at(seconds: 3)).isEmpty)
    }
}
