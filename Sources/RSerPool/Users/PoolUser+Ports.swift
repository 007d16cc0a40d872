// SPDX-License-Identifier: Apache-2.0

internal import NetworkAddress
internal import RSerPoolCore
internal import RSerPoolTransport
internal import RSerPoolWire

// The endpoints over which a pool user talks to registrars.
extension PoolUser.Configuration {
    /// The ports that the list of registrars asks for; both where announcements may name either.
    func openPorts(
        for addresses: [RegistrarAddress], _ host: Host, receiver: any PortReceiver
    ) async throws -> (sctp: (any Port)?, tcp: (any Port)?) {
        let hearsAnnouncements = self.registrars.announceGroup != nil
        let schemes = Set(addresses.map(\.scheme))
        var ports: (sctp: (any Port)?, tcp: (any Port)?) = (nil, nil)
        do throws(TransportError) {
            if hearsAnnouncements || schemes.contains(.sctp) {
                ports.sctp = try await host.transport.open(
                    PortOptions(scheme: .sctp, fastFailureDetection: self.fastFailureDetection), receiver: receiver)
            }
        } catch {
            // Without SCTP there is still TCP, if anybody can be reached by it.
            guard error.code == .unsupported, schemes.contains(.tcp) else {
                throw PoolError(.endpointUnusable, "cannot open an SCTP endpoint: \(error.message)")
            }
        }
        do throws(TransportError) {
            if hearsAnnouncements || schemes.contains(.tcp) {
                let framing: MessageCutter = { try MessageFraming.frameLength($0) }
                ports.tcp = try await host.transport.open(
                    PortOptions(scheme: .tcp(framing: framing), fastFailureDetection: self.fastFailureDetection),
                    receiver: receiver)
            }
        } catch {
            throw PoolError(.endpointUnusable, "cannot open a TCP endpoint: \(error.message)")
        }
        return ports
    }

    /// A socket that hears the registrars' announcements, if that is wanted.
    func openAnnouncements(_ host: Host, receiver: any DatagramReceiver) async throws -> (any DatagramPort)? {
        guard let group = self.registrars.announceGroup else { return nil }
        do throws(TransportError) {
            return try await host.transport.open(DatagramOptions(group: group, joins: true), receiver: receiver)
        } catch {
            throw PoolError(.endpointUnusable, "cannot hear announcements on \(group): \(error.message)")
        }
    }
}
