"""Where a guest is that its own watchdog has stopped: the agent's mark on the page of its plan, read from outside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import NodeError
from sistasks.guest.plan import MARK_SIZE, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.machine.monitor import Monitor

# QEMU, docs/specs/ivshmem-spec.rst: the device, and the BAR that is its memory
_IVSHMEM: Final = (0x1AF4, 0x1110)
_BAR: Final = 2
_WORD: Final = re.compile(r":\s*0x([0-9a-fA-F]+)")


def _page_address(buses: Any) -> int | None:
    """The physical address of the page, from the answer to `query-pci`."""
    for bus in buses:
        for device in bus["devices"]:
            if (device["id"]["vendor"], device["id"]["device"]) == _IVSHMEM:
                return next((int(one["address"]) for one in device["regions"] if one["bar"] == _BAR), None)
            found = (
                _page_address([device["pci_bridge"]]) if device.get("pci_bridge", {}).get("devices") else None
            )
            if found is not None:
                return found
    return None


async def test_under_way(monitor: Monitor, tests: Sequence[str]) -> str:
    """The test that the agent is in; empty between tests, or where the machine does not tell.

    Args:
        monitor: of the machine, which stands still.
        tests: of its plan.
    """
    try:
        address = _page_address(await monitor.execute("query-pci"))
        if address is None:
            return ""
        where = address + PAGE_SIZE - MARK_SIZE
        # read as text: QMP itself can only write memory to a file of QEMU's
        said = await monitor.execute("human-monitor-command", **{"command-line": f"xp /1xw {where:#x}"})
    except NodeError:
        return ""
    match = _WORD.search(said)
    number = int(match[1], 16) if match else 0
    return tests[number - 1] if 0 < number <= len(tests) else ""
