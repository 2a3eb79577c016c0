"""Rows of resources made from two readings: rates between them, counters since the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sistasks.history.records import ResourceRow

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from sistasks.evidence.host import HostReading
    from sistasks.evidence.processes import Reading

HOST: Final = 0


def node_row(
    number: int,
    at: dt.datetime,
    now: Reading,
    before: Reading | None,
    seconds: float,
    *,
    disk: tuple[int | None, int | None],
    memory: int = 0,
) -> ResourceRow:
    """What a node's process used.

    Args:
        number: the node's number.
        at: when it was read.
        now: what was read.
        before: what was read `seconds` before; None: nothing was.
        seconds: of the monotonic clock.
        disk: bytes read and written since its first row.
        memory: bytes that the host has; 0: it is not known.
    """
    cpu = wait = None
    if before is not None and seconds > 0:
        cpu = 100 * max(0.0, now.cpu - before.cpu) / seconds
        if now.wait is not None and before.wait is not None:
            wait = 100 * max(0.0, now.wait - before.wait) / seconds
    return ResourceRow(
        node=number, at=at, cpu_percent=cpu, cpu_peak=cpu, rss=now.rss, rss_peak=now.rss, vms=now.vms,
        read_bytes=disk[0], write_bytes=disk[1], threads=now.threads, fds=now.fds,
        seconds=seconds if cpu is not None else None, wait_percent=wait,
        memory_percent=100 * now.rss / memory if memory else None,
    )  # fmt: skip


def host_row(
    at: dt.datetime,
    now: HostReading,
    before: HostReading | None,
    seconds: float,
    *,
    first: HostReading,
    ours: float,
    speeds: Mapping[str, float],
) -> ResourceRow:
    """What the host used.

    Args:
        at: when it was read.
        now: what was read.
        before: what was read `seconds` before; None: nothing was.
        seconds: of the monotonic clock.
        first: what was read first.
        ours: seconds of processor time that the nodes and this program used since `before`.
        speeds: network card -> bytes a second that it can carry.
    """
    received, sent = (
        zip(*(_since(now, first, card) for card in now.net), strict=True) if now.net else ((), ())
    )
    rates: dict[str, Any] = {}
    if before is not None and seconds > 0:
        rates = {
            "seconds": seconds,
            **_processors(now, before, ours),
            "wait_percent": _wait(now, before, "cpu", seconds),
            "memory_wait": _wait(now, before, "memory", seconds),
            "io_wait": _wait(now, before, "io", seconds),
            "net_percent": max(
                (
                    100 * max(_since(now, before, card)) / seconds / speeds[card]
                    for card in now.net
                    if card in speeds
                ),
                default=None,
            ),
        }
    loads = now.loads or (None, None, None)
    return ResourceRow(
        node=HOST, at=at, rss=now.used, rss_peak=now.used, memory_percent=100 * now.used / now.memory,
        read_bytes=_count(now.read_bytes, first.read_bytes), write_bytes=_count(now.write_bytes, first.write_bytes),
        net_rx=sum(received) if received else None, net_tx=sum(sent) if sent else None, threads=now.threads,
        fds=now.fds, load1=loads[0], load5=loads[1], load15=loads[2], processors=now.processors, **rates,
    )  # fmt: skip


def _since(now: HostReading, before: HostReading, card: str) -> tuple[int, int]:
    """Bytes that a card received and sent; one that is new, or was reset, all that it has."""
    counts, earlier = now.net[card], before.net.get(card, (0, 0))
    received, sent = (
        count - was if count >= was else count for count, was in zip(counts, earlier, strict=True)
    )
    return received, sent


def _count(now: int | None, first: int | None) -> int | None:
    return None if now is None else max(0, now - (first or 0))


def _processors(now: HostReading, before: HostReading, ours: float) -> dict[str, float]:
    total = now.total - before.total
    if total <= 0:
        return {}
    # counted at different moments, the parts need not fit into the whole
    shares = {
        "cpu_percent": now.busy - before.busy,
        "others_percent": now.busy - before.busy - ours,
        "steal_percent": now.steal - before.steal,
    }
    found = {name: 100 * min(1.0, max(0.0, share / total)) for name, share in shares.items()}
    return {**found, "cpu_peak": found["cpu_percent"]}


def _wait(now: HostReading, before: HostReading, resource: str, seconds: float) -> float | None:
    if resource not in now.waits or resource not in before.waits:
        return None
    return 100 * min(1.0, max(0.0, (now.waits[resource] - before.waits[resource]) / seconds))
