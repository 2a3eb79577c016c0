"""How well a run was served by its host, from 0 to 100, and what there was too little of.

Five losses, each from 0 (nothing was lost) to 1, are made of averages over the run:

- waiting w: wait / (wait + run) of all nodes' threads together. `wait` is how long they wanted a processor and had none
  (the kernel's run delay), `run` their processor time. Where the system does not count it: the share of time in which
  anybody on the host waited (PSI, cpu, some); where it does not count that either: 1 - processors / load average over
  a minute, at least 0.
- stolen s: the share of the host's processors that the machine below it took.
- memory m: the share of time in which anybody waited for memory (PSI, memory, some); where it is not counted: how far
  more than 90 % of the memory was in use, 1 at 100 %.
- disk d: the share of time in which anybody waited for a disk (PSI, io, some).
- network n: how far the busiest card carried more than 90 % of what it can, 1 at 100 %.

    score = 100 (1 - w) (1 - s) (1 - m) (1 - d) (1 - n)

Waiting is split by who had the processors: with others' share a and our own share b of the host's processors,
w a / (a + b) is lost to the host's others, and w b / (a + b) to the nodes themselves, of which there were too many. The
bottleneck is the largest of: `host` (1 - (1 - w a / (a + b)) (1 - s)), `cpu` (w b / (a + b)), `memory` (m), `disk` (d)
and `network` (n); `none` if all are below 5 %.

What is not told counts as no loss. What others do to caches, memory bandwidth and clock rates is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.evidence.usage import PerformanceMetrics

LEAST_LOSS: Final = 0.05
_NEARLY_FULL: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How well a run was served.

    Attributes:
        score: 0 to 100.
        bottleneck: `host`, `cpu`, `memory`, `disk`, `network` or `none`.
        losses: each bottleneck's loss, 0 to 1.
        waited: share of the time in which nodes wanted a processor that they had none.
        others: share of the host's processors that others used, 0 to 1.
        stolen: share that the machine below the host took.
        busiest: which other programs used them, in words.
    """

    score: float
    bottleneck: str
    losses: Mapping[str, float]
    waited: float
    others: float
    stolen: float
    busiest: str = ""

    @property
    def words(self) -> str:
        """The bottleneck as a sentence without its full stop."""
        waited = f"waited {100 * self.waited:.0f} % of the time that they wanted one"
        if self.bottleneck == "host":
            went = f"{100 * self.others:.0f} % of its processors went to others"
            went += f" ({self.busiest})" if self.busiest else ""
            if self.stolen >= LEAST_LOSS:
                went += f", {100 * self.stolen:.0f} % to the machine below it"
            return f"the host was overcommitted: {went}; nodes {waited}"
        lost = f"{100 * self.losses.get(self.bottleneck, 0.0):.0f} %"
        return {
            "cpu": f"the nodes wanted more processors than there are, and {waited}",
            "memory": f"memory was too little for {lost} of the time",
            "disk": f"something waited for disks {lost} of the time",
            "network": f"the busiest network card was full for about {lost} of the time",
        }.get(self.bottleneck, "nothing was too little")


def assess(metrics: Mapping[int, PerformanceMetrics]) -> Assessment | None:
    """How well the nodes were served; None where nothing was watched.

    Args:
        metrics: node -> what it used; 0 is the host.
    """
    from sistasks.evidence.usage import PerformanceMetrics

    if not metrics:
        return None
    host = metrics.get(0, PerformanceMetrics(node=0, samples=0, seconds=0.0))
    waited = _waited([each for number, each in metrics.items() if number > 0], host)
    stolen, others = _share(host.steal_percent), _share(host.others_percent)
    # what the host does besides is ours
    to_others = others / max(_share(host.avg_cpu_percent), others) if others else 0.0
    losses = {
        "host": 1 - (1 - waited * to_others) * (1 - stolen),
        "cpu": waited * (1 - to_others),
        "memory": _beyond(host.avg_memory_percent) if host.memory_wait is None else _share(host.memory_wait),
        "disk": _share(host.io_wait),
        "network": _beyond(host.net_percent),
    }
    kept = (1 - waited) * (1 - stolen)
    for name in ("memory", "disk", "network"):
        kept *= 1 - losses[name]
    bottleneck = max(losses, key=lambda name: losses[name])
    return Assessment(
        score=100 * kept, bottleneck=bottleneck if losses[bottleneck] >= LEAST_LOSS else "none", losses=losses,
        waited=waited, others=others, stolen=stolen, busiest=host.busiest,
    )  # fmt: skip


def _waited(nodes: Sequence[PerformanceMetrics], host: PerformanceMetrics) -> float:
    told = [
        (each.wait_percent * each.seconds, each.avg_cpu_percent * each.seconds)
        for each in nodes
        if each.wait_percent is not None and each.avg_cpu_percent is not None
    ]
    if told:
        wait = sum(waited for waited, _ in told)
        wanted = wait + sum(ran for _, ran in told)
        return wait / wanted if wanted > 0 else 0.0
    if host.wait_percent is not None:
        return _share(host.wait_percent)
    if host.load1 and host.processors:
        return max(0.0, 1 - host.processors / host.load1)
    return 0.0


def _share(percent: float | None) -> float:
    return 0.0 if percent is None else min(1.0, max(0.0, percent / 100))


def _beyond(percent: float | None) -> float:
    """How far a share is beyond what is nearly full."""
    return max(0.0, (_share(percent) - _NEARLY_FULL) / (1 - _NEARLY_FULL))
