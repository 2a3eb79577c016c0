"""What the host has used up to now, read once, and which programs of others have used its processors."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PROC: Final = Path("/proc")
_MICROSECOND: Final = 1e-6
# a program of others that used less of the host is not worth its name
_LEAST_SHARE: Final = 0.02
_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReading:
    """The host at one moment; what the system does not tell is None.

    Attributes:
        busy, total, steal: seconds of all processors: at work (steal not included), that there were, taken from
            below.
        processors: how many.
        used, memory: bytes of memory that are not available, and that there are.
        read_bytes, write_bytes: of all disks.
        net: network card (not the loopback) -> bytes received and sent.
        loads: over 1, 5 and 15 minutes.
        waits: `cpu`, `memory`, `io` -> seconds in which anybody waited for it (PSI, `some`).
        threads, fds: of all processes.
    """

    busy: float
    total: float
    steal: float
    processors: int
    used: int
    memory: int
    read_bytes: int | None
    write_bytes: int | None
    net: dict[str, tuple[int, int]]
    loads: tuple[float, float, float] | None
    waits: dict[str, float]
    threads: int | None
    fds: int | None


def read_host() -> HostReading:
    """The host now.

    Raises:
        OSError: it does not tell even its processor time and its memory.
    """
    import psutil

    times, memory = _told(psutil.cpu_times), _told(psutil.virtual_memory)
    if times is None or memory is None:
        raise OSError(errno.ENODATA, "the host tells nothing of itself")
    idle = times.idle + getattr(times, "iowait", 0.0)
    steal = getattr(times, "steal", 0.0)
    # guests' time is part of user and nice on Linux
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    disks = _told(psutil.disk_io_counters)
    cards = _told(lambda: psutil.net_io_counters(pernic=True)) or {}
    return HostReading(
        busy=total - idle - steal, total=total, steal=steal, processors=psutil.cpu_count() or 1,
        used=memory.total - memory.available, memory=memory.total,
        read_bytes=disks.read_bytes if disks else None, write_bytes=disks.write_bytes if disks else None,
        net={name: (card.bytes_recv, card.bytes_sent) for name, card in cards.items() if not name.startswith("lo")},
        loads=_told(os.getloadavg),
        waits={name: wait for name in ("cpu", "memory", "io") if (wait := pressure(name)) is not None},
        threads=_told(lambda: int((_PROC / "loadavg").read_text().split()[3].partition("/")[2])),
        fds=_told(lambda: int((_PROC / "sys/fs/file-nr").read_text().split()[0])),
    )  # fmt: skip


def pressure(resource: str, folder: Path = _PROC / "pressure") -> float | None:
    """Seconds since the host's start in which anybody waited for the resource; None where it is not counted.

    The form is that of the kernel's pressure stall information: `some avg10=0.00 … total=MICROSECONDS`.

    Args:
        resource: `cpu`, `memory` or `io`.
        folder: where the kernel tells it.
    """
    try:
        for line in (folder / resource).read_text().splitlines():
            kind, *figures = line.split()
            if kind == "some":
                return int(dict(figure.split("=") for figure in figures)["total"]) * _MICROSECOND
    except (OSError, ValueError, KeyError):
        pass
    return None


def card_speeds() -> dict[str, float]:
    """Network card -> bytes a second that it can carry; without those that do not tell."""
    import psutil

    found = _told(psutil.net_if_stats) or {}
    return {name: card.speed * 1e6 / 8 for name, card in found.items() if card.isup and card.speed > 0}


def _told(ask: Callable[[], Any]) -> Any:
    """What is not there on every system, or not told to everybody."""
    import psutil

    try:
        return ask()
    except (OSError, NotImplementedError, RuntimeError, ValueError, LookupError, psutil.Error):
        return None


@dataclass(frozen=True, slots=True)
class Counted:
    """One process in a census.

    Attributes:
        name: what it is called.
        parent: the id of its parent.
        used: seconds of processor time, with its ended children's.
    """

    name: str
    parent: int
    used: float


# by id and moment of its start
Census = dict[tuple[int, float], Counted]


def census() -> Census:
    """All processes that can be seen, with their processor time; some milliseconds."""
    import psutil

    found: Census = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError), process.oneshot():
            times = process.cpu_times()
            used = sum(
                getattr(times, name, 0.0) for name in ("user", "system", "children_user", "children_system")
            )
            found[process.pid, process.create_time()] = Counted(process.name(), process.ppid(), used)
    return found


def busiest(before: Census, after: Census, ours: Collection[int], seconds: float) -> str:
    """Which programs of others used the host's processors between two censuses.

    A program counts with those that it started and waited for, such as a compiler's driver.

    Args:
        before: the first census.
        after: the second one.
        ours: ids of processes that are no others.
        seconds: processor time that the host had in between.

    Returns:
        At most three, the busiest first: `make 38 %, firefox 4 %`; empty if none used 2 % of the host.
    """
    inherited = _inherited(before, after)
    used: dict[str, float] = {}
    for key, now in after.items():
        if key[0] not in ours:
            earlier = (before[key].used if key in before else 0.0) + inherited.get(key, 0.0)
            used[now.name] = used.get(now.name, 0.0) + max(0.0, now.used - earlier)
    shares = (
        sorted(((spent / seconds, name) for name, spent in used.items()), reverse=True) if seconds > 0 else []
    )
    return ", ".join(
        f"{name} {100 * min(share, 1.0):.0f} %" for share, name in shares[:_NAMED] if share >= _LEAST_SHARE
    )


def _inherited(before: Census, after: Census) -> dict[tuple[int, float], float]:
    """What processes got from children that ended in between, of the time before: it was used before."""
    places = {pid: (pid, began) for pid, began in before}
    found: dict[tuple[int, float], float] = {}
    for key, ended in before.items():
        if key in after:
            continue
        heir, seen = places.get(ended.parent), {key}
        while heir is not None and heir not in after and heir not in seen:
            seen.add(heir)
            heir = places.get(before[heir].parent)
        if heir is not None:
            found[heir] = found.get(heir, 0.0) + ended.used
    return found
