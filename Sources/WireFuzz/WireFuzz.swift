// SPDX-License-Identifier: Apache-2.0

import NetworkAddress
import RSerPoolWire

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// What one input is fed to; its first octet says which.
private enum Subject: UInt8 {
    /// An ASAP message: what decodes is encoded and decoded to the same value, what does not can be answered.
    case asap = 0
    /// The same for ENRP.
    case enrp
    /// A byte stream of messages, cut at any place.
    case stream
    /// Text for an IP address: the C library agrees.
    case address
    /// Elements that come and go: the checksum is that of a fresh computation.
    case checksum
}

/// Tries one input; traps where something holds that may not.
func tryInput(_ input: [UInt8]) {
    guard let first = input.first, let subject = Subject(rawValue: first) else { return }
    // Not at the start of its storage: indices and offsets must not be taken for one another.
    let octets = input[1...]
    switch subject {
    case .asap: tryASAP(octets)
    case .enrp: tryENRP(octets)
    case .stream: tryStream(octets)
    case .address: tryAddress(octets)
    case .checksum: tryChecksum(octets)
    }
}

private func tryASAP(_ octets: ArraySlice<UInt8>) {
    do throws(WireError) {
        let decoded = try ASAPMessage.decode(octets)
        do throws(WireError) {
            let again = try ASAPMessage.decode(try decoded.message.encoded(for: .enrp)[...])
            precondition(again == Decoded(message: decoded.message), "\(decoded.message) became \(again)")
        } catch {
            preconditionFailure("\(decoded.message) cannot be sent: \(error)")
        }
        tryAnswer(decoded.unrecognized)
    } catch {
        tryError(error, octets)
    }
}

private func tryENRP(_ octets: ArraySlice<UInt8>) {
    do throws(WireError) {
        let decoded = try ENRPMessage.decode(octets)
        do throws(WireError) {
            let again = try ENRPMessage.decode(try decoded.message.encoded()[...])
            precondition(again == Decoded(message: decoded.message), "\(decoded.message) became \(again)")
        } catch {
            preconditionFailure("\(decoded.message) cannot be sent: \(error)")
        }
        tryAnswer(decoded.unrecognized)
    } catch {
        tryError(error, octets)
    }
}

private func tryError(_ error: WireError, _ octets: ArraySlice<UInt8>) {
    precondition((0...octets.count).contains(error.offset), "\(error) of \(octets.count) octets")
    precondition(error.code != .tooLong, "\(error)")
    tryAnswer(error.causes)
}

/// Whatever has to be reported can be sent and is understood.
private func tryAnswer(_ causes: [ErrorCause]) {
    precondition(causes.count <= ParameterCursor.maximumCauses, "\(causes.count) causes")
    guard !causes.isEmpty else { return }
    do throws(WireError) {
        let answer = try ASAPMessage.error(ASAPError(causes: causes)).encoded()
        let decoded = try ASAPMessage.decode(answer[...]).message
        precondition(decoded == .error(ASAPError(causes: causes.fitting(overhead: 8))), "\(causes) became \(decoded)")
    } catch {
        preconditionFailure("\(causes) cannot be answered: \(error)")
    }
}

/// Cuts messages out of a stream that is all there, then of one that comes octet by octet: the same ones, the same end.
private func tryStream(_ octets: ArraySlice<UInt8>) {
    let whole = frames(of: octets, inPiecesOf: octets.count)
    let single = frames(of: octets, inPiecesOf: 1)
    precondition(whole == single, "\(whole) and \(single)")
    for frame in whole.frames { tryASAP(frame[...]) }
}

private struct Frames: Equatable {
    var frames: [[UInt8]] = []
    var isUnreadable = false
}

private func frames(of octets: ArraySlice<UInt8>, inPiecesOf size: Int) -> Frames {
    var result = Frames()
    var buffer: [UInt8] = []
    var rest = octets
    while !rest.isEmpty {
        buffer += rest.prefix(size)
        rest = rest.dropFirst(size)
        do throws(WireError) {
            while let length = try MessageFraming.frameLength(buffer[...]), length <= buffer.count {
                precondition(length >= 4 && length.isMultiple(of: 4), "a frame of \(length) octets")
                result.frames.append(Array(buffer.prefix(length)))
                buffer.removeFirst(length)
            }
        } catch {
            result.isUnreadable = true
            return result
        }
    }
    return result
}

private func tryAddress(_ octets: ArraySlice<UInt8>) {
    guard !octets.contains(0), let text = String(validating: octets, as: UTF8.self) else { return }
    let address = IPAddress(text)
    var expected = [UInt8](repeating: 0, count: 16)
    let accepted =
        (inet_pton(AF_INET, text, &expected) == 1 ? 4 : inet_pton(AF_INET6, text, &expected) == 1 ? 16 : nil) as Int?
    precondition(
        address?.octets == accepted.map { Array(expected.prefix($0)) }, "\(text) is \(String(describing: address))")
    guard let address else { return }
    precondition(IPAddress(address.description) == address, "\(text) prints as \(address)")
}

/// Each octet below 0x80 adds an element with a handle of some of the octets behind it, each other one removes one.
private func tryChecksum(_ octets: ArraySlice<UInt8>) {
    var checksum = PEChecksum()
    var elements: [(PoolHandle, PoolElementID)] = []
    var rest = octets
    while let choice = rest.popFirst() {
        if choice < 0x80 {
            let handle = PoolHandle(octets: Array(rest.prefix(Int(choice & 7))))
            rest = rest.dropFirst(Int(choice & 7))
            let id = PoolElementID(rawValue: rest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
            rest = rest.dropFirst(4)
            elements.append((handle, id))
            checksum.add(handle, id)
        } else if !elements.isEmpty {
            let (handle, id) = elements.remove(at: Int(choice) % elements.count)
            checksum.remove(handle, id)
        }
        var words: UInt32 = 0
        for (handle, id) in elements {
            var padded = handle.octets + (0..<UInt32(4)).map { UInt8(truncatingIfNeeded: id.rawValue >> (24 - 8 * $0)) }
            padded.insert(contentsOf: repeatElement(0, count: -handle.octets.count & 3), at: handle.octets.count)
            for index in stride(from: 0, to: padded.count, by: 2) {
                words += UInt32(padded[index]) << 8 | UInt32(padded[index + 1])
                words = (words & 0xffff) + words >> 16
            }
        }
        precondition(checksum.value == ~UInt16(words), "\(elements): \(checksum.value), \(words)")
    }
}

#if FUZZING
/// What libFuzzer calls, over and over.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    tryInput(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}
#else
/// Without libFuzzer: tries the files named on the command line once, as `WireFuzz Corpus/*` or a crash that was found.
@main
struct Replay {
    static func main() {
        for path in CommandLine.arguments.dropFirst() {
            guard let file = fopen(path, "rb") else {
                print("\(path): cannot be opened")
                exit(66)
            }
            var input = [UInt8](repeating: 0, count: 1 << 20)
            input.removeLast(input.count - fread(&input, 1, input.count, file))
            fclose(file)
            tryInput(input)
        }
        print("\(CommandLine.arguments.count - 1) inputs, none of them trouble")
    }
}
#endif
