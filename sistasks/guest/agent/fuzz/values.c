/* Values for arguments: mostly what the call wants, now and then what it must refuse. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define PAGE 4096u
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const uint64_t EDGES[] = {
    0, 1, 2, 3, 7, 8, 15, 16, 31, 63, 64, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0xffff, 0x10000,
    0x7fffffff, 0x80000000u, 0xfffffff0u, 0xffffffffu, 0x100000000u, 0x7fffffffffffffffu, 0x8000000000000000u,
    0xfffffffffffff000u, 0xfffffffffffffff0u, 0xffffffffffffffffu,
};
/* nowhere, the kernel's, and what no address can be */
static const uint64_t NOWHERE[] = {
    0, 1, 8, 0x1000, FUZZ_ARENA - PAGE, FUZZ_ARENA + (FUZZ_ARENA_PAGES + 1) * PAGE, FUZZ_WORK + FUZZ_WORK_PAGES * PAGE,
    0xc0000000u, 0xffff0000u, 0x00007fffffffe000u, 0x0000800000000000u, 0xffff000000000000u, 0xffff888000000000u,
    0xffffffff81000000u, 0xffffffffff600000u, 0xfffffffffffff000u, 0xffffffffffffffffu,
};
static const char *const NAMES[] = {
    "", "a", "user.a", "user.b", "security.selinux", "security.capability", "system.posix_acl_access", "trusted.a",
    "tmpfs", "proc", "sysfs", "ramfs", "devpts", "cgroup2", "mqueue", "overlay", "user", "keyring", "logon", "asymmetric",
    "dns_resolver", "big_key", "/q", "lo", "size=1m", "mode=777", "hash", "skcipher", "sha256", "cbc(aes)", "GPL",
    "0 65534 1", "deny", "1", "0", "-1", "4294967296", "max", "on", "off",
};
/* what an episode gets past; those that stop or kill are left out, and the one that wakes it from a call that waits */
static const int SIGNALS[] = {0, SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGIO, 40, 64, 65, -1};

uint32_t fuzz_below(struct fuzz *fuzz, uint32_t limit)
{
    return (uint32_t)((random_next(&fuzz->random) >> 32) % limit);
}

bool fuzz_one_in(struct fuzz *fuzz, uint32_t times)
{
    return fuzz_below(fuzz, times) == 0;
}

uint64_t fuzz_number(struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 4)) {
    case 0:
        return EDGES[fuzz_below(fuzz, LENGTH(EDGES))];
    case 1:
        return EDGES[fuzz_below(fuzz, LENGTH(EDGES))] + fuzz_below(fuzz, 3) - 1;
    case 2:
        return (uint64_t)1 << fuzz_below(fuzz, 64);
    default:
        return random_next(&fuzz->random) >> fuzz_below(fuzz, 64);
    }
}

bool fuzz_map(void)
{
    /* behind each of both is a page that nobody may touch */
    for (int i = 0; i < 2; i++) {
        uintptr_t at = i == 0 ? FUZZ_ARENA : FUZZ_WORK;
        size_t size = (i == 0 ? FUZZ_ARENA_PAGES : FUZZ_WORK_PAGES) * PAGE;
        void *whole = mmap((void *)at, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (whole == MAP_FAILED || mprotect(whole, size, PROT_READ | PROT_WRITE) != 0) {
            return false;
        }
    }
    return true;
}

/* room for a value of this call; at times its end is the end of what is mapped, or a little beyond */
static void *room(struct fuzz *fuzz, size_t size)
{
    uintptr_t end = FUZZ_WORK + FUZZ_WORK_PAGES * PAGE;
    size = (size + 15) & ~(size_t)15;
    if (fuzz->work + size > end - PAGE) {
        fuzz->work = FUZZ_WORK;
    }
    void *at = (void *)fuzz->work;
    fuzz->work += size;
    return at;
}

static uintptr_t pointer(struct fuzz *fuzz, void *good)
{
    if (!fuzz_one_in(fuzz, 14)) {
        return (uintptr_t)good;
    }
    switch (fuzz_below(fuzz, 3)) {
    case 0:
        return (uintptr_t)NOWHERE[fuzz_below(fuzz, LENGTH(NOWHERE))];
    case 1: /* the end of it is missing */
        return FUZZ_WORK + FUZZ_WORK_PAGES * PAGE - fuzz_below(fuzz, 64);
    default:
        return FUZZ_ARENA + fuzz_below(fuzz, FUZZ_ARENA_PAGES * PAGE);
    }
}

static void fill(struct fuzz *fuzz, void *at, size_t size)
{
    uint8_t *byte = at;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = random_next(&fuzz->random);
        memcpy(byte + i, &word, 8);
    }
}

/* Words of a structure: zeros most, for a field that is not zero where it should be is what is looked at first. */
static uintptr_t structure(struct fuzz *fuzz, size_t size)
{
    uint8_t *at = room(fuzz, size + 8);
    memset(at, 0, size + 8);
    bool long_words = fuzz_one_in(fuzz, 2);
    for (size_t i = 0; i < size; i += long_words ? 8 : 4) {
        uint64_t word = 0;
        switch (fuzz_below(fuzz, 12)) {
        case 0:
            word = fuzz_number(fuzz);
            break;
        case 1:
        case 2:
            word = fuzz_below(fuzz, 16);
            break;
        case 3:
            word = (uint64_t)1 << fuzz_below(fuzz, 32);
            break;
        case 4:
            word = (uint32_t)fuzz_descriptor(fuzz, OBJECT_ANY);
            break;
        case 5:
            word = (uintptr_t)(fuzz_one_in(fuzz, 2) ? FUZZ_ARENA : FUZZ_WORK + 0x4000);
            break;
        default:
            break;
        }
        memcpy(at + i, &word, long_words ? 8 : 4);
    }
    return pointer(fuzz, at);
}

static uint32_t size_of_room(struct fuzz *fuzz)
{
    static const uint16_t SIZES[] = {0, 1, 4, 8, 12, 16, 24, 32, 64, 100, 128, 255, 256, 512, 1024, 4095, 4096, 8192};
    return SIZES[fuzz_below(fuzz, LENGTH(SIZES))];
}

static uintptr_t name(struct fuzz *fuzz)
{
    const char *word = NAMES[fuzz_below(fuzz, LENGTH(NAMES))];
    return pointer(fuzz, strcpy(room(fuzz, strlen(word) + 1), word));
}

static uintptr_t text(struct fuzz *fuzz)
{
    if (fuzz_one_in(fuzz, 2)) {
        return name(fuzz);
    }
    char *letter = room(fuzz, 16);
    letter[0] = (char)('a' + fuzz_below(fuzz, 26));
    letter[1] = '\n';
    letter[2] = '\0';
    return pointer(fuzz, letter);
}

static uintptr_t bytes(struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 3)) {
    case 0:
        return text(fuzz);
    case 1:
        return structure(fuzz, 128);
    default: {
        void *at = room(fuzz, 512);
        fill(fuzz, at, 512);
        return pointer(fuzz, at);
    }
    }
}

static uintptr_t path(struct fuzz *fuzz)
{
    char *at = room(fuzz, FUZZ_PATH);
    strcpy(at, fuzz_path(fuzz));
    return pointer(fuzz, at);
}

static uintptr_t little_time(struct fuzz *fuzz)
{
    int64_t *at = room(fuzz, 32);
    for (int i = 0; i < 4; i += 2) {
        bool sane = !fuzz_one_in(fuzz, 8);
        at[i] = sane ? 0 : (int64_t)fuzz_number(fuzz);
        at[i + 1] = sane ? (int64_t)fuzz_below(fuzz, 100000) : (int64_t)fuzz_number(fuzz);
    }
    return pointer(fuzz, at);
}

static size_t put_sockaddr(struct fuzz *fuzz, uint8_t *at)
{
    static const uint16_t FAMILIES[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 38 /* ALG */, 40 /* VSOCK */};
    uint16_t family = fuzz_one_in(fuzz, 12) ? (uint16_t)fuzz_below(fuzz, 64) : FAMILIES[fuzz_below(fuzz, LENGTH(FAMILIES))];
    memset(at, 0, 128);
    memcpy(at, &family, 2);
    if (family == AF_UNIX) { /* abstract, or in the folder */
        at[2] = fuzz_one_in(fuzz, 2) ? 0 : 's';
        at[3] = (uint8_t)('0' + fuzz_below(fuzz, 4));
        return 110;
    }
    if (family == AF_INET || family == AF_INET6) {
        at[3] = (uint8_t)(fuzz_below(fuzz, 8) * 16);
        at[2] = 0x40;
        if (family == AF_INET) {
            at[4] = 127;
            at[7] = 1;
            return sizeof(struct sockaddr_in);
        }
        at[8 + 15] = 1;
        return sizeof(struct sockaddr_in6);
    }
    fill(fuzz, at + 8, 24);
    return family == AF_NETLINK ? 12 : fuzz_one_in(fuzz, 2) ? 88 : 20;
}

static uintptr_t vector(struct fuzz *fuzz, unsigned count)
{
    struct iovec *parts = room(fuzz, 8 * sizeof *parts);
    for (unsigned i = 0; i < 8; i++) {
        bool sane = i < count && !fuzz_one_in(fuzz, 12);
        parts[i].iov_base = (void *)(sane ? FUZZ_WORK + 0x8000 + 0x400 * i : (uintptr_t)fuzz_number(fuzz));
        parts[i].iov_len = sane ? size_of_room(fuzz) % 1025 : (size_t)fuzz_number(fuzz);
    }
    return pointer(fuzz, parts);
}

static uintptr_t message(struct fuzz *fuzz)
{
    struct msghdr *head = room(fuzz, sizeof *head);
    memset(head, 0, sizeof *head);
    if (fuzz_one_in(fuzz, 2)) {
        uint8_t *name = room(fuzz, 128);
        head->msg_namelen = (socklen_t)put_sockaddr(fuzz, name);
        head->msg_name = name;
    }
    unsigned count = fuzz_below(fuzz, 4);
    head->msg_iov = (struct iovec *)vector(fuzz, count);
    head->msg_iovlen = count;
    if (fuzz_one_in(fuzz, 2)) {
        struct cmsghdr *control = room(fuzz, 256);
        static const int LEVELS[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, 279 /* SOL_ALG */, 270 /* SOL_NETLINK */};
        unsigned fds = 1 + fuzz_below(fuzz, 4);
        control->cmsg_level = LEVELS[fuzz_below(fuzz, LENGTH(LEVELS))];
        control->cmsg_type = (int)(1 + fuzz_below(fuzz, 6));
        control->cmsg_len = fuzz_one_in(fuzz, 8) ? (size_t)fuzz_number(fuzz) : CMSG_LEN(fds * sizeof(int));
        for (unsigned i = 0; i < fds; i++) {
            int fd = fuzz_descriptor(fuzz, OBJECT_ANY);
            memcpy(CMSG_DATA(control) + i * sizeof fd, &fd, sizeof fd);
        }
        head->msg_control = control;
        head->msg_controllen = CMSG_SPACE(fds * sizeof(int));
    }
    return pointer(fuzz, head);
}

static uintptr_t flags(struct fuzz *fuzz, const struct fuzz_value *value)
{
    uint32_t found = 0;
    unsigned most = fuzz_below(fuzz, 4);
    for (unsigned i = 0; i <= most; i++) {
        found |= value->values[fuzz_below(fuzz, value->count)];
    }
    if (fuzz_one_in(fuzz, 16)) {
        found ^= (uint32_t)1 << fuzz_below(fuzz, 32);
    }
    return found;
}

static uintptr_t process(struct fuzz *fuzz)
{
    static const int OTHERS[] = {0, 1, 2, -1, 99999, 0x7fffffff};
    return fuzz_one_in(fuzz, 2) ? (uintptr_t)getpid() : (uintptr_t)OTHERS[fuzz_below(fuzz, LENGTH(OTHERS))];
}

static uintptr_t command(struct fuzz *fuzz, const struct fuzz_value *value)
{
    if (!fuzz_one_in(fuzz, 6)) {
        return value->values[fuzz_below(fuzz, value->count)];
    }
    static const char TYPES[] = "TfXVrRuUtABPHvkm\x89\xaa\xb7\x12\x94";
    uint32_t type = (uint8_t)TYPES[fuzz_below(fuzz, sizeof TYPES - 1)];
    return fuzz_below(fuzz, 4) << 30 | size_of_room(fuzz) % 512 << 16 | type << 8 | fuzz_below(fuzz, 64);
}

uintptr_t fuzz_value(struct fuzz *fuzz, const struct fuzz_value *value)
{
    if (value->kind != VALUE_NONE && fuzz_one_in(fuzz, 40)) {
        return (uintptr_t)fuzz_number(fuzz);
    }
    switch ((enum fuzz_kind)value->kind) {
    case VALUE_NONE:
        return 0;
    case VALUE_NUMBER:
        return (uintptr_t)fuzz_number(fuzz);
    case VALUE_SMALL:
        return fuzz_below(fuzz, 16);
    case VALUE_FLAGS:
        return flags(fuzz, value);
    case VALUE_ONE:
        return value->values[fuzz_below(fuzz, value->count)];
    case VALUE_FD:
        return (uintptr_t)fuzz_descriptor(fuzz, value->count);
    case VALUE_AT:
        return (uintptr_t)(fuzz_one_in(fuzz, 3) ? fuzz_descriptor(fuzz, OBJECT_FOLDER) : AT_FDCWD);
    case VALUE_PATH:
        return path(fuzz);
    case VALUE_NAME:
        return name(fuzz);
    case VALUE_TEXT:
        return text(fuzz);
    case VALUE_IN:
        return bytes(fuzz);
    case VALUE_OUT:
        return pointer(fuzz, (void *)(FUZZ_WORK + 0x10000));
    case VALUE_SIZE:
        return fuzz_one_in(fuzz, 12) ? (uintptr_t)fuzz_number(fuzz) : size_of_room(fuzz);
    case VALUE_OFFSET:
        return fuzz_one_in(fuzz, 6) ? (uintptr_t)fuzz_number(fuzz) : fuzz_below(fuzz, 3) * 2048u;
    case VALUE_POINTER: {
        uint64_t *number = room(fuzz, sizeof *number);
        *number = fuzz_one_in(fuzz, 6) ? fuzz_number(fuzz) : size_of_room(fuzz);
        return pointer(fuzz, number);
    }
    case VALUE_STRUCT:
        return structure(fuzz, value->count);
    case VALUE_TIME:
        return little_time(fuzz);
    case VALUE_ADDRESS:
        return FUZZ_ARENA + fuzz_below(fuzz, FUZZ_ARENA_PAGES) * PAGE + (fuzz_one_in(fuzz, 10) ? fuzz_below(fuzz, PAGE) : 0);
    case VALUE_SPAN:
        return (uintptr_t)(1 + fuzz_below(fuzz, 8)) * PAGE;
    case VALUE_SOCKADDR: {
        uint8_t *at = room(fuzz, 128);
        put_sockaddr(fuzz, at);
        return pointer(fuzz, at);
    }
    case VALUE_VECTOR:
        return vector(fuzz, 4);
    case VALUE_MESSAGE:
        return message(fuzz);
    case VALUE_PID:
        return process(fuzz);
    case VALUE_ID:
        return fuzz_one_in(fuzz, 2) ? 65534u : (uintptr_t)EDGES[fuzz_below(fuzz, LENGTH(EDGES))];
    case VALUE_SIGNAL:
        return (uintptr_t)SIGNALS[fuzz_below(fuzz, LENGTH(SIGNALS))];
    case VALUE_COMMAND:
        return command(fuzz, value);
    }
    return 0;
}
