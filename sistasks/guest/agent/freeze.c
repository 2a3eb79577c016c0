/* The node stops itself, idle, at an instant that only the guest's clock decides: a template frozen twice is the
 * same template. QEMU's i6300esb watchdog does it (`-action watchdog=pause`); registers: Intel 6300ESB datasheet,
 * chapter "Watchdog Timer"; one tick of its 1 MHz setting is 32 / 33.33 MHz = 0.96 us in QEMU's model.
 */
#include <stdio.h>

#include "alarm.h"
#include "sis.h"

#define WATCHDOG_VENDOR 0x8086
#define WATCHDOG_DEVICE 0x25ab
#define CONFIG_WORD 0x60
#define LOCK_BYTE 0x68
#define TIMER1 0x00
#define TIMER2 0x04
#define RELOAD 0x0c
#define STOP_TICKS 21146u /* 20.3 ms: well apart from the kernel's own ticks */
#define SLEEP_NS 50000000u

static void preload(volatile uint8_t *registers, unsigned offset, uint32_t value)
{
    /* each write to a preload register must be unlocked */
    *(volatile uint16_t *)(registers + RELOAD) = 0x80;
    *(volatile uint16_t *)(registers + RELOAD) = 0x86;
    *(volatile uint32_t *)(registers + offset) = value;
}

/* stop the machine in 20.3 ms */
static bool arm_watchdog(const struct pci_device *device, volatile uint8_t *registers)
{
    static const uint16_t one_mhz_and_stop = 0x0007;
    static const uint8_t enable = 0x02;
    bool armed = pci_config_write(device, CONFIG_WORD, &one_mhz_and_stop, sizeof one_mhz_and_stop);
    preload(registers, TIMER1, 1);
    preload(registers, TIMER2, STOP_TICKS);
    return armed && pci_config_write(device, LOCK_BYTE, &enable, sizeof enable);
}

bool freeze_machine(bool aligned, char *problem, size_t size)
{
    struct pci_device device;
    struct alarm alarm;
    if (!pci_find(&device, WATCHDOG_VENDOR, WATCHDOG_DEVICE)) {
        snprintf(problem, size, "the machine has no i6300esb watchdog to freeze with");
        return false;
    }
    volatile uint8_t *registers = pci_map(&device, 0, 0x10);
    if (registers == NULL) {
        snprintf(problem, size, "the watchdog's registers cannot be mapped");
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
    if (!arm_watchdog(&device, registers)) {
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
