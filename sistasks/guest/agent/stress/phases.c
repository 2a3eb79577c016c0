/* At rest, under load, and back: what every class of load has in common. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define REST_SAMPLES 200u
#define WARM_UP 16u
#define LOADED_MOST 50000u
#define LOADED_ROOM (LOADED_MOST + LOADED_MOST / 4)
#define MEMORY_EVERY 16u
/* recovered is: the median of so many samples in a row is at most twice that of rest */
#define BACK_SAMPLES 15u
#define BACK_TIMES 2
/* and memory but for what a kernel keeps for good, once it was asked to do something for the first time */
#define MEMORY_SHARE 32u
#define MEMORY_LEAST (8u << 20)

static void append(char *text, const char *more)
{
    size_t length = strlen(text);
    snprintf(text + length, STRESS_WORDS - length, "%s%s", length > 0 ? "; " : "", more);
}

void stress_fail(struct stress *stress, const char *format, ...)
{
    va_list arguments;
    if (stress->failure[0] != '\0') {
        return; /* what came first is nearer to the cause */
    }
    va_start(arguments, format);
    vsnprintf(stress->failure, sizeof stress->failure, format, arguments);
    va_end(arguments);
}

void stress_remark(struct stress *stress, const char *format, ...)
{
    char words[STRESS_WORDS];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    append(stress->remarks, words);
}

void stress_skip(struct stress *stress, const char *stressor, const char *why)
{
    size_t length = strlen(stress->skipped);
    stress->lacking++;
    snprintf(stress->skipped + length, sizeof stress->skipped - length, "%s%s (%.100s)",
             length > 0 ? ", " : "", stressor, why);
}

void stress_idle(struct stress *stress, const char *stressor)
{
    stress->idle++;
    stress_remark(stress, "%s came to no whole round", stressor);
}

void stress_rate(struct stress *stress, const char *stressor, double rate)
{
    stress->ran++;
    channel_text(FRAME_LINES, "METRIC rate.%s=%.3f ops/s\n", stressor, rate);
}

static uint64_t number(const char *class, const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "stress_%s_%s", class, key);
    return plan_number(name);
}

bool stress_prepare(struct stress *stress, const struct plan *plan, char *problem, size_t size)
{
    char plant[16] = "";
    struct memory memory;
    stress->node = plan->node;
    stress->seed = plan->seed;
    stress->load_ns = number(stress->class, "ms") * MILLISECOND_NS;
    stress->patience_ns = plan_number("stress_patience_ms") * MILLISECOND_NS;
    stress->settle_ns = plan_number("stress_settle_ms") * MILLISECOND_NS;
    if (plan_value("stress_plant", plant, sizeof plant)) {
        stress->flip = strcmp(plant, "flip") == 0;
        stress->leak = strcmp(plant, "leak") == 0;
    }
    stress->pace_ns = stress->load_ns / LOADED_MOST;
    if (stress->pace_ns < MILLISECOND_NS) {
        stress->pace_ns = MILLISECOND_NS;
    }
    if (stress->load_ns == 0 || stress->patience_ns == 0 || stress->settle_ns == 0) {
        snprintf(problem, size, "the plan has no times for the load");
        return false;
    }
    stress->rest = samples_allocate(REST_SAMPLES);
    stress->loaded = samples_allocate(LOADED_ROOM);
    if (stress->rest == NULL || stress->loaded == NULL || !ping_pong_open(&stress->probe)) {
        snprintf(problem, size, "too little memory, no pipes, or no fork");
        return false;
    }
    spare_from_killing(stress->probe.partner);
    if (!memory_read(&memory)) {
        snprintf(problem, size, "/proc/meminfo is not there: memory cannot be watched");
        return false;
    }
    stress->total = memory.total;
    return true;
}

static int64_t probe(struct stress *stress, uint64_t pace_ns)
{
    uint64_t begin = now_ns();
    int64_t sample = ping_pong_once(&stress->probe, (int)(stress->patience_ns / MILLISECOND_NS));
    if (sample < 0) {
        stress->hung = true;
        stress_fail(stress, sample == PING_PONG_LATE ? "no progress: two processes did not hand over in %" PRIu64 " s"
                                                     : "the probe's other process is gone (%" PRIu64 " s)",
                    stress->patience_ns / 1000000000u);
        return sample;
    }
    sleep_until(begin + pace_ns);
    return sample;
}

static void look_at_memory(struct stress *stress)
{
    struct memory memory;
    if (memory_read(&memory) && memory.available < stress->lowest) {
        stress->lowest = memory.available;
    }
}

void stress_rest(struct stress *stress)
{
    struct memory memory;
    for (uint32_t i = 0; i < WARM_UP + REST_SAMPLES; i++) {
        int64_t sample = probe(stress, MILLISECOND_NS);
        if (sample < 0) {
            return;
        }
        if (i >= WARM_UP) {
            stress->rest[stress->rest_count++] = sample;
        }
    }
    memory_read(&memory);
    stress->before = stress->lowest = memory.available;
    stress->killed = vmstat("oom_kill");
    stress->swapped = vmstat("pswpout");
}

bool stress_tick(struct stress *stress)
{
    int64_t sample = probe(stress, stress->pace_ns);
    if (sample < 0) {
        return false;
    }
    if (stress->loaded_count % MEMORY_EVERY == 0) {
        look_at_memory(stress);
    }
    if (stress->loaded_count < LOADED_ROOM) {
        stress->loaded[stress->loaded_count++] = sample;
    }
    return true;
}

static int compare(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static int64_t median(const int64_t *samples, uint32_t count)
{
    int64_t sorted[REST_SAMPLES];
    memcpy(sorted, samples, count * sizeof *samples);
    qsort(sorted, count, sizeof *sorted, compare);
    return sorted[count / 2];
}

static void tell_what_is_missing(struct stress *stress, unsigned left, const char *name, uint64_t available,
                                 int64_t now, int64_t rest)
{
    uint64_t seconds = stress->settle_ns / 1000000000u;
    if (left > 0) {
        stress_fail(stress, "%u processes left %" PRIu64 " s after the load: %s", left, seconds, name);
    } else if (available > 0) {
        stress_fail(stress, "memory not returned %" PRIu64 " s after the load: %" PRIu64 " of %" PRIu64 " KiB available",
                    seconds, available / 1024, stress->before / 1024);
    } else {
        stress_fail(stress, "latency not back %" PRIu64 " s after the load: median %" PRId64 " ns, at rest %" PRId64 " ns",
                    seconds, now, rest);
    }
}

/* Whether the memory is back; else what is available. */
static uint64_t missing_memory(const struct stress *stress)
{
    struct memory memory;
    uint64_t tolerance = stress->total / MEMORY_SHARE;
    if (tolerance < MEMORY_LEAST) {
        tolerance = MEMORY_LEAST;
    }
    memory_read(&memory);
    return memory.available + tolerance < stress->before ? memory.available : 0;
}

void stress_recover(struct stress *stress)
{
    uint64_t begin = now_ns();
    int64_t samples[BACK_SAMPLES], rest = median(stress->rest, stress->rest_count);
    stress->recovery = -1;
    if (stress->hung) {
        return;
    }
    uint64_t killed = vmstat("oom_kill");
    if (killed > stress->killed) {
        stress_remark(stress, "out of memory: the kernel killed %" PRIu64 " processes", killed - stress->killed);
        stress->by_force = true;
    }
    if (stress->by_force) { /* nobody was left to end them */
        processes_kill(stress->probe.partner);
    }
    for (;;) {
        char name[80] = "";
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        unsigned left = processes_left(stress->probe.partner, name, sizeof name);
        uint64_t missing = missing_memory(stress);
        for (uint32_t i = 0; i < BACK_SAMPLES; i++) {
            samples[i] = probe(stress, MILLISECOND_NS);
            if (samples[i] < 0) {
                return;
            }
        }
        int64_t now = median(samples, BACK_SAMPLES);
        if (left == 0 && missing == 0 && now <= BACK_TIMES * rest) {
            stress->recovery = (int64_t)(now_ns() - begin);
            return;
        }
        if (now_ns() - begin > stress->settle_ns) {
            tell_what_is_missing(stress, left, name, missing, now, rest);
            return;
        }
    }
}

void stress_send(struct stress *stress)
{
    char name[STRESS_NAME + 32];
    const struct {
        const char *what;
        const int64_t *samples;
        uint32_t count;
    } all[] = {
        {"rest", stress->rest, stress->rest_count},
        {"latency", stress->loaded, stress->loaded_count},
        {"memory", (const int64_t[]){(int64_t)(stress->total - stress->lowest)}, stress->lowest > 0},
        {"recovery", &stress->recovery, stress->recovery >= 0},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].count > 0) {
            snprintf(name, sizeof name, "%s.%s", stress->test, all[i].what);
            channel_samples(name, all[i].samples, all[i].count);
        }
    }
}

void stress_close(struct stress *stress)
{
    processes_kill(0); /* the probe's other process, too: whoever was left has its pipes, and it would see no end */
    if (stress->probe.partner > 0 && !stress->hung) { /* one that hangs may never take its end: nobody waits for it */
        ping_pong_close(&stress->probe);
    }
    for (pid_t one; (one = waitpid(-1, NULL, WNOHANG)) > 0 || (one < 0 && errno == EINTR);) {
    }
    if (stress->rest != NULL) {
        samples_free(stress->rest, REST_SAMPLES);
    }
    if (stress->loaded != NULL) {
        samples_free(stress->loaded, LOADED_ROOM);
    }
}
