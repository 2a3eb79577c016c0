"""Rows of resources in bounded room: when there are too many, each two neighbours become one.

What is a share of time (percent, load) or resident memory is averaged, weighted by the seconds that each row stands
for, so that the average over all rows stays what it was. Peaks, threads, open files and address space are the larger
of the two; counters are those at the end, which the later row has.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.records import ResourceRow

if TYPE_CHECKING:
    from collections.abc import Sequence

AVERAGED: Final = (
    "cpu_percent", "wait_percent", "memory_percent", "memory_wait", "io_wait", "others_percent", "steal_percent",
    "net_percent", "load1", "load5", "load15",
)  # fmt: skip
_PEAKS: Final = ("cpu_peak", "rss_peak", "vms", "threads", "fds", "processors")


def mean(rows: Sequence[ResourceRow], name: str) -> float | None:
    """The average of a field over rows, weighted by their seconds; None where no row has it.

    A row that does not say for how long it stands counts as nothing beside rows that do, and else like any other.
    """
    told = [(value, row.seconds or 0.0) for row in rows if (value := getattr(row, name)) is not None]
    if not told:
        return None
    seconds = sum(weight for _, weight in told)
    if seconds <= 0:
        return float(sum(value for value, _ in told) / len(told))
    return float(sum(value * weight for value, weight in told) / seconds)


def merged(first: ResourceRow, second: ResourceRow) -> ResourceRow:
    """Two neighbours of one node as one row that stands for the time of both."""
    both = (first, second)
    values: dict[str, Any] = {
        field.name: _later(both, field.name) for field in dataclasses.fields(ResourceRow)
    }
    values |= {name: mean(both, name) for name in AVERAGED}
    for name in _PEAKS:
        values[name] = max((value for row in both if (value := getattr(row, name)) is not None), default=None)
    values["rss"] = None if (rss := mean(both, "rss")) is None else round(rss)
    seconds = [row.seconds for row in both if row.seconds is not None]
    values["seconds"] = sum(seconds) if seconds else None
    return ResourceRow(**values)


def _later(both: Sequence[ResourceRow], name: str) -> object:
    return next((value for row in reversed(both) if (value := getattr(row, name)) is not None), None)


class Thinned:
    """Rows of one node, never more than a limit.

    Args:
        limit: how many at most; made even, and 4 at least.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(4, limit - limit % 2)
        self._rows: list[ResourceRow] = []
        self._step = 1
        self._begun: ResourceRow | None = None
        self._held = 0

    def add(self, row: ResourceRow) -> None:
        """The next row, later than all before."""
        self._begun = row if self._begun is None else merged(self._begun, row)
        self._held += 1
        if self._held == self._step:
            if len(self._rows) >= self._limit - 1:
                self._halve()
            self._rows.append(self._begun)
            self._begun, self._held = None, 0

    def _halve(self) -> None:
        """From here on a row stands for twice the time."""
        rows = self._rows
        pairs = [merged(*rows[place : place + 2]) for place in range(0, len(rows) - 1, 2)]
        self._rows = pairs + rows[2 * len(pairs) :]
        self._step *= 2

    def amend(self, **values: Any) -> None:
        """Set fields of the last row."""
        if self._begun is not None:
            self._begun = dataclasses.replace(self._begun, **values)
        elif self._rows:
            self._rows[-1] = dataclasses.replace(self._rows[-1], **values)

    def rows(self) -> list[ResourceRow]:
        """All of them, oldest first."""
        return [*self._rows, *([self._begun] if self._begun is not None else [])]
