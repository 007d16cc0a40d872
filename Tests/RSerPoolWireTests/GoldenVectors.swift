// SPDX-License-Identifier: Apache-2.0

/// Octets worked out by hand from the RFCs' figures, not by this code: ASAP (E…) and ENRP (N…).
///
/// A line that begins with a name begins a vector: name, then what it is. The lines below it are its octets in
/// hexadecimal, each with what they mean behind the semicolon. The length field of a message does not count its last
/// padding; the octets here do include it.
let goldenText = """
    E1 HANDLE_RESOLUTION, S = 0
        05 00 0010                      ; type 5, no flag, 16 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"

    E2 HANDLE_RESOLUTION, S = 1, a handle that needs padding
        05 01 0011                      ; S = 1, 17 octets, 20 sent
        0009 000d 4563686f 506f6f6c 31  ; Pool Handle "EchoPool1"
        000000                          ; padding

    E3 REGISTRATION, life 300 s
        01 00 0038                      ; 56 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000a 0028 12345678              ; Pool Element 0x12345678
        00000000                        ;   home not determined
        0000012c                        ;   life 300 s
        0004 0010 0007 0000             ;   SCTP Transport, port 7, data only
        0001 0008 c0000201              ;     192.0.2.1
        0008 0008 00000001              ;   round robin

    E4 REGISTRATION, infinite life, both address families, weighted round robin
        01 00 0050                      ; 80 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000a 0040 12345678              ; Pool Element 0x12345678
        00000000                        ;   home not determined
        ffffffff                        ;   for ever
        0004 0024 0007 0001             ;   SCTP Transport, port 7, data and control
        0001 0008 c0000201              ;     192.0.2.1
        0002 0014 20010db8 00000000     ;     2001:db8::1
                  00000000 00000001
        0008 000c 00000002 00000005     ;   weighted round robin, weight 5

    E5 REGISTRATION_RESPONSE, granted
        03 00 0018                      ; R = 0, 24 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000e 0008 12345678              ; PE Identifier

    E6 REGISTRATION_RESPONSE, rejected: the pool has another policy
        03 01 0028                      ; R = 1, 40 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000e 0008 12345678              ; PE Identifier
        000c 0010                       ; Operation Error
        0005 000c                       ;   inconsistent pooling policy
        0008 0008 00000001              ;     the pool's: round robin

    E7 HANDLE_RESOLUTION_RESPONSE, negative
        06 00 0018                      ; A = 0, 24 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000c 0008                       ; Operation Error
        0009 0004                       ;   unknown pool handle

    E8 HANDLE_RESOLUTION_RESPONSE, positive, one element
        06 00 0040                      ; A = 0, 64 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        0008 0008 00000001              ; the pool's policy: round robin
        000a 0028 12345678              ; Pool Element 0x12345678
        cafe0001                        ;   home
        0000012c                        ;   life 300 s
        0004 0010 0007 0000             ;   SCTP Transport, port 7, data only
        0001 0008 c0000201              ;     192.0.2.1
        0008 0008 00000001              ;   round robin

    E9a ENDPOINT_KEEP_ALIVE, H = 1
        07 01 0014                      ; H = 1, 20 octets
        cafe0001                        ; the registrar
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"

    E9b ENDPOINT_KEEP_ALIVE_ACK
        08 00 0018                      ; 24 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000e 0008 12345678              ; PE Identifier

    E9c ENDPOINT_UNREACHABLE
        09 00 0018                      ; 24 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000e 0008 12345678              ; PE Identifier

    E10a SERVER_ANNOUNCE without transports
        0a 00 0008                      ; 8 octets
        cafe0001                        ; the registrar

    E10b SERVER_ANNOUNCE, SCTP and TCP
        0a 00 0028                      ; 40 octets
        cafe0001                        ; the registrar
        0004 0010 0f17 0000             ; SCTP Transport, port 3863
        0001 0008 c000020a              ;   192.0.2.10
        0005 0010 0f17 0000             ; TCP Transport, port 3863
        0001 0008 c000020a              ;   192.0.2.10

    E11 ERROR for one unrecognized parameter
        0e 00 0013                      ; 19 octets, 20 sent
        000c 000f                       ; Operation Error
        0001 000b                       ;   unrecognized parameter
        c123 0007 616263                ;     0xc123 "abc"
        00                              ; padding

    E12 ERROR for two unrecognized parameters
        0e 00 001c                      ; 28 octets
        000c 0018                       ; Operation Error
        0001 000b                       ;   unrecognized parameter
        c123 0007 616263                ;     0xc123 "abc"
        00                              ;   padding between causes counts
        0001 0008                       ;   unrecognized parameter
        c124 0004                       ;     0xc124, empty

    E13 ERROR for an unrecognized message
        0e 00 0010                      ; 16 octets
        000c 000c                       ; Operation Error
        0002 0008                       ;   unrecognized message
        41 00 0004                      ;     type 0x41, empty

    E14 Policy: least used with degradation
        0008 0010 40000002              ; 16 octets
        80000000                        ; load 50 %
        19999999                        ; degradation 10 %

    E16 COOKIE
        0b 00 000d                      ; 13 octets, 16 sent
        000d 0009 68656c6c 6f           ; Cookie "hello"
        000000                          ; padding

    E17 Server Information
        000b 0018 cafe0001              ; the registrar
        0004 0010 26ad 0000             ; SCTP Transport, port 9901
        0001 0008 c000020a              ;   192.0.2.10

    N1 PRESENCE, checksum alone
        01 00 0012                      ; R = 0, 18 octets, 20 sent
        11111111 00000000               ; to everybody
        000f 0006 ffff                  ; PE Checksum
        0000                            ; padding

    N2 PRESENCE, reply required, with Server Information
        01 01 002c                      ; R = 1, 44 octets
        11111111 00000000               ; to everybody
        000f 0006 ffff                  ; PE Checksum
        0000                            ; padding between parameters counts
        000b 0018 11111111              ; Server Information
        0004 0010 26ad 0000             ;   SCTP Transport, port 9901
        0001 0008 c0000201              ;     192.0.2.1

    N3 HANDLE_TABLE_REQUEST, own children only
        02 01 000c                      ; W = 1, 12 octets
        11111111 22222222               ; to one registrar

    N4 INIT_TAKEOVER
        07 00 0010                      ; 16 octets
        11111111 00000000               ; to everybody
        33333333                        ; the target

    N5 HANDLE_UPDATE, a new element
        04 00 0054                      ; 84 octets
        11111111 00000000               ; to everybody
        0000 0000                       ; ADD_PE, reserved
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        000a 0038 12345678              ; Pool Element 0x12345678
        11111111                        ;   home
        0000012c                        ;   life 300 s
        0005 0010 0007 0000             ;   TCP Transport, port 7
        0001 0008 c0000201              ;     192.0.2.1
        0008 0008 00000001              ;   round robin
        0004 0010 0f17 0000             ;   ASAP Transport: SCTP, port 3863
        0001 0008 c0000201              ;     192.0.2.1

    N6 ERROR for an unrecognized message
        0a 00 0018                      ; 24 octets
        22222222 11111111               ; to one registrar
        000c 000c                       ; Operation Error
        0002 0008                       ;   unrecognized message
        4b 00 0004                      ;     type 0x4b, empty

    W1 COOKIE_ECHO, by the figure of RFC 5352 §2.2.12
        0c 00 000c                      ; 12 octets
        000d 0008 01020304              ; Cookie

    W2 BUSINESS_CARD, by the figure of RFC 5352 §2.2.13
        0d 00 0040                      ; 64 octets
        0009 0008 4563686f              ; Pool Handle "Echo"
        000a 0034 00000007              ; Pool Element 7
        00000000                        ;   home not determined
        0000003c                        ;   life 60 s
        0003 0014 1f90 0000 53455256    ;   DCCP Transport, port 8080, service code "SERV"
        0001 0008 7f000001              ;     127.0.0.1
        0008 0010 40000003              ;   priority least used
        40000000 00000001               ;     load, degradation

    W3 DEREGISTRATION
        02 00 0014                      ; 20 octets
        0009 0008 4563686f              ; Pool Handle "Echo"
        000e 0008 00000007              ; PE Identifier

    W4 DEREGISTRATION_RESPONSE, failed
        04 00 001c                      ; no reject flag: the error says it
        0009 0008 4563686f              ; Pool Handle "Echo"
        000e 0008 00000007              ; PE Identifier
        000c 0008                       ; Operation Error
        000a 0004                       ;   rejected for security

    W5 HANDLE_TABLE_RESPONSE, two pools, the last handle padded, more follows
        03 02 0068                      ; M = 1, 104 octets
        22222222 11111111
        0009 0008 4563686f              ; Pool Handle "Echo"
        000a 0020 00000007              ; Pool Element 7
        22222222                        ;   home
        ffffffff                        ;   for ever
        0010 0007 616263 00             ;   Opaque Transport "abc", padding
        0008 0008 00000003              ;   random
        0009 0007 616263 00             ; Pool Handle "abc", padding
        000a 002c 00000008              ; Pool Element 8
        22222222                        ;   home
        00000001                        ;   life 1 s
        0006 0010 0035 0000             ;   UDP Transport, port 53
        0001 0008 c0000201              ;     192.0.2.1
        0008 000c 00000005 0000000a     ;   priority 10

    W6 LIST_RESPONSE, one server
        06 00 0024                      ; 36 octets
        22222222 11111111
        000b 0018 33333333              ; Server Information
        0004 0010 26ad 0000             ;   SCTP Transport, port 9901
        0001 0008 c0000203              ;     192.0.2.3

    W7 LIST_REQUEST
        05 00 000c                      ; 12 octets
        11111111 22222222

    W8 INIT_TAKEOVER_ACK
        08 00 0010
        22222222 11111111
        33333333                        ; the target

    W9 TAKEOVER_SERVER
        09 00 0010
        11111111 00000000
        33333333                        ; the target

    W10 LIST_RESPONSE, rejected
        06 01 000c                      ; R = 1, nothing else
        22222222 11111111

    X1 HANDLE_RESOLUTION with rsplib's count option and our increments
        05 01 0024                      ; S = 1, 36 octets
        0009 000c 4563686f 506f6f6c     ; Pool Handle "EchoPool"
        803f 0008 00000001              ; handle resolution option: one element
        a952 000c 00000000 00000000     ; incremental updates, please

    X2 HANDLE_RESOLUTION_RESPONSE, an increment: one left, none joined
        06 01 0028                      ; A = 1, 40 octets
        0009 0008 4563686f              ; Pool Handle "Echo"
        0008 0008 00000003              ; random
        000e 0008 00000007              ; gone: 7
        a952 000c 00000000 00000105     ; a change, number 261

    X3 REGISTRATION of an element behind a UDP encapsulation port
        01 00 003c                      ; 60 octets
        0009 0008 4563686f              ; Pool Handle "Echo"
        000a 0030 00000007              ; Pool Element 7
        00000000                        ;   home not determined
        0000003c                        ;   life 60 s
        0004 0010 0007 0001             ;   SCTP Transport, port 7, data and control
        0001 0008 c0000201              ;     192.0.2.1
        0008 0008 00000001              ;   round robin
        a951 0008 26ab 0000             ;   UDP port 9899

    X4 ENDPOINT_KEEP_ALIVE that names the element
        07 00 0018                      ; H = 0, 24 octets
        cafe0001                        ; the registrar
        0009 0008 4563686f              ; Pool Handle "Echo"
        000e 0008 00000007              ; PE Identifier
    """

/// The octets of each golden vector, padding included, by name.
let golden: [String: [UInt8]] = {
    var vectors: [String: [UInt8]] = [:]
    var name = ""
    for line in goldenText.split(separator: "\n") {
        if line.hasPrefix(" ") {
            vectors[name, default: []] += hex(line.prefix { $0 != ";" })
        } else {
            name = String(line.prefix { $0 != " " })
            precondition(vectors[name] == nil, "golden vector \(name) stands there twice")
        }
    }
    return vectors
}()

/// The octets that hexadecimal digits, blanks between them ignored, stand for.
func hex(_ text: some StringProtocol) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }.map { digit in
        guard let value = digit.hexDigitValue else { preconditionFailure("\(digit) in \(text)") }
        return UInt8(value)
    }
    precondition(digits.count.isMultiple(of: 2), "half an octet in \(text)")
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
