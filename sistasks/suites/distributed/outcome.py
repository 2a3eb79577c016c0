"""What one test of the cluster gave, beside what its nodes measured themselves."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sistasks.consensus.findings import Violation, names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.suites.distributed.arena import Arena


@dataclass(slots=True)
class Outcome:
    """One test of the cluster.

    Attributes:
        test: its name.
        samples: metric -> samples, whole numbers in the metric's unit.
        violations: promises that were not kept; none: it passed.
        remarks: what a reader should know beside the numbers.
        seconds: how long it took.
    """

    test: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def message(self) -> str:
        """The violations, or else the remarks, in words."""
        return "; ".join([found.words for found in self.violations] or self.remarks)


@dataclass(frozen=True, slots=True)
class Work:
    """What has been used and sent so far.

    Attributes:
        guests: CPU seconds of all QEMU processes that are alive.
        switch: CPU seconds of the switch.
        edges: (from, to) -> (frames, bytes) from node to node.
        lost: frames that the switch dropped because somebody did not keep up.
        malformed: frames of guests that were none.
    """

    guests: dict[int, float]
    switch: float
    edges: dict[tuple[int, int], tuple[int, int]]
    lost: int
    malformed: int

    def since(self, before: Work) -> Work:
        """What was used and sent between two moments."""
        none = (0, 0)
        edges = {
            edge: (frames - before.edges.get(edge, none)[0], size - before.edges.get(edge, none)[1])
            for edge, (frames, size) in self.edges.items()
        }
        guests = {node: seconds - before.guests.get(node, 0.0) for node, seconds in self.guests.items()}
        return Work(
            guests,
            self.switch - before.switch,
            edges,
            self.lost - before.lost,
            self.malformed - before.malformed,
        )

    def remarks(self) -> list[str]:
        """What went wrong on the way, in words."""
        said = []
        if self.lost:
            said.append(f"the switch dropped {self.lost} frames: its nodes did not keep up")
        if self.malformed:
            said.append(f"{self.malformed} malformed frames came from the nodes and were dropped")
        return said


def stuck(nodes: Iterable[int], index: int, words: str) -> Violation:
    """Nodes that did not get on."""
    late = tuple(sorted(nodes))
    return Violation("liveness", late, index, f"{names(late)}: {words}" if late else words)


def _processor_seconds(pid: int) -> float:
    """What all threads of a process have used, to the nanosecond: /proc counts in ticks, and an echo takes none.

    The clock's number is that of clock_getcpuclockid(3) (Linux, include/linux/posix-timers_types.h).

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime((~pid << 3) | 2)


async def work(arena: Arena) -> Work:
    """What has been used and sent until now."""
    counted = await arena.switch.counters()
    guests = {}
    for number in arena.alive:
        with contextlib.suppress(OSError):  # it has just ended
            guests[number] = _processor_seconds(arena.nodes[number].pid)
    edges = {edge: (one.frames, one.bytes) for edge, one in counted.edges.items() if edge[1]}
    return Work(guests, counted.cpu, edges, counted.overflow, counted.malformed)
