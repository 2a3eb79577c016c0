/* boot: the stages of this machine's start, in nanoseconds.
 *
 * The cycle counter starts with the machine, and the clock of the kernel's messages with the kernel. Not
 * CLOCK_MONOTONIC: early in the boot it is driven by the timer's ticks and may be tens of milliseconds off.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sis.h"

#define CALIBRATION_NS 200000000u
#define MARK "<7>sistasks: mark\n"

static uint64_t raw_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* cycles per second, from a busy wait: an idle virtual clock may jump between the two readings of one pair */
static double measured_frequency(void)
{
    uint64_t c0 = cycles(), n0 = raw_ns(), n1, c1;
    do {
        c1 = cycles();
        n1 = raw_ns();
    } while (n1 - n0 < CALIBRATION_NS);
    return (double)(c1 - c0) * 1e9 / (double)(n1 - n0);
}

/* Write a message and read it back with the time that the kernel gave it, in microseconds; -1 if that cannot be.
 * A record of /dev/kmsg: `priority,sequence,microseconds,flags;text` (Documentation/ABI/testing/dev-kmsg).
 */
static int64_t message_time(uint64_t *at_cycles)
{
    char record[1024];
    long long when = -1;
    int fd = open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    if (lseek(fd, 0, SEEK_END) >= 0) {
        *at_cycles = cycles();
        if (write(fd, MARK, strlen(MARK)) > 0) {
            ssize_t length;
            while ((length = read(fd, record, sizeof record - 1)) > 0) {
                record[length] = '\0';
                if (strstr(record, "sistasks: mark") != NULL && sscanf(record, "%*u,%*u,%lld", &when) == 1) {
                    break;
                }
            }
        }
    }
    close(fd);
    return when;
}

const char *test_boot(const struct plan *plan, char *problem, size_t size)
{
    (void)plan;
    uint64_t mark_cycles = 0;
    double frequency = (double)cycles_per_second();
    if (boot_stages.cycles_at_init == 0) {
        snprintf(problem, size,
                 "boot.firmware, boot.kernel and boot.userspace need a cycle counter, and none is known of this "
                 "architecture: its record names one (cycles=)");
        return STATUS_ERROR;
    }
    int64_t mark_us = message_time(&mark_cycles);
    if (mark_us < 0) {
        snprintf(problem, size, "/dev/kmsg gives no time: the kernel's start is not known");
        return STATUS_ERROR;
    }
    if (frequency == 0) {
        frequency = measured_frequency();
    }
    double kernel_start = (double)mark_cycles - (double)mark_us * frequency / 1e6;
    int64_t firmware = (int64_t)(kernel_start * 1e9 / frequency);
    int64_t kernel = (int64_t)(((double)boot_stages.cycles_at_init - kernel_start) * 1e9 / frequency);
    int64_t userspace = (int64_t)((double)(boot_stages.cycles_at_ready - boot_stages.cycles_at_init) * 1e9 / frequency);
    if (firmware < 0) {
        snprintf(problem, size, "the cycle counter did not start with the machine");
        return STATUS_ERROR;
    }
    channel_samples("boot.firmware", &firmware, 1);
    channel_samples("boot.kernel", &kernel, 1);
    channel_samples("boot.userspace", &userspace, 1);
    return STATUS_PASS;
}
