/* Stressors of scheduler, timers and signals: everything comes once, in order, and not before its time. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "own.h"

#define RING 3
#define ROUNDS 20
#define SIGNALS 8
#define SLEEP_NS 500000

static void pass_on(int from, int to)
{
    uint64_t token;
    while (read(from, &token, sizeof token) == sizeof token) {
        token++;
        if (write(to, &token, sizeof token) != sizeof token) {
            break;
        }
    }
    _exit(0);
}

static bool make_ring(struct bench *bench)
{
    int ends[RING + 1][2];
    for (int i = 0; i <= RING; i++) {
        if (pipe(ends[i]) != 0) {
            return false;
        }
    }
    for (int i = 0; i < RING; i++) {
        pid_t child = fork();
        if (child < 0) {
            return false;
        }
        if (child == 0) {
            for (int j = 0; j <= RING; j++) { /* or no end of the ring would ever be seen to close */
                if (j != i) {
                    close(ends[j][0]);
                }
                if (j != i + 1) {
                    close(ends[j][1]);
                }
            }
            pass_on(ends[i][0], ends[i + 1][1]);
        }
    }
    for (int j = 0; j <= RING; j++) {
        if (j != RING) {
            close(ends[j][0]);
        }
        if (j != 0) {
            close(ends[j][1]);
        }
    }
    bench->pipes[0] = ends[0][1];
    bench->pipes[1] = ends[RING][0];
    return true;
}

/* a number that goes from process to process, each of which adds one */
enum outcome own_ring(struct bench *bench)
{
    uint64_t token = random_next(&bench->random);
    if (!bench->ready && !make_ring(bench)) {
        return own_word(bench, OWN_NO_ROOM, "pipes or processes: %m");
    }
    bench->ready = true;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t expected = token + RING;
        if (write(bench->pipes[0], &token, sizeof token) != sizeof token ||
            read(bench->pipes[1], &token, sizeof token) != sizeof token) {
            bool killed = vmstat("oom_kill") > bench->stress->killed;
            return own_word(bench, killed ? OWN_NO_ROOM : OWN_WRONG, "a process of the ring is gone");
        }
        token ^= own_flip(bench);
        if (token != expected) {
            return own_word(bench, OWN_WRONG, "what %d processes passed on came back changed", RING);
        }
    }
    return OWN_GOOD;
}

enum outcome own_sleeps(struct bench *bench)
{
    struct timespec rest = {.tv_nsec = SLEEP_NS};
    uint64_t begin = now_ns();
    if (nanosleep(&rest, NULL) != 0) {
        return own_word(bench, errno == ENOSYS ? OWN_LACKING : OWN_WRONG, "nanosleep: %m");
    }
    uint64_t end = own_flip(bench) ? begin : now_ns();
    if (end < begin) {
        return own_word(bench, OWN_WRONG, "the clock went backwards");
    }
    if (end - begin < SLEEP_NS) {
        return own_word(bench, OWN_WRONG, "a sleep of %d ns ended after %d ns", SLEEP_NS, (int)(end - begin));
    }
    return OWN_GOOD;
}

/* signals that carry a value: all come, once, in order */
enum outcome own_queue(struct bench *bench)
{
    sigset_t wanted;
    int first = (int)(random_next(&bench->random) & 0xffff);
    struct timespec limit = {.tv_sec = (time_t)(bench->stress->patience_ns / 1000000000u)};
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = first + i}) != 0) {
            return own_word(bench, errno == ENOSYS ? OWN_LACKING : OWN_NO_ROOM, "sigqueue: %m");
        }
    }
    for (int i = 0; i < SIGNALS; i++) {
        siginfo_t info;
        if (sigtimedwait(&wanted, &info, &limit) != SIGRTMIN) {
            return own_word(bench, OWN_WRONG, "%d of %d signals came", i, SIGNALS);
        }
        if (info.si_value.sival_int != first + i + (own_flip(bench) ? 1 : 0)) {
            return own_word(bench, OWN_WRONG, "signal %d of %d carries another's value", i, SIGNALS);
        }
    }
    return OWN_GOOD;
}
