/* Registers: Intel 6300ESB datasheet, chapter "Watchdog Timer". It counts down two stages of 20 bits one after the
 * other; a tick of its 1 MHz setting is 32 / 33 MHz = 0.97 us in QEMU's model, one of its 1 kHz setting 1024 times that.
 */
#include "watchdog.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sis.h"

#define WATCHDOG_VENDOR 0x8086
#define WATCHDOG_DEVICE 0x25ab
#define CONFIG_WORD 0x60
#define LOCK_BYTE 0x68
#define TIMER1 0x00
#define TIMER2 0x04
#define RELOAD 0x0c
#define BEGIN_ANEW 0x100
#define PRELOAD_MAX 0xfffffu
#define KHZ_TICK_NS 992969u
#define AT_1_KHZ 0x0003 /* and no interrupt after the first stage */
#define AT_1_MHZ 0x0007

static volatile uint8_t *registers;
static int config = -1; /* of its PCI configuration space */
static bool counts_ms;

bool watchdog_open(void)
{
    struct pci_device device;
    char path[160];
    if (registers == NULL && pci_find(&device, WATCHDOG_VENDOR, WATCHDOG_DEVICE)) {
        snprintf(path, sizeof path, "%s/config", device.path);
        config = open(path, O_WRONLY | O_CLOEXEC);
        registers = pci_map(&device, 0, 0x10);
    }
    return registers != NULL && config >= 0;
}

static void unlock(void)
{
    /* before each write to a register */
    *(volatile uint16_t *)(registers + RELOAD) = 0x80;
    *(volatile uint16_t *)(registers + RELOAD) = 0x86;
}

static void preload(unsigned offset, uint32_t value)
{
    unlock();
    *(volatile uint32_t *)(registers + offset) = value;
}

static bool start(uint16_t how)
{
    static const uint8_t enable = 0x02;
    return pwrite(config, &how, sizeof how, CONFIG_WORD) == sizeof how &&
           pwrite(config, &enable, sizeof enable, LOCK_BYTE) == sizeof enable;
}

bool watchdog_arm_ticks(uint32_t ticks)
{
    preload(TIMER1, 1);
    preload(TIMER2, ticks);
    return start(AT_1_MHZ);
}

bool watchdog_arm_ms(uint64_t ms)
{
    uint64_t half = ms * 1000000u / KHZ_TICK_NS / 2;
    uint32_t ticks = half == 0 ? 1 : (uint32_t)half;
    if (half > PRELOAD_MAX) { /* what it could count instead would stop a machine that is in order */
        watchdog_disarm();
        return false;
    }
    preload(TIMER1, ticks);
    preload(TIMER2, ticks);
    if (counts_ms) {
        watchdog_kick();
    } else {
        counts_ms = start(AT_1_KHZ);
    }
    return counts_ms;
}

void watchdog_kick(void)
{
    if (counts_ms) {
        unlock();
        *(volatile uint16_t *)(registers + RELOAD) = BEGIN_ANEW;
    }
}

void watchdog_disarm(void)
{
    static const uint8_t disable = 0;
    if (counts_ms && pwrite(config, &disable, sizeof disable, LOCK_BYTE) == sizeof disable) {
        counts_ms = false;
    }
}
