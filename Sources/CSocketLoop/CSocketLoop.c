// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CSocketLoop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/errqueue.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// MARK: Addresses

static socklen_t to_sockaddr(const csl_address *from, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;
        in->sin_family = AF_INET;
        in->sin_port = htons(from->port);
        in->sin_addr.s_addr = htonl((uint32_t)(from->high >> 32));
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(from->port);
    in6->sin6_scope_id = from->scope;
    for (int i = 0; i < 8; i++) {
        in6->sin6_addr.s6_addr[i] = (uint8_t)(from->high >> (56 - 8 * i));
        in6->sin6_addr.s6_addr[8 + i] = (uint8_t)(from->low >> (56 - 8 * i));
    }
    return sizeof *in6;
}

static void from_octets(const uint8_t *octets, csl_address *to) {
    to->high = to->low = 0;
    for (int i = 0; i < 8; i++) {
        to->high = to->high << 8 | octets[i];
        to->low = to->low << 8 | octets[8 + i];
    }
}

static void from_sockaddr(const struct sockaddr_storage *from, csl_address *to) {
    memset(to, 0, sizeof *to);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        to->family = 4;
        to->port = ntohs(in->sin_port);
        to->high = (uint64_t)ntohl(in->sin_addr.s_addr) << 32;
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        to->family = 16;
        to->port = ntohs(in6->sin6_port);
        to->scope = in6->sin6_scope_id;
        from_octets(in6->sin6_addr.s6_addr, to);
    }
}

// MARK: Poller

int csl_poller_open(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int csl_poller_control(int poller, int operation, int descriptor, uint32_t interest, uint64_t token) {
    struct epoll_event event = { .data.u64 = token };
    if (interest & CSL_READABLE) event.events |= EPOLLIN;
    if (interest & CSL_WRITABLE) event.events |= EPOLLOUT;
    int op = operation == 0 ? EPOLL_CTL_ADD : operation == 1 ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    return epoll_ctl(poller, op, descriptor, &event) < 0 ? -errno : 0;
}

int csl_poller_wait(int poller, csl_event *events, int capacity, int64_t nanoseconds) {
    static _Thread_local int no_pwait2;
    struct epoll_event raw[256];
    if (capacity > 256) capacity = 256;
    int n = -1;
    errno = ENOSYS;
#ifdef SYS_epoll_pwait2
    if (!no_pwait2) {
        struct timespec limit = { nanoseconds / 1000000000, nanoseconds % 1000000000 };
        n = (int)syscall(SYS_epoll_pwait2, poller, raw, capacity, nanoseconds < 0 ? NULL : &limit, NULL, 0);
        if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
            no_pwait2 = 1;
            errno = ENOSYS;
        }
    }
#endif
    if (n < 0 && errno == ENOSYS) {
        // Rounded up, or a deadline under a millisecond away would spin.
        int64_t ms = nanoseconds < 0 ? -1 : (nanoseconds + 999999) / 1000000;
        n = epoll_wait(poller, raw, capacity, ms > 86400000 ? 86400000 : (int)ms);
    }
    if (n < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t got = raw[i].events;
        events[i].token = raw[i].data.u64;
        events[i].readiness = (got & (EPOLLIN | EPOLLHUP | EPOLLRDHUP) ? CSL_READABLE : 0)
            | (got & (EPOLLOUT | EPOLLHUP) ? CSL_WRITABLE : 0) | (got & EPOLLERR ? CSL_FAILED : 0);
    }
    return n;
}

int csl_wakeup_open(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void csl_wakeup_signal(int descriptor) {
    uint64_t one = 1;
    // EAGAIN means that the counter is full: the loop is being woken already.
    while (write(descriptor, &one, sizeof one) < 0 && errno == EINTR) { }
}

void csl_wakeup_drain(int descriptor) {
    uint64_t count;
    while (read(descriptor, &count, sizeof count) < 0 && errno == EINTR) { }
}

static _Thread_local void *current_loop;

void *csl_current_loop(void) { return current_loop; }
void csl_set_current_loop(void *loop) { current_loop = loop; }

void csl_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int csl_close(int descriptor) { return close(descriptor) < 0 ? -errno : 0; }

// MARK: UDP

static int enable(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

int csl_udp_open(const csl_address *address, uint32_t options, int receive_buffer, int send_buffer) {
    int family = address->family == 4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct sockaddr_storage to;
    socklen_t length = to_sockaddr(address, &to);
    int failed = 0;
    if (options & CSL_UDP_REUSE_ADDRESS) failed |= enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET) {
        failed |= enable(fd, IPPROTO_IP, IP_PKTINFO, 1);
        if (options & CSL_UDP_ERROR_QUEUE) failed |= enable(fd, IPPROTO_IP, IP_RECVERR, 1);
        if (options & CSL_UDP_DONT_FRAGMENT_OFF) failed |= enable(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    } else {
        failed |= enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        failed |= enable(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        if (options & CSL_UDP_ERROR_QUEUE) failed |= enable(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        if (options & CSL_UDP_DONT_FRAGMENT_OFF)
            failed |= enable(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    }
    // Privileged processes may exceed net.core.[rw]mem_max; the others get what it allows.
    if (receive_buffer > 0 && enable(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer) < 0)
        enable(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    if (send_buffer > 0 && enable(fd, SOL_SOCKET, SO_SNDBUFFORCE, send_buffer) < 0)
        enable(fd, SOL_SOCKET, SO_SNDBUF, send_buffer);
    if (failed || bind(fd, (struct sockaddr *)&to, length) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int csl_local_address(int descriptor, csl_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    memset(&storage, 0, sizeof storage);
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) return -errno;
    from_sockaddr(&storage, address);
    return 0;
}

// Both kinds of packet information fit.
#define CONTROL_ROOM 64

struct csl_batch {
    int capacity;
    int count;
    size_t slot;
    struct mmsghdr *messages;
    struct iovec *vectors;
    struct sockaddr_storage *names;
    uint8_t *control;
    uint8_t *bytes;
};

csl_batch *csl_batch_create(int capacity, size_t slot) {
    csl_batch *batch = calloc(1, sizeof *batch);
    if (!batch) return NULL;
    batch->capacity = capacity;
    batch->slot = slot;
    batch->messages = calloc((size_t)capacity, sizeof *batch->messages);
    batch->vectors = calloc((size_t)capacity, sizeof *batch->vectors);
    batch->names = calloc((size_t)capacity, sizeof *batch->names);
    batch->control = calloc((size_t)capacity, CONTROL_ROOM);
    batch->bytes = malloc((size_t)capacity * slot);
    if (!batch->messages || !batch->vectors || !batch->names || !batch->control || !batch->bytes) {
        csl_batch_destroy(batch);
        return NULL;
    }
    for (int i = 0; i < capacity; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        batch->vectors[i].iov_base = batch->bytes + (size_t)i * slot;
        header->msg_iov = &batch->vectors[i];
        header->msg_iovlen = 1;
        header->msg_name = &batch->names[i];
    }
    return batch;
}

void csl_batch_destroy(csl_batch *batch) {
    if (!batch) return;
    free(batch->messages);
    free(batch->vectors);
    free(batch->names);
    free(batch->control);
    free(batch->bytes);
    free(batch);
}

int csl_batch_receive(csl_batch *batch, int descriptor) {
    for (int i = 0; i < batch->capacity; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        batch->vectors[i].iov_len = batch->slot;
        header->msg_namelen = sizeof batch->names[i];
        header->msg_control = batch->control + (size_t)i * CONTROL_ROOM;
        header->msg_controllen = CONTROL_ROOM;
        header->msg_flags = 0;
    }
    int n;
    do {
        n = recvmmsg(descriptor, batch->messages, (unsigned)batch->capacity, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    batch->count = n < 0 ? 0 : n;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    return n;
}

const uint8_t *csl_batch_bytes(const csl_batch *batch, int index) { return batch->bytes + (size_t)index * batch->slot; }

long csl_batch_length(const csl_batch *batch, int index) {
    const struct mmsghdr *message = &batch->messages[index];
    return message->msg_hdr.msg_flags & MSG_TRUNC ? -1 : (long)message->msg_len;
}

void csl_batch_addresses(const csl_batch *batch, int index, csl_address *remote, csl_address *local) {
    struct msghdr *header = &batch->messages[index].msg_hdr;
    from_sockaddr(&batch->names[index], remote);
    memset(local, 0, sizeof *local);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            local->family = 4;
            local->high = (uint64_t)ntohl(info.ipi_spec_dst.s_addr) << 32;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            local->family = 16;
            local->scope = (uint32_t)info.ipi6_ifindex;
            from_octets(info.ipi6_addr.s6_addr, local);
        }
    }
}

int csl_batch_append(
    csl_batch *batch, const csl_address *remote, const csl_address *local, const void *bytes, size_t length) {
    int i = batch->count;
    if (i == batch->capacity) return -ENOBUFS;
    if (length > batch->slot) return -EMSGSIZE;
    struct msghdr *header = &batch->messages[i].msg_hdr;
    memcpy(batch->bytes + (size_t)i * batch->slot, bytes, length);
    batch->vectors[i].iov_len = length;
    header->msg_namelen = to_sockaddr(remote, &batch->names[i]);
    header->msg_flags = 0;
    header->msg_control = NULL;
    header->msg_controllen = 0;
    if (local && local->family == remote->family) {
        uint8_t *room = batch->control + (size_t)i * CONTROL_ROOM;
        memset(room, 0, CONTROL_ROOM);
        header->msg_control = room;
        header->msg_controllen = CONTROL_ROOM;
        struct cmsghdr *c = CMSG_FIRSTHDR(header);
        if (local->family == 4) {
            struct in_pktinfo info;
            memset(&info, 0, sizeof info);
            info.ipi_spec_dst.s_addr = htonl((uint32_t)(local->high >> 32));
            c->cmsg_level = IPPROTO_IP;
            c->cmsg_type = IP_PKTINFO;
            c->cmsg_len = CMSG_LEN(sizeof info);
            memcpy(CMSG_DATA(c), &info, sizeof info);
            header->msg_controllen = CMSG_SPACE(sizeof info);
        } else {
            struct in6_pktinfo info;
            struct sockaddr_storage address;
            to_sockaddr(local, &address);
            memset(&info, 0, sizeof info);
            info.ipi6_addr = ((struct sockaddr_in6 *)&address)->sin6_addr;
            // Only link-local addresses need the interface; for others routing decides.
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = (int)local->scope;
            c->cmsg_level = IPPROTO_IPV6;
            c->cmsg_type = IPV6_PKTINFO;
            c->cmsg_len = CMSG_LEN(sizeof info);
            memcpy(CMSG_DATA(c), &info, sizeof info);
            header->msg_controllen = CMSG_SPACE(sizeof info);
        }
    }
    batch->count++;
    return 0;
}

int csl_batch_count(const csl_batch *batch) { return batch->count; }

int csl_batch_send(csl_batch *batch, int descriptor, int first) {
    int n;
    do {
        unsigned left = (unsigned)(batch->count - first);
        n = sendmmsg(descriptor, batch->messages + first, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

void csl_batch_clear(csl_batch *batch) { batch->count = 0; }

int csl_udp_next_error(int descriptor, csl_udp_error *error) {
    struct sockaddr_storage name;
    uint8_t payload[64];
    // Aligned for the control headers inside.
    union {
        struct cmsghdr header;
        uint8_t room[512];
    } control;
    struct iovec vector = { payload, sizeof payload };
    struct msghdr header = {
        .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &vector, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof control,
    };
    memset(&name, 0, sizeof name);
    ssize_t n;
    do {
        n = recvmsg(descriptor, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    memset(error, 0, sizeof *error);
    from_sockaddr(&name, &error->remote);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
            || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err details;
            memcpy(&details, CMSG_DATA(c), sizeof details);
            error->error = (int32_t)details.ee_errno;
        }
    }
    return 1;
}

int csl_take_error(int descriptor) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
    return error;
}

// MARK: Multicast

int csl_multicast_member(int descriptor, const csl_address *group, uint32_t interface, int join) {
    struct group_req request;
    struct sockaddr_storage address;
    memset(&request, 0, sizeof request);
    socklen_t length = to_sockaddr(group, &address);
    memcpy(&request.gr_group, &address, length);
    request.gr_interface = interface;
    int level = group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    int option = join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP;
    return setsockopt(descriptor, level, option, &request, sizeof request) < 0 ? -errno : 0;
}

int csl_multicast_outgoing(int descriptor, int family, uint32_t interface, int hops, int loopback) {
    int failed = 0;
    if (family == 4) {
        struct ip_mreqn request;
        memset(&request, 0, sizeof request);
        request.imr_ifindex = (int)interface;
        if (interface) failed |= setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
        failed |= enable(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, hops);
        failed |= enable(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, loopback);
    } else {
        if (interface) failed |= enable(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface);
        failed |= enable(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
        failed |= enable(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loopback);
    }
    return failed ? -errno : 0;
}

int csl_interface_address(uint32_t interface, int family, csl_address *address) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) return -errno;
    int found = -ENODEV;
    for (struct ifaddrs *entry = list; entry && found < 0; entry = entry->ifa_next) {
        if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP)) continue;
        if (entry->ifa_addr->sa_family != (family == 4 ? AF_INET : AF_INET6)) continue;
        if (if_nametoindex(entry->ifa_name) != interface) continue;
        struct sockaddr_storage storage;
        memset(&storage, 0, sizeof storage);
        memcpy(&storage, entry->ifa_addr, family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        from_sockaddr(&storage, address);
        found = 0;
    }
    freeifaddrs(list);
    return found;
}

int csl_local_addresses(int family, csl_address *addresses, int capacity) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) return -errno;
    int count = 0;
    for (struct ifaddrs *entry = list; entry && count < capacity; entry = entry->ifa_next) {
        if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP)) continue;
        if (entry->ifa_addr->sa_family != (family == 4 ? AF_INET : AF_INET6)) continue;
        struct sockaddr_storage storage;
        memset(&storage, 0, sizeof storage);
        memcpy(&storage, entry->ifa_addr, family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        if (family != 4 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&storage)->sin6_addr)) continue;
        from_sockaddr(&storage, &addresses[count]);
        addresses[count++].port = 0;
    }
    freeifaddrs(list);
    return count;
}

void csl_release_freed_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
