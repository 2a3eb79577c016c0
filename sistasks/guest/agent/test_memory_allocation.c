/* memory_allocation: what a page costs (map, first touch, unmap), what a small block costs (allocate, first write,
 * free, 16 to 2048 bytes, with others alive), and how fragmented free memory is meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "profile.h"
#include "sis.h"

#define WARM_UP 64
#define ALIVE 64
#define FRAGMENTATION_SAMPLES 10
#define HUGE_PAGE_BYTES (2u << 20)

/* parts per million of the free memory that no free block of a huge page's size holds: 0 is unfragmented.
 * /proc/buddyinfo: free blocks of 2^order pages per zone (Documentation/filesystems/proc.rst). -1: not to be had.
 */
static int64_t fragmentation(void)
{
    char line[512];
    uint64_t all = 0, in_large = 0;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/buddyinfo", "re");
    if (file == NULL) {
        return -1;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char *at = strstr(line, "zone");
        if (at == NULL) {
            continue;
        }
        at += strlen("zone");
        at += strspn(at, " ");
        at += strcspn(at, " ");
        uint64_t block = page;
        for (char *end;; block *= 2, at = end) {
            uint64_t count = strtoull(at, &end, 10);
            if (end == at) {
                break;
            }
            all += count * block;
            in_large += block >= HUGE_PAGE_BYTES ? count * block : 0;
        }
    }
    fclose(file);
    return all == 0 ? -1 : (int64_t)((all - in_large) * 1000000u / all);
}

static bool measure_pages(int64_t *samples, uint32_t count, size_t page)
{
    for (uint32_t i = 0; i < WARM_UP + count; i++) {
        if (i == WARM_UP) {
            PROFILE_MARK(PROFILE_BEGIN, PROFILE_MEMORY_PAGES);
        }
        uint64_t start = now_ns();
        volatile char *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            return false;
        }
        at[0] = 1;
        munmap((void *)at, page);
        if (i >= WARM_UP) {
            samples[i - WARM_UP] = (int64_t)(now_ns() - start);
        }
    }
    PROFILE_MARK(PROFILE_END, PROFILE_MEMORY_PAGES);
    return true;
}

static bool measure_small(int64_t *samples, uint32_t count, struct random_state *random)
{
    void *alive[ALIVE] = {NULL};
    bool whole = true;
    for (uint32_t i = 0; whole && i < ALIVE + count; i++) {
        if (i == ALIVE) {
            PROFILE_MARK(PROFILE_BEGIN, PROFILE_MEMORY_SMALL);
        }
        uint64_t draw = random_next(random);
        size_t bytes = 16 + (size_t)(draw % 2033);
        void **slot = &alive[(draw >> 32) % ALIVE];
        uint64_t start = now_ns();
        free(*slot);
        *slot = malloc(bytes);
        whole = *slot != NULL;
        if (whole) {
            *(volatile char *)*slot = 1;
        }
        if (i >= ALIVE) {
            samples[i - ALIVE] = (int64_t)(now_ns() - start);
        }
    }
    PROFILE_MARK(PROFILE_END, PROFILE_MEMORY_SMALL);
    for (int i = 0; i < ALIVE; i++) {
        free(alive[i]);
    }
    return whole;
}

const char *test_memory_allocation(const struct plan *plan, char *problem, size_t size)
{
    struct random_state random;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int64_t fragments[FRAGMENTATION_SAMPLES];
    int64_t *pages = samples_allocate(plan->iterations);
    int64_t *small = samples_allocate(plan->iterations);
    if (pages == NULL || small == NULL) {
        snprintf(problem, size, "too little memory for %u samples", plan->iterations);
        return STATUS_ERROR;
    }
    random_seed(&random, plan->seed);
    bool whole = true;
    uint32_t done = 0;
    for (int part = 0; part < FRAGMENTATION_SAMPLES; part++) {
        uint32_t until = (uint32_t)((uint64_t)plan->iterations * (unsigned)(part + 1) / FRAGMENTATION_SAMPLES);
        whole = whole && measure_pages(pages + done, until - done, page);
        whole = whole && measure_small(small + done, until - done, &random);
        done = until;
        fragments[part] = fragmentation();
    }
    const char *status = STATUS_PASS;
    if (!whole) {
        snprintf(problem, size, "an allocation failed");
        status = STATUS_FAIL;
    } else if (fragments[0] < 0) {
        snprintf(problem, size, "/proc/buddyinfo is not there: fragmentation cannot be measured");
        status = STATUS_ERROR;
    } else {
        channel_samples("memory_allocation.latency", pages, plan->iterations);
        channel_samples("memory_allocation.small", small, plan->iterations);
        channel_samples("memory_allocation.fragmentation", fragments, FRAGMENTATION_SAMPLES);
    }
    samples_free(pages, plan->iterations);
    samples_free(small, plan->iterations);
    return status;
}
