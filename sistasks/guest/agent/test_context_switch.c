/* context_switch: one process hands over to another on the same processor, through a pipe.
 *
 * A sample is the time from just before the one's write to just after the other's read: a write, a switch, a read.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sis.h"

#define WARM_UP 64

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

const char *test_context_switch(const struct plan *plan, char *problem, size_t size)
{
    int there[2], back[2];
    char byte = 'x';
    volatile uint64_t *arrived =
        mmap(NULL, sizeof *arrived, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    int64_t *samples = samples_allocate(plan->iterations);
    if (arrived == MAP_FAILED || samples == NULL || pipe(there) != 0 || pipe(back) != 0) {
        snprintf(problem, size, "too little memory or no pipes");
        return STATUS_ERROR;
    }
    bool pinned = pin();
    pid_t child = fork();
    if (child < 0) {
        snprintf(problem, size, "fork failed");
        return STATUS_ERROR;
    }
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        partner(there[0], back[1], arrived);
    }
    close(there[0]);
    close(back[1]);
    bool whole = true;
    for (uint32_t i = 0; whole && i < WARM_UP + plan->iterations; i++) {
        uint64_t start = now_ns();
        whole = write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1;
        if (i >= WARM_UP) {
            samples[i - WARM_UP] = (int64_t)(*arrived - start);
        }
    }
    close(there[1]);
    close(back[0]);
    waitpid(child, NULL, 0);
    if (whole) {
        channel_samples("context_switch.latency", samples, plan->iterations);
    }
    samples_free(samples, plan->iterations);
    munmap((void *)arrived, sizeof *arrived);
    if (!whole) {
        snprintf(problem, size, "the other process went away");
        return STATUS_ERROR;
    }
    if (!pinned) {
        snprintf(problem, size, "not pinned: the kernel has no sched_setaffinity");
    }
    return STATUS_PASS;
}
