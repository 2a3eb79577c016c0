"""Watching what nodes and the host use while a run goes on.

A thread of its own sleeps until it is time, reads, and sleeps again. Rates are taken over the monotonic clock, and the
moments of rows follow it from the start: a wall clock that is set meanwhile changes nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sistasks.evidence import host
from sistasks.evidence.processes import GoneError, Reader, Reading, Tree, reader
from sistasks.evidence.rows import HOST, host_row, node_row
from sistasks.evidence.thinning import Thinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from sistasks.history.records import ResourceRow

INTERVAL: Final = 0.5
# of one node; of all nodes of a run together, unless they are so many that each would have fewer than the fewest
ROWS: Final = 600
_ALL_ROWS: Final = 12_000
_FEWEST_ROWS: Final = 60
# shorter times say little, for processor time is counted in hundredths of a second; of an interval at most this part
_SHORTEST: Final = 0.1
_LEAST_PART: Final = 0.4


def rows_of_each(nodes: int) -> int:
    """How many rows each node of a run may have at most."""
    return max(_FEWEST_ROWS, min(ROWS, _ALL_ROWS // (nodes + 1)))


class _Clock:
    """Moments in UTC that never go back, whatever becomes of the wall clock."""

    def __init__(self) -> None:
        self._began = dt.datetime.now(dt.UTC)
        self._zero = time.monotonic()

    def at(self, moment: float) -> dt.datetime:
        return self._began + dt.timedelta(seconds=moment - self._zero)


@dataclass(slots=True)
class _Watched:
    """One node's process, and where it was when it was last read.

    `read_base` and `write_base` make counters of a node go on where its process is a new one.
    """

    reader: Reader | Tree
    before: Reading
    then: float
    first: Reading
    read_base: int = 0
    write_base: int = 0

    def disk(self, now: Reading) -> tuple[int | None, int | None]:
        """Bytes read and written since the first row."""
        found = []
        for base, name in ((self.read_base, "read_bytes"), (self.write_base, "write_bytes")):
            count, first = getattr(now, name), getattr(self.first, name)
            found.append(None if count is None else base + max(0, count - (first or 0)))
        return found[0], found[1]


class ResourceMonitor:
    """Watches the host as node 0, and each node from when its process is told of.

    Use as a context manager; it is an observer of the cluster. All methods may be called from any thread.

    Args:
        interval: seconds between samples; 0: nothing is watched.
        limit: rows of one node at most; beyond that neighbours are merged.
    """

    def __init__(self, interval: float = INTERVAL, limit: int = ROWS) -> None:
        self._interval = interval
        self._shortest = min(_SHORTEST, _LEAST_PART * interval)
        self._limit = limit
        self._ours = Tree(os.getpid())
        self._nodes: dict[int, _Watched] = {}
        self._rows: dict[int, Thinned] = {}
        self._bases: dict[int, tuple[int, int]] = {}
        self._last: dict[int, dt.datetime] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._clock = _Clock()
        self._host: host.HostReading | None = None
        self._host_first: host.HostReading | None = None
        self._host_then = 0.0
        self._speeds: dict[str, float] = {}
        self._ours_cpu = 0.0
        # of processes that were nodes and no children of ours
        self._strangers = 0.0
        self._family: set[int] = set()
        self._pids: set[int] = set()
        self._census: host.Census = {}
        self.cpu_seconds = 0.0
        """Processor time that the watching itself has taken so far."""

    def __enter__(self) -> Self:
        """Begin, or go on."""
        self._end.clear()
        if self._interval > 0:
            with self._at_work():
                self._census = self._census or host.census()
                self._speeds = host.card_speeds()
                self._sample()
            self._thread = threading.Thread(target=self._watch, name="sistasks-monitor", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take a last sample and end."""
        self._end.set()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        with self._at_work():
            self._sample(last=True)
            self._name_others()
            for node in self._nodes.values():
                node.reader.close()
            self._nodes.clear()
            self._ours.close()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """One thread at a time, its processor time counted."""
        begun = time.thread_time()
        with self._lock:
            yield
            self.cpu_seconds += time.thread_time() - begun

    # -- what is told ----------------------------------------------------------------------------------------------

    def stage(self, number: int, stage: str, detail: str = "") -> None:  # noqa: ARG002 - an observer's
        """A node has reached a stage: it is sampled, for some live shorter than an interval."""
        if self._thread is not None:
            with self._at_work():
                if number in self._nodes:
                    self._sample_node(number)

    def started(self, number: int, pid: int) -> None:
        """A node's process runs; it is watched until it ends."""
        self._begin(number, reader, pid)

    def watch_tree(self, number: int, pid: int) -> None:
        """Watch a process with all its children as one."""
        self._begin(number, Tree, pid)

    def _begin(self, number: int, kind: Callable[[int], Reader | Tree], pid: int) -> None:
        if self._thread is None:
            return
        with self._at_work(), contextlib.suppress(GoneError, OSError):
            new = kind(pid)
            try:
                now = new.read()
            except (GoneError, OSError):
                new.close()
                return
            if number in self._nodes:
                self._forget(number)
            # a process of the same node that came before has counted so far
            watched = _Watched(new, now, time.monotonic(), now, *self._bases.get(number, (0, 0)))
            self._nodes[number] = watched
            if not isinstance(new, Tree):
                self._pids.add(pid)
            at = self._clock.at(watched.then)
            self._put(node_row(number, at, now, None, 0.0, disk=watched.disk(now), memory=self._memory))

    def rows(self) -> tuple[ResourceRow, ...]:
        """All rows so far, by node and time."""
        with self._lock:
            return tuple(row for number in sorted(self._rows) for row in self._rows[number].rows())

    # -- watching --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        due = time.monotonic() + self._interval
        while not self._end.wait(max(0.0, due - time.monotonic())):
            with self._at_work():
                self._sample()
            # a host that let us wait for long does not get all that was missed at once
            due = max(due + self._interval, time.monotonic() + self._interval / 2)

    def _sample(self, *, last: bool = False) -> None:
        """Read everything once: our own processes first, so that none of a node's time is counted twice.

        Args:
            last: what has no rates yet gets them, however short the time was.
        """
        mine = self._ours.members(without=self._pids)
        self._family = set(mine)
        ours = sum(each.with_ended for each in mine.values())
        for number in list(self._nodes):
            ours += self._sample_node(number, last=last)
        self._sample_host(ours + self._strangers, last=last)

    def _sample_node(self, number: int, *, last: bool = False) -> float:
        """Read one node.

        Returns:
            Seconds of processor time that it adds to ours; what ended adds elsewhere.
        """
        node, moment = self._nodes[number], time.monotonic()
        try:
            now = node.reader.read()
        except GoneError:
            self._forget(number)
            return 0.0
        except OSError:  # we have no descriptor left, or the like
            return self._of_ours(node, node.before)
        seconds = moment - node.then
        if seconds >= self._shortest or (last and node.before is node.first):
            at = self._clock.at(moment)
            row = node_row(number, at, now, node.before, seconds, disk=node.disk(now), memory=self._memory)
            self._put(row)
            node.before, node.then = now, moment
        return self._of_ours(node, now)

    @property
    def _memory(self) -> int:
        """Bytes that the host has."""
        return self._host.memory if self._host is not None else 0

    def _of_ours(self, node: _Watched, now: Reading) -> float:
        """Seconds of processor time by which a node's process adds to ours."""
        if isinstance(node.reader, Tree):
            return 0.0
        # what a process of others had used before it was a node is not ours
        return now.with_ended - (0.0 if node.first.parent in self._family else node.first.with_ended)

    def _forget(self, number: int) -> None:
        """A process has ended: the time of a child of ours is found with its parent; that of another is kept here."""
        node = self._nodes.pop(number)
        node.reader.close()
        self._pids.discard(node.reader.pid)
        read, written = node.disk(node.before)
        self._bases[number] = read or 0, written or 0
        if node.first.parent not in self._family:
            self._strangers += self._of_ours(node, node.before)

    def _put(self, row: ResourceRow) -> None:
        last = self._last.get(row.node)
        if last is None or row.at > last:
            self._last[row.node] = row.at
            self._rows.setdefault(row.node, Thinned(self._limit)).add(row)

    def _sample_host(self, ours: float, *, last: bool) -> None:
        moment = time.monotonic()
        before, seconds = self._host, moment - self._host_then
        if before is not None and seconds < self._shortest and not (last and before is self._host_first):
            return
        try:
            now = host.read_host()
        except OSError:
            return
        # a child that is just being waited for is missing once
        ours = max(ours, self._ours_cpu)
        self._host_first = self._host_first or now
        row = host_row(
            self._clock.at(moment), now, before, seconds, first=self._host_first, ours=ours - self._ours_cpu,
            speeds=self._speeds,
        )  # fmt: skip
        self._put(row)
        self._host, self._host_then, self._ours_cpu = now, moment, ours

    def _name_others(self) -> None:
        """Say with the last row of the host which other programs used it."""
        if HOST in self._rows and self._host is not None and self._host_first is not None:
            seconds = self._host.total - self._host_first.total
            words = host.busiest(self._census, host.census(), self._family | self._pids, seconds)
            self._rows[HOST].amend(busiest=words or None)
