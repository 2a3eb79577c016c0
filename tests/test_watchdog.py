"""The agent's driver of the watchdog, beside a device that is memory: what it can count to, and what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from native import compile_harness, run_harness

if TYPE_CHECKING:
    from pathlib import Path

# after each limit: whether it counts to it, the ticks of both stages, and whether the device is enabled
HARNESS = r"""
#include <inttypes.h>
#include <stdlib.h>
#include "watchdog.c"

static uint8_t memory[0x10];

bool pci_find(struct pci_device *device, unsigned vendor, unsigned id)
{
    snprintf(device->path, sizeof device->path, "@FOLDER@");
    return vendor == WATCHDOG_VENDOR && id == WATCHDOG_DEVICE;
}

volatile void *pci_map(const struct pci_device *device, int resource, size_t size)
{
    (void)device;
    return resource == 0 && size <= sizeof memory ? memory : NULL;
}

int main(int count, char **arguments)
{
    int file = open("@FOLDER@/config", O_RDONLY);
    for (int i = 1; i < count && watchdog_open(); i++) {
        bool armed = watchdog_arm_ms(strtoull(arguments[i], NULL, 10));
        uint8_t enabled = 0;
        uint32_t *timers = (uint32_t *)memory;
        if (pread(file, &enabled, 1, LOCK_BYTE) != 1) {
            return 1;
        }
        printf("%d %" PRIu32 " %" PRIu32 " %d\n", armed, timers[0], timers[1], enabled);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watchdog")
    (folder / "config").write_bytes(bytes(0x100))
    return compile_harness(folder, HARNESS.replace("@FOLDER@", str(folder)))


def counted(program: Path, *limits: int) -> list[tuple[int, ...]]:
    """(whether it is armed, ticks of one stage, of the other, what is written to enable it) after each limit in ms."""
    lines = run_harness(program, *map(str, limits)).decode().splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def test_a_limit_is_counted_in_two_halves_of_ticks(count: Path) -> None:
    assert counted(count, 1, 900_000, 2_082_000) == [
        (1, 1, 1, 2),
        (1, 453_186, 453_186, 2),
        (1, 1_048_371, 1_048_371, 2),
    ]


def test_a_limit_that_does_not_fit_is_not_cut_short(count: Path) -> None:
    """Nor does the limit of the test before go on."""
    told = counted(count, 5000, 2_083_000, 86_400_000, 5000)
    assert [(armed, enabled) for armed, _, _, enabled in told] == [(1, 2), (0, 0), (0, 0), (1, 2)]
    assert told[0] == told[3]
