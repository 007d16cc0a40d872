// SPDX-License-Identifier: Apache-2.0

// Whoever imports this library needs its nouns, its endpoints and a host to live on: they come with it.
@_exported public import NetworkAddress
@_exported public import RSerPoolCore
@_exported public import RSerPoolTransport
@_exported public import RSerPoolWire
