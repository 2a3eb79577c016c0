/* The alarm of the machine's own clock, for machines whose processor's timer does not survive being cloned. */
#ifndef SIS_ALARM_H
#define SIS_ALARM_H

#include <stdbool.h>
#include <stdint.h>

#define ALARM_CLOCK "/dev/rtc0"

/* QEMU before 10.2 does not start a RISC-V processor's timer again when it loads a state: a clone that waits for it
 * waits for ever. The alarm of its goldfish clock is started again (since QEMU 5.2, hw/rtc/goldfish_rtc.c), and at its
 * interrupt the kernel leaves its idle loop and sets the timer anew.
 */
#if defined(__riscv)
#define ALARM_WAKES 1
#else
#define ALARM_WAKES 0
#endif

struct alarm {
    int clock;
    uint64_t rings_ns; /* on the guest's monotonic clock */
};

/* Set the alarm, and return some 100 ms before it rings; false: there is no such clock, or it has no alarm. */
bool alarm_prepare(struct alarm *alarm);

/* Wait until it rings. */
void alarm_wait(struct alarm *alarm);

#endif
