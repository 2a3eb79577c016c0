/* boot: the stages of this machine's start, in nanoseconds.
 *
 * The cycle counter starts with the machine and the kernel's clock with the kernel, so their difference at PID 1 is
 * what went before the kernel's clock: firmware, loader and the kernel's own decompressor.
 */
#include <stdio.h>
#include <time.h>

#include "sis.h"

#define CALIBRATION_NS 200000000u

static uint64_t raw_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *test_boot(const struct plan *plan, char *problem, size_t size)
{
    (void)plan;
    double frequency = (double)cycles_per_second();
    if (boot_stages.cycles_at_init == 0) {
        snprintf(problem, size, "this architecture has no cycle counter that user space can read");
        return STATUS_ERROR;
    }
    if (frequency == 0) {
        /* busy, not asleep: an idle virtual clock may jump between the two readings of one pair */
        uint64_t c0 = cycles(), n0 = raw_ns(), n1, c1;
        do {
            c1 = cycles();
            n1 = raw_ns();
        } while (n1 - n0 < CALIBRATION_NS);
        frequency = (double)(c1 - c0) * 1e9 / (double)(n1 - n0);
    }
    int64_t since_power_on = (int64_t)((double)boot_stages.cycles_at_init * 1e9 / frequency);
    int64_t firmware = since_power_on - (int64_t)boot_stages.init_ns;
    int64_t kernel = (int64_t)boot_stages.init_ns;
    int64_t userspace = (int64_t)(boot_stages.ready_ns - boot_stages.init_ns);
    if (firmware < 0) {
        snprintf(problem, size, "the cycle counter did not start with the machine");
        return STATUS_ERROR;
    }
    channel_samples("boot.firmware", &firmware, 1);
    channel_samples("boot.kernel", &kernel, 1);
    channel_samples("boot.userspace", &userspace, 1);
    return STATUS_PASS;
}
