/* watchdog.c: QEMU's i6300esb, which stops the whole machine (`-action watchdog=pause`) */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/* finds and maps it; false without one */
bool watchdog_open(void);
/* stop the machine in so many ticks of 0.97 us, at most 1 s */
bool watchdog_arm_ticks(uint32_t ticks);
/* the same in so many ms; false, and it stops nothing, where that is longer than it can count (2082 s). Once it runs
 * nothing of the kernel's is needed to arm it anew, so that this moves no measurement.
 */
bool watchdog_arm_ms(uint64_t ms);
void watchdog_kick(void); /* begin to count anew */
void watchdog_disarm(void);

#endif
