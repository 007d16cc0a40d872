// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import RSerPoolWire

struct DecodeCommand: FailingCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Shows messages: each line of standard input is one, in hexadecimal. Exit 65 if any was malformed.")

    @Argument(help: ArgumentHelp("asap or enrp.", valueName: "protocol")) var dialect: String
    @Flag(help: "One JSON object per line, for scripts.") var json = false

    var wantsJSON: Bool { self.json }

    func execute() async throws {
        guard let dialect = MessageRendering.Dialect(rawValue: self.dialect) else {
            throw CommandFailure(.usage, "\(self.dialect): no such protocol; write rserpool decode asap, or enrp")
        }
        var malformed = 0
        for await line in InputLines() where line.contains(where: { !$0.isWhitespace }) {
            if !self.show(line, dialect) { malformed += 1 }
        }
        if malformed > 0 { throw ExitCode(CommandExit.undecodable.rawValue) }
    }

    private func show(_ line: String, _ dialect: MessageRendering.Dialect) -> Bool {
        guard let octets = octets(hexadecimal: line) else {
            self.show(error: "not hexadecimal", offset: nil)
            return false
        }
        do throws(WireError) {
            let message = try MessageRendering(decoding: octets, as: dialect)
            Terminal.print(self.json ? message.json.text : message.text)
            return true
        } catch {
            self.show(error: "\(error.code): \(error.reason)", offset: error.offset)
            return false
        }
    }

    private func show(error: String, offset: Int?) {
        if self.json {
            Terminal.print(
                JSON.object([("error", .string(error))] + (offset.map { [("offset", .integer($0))] } ?? [])).text)
        } else {
            Terminal.print("malformed" + (offset.map { " at offset \($0)" } ?? "") + ": \(error)")
        }
    }
}
