#define _GNU_SOURCE
#include "pingpong.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sis.h"

static bool pin(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0;
}

static void partner(int from, int to, volatile uint64_t *arrived)
{
    char byte;
    while (read(from, &byte, 1) == 1) {
        *arrived = now_ns();
        if (write(to, &byte, 1) != 1) {
            break;
        }
    }
    _exit(0);
}

bool ping_pong_open(struct ping_pong *pair)
{
    int there[2], back[2];
    pair->arrived =
        mmap(NULL, sizeof *pair->arrived, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pair->arrived == MAP_FAILED) {
        return false;
    }
    if (pipe(there) != 0) {
        munmap((void *)pair->arrived, sizeof *pair->arrived);
        return false;
    }
    if (pipe(back) != 0) {
        close(there[0]);
        close(there[1]);
        munmap((void *)pair->arrived, sizeof *pair->arrived);
        return false;
    }
    pair->pinned = pin();
    pair->partner = fork();
    if (pair->partner == 0) {
        close(there[1]);
        close(back[0]);
        partner(there[0], back[1], pair->arrived);
    }
    close(there[0]);
    close(back[1]);
    pair->there = there[1];
    pair->back = back[0];
    if (pair->partner < 0) {
        ping_pong_close(pair);
        return false;
    }
    return true;
}

int64_t ping_pong_once(struct ping_pong *pair, int patience_ms)
{
    char byte = 'x';
    struct pollfd answer = {.fd = pair->back, .events = POLLIN};
    uint64_t start = now_ns();
    if (write(pair->there, &byte, 1) != 1) {
        return PING_PONG_GONE;
    }
    if (patience_ms >= 0) {
        int ready;
        while ((ready = poll(&answer, 1, patience_ms)) < 0 && errno == EINTR) {
        }
        if (ready == 0) {
            return PING_PONG_LATE;
        }
    }
    return read(pair->back, &byte, 1) == 1 ? (int64_t)(*pair->arrived - start) : PING_PONG_GONE;
}

void ping_pong_close(struct ping_pong *pair)
{
    close(pair->there);
    close(pair->back);
    if (pair->partner > 0) {
        waitpid(pair->partner, NULL, 0);
    }
    munmap((void *)pair->arrived, sizeof *pair->arrived);
}
