// SPDX-License-Identifier: Apache-2.0

internal import SocketLoop

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#endif

extension TransportError {
    /// What the system said, in one line that says what to do where that is known.
    /// - Parameter what: The endpoint or action, such as `tcp:127.0.0.1:3863`.
    init(errno number: CInt, _ what: String) {
        let code: Code
        var advice = ""
        switch number {
        case EADDRINUSE:
            code = .addressInUse
            advice = "; stop the process that has it, or choose another port (0: any free one)"
        case EADDRNOTAVAIL, EAFNOSUPPORT:
            code = .addressNotAvailable
            advice = "; choose an address of this machine, or * for all"
        case EACCES, EPERM:
            code = .notPermitted
            advice = "; ports below 1024 need privileges"
        case EMFILE, ENFILE:
            code = .outOfResources
            advice = "; raise the limit of open files (ulimit -n)"
        case ENOBUFS, ENOMEM:
            code = .outOfResources
        case EPROTONOSUPPORT, ESOCKTNOSUPPORT, ENODEV:
            code = .unsupported
        default:
            code = .failed
        }
        self.init(code, "\(what): \(SocketLoopError.text(number))\(advice)")
    }
}
