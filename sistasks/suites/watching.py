"""Nodes under the eyes of a person and of the monitor of resources."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.cluster.nodes import Observer
    from sistasks.evidence.monitor import ResourceMonitor
    from sistasks.terminal import Terminal


class _Both:
    """Two observers as one."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._each = (first, second)

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """A node has reached a stage."""
        for observer in self._each:
            observer.stage(number, stage, detail)

    def started(self, number: int, pid: int) -> None:
        """A node's process runs."""
        for observer in self._each:
            observer.started(number, pid)


@contextlib.contextmanager
def watched(terminal: Terminal, count: int, monitor: ResourceMonitor) -> Iterator[Observer]:
    """The observer for so many nodes: a line each on the terminal, and rows of what they use in the monitor."""
    with terminal.nodes(count) as lines, monitor:
        yield _Both(lines, monitor)
