// SPDX-License-Identifier: Apache-2.0

// What telling many takes where nobody thinks: a process sends the same octets over all its TCP connections, one `send` after
// the other, and another reads them. The floor under what a registrar does for its subscribers; see Configuration/measure-fanout.
// Usage: bare-fanout CONNECTIONS OCTETS CHANGES [PROCESSOR PROCESSOR].
// Prints half and 99 % of the times from the beginning of a change to what each connection has read, in milliseconds.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct { _Atomic long told; double times[]; } Shared;

static void check(bool isFine, const char *what) {
    if (isFine) return;
    perror(what);
    exit(1);
}

static double milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void stayOn(const char *processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(processor), &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static void sendAtOnce(int connection) {
    int one = 1;
    check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
}

static void readAll(struct sockaddr_in to, int connections, size_t octets, Shared *shared) {
    int poller = epoll_create1(0);
    check(poller >= 0, "epoll_create1");
    for (int index = 0; index < connections; index++) {
        int connection = socket(AF_INET, SOCK_STREAM, 0);
        check(connection >= 0, "socket");
        check(connect(connection, (struct sockaddr *)&to, sizeof to) == 0, "connect");
        sendAtOnce(connection);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
        check(epoll_ctl(poller, EPOLL_CTL_ADD, connection, &event) == 0, "epoll_ctl");
    }
    struct epoll_event events[64];
    char *room = malloc(octets);
    for (;;) {
        int count = epoll_wait(poller, events, 64, -1);
        for (int index = 0; index < count; index++) {
            if (recv(events[index].data.fd, room, octets, MSG_WAITALL) != (ssize_t)octets) return;
            long told = atomic_load(&shared->told);
            shared->times[told] = milliseconds();
            atomic_store(&shared->told, told + 1);
        }
    }
}

static int ascending(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int count, char **arguments) {
    if (count != 4 && count != 6) {
        fprintf(stderr, "usage: bare-fanout CONNECTIONS OCTETS CHANGES [PROCESSOR PROCESSOR]\n");
        return 64;
    }
    int connections = atoi(arguments[1]), changes = atoi(arguments[3]);
    size_t octets = (size_t)atol(arguments[2]), total = (size_t)connections * (size_t)changes;
    Shared *shared = mmap(
        NULL, sizeof *shared + total * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(shared != MAP_FAILED, "mmap");

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    check(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    check(listen(listener, 128) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");

    pid_t reader = fork();
    check(reader >= 0, "fork");
    if (reader == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (count == 6) stayOn(arguments[5]);
        readAll(address, connections, octets, shared);
        return 0;
    }
    if (count == 6) stayOn(arguments[4]);
    int *told = calloc((size_t)connections, sizeof *told);
    for (int index = 0; index < connections; index++) {
        told[index] = accept(listener, NULL, NULL);
        check(told[index] >= 0, "accept");
        sendAtOnce(told[index]);
    }
    char *message = calloc(1, octets);
    for (int change = 0; change < changes; change++) {
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        double begin = milliseconds();
        for (int index = 0; index < connections; index++) {
            check(send(told[index], message, octets, MSG_NOSIGNAL) == (ssize_t)octets, "send");
        }
        struct timespec look = {.tv_nsec = 200000};
        while (atomic_load(&shared->told) < (long)(change + 1) * connections) nanosleep(&look, NULL);
        for (int index = 0; index < connections; index++) shared->times[change * connections + index] -= begin;
    }
    qsort(shared->times, total, sizeof(double), ascending);
    printf("%.2f %.2f\n", shared->times[total / 2], shared->times[total * 99 / 100]);
    kill(reader, SIGKILL);
    return 0;
}
