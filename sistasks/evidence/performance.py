"""What any Python code uses while it runs: this process with all its children, and the host.

    with PerformanceContext("build") as performance:
        build()
    metrics = performance.get_metrics()
    print(metrics.avg_cpu_percent, metrics.peak_rss, performance.assessment())

It is the same watching that runs have, and costs as little.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final, Self

from sistasks.errors import UsageError
from sistasks.evidence.monitor import INTERVAL, ResourceMonitor
from sistasks.evidence.score import Assessment, assess
from sistasks.evidence.usage import PerformanceMetrics, summarise

if TYPE_CHECKING:
    from types import TracebackType

    from sistasks.history.records import ResourceRow

_HOST: Final = 0
_OURS: Final = 1


class PerformanceContext:
    """Watches this process with all its children while a block runs, however the block ends.

    Contexts can be nested and used by several threads at once: each watches by itself. One context can be used again
    when it has ended, and then tells of the last time.

    Args:
        name: what the block is called, in messages.
        interval: seconds between samples, from 0.01.

    Raises:
        UsageError: the interval cannot be.
    """

    def __init__(self, name: str, interval: float = INTERVAL) -> None:
        if not 0.01 <= interval <= 3600:
            raise UsageError(
                f"interval={interval:g} cannot be", "it is a number of seconds from 0.01 to 3600"
            )
        self.name = name
        self._interval = interval
        self._monitor: ResourceMonitor | None = None
        self._lock = threading.Lock()
        self._running = False

    def __enter__(self) -> Self:
        """Begin to watch.

        Raises:
            UsageError: it is watching already.
        """
        with self._lock:
            if self._running:
                raise UsageError(f"'{self.name}' is being watched already", "make another PerformanceContext")
            self._running = True
            self._monitor = ResourceMonitor(self._interval)
            self._monitor.__enter__()
            self._monitor.watch_tree(_OURS, os.getpid())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; the block's exception goes on."""
        with self._lock:
            if self._monitor is not None:
                self._monitor.__exit__(kind, error, trace)
            self._running = False

    def rows(self) -> tuple[ResourceRow, ...]:
        """All samples so far: node 0 is the host, node 1 this process with its children.

        Raises:
            UsageError: it has not begun.
        """
        monitor = self._monitor
        if monitor is None:
            raise UsageError(
                f"'{self.name}' has not been watched", "enter it: with PerformanceContext(…) as ctx:"
            )
        return monitor.rows()

    def get_metrics(self) -> PerformanceMetrics:
        """What this process with its children has used, so far or until the block's end.

        Raises:
            UsageError: it has not begun.
        """
        return self._metrics(_OURS)

    def get_host_metrics(self) -> PerformanceMetrics:
        """What the whole host has used meanwhile.

        Raises:
            UsageError: it has not begun.
        """
        return self._metrics(_HOST)

    def assessment(self) -> Assessment | None:
        """How well the block was served by the host, and what there was too little of; None: the host tells nothing.

        Raises:
            UsageError: it has not begun.
        """
        return assess(summarise(self.rows()))

    def _metrics(self, node: int) -> PerformanceMetrics:
        nothing = PerformanceMetrics(node=node, samples=0, seconds=0.0)
        return summarise(self.rows()).get(node, nothing)


class PerformanceMonitor:
    """Watches several blocks by name, for code that cannot be written as one `with`.

    All methods may be called from any thread.

    Args:
        interval: seconds between samples.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._contexts: dict[str, PerformanceContext] = {}
        self._lock = threading.Lock()

    def start(self, name: str) -> None:
        """Begin to watch under a name; what was watched under it before is forgotten.

        Raises:
            UsageError: it is being watched.
        """
        with self._lock:
            self._contexts.setdefault(name, PerformanceContext(name, self._interval)).__enter__()

    def stop(self, name: str) -> PerformanceMetrics:
        """End watching.

        Returns:
            What was used since `start`.

        Raises:
            UsageError: nothing is watched under this name.
        """
        context = self._known(name)
        context.__exit__(None, None, None)
        return context.get_metrics()

    def get_metrics(self, name: str) -> PerformanceMetrics:
        """What was used under a name, so far or until its end.

        Raises:
            UsageError: nothing was watched under this name.
        """
        return self._known(name).get_metrics()

    def __enter__(self) -> Self:
        """Nothing is watched yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all that is watched."""
        with self._lock:
            for context in self._contexts.values():
                context.__exit__(kind, error, trace)

    def _known(self, name: str) -> PerformanceContext:
        with self._lock:
            context = self._contexts.get(name)
        if context is None:
            raise UsageError(f"nothing was watched as '{name}'", "begin with start")
        return context
