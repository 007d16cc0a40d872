// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot say about Linux sockets: epoll and eventfd (not in Glibc's module map), batches of datagrams with
// their ancillary data (CMSG_* are macros), the error queue, multicast. No policy. Every function that can fail returns
// a negative errno. This header must not define _GNU_SOURCE: fd_set would differ between modules.
#ifndef CSOCKETLOOP_H
#define CSOCKETLOOP_H

#include <stdint.h>
#include <stddef.h>

// MARK: Addresses

/// An IP address and a UDP or TCP port, in host order; `family` is the length in octets (4 or 16), 0 = none.
/// An IPv4 address is the top 32 bits of `high`.
typedef struct {
    uint64_t high;
    uint64_t low;
    uint32_t scope;
    uint16_t port;
    uint8_t family;
} csl_address;

// MARK: Poller

/// Interest and readiness, independent of epoll's names.
enum { CSL_READABLE = 1, CSL_WRITABLE = 2, CSL_FAILED = 4 };

typedef struct {
    uint64_t token;
    uint32_t readiness;
} csl_event;

int csl_poller_open(void);
/// operation: 0 add, 1 change, 2 remove. Level-triggered.
int csl_poller_control(int poller, int operation, int descriptor, uint32_t interest, uint64_t token);
/// Waits at most `nanoseconds` (negative: for ever). Returns the number of events, 0 after a timeout or a signal.
int csl_poller_wait(int poller, csl_event *events, int capacity, int64_t nanoseconds);

int csl_wakeup_open(void);
void csl_wakeup_signal(int descriptor);
void csl_wakeup_drain(int descriptor);

/// The loop whose thread is calling; NULL on any other thread.
void *csl_current_loop(void);
void csl_set_current_loop(void *loop);

/// Names the calling thread for the system's tools; at most 15 characters.
void csl_name_thread(const char *name);

int csl_close(int descriptor);

// MARK: UDP

/// Options of `csl_udp_open`.
enum {
    CSL_UDP_ERROR_QUEUE = 1,  ///< IP_RECVERR: ICMP errors are kept with the address they are about.
    CSL_UDP_REUSE_ADDRESS = 2,
    CSL_UDP_DONT_FRAGMENT_OFF = 4,  ///< IP_PMTUDISC_DONT: the network may fragment.
};

/// A bound, non-blocking datagram socket that reports each datagram's destination (IP_PKTINFO). IPv6 sockets are IPv6
/// only.
int csl_udp_open(const csl_address *address, uint32_t options, int receive_buffer, int send_buffer);
int csl_local_address(int descriptor, csl_address *address);

typedef struct csl_batch csl_batch;

/// Room for `capacity` datagrams of at most `slot` octets each; NULL when there is no memory.
csl_batch *csl_batch_create(int capacity, size_t slot);
void csl_batch_destroy(csl_batch *batch);

/// One recvmmsg into the batch; the number of datagrams (0: none waits), or a negative errno.
int csl_batch_receive(csl_batch *batch, int descriptor);
const uint8_t *csl_batch_bytes(const csl_batch *batch, int index);
/// The datagram's length; negative when it was longer than a slot.
long csl_batch_length(const csl_batch *batch, int index);
/// Where it came from, and the local address it was sent to.
void csl_batch_addresses(const csl_batch *batch, int index, csl_address *remote, csl_address *local);

/// Copies a datagram behind those already there. 0, -ENOBUFS when the batch is full, -EMSGSIZE when it is longer than a
/// slot. `local` with family 0 leaves the source address to the system.
int csl_batch_append(
    csl_batch *batch, const csl_address *remote, const csl_address *local, const void *bytes, size_t length);
int csl_batch_count(const csl_batch *batch);
/// One sendmmsg of what is queued from `first` on; how many left, or a negative errno (about the one at `first`).
int csl_batch_send(csl_batch *batch, int descriptor, int first);
void csl_batch_clear(csl_batch *batch);

/// One ICMP error about a datagram that was sent to `remote`.
typedef struct {
    csl_address remote;
    int32_t error;  ///< errno, such as ECONNREFUSED
} csl_udp_error;

/// Takes one error out of the queue: 1, or 0 when there is none, or a negative errno.
int csl_udp_next_error(int descriptor, csl_udp_error *error);

/// Takes the socket's pending error (SO_ERROR): 0 or a positive errno.
int csl_take_error(int descriptor);

// MARK: Memory

/// Gives memory that was freed back to the system, where the C library keeps it (glibc).
void csl_release_freed_memory(void);

// MARK: Multicast

/// Joins or leaves (join = 0) a group on the interface with this index; 0 lets the system choose.
int csl_multicast_member(int descriptor, const csl_address *group, uint32_t interface, int join);
/// Outgoing multicast: interface index, hops, and whether this host hears itself.
int csl_multicast_outgoing(int descriptor, int family, uint32_t interface, int hops, int loopback);

/// The first local IP address of an interface of that family which is up; 0 or -ENODEV.
int csl_interface_address(uint32_t interface, int family, csl_address *address);
/// The addresses of all interfaces that are up, without link-local IPv6 (they need an interface); how many, or a
/// negative errno.
int csl_local_addresses(int family, csl_address *addresses, int capacity);

#endif
