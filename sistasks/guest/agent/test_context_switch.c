/* context_switch: one process hands over to another on the same processor, through a pipe (pingpong.h). */
#include <stdio.h>

#include "pingpong.h"
#include "profile.h"
#include "sis.h"

#define WARM_UP 64

const char *test_context_switch(const struct plan *plan, char *problem, size_t size)
{
    struct ping_pong pair;
    int64_t *samples = samples_allocate(plan->iterations);
    if (samples == NULL || !ping_pong_open(&pair)) {
        snprintf(problem, size, "too little memory, no pipes, or no fork");
        return STATUS_ERROR;
    }
    bool whole = true;
    for (uint32_t i = 0; whole && i < WARM_UP + plan->iterations; i++) {
        if (i == WARM_UP) {
            PROFILE_MARK(PROFILE_BEGIN, PROFILE_CONTEXT_SWITCH);
        }
        int64_t sample = ping_pong_once(&pair, -1);
        whole = sample != PING_PONG_GONE;
        if (i >= WARM_UP) {
            samples[i - WARM_UP] = sample;
        }
    }
    PROFILE_MARK(PROFILE_END, PROFILE_CONTEXT_SWITCH);
    bool pinned = pair.pinned;
    ping_pong_close(&pair);
    if (whole) {
        channel_samples("context_switch.latency", samples, plan->iterations);
    }
    samples_free(samples, plan->iterations);
    if (!whole) {
        snprintf(problem, size, "the other process went away");
        return STATUS_ERROR;
    }
    if (!pinned) {
        snprintf(problem, size, "not pinned: the kernel has no sched_setaffinity");
    }
    return STATUS_PASS;
}
