/* What calls are made on: descriptors of every kind that nobody needs a right for, and paths. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define ENTRIES_MAX 6000u
#define DEPTH_MAX 5

/* relative ones lie in the episode's own folder, which is empty when it begins */
static const char *const PATHS[] = {
    ".", "a", "b", "d", "d/a", "l", "s0", "s1", "..", "a/", "", "/", "/tmp", "/proc", "/sys", "/dev", "/dev/null", "/dev/zero",
    "/dev/full", "/dev/ptmx", "/dev/tty", "/dev/urandom", "/dev/shm", "/dev/kmsg", "/dev/mem", "/proc/self/fd/4",
    "/proc/self/mem", "/proc/self/maps", "/proc/self/environ", "/proc/self/status", "/proc/self/clear_refs",
    "/proc/self/oom_score_adj", "/proc/self/comm", "/proc/self/attr/current", "/proc/self/uid_map", "/proc/self/setgroups",
    "/proc/self/pagemap", "/proc/self/timers", "/proc/self/ns/user", "/proc/self/ns/net", "/proc/thread-self/stat", "/proc/1/mem",
    "/proc/1/stack", "/proc/1/environ", "/proc/kallsyms", "/proc/kcore", "/proc/modules", "/proc/meminfo", "/proc/stat",
    "/proc/interrupts", "/proc/net/tcp", "/proc/net/unix", "/proc/key-users", "/proc/keys", "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/random/uuid", "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/overcommit_memory", "/proc/sys/net/ipv4/ip_local_port_range", "/sys/kernel/debug", "/sys/fs/cgroup",
    "/sys/kernel/notes", "/sys/kernel/uevent_seqnum", "/sys/power/state", "/sys/module/kernel/parameters",
};
/* places to stray from */
static const char *const ROOTS[] = {"/proc/sys", "/proc/self", "/proc", "/sys", "/sys/kernel", "/dev"};

static char doors[FUZZ_DOORS][FUZZ_PATH];
static unsigned door_count, entries;

static void look(const char *folder, int depth)
{
    DIR *open = opendir(folder);
    if (open == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(open)) != NULL && door_count < FUZZ_DOORS && entries < ENTRIES_MAX;) {
        char path[FUZZ_PATH];
        struct stat status;
        /* processes come and go */
        bool process = strcmp(folder, "/proc") == 0 && entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        if (entry->d_name[0] == '.' || process || entry->d_type == DT_LNK ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path) {
            continue;
        }
        entries++;
        if (entry->d_type == DT_DIR) {
            if (depth < DEPTH_MAX) {
                look(path, depth + 1);
            }
        } else if (lstat(path, &status) == 0 && (status.st_mode & S_IWOTH) != 0) {
            strcpy(doors[door_count++], path);
        }
    }
    closedir(open);
}

void fuzz_find_doors(void)
{
    door_count = entries = 0;
    look("/dev", 0);
    look("/proc", 0);
}

unsigned fuzz_doors(void)
{
    return door_count;
}

/* one name of a folder; false where it has none */
static bool pick(struct fuzz *fuzz, char *path)
{
    struct entry {
        uint64_t inode, offset;
        uint16_t length;
        uint8_t type;
        char name[];
    };
    static uint64_t room[2048];
    char *names = (char *)room;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    long size = folder < 0 ? -1 : syscall(SYS_getdents64, folder, names, sizeof room);
    unsigned count = 0, wanted;
    if (folder >= 0) {
        close(folder);
    }
    for (long at = 0; at < size; at += ((struct entry *)(void *)(names + at))->length) {
        count++;
    }
    if (count <= 2) {
        return false;
    }
    wanted = 2 + fuzz_below(fuzz, count - 2);
    long at = 0;
    for (; wanted > 0; wanted--) {
        at += ((struct entry *)(void *)(names + at))->length;
    }
    size_t length = strlen(path);
    const char *name = ((struct entry *)(void *)(names + at))->name;
    if (length + 1 + strlen(name) >= FUZZ_PATH) {
        return false;
    }
    path[length] = '/';
    strcpy(path + length + 1, name);
    return true;
}

const char *fuzz_path(struct fuzz *fuzz)
{
    static char path[FUZZ_PATH];
    switch (fuzz_below(fuzz, 8)) {
    case 0: /* stray */
        strcpy(path, ROOTS[fuzz_below(fuzz, LENGTH(ROOTS))]);
        for (int i = 0; i < 6 && pick(fuzz, path); i++) {
        }
        return path;
    case 1:
        if (door_count > 0) {
            return doors[fuzz_below(fuzz, door_count)];
        } /* fall through */
    case 2:
    case 3:
        return PATHS[fuzz_below(fuzz, LENGTH(PATHS))];
    default: /* its own */
        return PATHS[fuzz_below(fuzz, 8)];
    }
}

void fuzz_pool(struct fuzz *fuzz, int fd, unsigned objects)
{
    if (fd <= 2) {
        return;
    }
    unsigned at = fuzz->pooled < FUZZ_POOL ? fuzz->pooled++ : fuzz_below(fuzz, FUZZ_POOL);
    fuzz->pool[at] = (struct fuzz_descriptor){fd, objects};
}

int fuzz_descriptor(struct fuzz *fuzz, unsigned objects)
{
    static const int OTHERS[] = {-1, AT_FDCWD, 0, 1, 2, 255, 1023, 0x7fffffff};
    if (fuzz->pooled == 0 || fuzz_one_in(fuzz, 20)) {
        return OTHERS[fuzz_below(fuzz, LENGTH(OTHERS))];
    }
    unsigned first = fuzz_below(fuzz, fuzz->pooled);
    bool any = fuzz_one_in(fuzz, 5);
    for (unsigned i = 0; i < fuzz->pooled; i++) {
        const struct fuzz_descriptor *one = &fuzz->pool[(first + i) % fuzz->pooled];
        if (any || (one->objects & objects) != 0) {
            return one->fd;
        }
    }
    return fuzz->pool[first].fd;
}

static int some_file(struct fuzz *fuzz)
{
    static const int WAYS[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_PATH};
    char name[2] = {(char)('a' + fuzz_below(fuzz, 2)), '\0'};
    int fd = open(name, WAYS[fuzz_below(fuzz, LENGTH(WAYS))] | O_CREAT | O_NONBLOCK, 0600);
    if (fd >= 0 && fuzz_one_in(fuzz, 2) && ftruncate(fd, 5000) != 0) {
        return fd;
    }
    return fd;
}

static int of_kernel(struct fuzz *fuzz)
{
    static const int WAYS[] = {O_RDWR, O_WRONLY, O_RDONLY};
    const char *path = door_count > 0 && fuzz_one_in(fuzz, 2) ? doors[fuzz_below(fuzz, door_count)]
                                                            : PATHS[8 + fuzz_below(fuzz, LENGTH(PATHS) - 8)];
    for (unsigned i = 0; i < LENGTH(WAYS); i++) { /* as much as is allowed */
        int fd = open(path, WAYS[i] | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0) {
            return fd;
        }
    }
    return -1;
}

static int some_socket(struct fuzz *fuzz)
{
    static const struct {
        int family, type, protocol;
    } KINDS[] = {
        {AF_UNIX, SOCK_STREAM, 0}, {AF_UNIX, SOCK_DGRAM, 0}, {AF_UNIX, SOCK_SEQPACKET, 0}, {AF_INET, SOCK_STREAM, 0},
        {AF_INET, SOCK_DGRAM, 0}, {AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_DGRAM, 0}, {AF_INET, SOCK_DGRAM, 1},
        {AF_INET, SOCK_STREAM, 262}, {AF_NETLINK, SOCK_RAW, 0}, {AF_NETLINK, SOCK_DGRAM, 4}, {AF_NETLINK, SOCK_RAW, 9},
        {AF_NETLINK, SOCK_RAW, 12}, {AF_NETLINK, SOCK_RAW, 15}, {AF_NETLINK, SOCK_RAW, 16}, {AF_PACKET, SOCK_RAW, 0},
        {38, SOCK_SEQPACKET, 0}, {40, SOCK_STREAM, 0}, {AF_INET, SOCK_STREAM, 132}, {29, SOCK_RAW, 1}, {30, SOCK_DGRAM, 0},
    };
    unsigned which = fuzz_below(fuzz, LENGTH(KINDS));
    return socket(KINDS[which].family, KINDS[which].type | SOCK_NONBLOCK, KINDS[which].protocol);
}

static void two(struct fuzz *fuzz, int made, const int *ends, unsigned objects)
{
    for (int i = 0; made == 0 && i < 2; i++) {
        fuzz_pool(fuzz, ends[i], objects);
    }
}

static void some_event(struct fuzz *fuzz)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int fd = -1;
    switch (fuzz_below(fuzz, 5)) {
    case 0:
        fd = eventfd(fuzz_below(fuzz, 3), EFD_NONBLOCK);
        break;
    case 1:
        fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        break;
    case 2:
        fd = signalfd(-1, &set, SFD_NONBLOCK);
        break;
    case 3:
        fd = inotify_init1(IN_NONBLOCK);
        break;
    default:
        fd = (int)syscall(SYS_userfaultfd, O_NONBLOCK | 1 /* UFFD_USER_MODE_ONLY */);
    }
    fuzz_pool(fuzz, fd, OBJECT_EVENT);
}

static void some_ring(struct fuzz *fuzz)
{
    uint32_t *parameters = (uint32_t *)(FUZZ_WORK + 0x3000);
    memset(parameters, 0, 120);
    fuzz_pool(fuzz, (int)syscall(SYS_io_uring_setup, 1u << fuzz_below(fuzz, 5), parameters), OBJECT_RING);
}

void fuzz_make_objects(struct fuzz *fuzz, unsigned count)
{
    int ends[2];
    for (unsigned i = 0; i < count; i++) {
        switch (fuzz_below(fuzz, 16)) {
        case 0:
        case 1:
            fuzz_pool(fuzz, some_file(fuzz), OBJECT_FILE);
            break;
        case 2:
            fuzz_pool(fuzz, open(fuzz_one_in(fuzz, 2) ? "." : "/proc/self", O_RDONLY | O_DIRECTORY), OBJECT_FOLDER);
            break;
        case 3:
            two(fuzz, pipe2(ends, O_NONBLOCK), ends, OBJECT_PIPE);
            break;
        case 4:
            two(fuzz, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), ends, OBJECT_SOCKET);
            break;
        case 5:
        case 6:
        case 7:
            fuzz_pool(fuzz, some_socket(fuzz), OBJECT_SOCKET);
            break;
        case 8:
            some_event(fuzz);
            break;
        case 9:
            fuzz_pool(fuzz, epoll_create1(0), OBJECT_POLL);
            break;
        case 10:
            fuzz_pool(fuzz, (int)syscall(SYS_memfd_create, "m", 2 /* MFD_ALLOW_SEALING */), OBJECT_MEMORY | OBJECT_FILE);
            break;
        case 11:
            some_ring(fuzz);
            break;
        default:
            fuzz_pool(fuzz, of_kernel(fuzz), OBJECT_KERNEL | OBJECT_FILE);
        }
    }
}
