"""What rows of resources come to: averages, peaks, totals and rates of one node or of the host."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sistasks.evidence.thinning import mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.history.records import ResourceRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceMetrics:
    """What one node (0: the host) used while it was watched; what the system did not tell is None.

    Percentages of processors are of one processor for a node and of all together for the host. Averages are weighted
    by the time that each row stands for.

    Attributes:
        node: its number.
        samples: how many rows they come from.
        seconds: how long it was watched.
        avg_cpu_percent, peak_cpu_percent: processor time.
        avg_rss, peak_rss: resident memory, bytes; of the host, what is not available.
        peak_vms: address space, bytes.
        avg_memory_percent, peak_memory_percent: resident memory of the host's memory.
        disk_read_bytes, disk_write_bytes: in all.
        network_received_bytes, network_sent_bytes: in all.
        peak_threads, peak_fds: how many.
        load1, load5, load15: the host's load averages, in the mean.
        wait_percent: a processor was wanted and not had.
        memory_wait, io_wait: percent of the time in which anybody on the host waited for memory, for disks.
        others_percent, steal_percent: of the host's processors, what others used, what was taken from below.
        net_percent: of what the busiest network card can carry.
        processors: of the host.
        busiest: which other programs used them.
    """

    node: int
    samples: int
    seconds: float
    avg_cpu_percent: float | None = None
    peak_cpu_percent: float | None = None
    avg_rss: float | None = None
    peak_rss: int | None = None
    peak_vms: int | None = None
    avg_memory_percent: float | None = None
    peak_memory_percent: float | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    peak_threads: int | None = None
    peak_fds: int | None = None
    load1: float | None = None
    load5: float | None = None
    load15: float | None = None
    wait_percent: float | None = None
    memory_wait: float | None = None
    io_wait: float | None = None
    others_percent: float | None = None
    steal_percent: float | None = None
    net_percent: float | None = None
    processors: int | None = None
    busiest: str = ""

    @property
    def disk_read_rate(self) -> float | None:
        """Bytes a second."""
        return self._rate(self.disk_read_bytes)

    @property
    def disk_write_rate(self) -> float | None:
        """Bytes a second."""
        return self._rate(self.disk_write_bytes)

    @property
    def network_receive_rate(self) -> float | None:
        """Bytes a second."""
        return self._rate(self.network_received_bytes)

    @property
    def network_send_rate(self) -> float | None:
        """Bytes a second."""
        return self._rate(self.network_sent_bytes)

    @property
    def cpu_seconds(self) -> float | None:
        """Processor time of a node."""
        return None if self.avg_cpu_percent is None else self.avg_cpu_percent / 100 * self.seconds

    def _rate(self, count: int | None) -> float | None:
        return None if count is None or self.seconds <= 0 else count / self.seconds


def summarise(rows: Sequence[ResourceRow]) -> dict[int, PerformanceMetrics]:
    """Node -> what its rows come to; in the order of the nodes, the host first.

    Args:
        rows: of any nodes, in any order; merged rows (`thinning`) give the same averages and peaks as all rows did.
    """
    by_node: dict[int, list[ResourceRow]] = {}
    for row in sorted(rows, key=lambda row: (row.node, row.at)):
        by_node.setdefault(row.node, []).append(row)
    return {node: _summary(node, found) for node, found in by_node.items()}


def course(rows: Sequence[ResourceRow], node: int, name: str, points: int = 60) -> list[float]:
    """A field of a node over time, as at most so many averages, oldest first.

    Args:
        rows: of any nodes, in the order of time.
        node: whose.
        name: the field, one that is averaged (`thinning.AVERAGED`).
        points: how many at most.
    """
    told = [row for row in rows if row.node == node and getattr(row, name) is not None]
    size = -(-len(told) // points) or 1
    averages = (mean(told[place : place + size], name) for place in range(0, len(told), size))
    return [value for value in averages if value is not None]


def _summary(node: int, rows: Sequence[ResourceRow]) -> PerformanceMetrics:
    memory = _most(rows, "memory_percent")
    peak_rss, last_rss = _most(rows, "rss_peak", "rss"), _most(rows, "rss")
    if memory is not None and last_rss:
        # the share has no peak of its own, but it goes with the size
        memory *= peak_rss / last_rss
    return PerformanceMetrics(
        node=node,
        samples=len(rows),
        seconds=sum(row.seconds or 0.0 for row in rows),
        avg_cpu_percent=mean(rows, "cpu_percent"),
        peak_cpu_percent=_most(rows, "cpu_peak", "cpu_percent"),
        avg_rss=mean(rows, "rss"),
        peak_rss=peak_rss,
        peak_vms=_most(rows, "vms"),
        avg_memory_percent=mean(rows, "memory_percent"),
        peak_memory_percent=memory,
        disk_read_bytes=_most(rows, "read_bytes"),
        disk_write_bytes=_most(rows, "write_bytes"),
        network_received_bytes=_most(rows, "net_rx"),
        network_sent_bytes=_most(rows, "net_tx"),
        peak_threads=_most(rows, "threads"),
        peak_fds=_most(rows, "fds"),
        load1=mean(rows, "load1"),
        load5=mean(rows, "load5"),
        load15=mean(rows, "load15"),
        wait_percent=mean(rows, "wait_percent"),
        memory_wait=mean(rows, "memory_wait"),
        io_wait=mean(rows, "io_wait"),
        others_percent=mean(rows, "others_percent"),
        steal_percent=mean(rows, "steal_percent"),
        net_percent=mean(rows, "net_percent"),
        processors=_most(rows, "processors"),
        busiest=next((row.busiest for row in reversed(rows) if row.busiest), ""),
    )


def _most(rows: Sequence[ResourceRow], *names: str) -> Any:
    """The most of the first of these fields that a row has."""
    told = [
        next((value for name in names if (value := getattr(row, name)) is not None), None) for row in rows
    ]
    return max((value for value in told if value is not None), default=None)


def resources_json(rows: Sequence[ResourceRow]) -> dict[str, Any]:
    """What a run used, for programs.

    Args:
        rows: of all its nodes and the host.

    Returns:
        What `json.dumps` takes: `score`, `bottleneck`, `words` and `losses` of `score.assess`, and `nodes[]`, each with
        the fields of `PerformanceMetrics`; empty where nothing was watched.
    """
    from sistasks.evidence.score import assess

    metrics = summarise(rows)
    served = assess(metrics)
    if served is None:
        return {}
    return {
        "score": round(served.score, 1),
        "bottleneck": served.bottleneck,
        "words": served.words,
        "losses": {name: round(loss, 4) for name, loss in served.losses.items()},
        "nodes": [dataclasses.asdict(each) for each in metrics.values()],
    }
