// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CSCTP.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// MARK: Addresses

/// IPv4 addresses are mapped when the socket is an IPv6 one.
static socklen_t to_sockaddr(const csctp_address *from, uint16_t port, int mapped, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (from->family == 4 && !mapped) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr.s_addr = htonl((uint32_t)(from->high >> 32));
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    if (from->family == 4) {
        in6->sin6_addr.s6_addr[10] = in6->sin6_addr.s6_addr[11] = 0xff;
        for (int i = 0; i < 4; i++) in6->sin6_addr.s6_addr[12 + i] = (uint8_t)(from->high >> (56 - 8 * i));
    } else {
        for (int i = 0; i < 8; i++) {
            in6->sin6_addr.s6_addr[i] = (uint8_t)(from->high >> (56 - 8 * i));
            in6->sin6_addr.s6_addr[8 + i] = (uint8_t)(from->low >> (56 - 8 * i));
        }
    }
    return sizeof *in6;
}

static void from_sockaddr(const struct sockaddr *from, csctp_address *to, uint16_t *port) {
    memset(to, 0, sizeof *to);
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        to->family = 4;
        to->high = (uint64_t)ntohl(in.sin_addr.s_addr) << 32;
        if (port) *port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        if (port) *port = ntohs(in6.sin6_port);
        uint64_t high = 0, low = 0;
        for (int i = 0; i < 8; i++) {
            high = high << 8 | in6.sin6_addr.s6_addr[i];
            low = low << 8 | in6.sin6_addr.s6_addr[8 + i];
        }
        if (high == 0 && low >> 32 == 0xffff) {
            to->family = 4;
            to->high = low << 32;
        } else {
            to->family = 16;
            to->high = high;
            to->low = low;
        }
    }
}

static int is_ipv6(int descriptor) {
    int domain = 0;
    socklen_t length = sizeof domain;
    getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    return domain == AF_INET6;
}

/// A packed list, as bindx and connectx want it. The caller frees it.
static struct sockaddr *pack(const csctp_address *addresses, int count, uint16_t port, int mapped) {
    uint8_t *packed = malloc((size_t)count * sizeof(struct sockaddr_in6));
    if (!packed) return NULL;
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        struct sockaddr_storage storage;
        socklen_t length = to_sockaddr(&addresses[i], port, mapped, &storage);
        memcpy(packed + used, &storage, length);
        used += length;
    }
    return (struct sockaddr *)packed;
}

static int unpack(const struct sockaddr *list, int count, csctp_address *addresses, int capacity, uint16_t *port) {
    const uint8_t *next = (const uint8_t *)list;
    if (count > capacity) count = capacity;
    for (int i = 0; i < count; i++) {
        const struct sockaddr *address = (const struct sockaddr *)next;
        from_sockaddr(address, &addresses[i], port);
        next += address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    }
    return count;
}

// MARK: Sockets

int csctp_available(void) {
    int fd = socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, IPPROTO_SCTP);
    if (fd < 0) return 0;
    close(fd);
    return 1;
}

static int set(int fd, int option, const void *value, size_t size) {
    return setsockopt(fd, IPPROTO_SCTP, option, value, (socklen_t)size);
}

static int configure(int fd, const csctp_options *options) {
    int one = 1, no_delay = options->no_delay;
    int level = 2;
    // Pieces of messages of different streams may mix, so that one long message holds nobody up.
    if (set(fd, SCTP_RECVRCVINFO, &one, sizeof one) < 0 || set(fd, SCTP_NODELAY, &no_delay, sizeof no_delay) < 0
        || set(fd, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level) < 0)
        return -errno;
    // Best effort: what net.core.[rw]mem_max allows.
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options->receive_buffer, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options->send_buffer, sizeof(int));

    static const uint16_t types[] = { SCTP_ASSOC_CHANGE, SCTP_PEER_ADDR_CHANGE, SCTP_SHUTDOWN_EVENT };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct sctp_event event = { .se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = types[i], .se_on = 1 };
        if (set(fd, SCTP_EVENT, &event, sizeof event) < 0) return -errno;
    }
    struct sctp_initmsg initial = {
        .sinit_num_ostreams = options->outbound_streams, .sinit_max_instreams = options->inbound_streams,
        .sinit_max_attempts = options->initial_attempts,
        .sinit_max_init_timeo = options->rto_max > 65535 ? 65535 : (uint16_t)options->rto_max,
    };
    if (set(fd, SCTP_INITMSG, &initial, sizeof initial) < 0) return -errno;
    struct sctp_rtoinfo timeouts = {
        .srto_initial = options->rto_initial, .srto_min = options->rto_min, .srto_max = options->rto_max,
    };
    if (set(fd, SCTP_RTOINFO, &timeouts, sizeof timeouts) < 0) return -errno;
    struct sctp_assocparams association = { .sasoc_asocmaxrxt = options->association_retransmissions };
    if (set(fd, SCTP_ASSOCINFO, &association, sizeof association) < 0) return -errno;
    struct sctp_paddrparams path;
    memset(&path, 0, sizeof path);
    path.spp_hbinterval = options->heartbeat;
    path.spp_pathmaxrxt = options->path_retransmissions;
    path.spp_flags = SPP_HB_ENABLE;
    if (set(fd, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) < 0) return -errno;
    return 0;
}

int csctp_open(const csctp_address *addresses, int count, uint16_t port, int listening, const csctp_options *options) {
    int only_ipv4 = count > 0;
    for (int i = 0; i < count; i++) only_ipv4 &= addresses[i].family == 4;
    int family = only_ipv4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);
    if (fd < 0 && count == 0 && errno == EAFNOSUPPORT) {
        family = AF_INET;
        fd = socket(family, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);
    }
    if (fd < 0) return -errno;
    int mapped = family == AF_INET6, zero = 0;
    if (mapped) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    int status = configure(fd, options);

    csctp_address any = { .family = mapped ? 16 : 4 };
    struct sockaddr_storage first;
    socklen_t length = to_sockaddr(count ? &addresses[0] : &any, port, mapped, &first);
    if (status == 0 && bind(fd, (struct sockaddr *)&first, length) < 0) status = -errno;
    if (status == 0 && count > 1) {
        // The other addresses need the port that the first one got.
        socklen_t size = sizeof first;
        uint16_t bound = port;
        csctp_address ignored;
        if (getsockname(fd, (struct sockaddr *)&first, &size) == 0)
            from_sockaddr((struct sockaddr *)&first, &ignored, &bound);
        struct sockaddr *rest = pack(addresses + 1, count - 1, bound, mapped);
        if (!rest) status = -ENOMEM;
        else if (sctp_bindx(fd, rest, count - 1, SCTP_BINDX_ADD_ADDR) < 0) status = -errno;
        free(rest);
    }
    if (status == 0 && listening && listen(fd, 1024) < 0) status = -errno;
    if (status < 0) {
        close(fd);
        return status;
    }
    return fd;
}

int csctp_close(int descriptor) {
    // Associations that are left are aborted.
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return close(descriptor) < 0 ? -errno : 0;
}

int csctp_connect(
    int descriptor, const csctp_address *addresses, int count, uint16_t port, int encapsulation, int32_t *association) {
    int mapped = is_ipv6(descriptor);
    if (encapsulation >= 0) {
        // For associations to come: this one.
        struct sctp_udpencaps udp;
        memset(&udp, 0, sizeof udp);
        udp.sue_address.ss_family = mapped ? AF_INET6 : AF_INET;
        udp.sue_port = htons((uint16_t)encapsulation);
        if (set(descriptor, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, sizeof udp) < 0) return -errno;
    }
    struct sockaddr *list = pack(addresses, count, port, mapped);
    if (!list) return -ENOMEM;
    sctp_assoc_t id = 0;
    int status = sctp_connectx(descriptor, list, count, &id);
    int error = errno;
    free(list);
    *association = id;
    return status < 0 && error != EINPROGRESS ? -error : 0;
}

int csctp_default_encapsulation(int descriptor) {
    struct sctp_udpencaps udp;
    socklen_t length = sizeof udp;
    memset(&udp, 0, sizeof udp);
    udp.sue_address.ss_family = is_ipv6(descriptor) ? AF_INET6 : AF_INET;
    if (getsockopt(descriptor, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, &length) < 0) return 0;
    return ntohs(udp.sue_port);
}

int csctp_local_encapsulation(void) {
    char text[16] = "";
    int fd = open("/proc/sys/net/sctp/udp_port", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atoi(text) : 0;
}

union send_control {
    struct cmsghdr header;
    uint8_t room[CMSG_SPACE(sizeof(struct sctp_sndinfo))];
};

/// A message of one piece, and where it goes.
static void compose(
    struct msghdr *message, struct iovec *vector, union send_control *control, int32_t association, uint16_t stream,
    uint32_t ppid, uint16_t flags) {
    memset(control, 0, sizeof *control);
    *message = (struct msghdr) {
        .msg_iov = vector, .msg_iovlen = vector->iov_len ? 1 : 0, .msg_control = control,
        .msg_controllen = sizeof *control,
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = IPPROTO_SCTP;
    c->cmsg_type = SCTP_SNDINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct sctp_sndinfo));
    struct sctp_sndinfo info = {
        .snd_sid = stream, .snd_flags = flags, .snd_ppid = htonl(ppid), .snd_assoc_id = association,
    };
    memcpy(CMSG_DATA(c), &info, sizeof info);
}

static int send_message(
    int descriptor, int32_t association, const void *bytes, size_t length, uint16_t stream, uint32_t ppid,
    uint16_t flags) {
    union send_control control;
    struct iovec vector = { (void *)bytes, length };
    struct msghdr message;
    compose(&message, &vector, &control, association, stream, ppid, flags);
    ssize_t n;
    do {
        n = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int csctp_send(
    int descriptor, int32_t association, const void *bytes, size_t length, uint16_t stream, uint32_t payload_protocol,
    int flags) {
    return send_message(
        descriptor, association, bytes, length, stream, payload_protocol, flags & CSCTP_UNORDERED ? SCTP_UNORDERED : 0);
}

struct csctp_outbox {
    int capacity, count;
    size_t room, used;
    uint8_t *bytes;
    struct mmsghdr *messages;
    struct iovec *vectors;
    union send_control *controls;
};

csctp_outbox *csctp_outbox_create(int capacity, size_t room) {
    csctp_outbox *outbox = calloc(1, sizeof *outbox);
    if (!outbox) return NULL;
    outbox->capacity = capacity;
    outbox->room = room;
    outbox->bytes = malloc(room);
    outbox->messages = calloc((size_t)capacity, sizeof *outbox->messages);
    outbox->vectors = calloc((size_t)capacity, sizeof *outbox->vectors);
    outbox->controls = calloc((size_t)capacity, sizeof *outbox->controls);
    if (!outbox->bytes || !outbox->messages || !outbox->vectors || !outbox->controls) {
        csctp_outbox_destroy(outbox);
        return NULL;
    }
    return outbox;
}

void csctp_outbox_destroy(csctp_outbox *outbox) {
    if (!outbox) return;
    free(outbox->bytes);
    free(outbox->messages);
    free(outbox->vectors);
    free(outbox->controls);
    free(outbox);
}

int csctp_outbox_add(
    csctp_outbox *outbox, int32_t association, const void *bytes, size_t length, uint16_t stream,
    uint32_t payload_protocol, int flags) {
    if (outbox->count == outbox->capacity || length > outbox->room - outbox->used) return 0;
    int index = outbox->count++;
    uint8_t *copy = outbox->bytes + outbox->used;
    memcpy(copy, bytes, length);
    outbox->used += length;
    outbox->vectors[index] = (struct iovec) { copy, length };
    compose(
        &outbox->messages[index].msg_hdr, &outbox->vectors[index], &outbox->controls[index], association, stream,
        payload_protocol, flags & CSCTP_UNORDERED ? SCTP_UNORDERED : 0);
    return 1;
}

int csctp_outbox_send(csctp_outbox *outbox, int descriptor, int *error) {
    int sent = 0;
    *error = 0;
    while (sent < outbox->count) {
        // All but the last one wait for more, so that they share packets; the last one lets them go.
        int isLast = sent == outbox->count - 1;
        int n = sendmmsg(
            descriptor, outbox->messages + sent, isLast ? 1 : (unsigned)(outbox->count - 1 - sent),
            MSG_DONTWAIT | MSG_NOSIGNAL | (isLast ? 0 : MSG_MORE));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            *error = n < 0 ? errno : EAGAIN;
            break;
        }
        sent += n;
    }
    outbox->count = 0;
    outbox->used = 0;
    return sent;
}

int csctp_shutdown(int descriptor, int32_t association) {
    return send_message(descriptor, association, NULL, 0, 0, 0, SCTP_EOF);
}

int csctp_abort(int descriptor, int32_t association) {
    return send_message(descriptor, association, NULL, 0, 0, 0, SCTP_ABORT);
}

int csctp_peel_off(int descriptor, int32_t association) {
    // Not sctp_peeloff_flags: the static library lacks it.
    int fd = sctp_peeloff(descriptor, association);
    if (fd < 0) return -errno;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int get_status(int descriptor, int32_t association, struct sctp_status *status) {
    socklen_t length = sizeof *status;
    memset(status, 0, sizeof *status);
    status->sstat_assoc_id = association;
    return getsockopt(descriptor, IPPROTO_SCTP, SCTP_STATUS, status, &length) < 0 ? -errno : 0;
}

int64_t csctp_smoothed_round_trip(int descriptor, int32_t association) {
    struct sctp_status status;
    int error = get_status(descriptor, association, &status);
    if (error < 0) return error;
    // RFC 6458 says milliseconds; Linux says ticks, whose length is what its coarse clocks resolve.
    struct timespec tick;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0) return -errno;
    return (int64_t)status.sstat_primary.spinfo_srtt * (tick.tv_nsec / 1000);
}

int csctp_outstanding(int descriptor, int32_t association) {
    struct sctp_status status;
    int error = get_status(descriptor, association, &status);
    if (error < 0) return error;
    return status.sstat_unackdata + status.sstat_penddata;
}

int csctp_local_addresses(int descriptor, csctp_address *addresses, int capacity, uint16_t *port) {
    struct sockaddr *list = NULL;
    int count = sctp_getladdrs(descriptor, 0, &list);
    if (count < 0) return -errno;
    count = count ? unpack(list, count, addresses, capacity, port) : 0;
    if (list) sctp_freeladdrs(list);
    return count;
}

int csctp_peer_addresses(int descriptor, int32_t association, csctp_address *addresses, int capacity, uint16_t *port) {
    struct sockaddr *list = NULL;
    int count = sctp_getpaddrs(descriptor, association, &list);
    if (count < 0) return -errno;
    count = count ? unpack(list, count, addresses, capacity, port) : 0;
    if (list) sctp_freepaddrs(list);
    return count;
}

int csctp_encapsulation(int descriptor, int32_t association, const csctp_address *address, uint16_t port) {
    struct sctp_udpencaps udp;
    socklen_t length = sizeof udp;
    memset(&udp, 0, sizeof udp);
    udp.sue_assoc_id = association;
    to_sockaddr(address, port, is_ipv6(descriptor), &udp.sue_address);
    if (getsockopt(descriptor, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, &length) < 0) return -errno;
    return ntohs(udp.sue_port);
}

int csctp_set_heartbeat(int descriptor, int32_t association, uint32_t milliseconds) {
    struct sctp_paddrparams path;
    memset(&path, 0, sizeof path);
    path.spp_assoc_id = association;
    path.spp_hbinterval = milliseconds;
    path.spp_flags = SPP_HB_ENABLE;
    return set(descriptor, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) < 0 ? -errno : 0;
}

int csctp_probe(int descriptor, int32_t association) {
    // Asked for an association as a whole, the kernel probes nothing: each address by itself.
    struct sockaddr *list = NULL;
    int count = sctp_getpaddrs(descriptor, association, &list);
    if (count < 0) return -errno;
    const uint8_t *next = (const uint8_t *)list;
    int status = 0;
    for (int i = 0; i < count; i++) {
        const struct sockaddr *address = (const struct sockaddr *)next;
        size_t size = address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        struct sctp_paddrparams path;
        memset(&path, 0, sizeof path);
        path.spp_assoc_id = association;
        memcpy(&path.spp_address, address, size);
        path.spp_flags = SPP_HB_DEMAND;
        if (set(descriptor, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) < 0) status = -errno;
        next += size;
    }
    if (list) sctp_freepaddrs(list);
    return status;
}

// MARK: Receiving

#define CONTROL_ROOM 128

struct csctp_batch {
    int capacity;
    size_t slot;
    struct mmsghdr *messages;
    struct iovec *vectors;
    uint8_t *control;
    uint8_t *bytes;
};

csctp_batch *csctp_batch_create(int capacity, size_t slot) {
    csctp_batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    batch->capacity = capacity;
    batch->slot = slot;
    batch->messages = calloc((size_t)capacity, sizeof *batch->messages);
    batch->vectors = calloc((size_t)capacity, sizeof *batch->vectors);
    batch->control = calloc((size_t)capacity, CONTROL_ROOM);
    batch->bytes = malloc((size_t)capacity * slot);
    if (!batch->messages || !batch->vectors || !batch->control || !batch->bytes) {
        csctp_batch_destroy(batch);
        return NULL;
    }
    for (int i = 0; i < capacity; i++) {
        batch->vectors[i].iov_base = batch->bytes + (size_t)i * slot;
        batch->vectors[i].iov_len = slot;
        batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return batch;
}

void csctp_batch_destroy(csctp_batch *batch) {
    if (!batch) return;
    free(batch->messages);
    free(batch->vectors);
    free(batch->control);
    free(batch->bytes);
    free(batch);
}

int csctp_batch_receive(csctp_batch *batch, int descriptor) {
    for (int i = 0; i < batch->capacity; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        header->msg_control = batch->control + (size_t)i * CONTROL_ROOM;
        header->msg_controllen = CONTROL_ROOM;
        header->msg_flags = 0;
    }
    int n;
    do {
        n = recvmmsg(descriptor, batch->messages, (unsigned)batch->capacity, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    return n;
}

static void notification(const uint8_t *bytes, size_t length, csctp_event *event) {
    union sctp_notification n;
    memset(&n, 0, sizeof n);
    memcpy(&n, bytes, length < sizeof n ? length : sizeof n);
    switch (n.sn_header.sn_type) {
    case SCTP_ASSOC_CHANGE:
        event->association = n.sn_assoc_change.sac_assoc_id;
        event->outbound_streams = n.sn_assoc_change.sac_outbound_streams;
        event->inbound_streams = n.sn_assoc_change.sac_inbound_streams;
        // The peer's ABORT chunk follows the structure; without one the stack gave up.
        event->is_aborted = n.sn_assoc_change.sac_length > sizeof n.sn_assoc_change;
        switch (n.sn_assoc_change.sac_state) {
        case SCTP_COMM_UP: event->kind = CSCTP_UP; break;
        case SCTP_COMM_LOST: event->kind = CSCTP_LOST; break;
        case SCTP_RESTART: event->kind = CSCTP_RESTARTED; break;
        case SCTP_SHUTDOWN_COMP: event->kind = CSCTP_SHUTDOWN_COMPLETE; break;
        case SCTP_CANT_STR_ASSOC: event->kind = CSCTP_CANNOT_START; break;
        }
        break;
    case SCTP_PEER_ADDR_CHANGE: {
        struct sctp_paddr_change change;
        memset(&change, 0, sizeof change);
        memcpy(&change, bytes, length < sizeof change ? length : sizeof change);
        event->kind = CSCTP_PATH;
        event->association = change.spc_assoc_id;
        event->path_state = change.spc_state;
        struct sockaddr_storage address;
        memcpy(&address, &change.spc_aaddr, sizeof address);
        from_sockaddr((struct sockaddr *)&address, &event->path, NULL);
        break;
    }
    case SCTP_SHUTDOWN_EVENT:
        event->kind = CSCTP_SHUTDOWN_RECEIVED;
        event->association = n.sn_shutdown_event.sse_assoc_id;
        break;
    }
}

void csctp_batch_event(const csctp_batch *batch, int index, csctp_event *event) {
    struct msghdr *header = &batch->messages[index].msg_hdr;
    memset(event, 0, sizeof *event);
    event->bytes = batch->bytes + (size_t)index * batch->slot;
    event->length = batch->messages[index].msg_len;
    if (header->msg_flags & MSG_NOTIFICATION) {
        notification(event->bytes, event->length, event);
        return;
    }
    event->is_last = (header->msg_flags & MSG_EOR) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != IPPROTO_SCTP || c->cmsg_type != SCTP_RCVINFO) continue;
        struct sctp_rcvinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        event->kind = CSCTP_DATA;
        event->association = info.rcv_assoc_id;
        event->stream = info.rcv_sid;
        event->payload_protocol = ntohl(info.rcv_ppid);
        event->is_unordered = (info.rcv_flags & SCTP_UNORDERED) != 0;
    }
}
