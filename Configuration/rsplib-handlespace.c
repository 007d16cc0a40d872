// SPDX-License-Identifier: Apache-2.0

// Measures the handlespace of rsplib (librsphsmgt) as HandlespaceTimes measures ours; see Configuration/measure-handlespaces.
// Usage: rsplib-handlespace POLICY POOLS MEMBERS [SAMPLES].
// Prints one line of JSON: nanoseconds of one operation, as the median of samples of a thousand each,
// and octets of memory of a pool element.

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// MARK: What the library exports

// The library has no installed headers. Sizes are those of its version 3 on 64-bit Linux, or more.
typedef struct { _Alignas(16) unsigned char octets[1024]; } Space;       // 392 octets are used.
typedef struct { _Alignas(8) unsigned char octets[40]; } Handle;         // Its length and up to 32 octets.
typedef struct { _Alignas(8) unsigned char octets[56]; } AddressBlock;   // 24 octets and one address of 28.
typedef struct { uint32_t type, weight, load, others[4]; } PolicySettings;
typedef union { struct sockaddr_in v4; struct sockaddr_in6 v6; } Address;
typedef struct Node Node;

_Static_assert(sizeof(PolicySettings) == 28, "policy settings");
_Static_assert(sizeof(Address) == 28, "address");

#define SPACE(name) poolHandlespaceManagement##name##_SimpleRedBlackTree

void poolHandleNew(Handle *handle, const unsigned char *octets, size_t count);
void poolPolicySettingsNew(PolicySettings *settings);
void transportAddressBlockNew(
    AddressBlock *block, int protocol, uint16_t port, uint16_t flags, const Address *addresses, size_t count,
    size_t limit);
void SPACE(New)(Space *space, uint32_t registrar, void *disposePool, void *disposeElement, void *context);
void SPACE(Delete)(Space *space);
void SPACE(Verify)(Space *space);
size_t SPACE(GetPools)(const Space *space);
size_t SPACE(GetPoolElements)(const Space *space);
size_t SPACE(GetOwnedPoolElements)(const Space *space);
size_t SPACE(GetPoolElementsOfPool)(Space *space, const Handle *handle);
Node *SPACE(FindPoolElement)(Space *space, const Handle *handle, uint32_t id);
unsigned SPACE(RegisterPoolElement)(
    Space *space, const Handle *handle, uint32_t home, uint32_t id, unsigned life, const PolicySettings *settings,
    const AddressBlock *user, const AddressBlock *registrar, int socket, int32_t association,
    unsigned long long now, Node **node);
unsigned SPACE(DeregisterPoolElement)(Space *space, const Handle *handle, uint32_t id);
unsigned SPACE(HandleResolution)(
    Space *space, const Handle *handle, Node **nodes, size_t *count, size_t limit, size_t increments);

enum { okay = 0 };

// MARK: Entries

enum { batch = 1000, home = 7, life = 300000 /* ms */, resolutionLimit = 10 };

// What rspregistrar has unless told otherwise: each policy's own default.
static const size_t increments = 0;

typedef struct {
    Handle handle;
    uint32_t id;
    PolicySettings settings;
    AddressBlock user, registrar;
} Entry;

typedef struct { const char *name; uint32_t type; bool hasWeight, hasLoad; } Policy;

static const Policy policies[] = {
    {"round-robin", 1, false, false},
    {"weighted-round-robin", 2, true, false},
    {"least-used", 0x40000001, false, true},
    {"random", 3, false, false},
    {"weighted-random", 4, true, false},
};

static const Policy *policy;
static size_t pools, members, total, sampleLimit = 400;
static Entry *entries;
static Entry renewed[batch];  // Those that the next thousand operations are about, with other loads.
static size_t next;
static Space space;
static unsigned long long now;

static void check(bool isTrue, const char *what) {
    if (isTrue) return;
    fprintf(stderr, "rsplib-handlespace: %s\n", what);
    exit(1);
}

// Splitmix64.
static uint64_t seed = 2;

static uint64_t draw(void) {
    uint64_t bits = seed += 0x9e3779b97f4a7c15;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    return bits ^ (bits >> 31);
}

static uint64_t drawBelow(uint64_t bound) {
    return (uint64_t)(((unsigned __int128)draw() * bound) >> 64);
}

// Random numbers, of which none comes twice and none is 0: each step can be undone.
static uint32_t drawID(void) {
    static uint32_t count;
    uint32_t bits = ++count;
    bits = (bits ^ (bits >> 16)) * 0x85ebca6b;
    bits = (bits ^ (bits >> 13)) * 0xc2b2ae35;
    return bits ^ (bits >> 16);
}

static void drawAddress(AddressBlock *block, uint16_t port) {
    Address address;
    memset(&address, 0, sizeof address);
    address.v4.sin_family = AF_INET;
    address.v4.sin_addr.s_addr = htonl((uint32_t)(1 + drawBelow(UINT32_MAX)));
    memset(block, 0, sizeof *block);
    transportAddressBlockNew(block, IPPROTO_SCTP, port, 0, &address, 1, 1);
}

static void makeEntries(void) {
    entries = calloc(total, sizeof *entries);
    check(entries != NULL, "no memory");
    for (size_t index = 0; index < total; index++) {
        Entry *entry = &entries[index];
        char name[32];
        int length = snprintf(name, sizeof name, "pool-%zu", index / members);
        poolHandleNew(&entry->handle, (const unsigned char *)name, (size_t)length);
        entry->id = drawID();
        poolPolicySettingsNew(&entry->settings);
        entry->settings.type = policy->type;
        if (policy->hasWeight) entry->settings.weight = 1 + (uint32_t)drawBelow(10);
        if (policy->hasLoad) entry->settings.load = (uint32_t)draw();
        drawAddress(&entry->user, 4711);
        drawAddress(&entry->registrar, 3863);
    }
    for (size_t index = total - 1; index > 0; index--) {
        size_t other = drawBelow(index + 1);
        Entry entry = entries[index];
        entries[index] = entries[other];
        entries[other] = entry;
    }
}

// MARK: Not measured

static void beginAnew(void) {
    SPACE(Delete)(&space);
    memset(&space, 0, sizeof space);
    SPACE(New)(&space, home, NULL, NULL, NULL);
}

static void checkCounts(size_t poolCount, size_t elementCount) {
    check(SPACE(GetPools)(&space) == poolCount, "wrong number of pools");
    check(SPACE(GetPoolElements)(&space) == elementCount, "wrong number of pool elements");
    check(SPACE(GetOwnedPoolElements)(&space) == elementCount, "wrong number of owned pool elements");
}

static unsigned registerAll(const Entry *some, size_t count) {
    unsigned errors = okay;
    for (const Entry *entry = some; entry < some + count; entry++) {
        Node *node;
        errors |= SPACE(RegisterPoolElement)(
            &space, &entry->handle, home, entry->id, life, &entry->settings, &entry->user, &entry->registrar,
            -1, 0, now, &node);
    }
    return errors;
}

static void fill(void) {
    check(registerAll(entries, total) == okay, "registration failed");
    checkCounts(pools, total);
}

static void beginAnewWhereFull(void) {
    if (next % total != 0) return;
    if (next != 0) checkCounts(pools, total);
    next = 0;
    beginAnew();
    checkCounts(0, 0);
}

static void fillWhereEmpty(void) {
    if (next % total != 0) return;
    if (next != 0) checkCounts(0, 0);
    next = 0;
    beginAnew();
    fill();
}

static void renew(void) {
    for (size_t index = 0; index < batch; index++) {
        renewed[index] = entries[drawBelow(total)];
        if (policy->hasLoad) renewed[index].settings.load = (uint32_t)draw();
    }
}

// Whether all that was registered is there, and resolution gives as many different nodes as it should.
static void checkContents(void) {
    for (size_t index = 0; index < total; index++) {
        const Entry *entry = &entries[index];
        check(SPACE(FindPoolElement)(&space, &entry->handle, entry->id) != NULL, "pool element is missing");
    }
    for (size_t index = 0; index < batch; index++) {
        const Handle *handle = &entries[index].handle;
        check(SPACE(GetPoolElementsOfPool)(&space, handle) == members, "wrong number of members");
        Node *nodes[resolutionLimit] = {NULL};
        size_t expected = members < resolutionLimit ? members : resolutionLimit, count = 0;
        unsigned error = SPACE(HandleResolution)(&space, handle, nodes, &count, resolutionLimit, increments);
        check(error == okay && count == expected, "wrong resolution");
        for (size_t one = 0; one < count; one++) {
            check(nodes[one] != NULL, "no node");
            for (size_t other = 0; other < one; other++) check(nodes[one] != nodes[other], "node twice");
        }
    }
    if (total <= 1000) SPACE(Verify)(&space);
}

// MARK: Measured

static void measureRegister(void) {
    check(registerAll(entries + next, batch) == okay, "registration failed");
    next += batch;
}

static void measureRegisterAgain(void) {
    check(registerAll(renewed, batch) == okay, "registration failed");
}

static void resolveAll(size_t limit) {
    unsigned errors = okay;
    size_t sum = 0;
    for (const Entry *entry = renewed; entry < renewed + batch; entry++) {
        Node *nodes[resolutionLimit];
        size_t count = 0;
        errors |= SPACE(HandleResolution)(&space, &entry->handle, nodes, &count, limit, increments);
        sum += count;
    }
    check(errors == okay, "resolution failed");
    check(sum == batch * (members < limit ? members : limit), "wrong number of nodes");
}

static void measureResolutionOfOne(void) { resolveAll(1); }

static void measureResolutionOfTen(void) { resolveAll(resolutionLimit); }

static void measureDeregister(void) {
    unsigned errors = okay;
    for (const Entry *entry = entries + next; entry < entries + next + batch; entry++) {
        errors |= SPACE(DeregisterPoolElement)(&space, &entry->handle, entry->id);
    }
    check(errors == okay, "deregistration failed");
    next += batch;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

// The median of 400 samples, or of as many as fit 2 s.
static long median(void (*prepare)(void), void (*body)(void)) {
    double *samples = calloc(sampleLimit, sizeof *samples);
    check(samples != NULL, "no memory");
    size_t count = 0;
    double end = seconds() + 2;
    while (count < sampleLimit && (count == 0 || seconds() < end)) {
        prepare();
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        body();
        clock_gettime(CLOCK_MONOTONIC, &after);
        double nanoseconds =
            (double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec);
        samples[count++] = nanoseconds / batch;
    }
    qsort(samples, count, sizeof *samples, compare);
    double result = samples[count / 2];
    free(samples);
    return (long)(result + 0.5);
}

// Large blocks are counted apart.
static size_t allocated(void) {
    struct mallinfo2 use = mallinfo2();
    return use.uordblks + use.hblkhd;
}

int main(int count, char **arguments) {
    if (count == 4 || count == 5) {
        for (size_t index = 0; index < sizeof policies / sizeof *policies; index++) {
            if (strcmp(arguments[1], policies[index].name) == 0) policy = &policies[index];
        }
        pools = strtoul(arguments[2], NULL, 10);
        members = strtoul(arguments[3], NULL, 10);
        if (count == 5) sampleLimit = strtoul(arguments[4], NULL, 10);
        total = pools * members;
    }
    if (policy == NULL || total == 0 || total % batch != 0 || sampleLimit == 0) {
        fputs("usage: rsplib-handlespace POLICY POOLS MEMBERS [SAMPLES], together a multiple of 1 000\n", stderr);
        return 64;
    }
    now = (unsigned long long)time(NULL) * 1000000;
    makeEntries();
    SPACE(New)(&space, home, NULL, NULL, NULL);
    checkCounts(0, 0);

    size_t empty = allocated();
    fill();
    size_t octets = (allocated() - empty) / total;
    checkContents();

    long again = median(renew, measureRegisterAgain);
    checkCounts(pools, total);
    long resolutionOfOne = median(renew, measureResolutionOfOne);
    long resolutionOfTen = median(renew, measureResolutionOfTen);
    checkContents();
    next = 0;
    long registration = median(beginAnewWhereFull, measureRegister);
    next = 0;
    long deregistration = median(fillWhereEmpty, measureDeregister);
    printf(
        "{\"policy\":\"%s\",\"pools\":%zu,\"members\":%zu,\"register\":%ld,\"register-again\":%ld,"
        "\"resolve-1\":%ld,\"resolve-10\":%ld,\"deregister\":%ld,\"memory\":%zu}\n",
        policy->name, pools, members, registration, again, resolutionOfOne, resolutionOfTen, deregistration, octets);
    SPACE(Delete)(&space);
    free(entries);
}
