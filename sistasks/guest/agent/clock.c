/* Time in the guest. */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "sis.h"

#if defined(__SSE2__)
#define FENCE "lfence; "
#else
#define FENCE /* an old 32-bit processor has none */
#endif

#define MILLISECOND_NS UINT64_C(1000000)
#define LONGEST_MS 1000u

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sleep_until(uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    int error;
    do {
        error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    } while (error == EINTR);
    /* a kernel without this call: whoever waits for nothing waits by the millisecond, and never too short */
    for (uint64_t now; error != 0 && (now = now_ns()) < ns;) {
        uint64_t rest = (ns - now + MILLISECOND_NS - 1) / MILLISECOND_NS;
        poll(NULL, 0, (int)(rest < LONGEST_MS ? rest : LONGEST_MS));
    }
}

void sleep_to_boundary(uint64_t step_ns)
{
    /* at least half a step away: a boundary that is about to pass could be met or missed */
    sleep_until((now_ns() + step_ns / 2) / step_ns * step_ns + step_ns);
}

uint64_t cycles(void)
{
#if defined(CYCLES) /* from the architecture's record */
    return CYCLES;
#elif defined(__x86_64__) || defined(__i386__)
    uint32_t low, high;
    __asm__ volatile(FENCE "rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value)::"memory");
    return value;
#elif defined(__riscv) && __riscv_xlen == 64
    uint64_t value;
    __asm__ volatile("rdtime %0" : "=r"(value)::"memory");
    return value;
#elif defined(__arm__) && __ARM_ARCH >= 7
    uint64_t value;
    __asm__ volatile("isb; mrrc p15, 1, %Q0, %R0, c14" : "=r"(value)::"memory"); /* CNTVCT */
    return value;
#else
    return 0;
#endif
}

uint64_t cycles_per_second(void)
{
#if defined(CYCLES)
    return 0;
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(value));
    return value;
#elif defined(__arm__) && __ARM_ARCH >= 7
    uint32_t value;
    __asm__ volatile("mrc p15, 0, %0, c14, c0, 0" : "=r"(value)); /* CNTFRQ */
    return value;
#else
    return 0;
#endif
}
