/* The alarm rings at whole seconds of the machine's clock (rtc(4)). The first one tells when those are, the second one
 * is the one to wait for. Both are instants of the machine, not of the host: all of this repeats to the bit.
 */
#include <fcntl.h>
#include <linux/rtc.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "alarm.h"
#include "sis.h"

#define SECOND_NS 1000000000u
#define STEP_NS 100000000u
/* a busy host may wake the guest late: then the second after is taken */
#define LEAST_NS 60000000u
#define ATTEMPTS 10

static bool ring_at_next_second(int clock)
{
    struct rtc_time now;
    struct rtc_wkalrm alarm = {.enabled = 1};
    if (ioctl(clock, RTC_RD_TIME, &now) != 0) {
        return false;
    }
    struct tm then = {.tm_sec = now.tm_sec + 1, .tm_min = now.tm_min, .tm_hour = now.tm_hour,
                      .tm_mday = now.tm_mday, .tm_mon = now.tm_mon, .tm_year = now.tm_year};
    if (timegm(&then) == (time_t)-1) { /* brings 60 seconds to the next minute */
        return false;
    }
    alarm.time = (struct rtc_time){.tm_sec = then.tm_sec, .tm_min = then.tm_min, .tm_hour = then.tm_hour,
                                   .tm_mday = then.tm_mday, .tm_mon = then.tm_mon, .tm_year = then.tm_year};
    return ioctl(clock, RTC_WKALM_SET, &alarm) == 0;
}

static bool wait_for_ring(int clock)
{
    unsigned long events;
    return read(clock, &events, sizeof events) == sizeof events;
}

bool alarm_prepare(struct alarm *alarm)
{
    alarm->clock = open(ALARM_CLOCK, O_RDONLY | O_CLOEXEC);
    for (int attempt = 0; alarm->clock >= 0 && attempt < ATTEMPTS; attempt++) {
        if (!ring_at_next_second(alarm->clock) || !wait_for_ring(alarm->clock)) {
            break;
        }
        uint64_t second = now_ns();
        if (!ring_at_next_second(alarm->clock)) {
            break;
        }
        alarm->rings_ns = second + SECOND_NS;
        /* a boundary of the kernel's clock, so that the freeze is well apart from its ticks */
        sleep_until((alarm->rings_ns - STEP_NS) / STEP_NS * STEP_NS);
        if (now_ns() + LEAST_NS < alarm->rings_ns) {
            return true;
        }
        wait_for_ring(alarm->clock);
    }
    if (alarm->clock >= 0) {
        close(alarm->clock);
    }
    return false;
}

void alarm_wait(struct alarm *alarm)
{
    wait_for_ring(alarm->clock);
    close(alarm->clock);
}
