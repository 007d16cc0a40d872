// SPDX-License-Identifier: Apache-2.0
//
// The kernel's SCTP sockets (RFC 6458) for Swift, in types of our own: <netinet/sctp.h> must not become visible to
// Swift, as usrsctp's header defines the same names with other layouts. No policy. Every function that can fail returns
// a negative errno.
#ifndef CSCTP_H
#define CSCTP_H

#include <stddef.h>
#include <stdint.h>

/// An IP address in host order; `family` is its length in octets (4 or 16), 0 = none. IPv4 is the top 32 bits of
/// `high`.
typedef struct {
    uint64_t high;
    uint64_t low;
    uint8_t family;
} csctp_address;

/// Whether the kernel has one-to-many SCTP sockets: 1 or 0.
int csctp_available(void);

/// Options of `csctp_open`; times in milliseconds.
typedef struct {
    uint16_t outbound_streams, inbound_streams;
    uint16_t initial_attempts, path_retransmissions, association_retransmissions;
    uint32_t rto_initial, rto_min, rto_max, heartbeat;
    int no_delay;
    int receive_buffer, send_buffer;
} csctp_options;

/// A bound, non-blocking one-to-many socket which reports association, path and shutdown events; it listens if
/// `listening`. No addresses: every local one of both families (of IPv4 where there is no IPv6).
int csctp_open(const csctp_address *addresses, int count, uint16_t port, int listening, const csctp_options *options);
int csctp_close(int descriptor);

/// Begins to associate with a peer at all of its addresses. `encapsulation` is its UDP port, 0 for none, negative for
/// what the socket did last, at first `csctp_default_encapsulation`.
int csctp_connect(
    int descriptor, const csctp_address *addresses, int count, uint16_t port, int encapsulation, int32_t *association);
/// The system's UDP port of peers which are not told otherwise (net.sctp.encap_port), as the socket has it; 0: none.
int csctp_default_encapsulation(int descriptor);
/// The local UDP port of the kernel's SCTP (net.sctp.udp_port); 0: it has none.
int csctp_local_encapsulation(void);

/// Flags of a message.
enum { CSCTP_UNORDERED = 1 };

/// Messages of one association that are sent together, in as few packets as they fit.
typedef struct csctp_outbox csctp_outbox;

/// NULL without memory.
csctp_outbox *csctp_outbox_create(int capacity, size_t room);
void csctp_outbox_destroy(csctp_outbox *outbox);
/// Copies a message in. 0: it does not fit any more.
int csctp_outbox_add(
    csctp_outbox *outbox, int32_t association, const void *bytes, size_t length, uint16_t stream,
    uint32_t payload_protocol, int flags);
/// Sends all, and empties it. How many were sent; if not all of them, why not is in `error`.
int csctp_outbox_send(csctp_outbox *outbox, int descriptor, int *error);

/// Sends one message: 0, or a negative errno.
int csctp_send(
    int descriptor, int32_t association, const void *bytes, size_t length, uint16_t stream, uint32_t payload_protocol,
    int flags);
/// SHUTDOWN after everything sent; ABORT at once.
int csctp_shutdown(int descriptor, int32_t association);
int csctp_abort(int descriptor, int32_t association);

/// Gives an association a socket of its own; its descriptor, non-blocking, or a negative errno.
int csctp_peel_off(int descriptor, int32_t association);
/// DATA chunks of an association that wait or are not acknowledged yet.
int csctp_outstanding(int descriptor, int32_t association);
/// The smoothed round-trip time of the primary path, in microseconds, a multiple of the system's tick; 0: not measured yet,
/// or less than a tick.
int64_t csctp_smoothed_round_trip(int descriptor, int32_t association);

int csctp_local_addresses(int descriptor, csctp_address *addresses, int capacity, uint16_t *port);
int csctp_peer_addresses(int descriptor, int32_t association, csctp_address *addresses, int capacity, uint16_t *port);
/// The UDP port packets to this peer are encapsulated to; 0: they are not.
int csctp_encapsulation(int descriptor, int32_t association, const csctp_address *address, uint16_t port);

int csctp_set_heartbeat(int descriptor, int32_t association, uint32_t milliseconds);
/// Sends a heartbeat to every address of the peer now.
int csctp_probe(int descriptor, int32_t association);

/// What came out of a socket.
enum {
    CSCTP_NOTHING = 0,  ///< a notification of no interest
    CSCTP_DATA,
    CSCTP_UP,
    CSCTP_LOST,
    CSCTP_RESTARTED,
    CSCTP_SHUTDOWN_COMPLETE,
    CSCTP_CANNOT_START,
    CSCTP_PATH,
    CSCTP_SHUTDOWN_RECEIVED,
};

/// States of `CSCTP_PATH`.
enum {
    CSCTP_PATH_AVAILABLE = 0,
    CSCTP_PATH_UNREACHABLE,
    CSCTP_PATH_REMOVED,
    CSCTP_PATH_ADDED,
    CSCTP_PATH_PRIMARY,
    CSCTP_PATH_CONFIRMED,
    CSCTP_PATH_POTENTIALLY_FAILED,
};

typedef struct {
    int32_t kind;
    int32_t association;
    // CSCTP_DATA
    const uint8_t *bytes;
    size_t length;
    uint32_t payload_protocol;
    uint16_t stream;
    int8_t is_unordered, is_last;
    // CSCTP_UP, CSCTP_RESTARTED
    uint16_t outbound_streams, inbound_streams;
    // CSCTP_LOST, CSCTP_CANNOT_START: the peer sent ABORT
    int8_t is_aborted;
    // CSCTP_PATH
    int32_t path_state;
    csctp_address path;
} csctp_event;

typedef struct csctp_batch csctp_batch;

/// Room for `capacity` messages or pieces of at most `slot` octets; NULL when there is no memory.
csctp_batch *csctp_batch_create(int capacity, size_t slot);
void csctp_batch_destroy(csctp_batch *batch);
/// One recvmmsg; how many came (0: none waits), or a negative errno.
int csctp_batch_receive(csctp_batch *batch, int descriptor);
/// What came at `index`; its bytes are valid until the next receive.
void csctp_batch_event(const csctp_batch *batch, int index, csctp_event *event);

#endif
