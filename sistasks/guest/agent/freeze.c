/* The node stops itself, idle, at an instant that only the guest's clock decides: a template frozen twice is the
 * same template. QEMU's i6300esb watchdog does it (`-action watchdog=pause`).
 */
#include <stdio.h>

#include "alarm.h"
#include "sis.h"
#include "watchdog.h"

#define STOP_TICKS 21146u /* 20.3 ms: well apart from the kernel's own ticks */
#define SLEEP_NS 50000000u

bool freeze_machine(bool aligned, char *problem, size_t size)
{
    struct alarm alarm;
    if (!watchdog_open()) {
        snprintf(problem, size, "the machine has no i6300esb watchdog to freeze with");
        return false;
    }
    if (ALARM_WAKES) {
        if (!alarm_prepare(&alarm)) {
            snprintf(problem, size, "%s has no alarm, and only that wakes clones of this architecture; clone=no",
                     ALARM_CLOCK);
            return false;
        }
    } else if (aligned) {
        sleep_to_boundary(1000000000u);
    }
    uint64_t start = now_ns();
    if (!watchdog_arm_ticks(STOP_TICKS)) {
        snprintf(problem, size, "the watchdog cannot be armed");
        return false;
    }
    if (ALARM_WAKES) {
        alarm_wait(&alarm);
    } else {
        sleep_until(start + SLEEP_NS);
    }
    return true;
}
