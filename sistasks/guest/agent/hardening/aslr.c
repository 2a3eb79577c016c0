/* Whether a program finds itself somewhere else each time that it is started. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hardening.h"

/* all of so many the same by chance: once in 2^24 where eight bits are random, as in the least of what Linux has */
#define PROGRAMS 4

struct places {
    uint64_t stack, heap, mapping, vdso;
};

int hardening_addresses(void)
{
    struct places places = {
        .heap = (uintptr_t)sbrk(0),
        .mapping = (uintptr_t)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        .vdso = getauxval(AT_SYSINFO_EHDR),
    };
    places.stack = (uintptr_t)&places;
    return write(1, &places, sizeof places) == (ssize_t)sizeof places ? 0 : 1;
}

static bool look(struct places *places)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char *arguments[] = {"init", HARDENING_ADDRESSES, NULL}, *environment[] = {NULL};
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execve("/proc/self/exe", arguments, environment);
        _exit(127);
    }
    close(ends[1]);
    ssize_t size = pid > 0 ? read(ends[0], places, sizeof *places) : -1;
    close(ends[0]);
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
    return size == (ssize_t)sizeof *places;
}

void check_aslr(void)
{
    static const struct {
        const char *rule, *words;
        size_t at;
    } parts[] = {
        {"runtime.aslr_stack", "stack", offsetof(struct places, stack)},
        {"runtime.aslr_heap", "heap", offsetof(struct places, heap)},
        {"runtime.aslr_mapping", "first mapping", offsetof(struct places, mapping)},
        {"runtime.aslr_vdso", "vDSO", offsetof(struct places, vdso)},
    };
    struct places found[PROGRAMS];
    bool whole = true;
    for (int i = 0; i < PROGRAMS; i++) {
        whole = whole && look(&found[i]);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        bool same = true;
        uint64_t first, other;
        memcpy(&first, (char *)&found[0] + parts[i].at, sizeof first);
        for (int program = 1; whole && program < PROGRAMS; program++) {
            memcpy(&other, (char *)&found[program] + parts[i].at, sizeof other);
            same = same && other == first;
        }
        if (!whole) {
            finding(parts[i].rule, STATUS_SKIP, "the agent could not be started a second time: %s", strerror(errno));
        } else if (first == 0) {
            finding(parts[i].rule, STATUS_SKIP, "programs of this kernel have no %s", parts[i].words);
        } else {
            finding(parts[i].rule, same ? STATUS_FAIL : STATUS_PASS, "%d programs one after another had their %s at %s",
                    PROGRAMS, parts[i].words, same ? "the same address" : "different addresses");
        }
    }
}
