"""What a process has used up to now, read once: counters and sizes, no rates.

On Linux it is read from the process's folder in /proc, which is kept open: such a folder is that of one process, so
that another one that gets its number later is not mistaken for it, and reading costs less than a tenth of a
millisecond. Elsewhere psutil reads.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PROC: Final = "/proc"
_LONGEST: Final = 4096
# fields of /proc/PID/stat behind the name, which may hold anything (proc_pid_stat(5), counted from `state`)
_STATE, _PARENT, _USER, _SYSTEM, _USER_ENDED, _SYSTEM_ENDED, _THREADS, _VMS, _RSS = (
    0, 1, 11, 12, 13, 14, 17, 20, 21,
)  # fmt: skip
_NANOSECOND: Final = 1e-9


class GoneError(Exception):
    """The process has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One process at one moment; what the system does not tell is None.

    Attributes:
        parent: the id of its parent; 0 where it is not told.
        cpu: seconds of processor time.
        with_ended: the same with that of its children that have ended and been waited for.
        wait: seconds that its threads wanted a processor and had none.
        rss, vms: bytes.
        read_bytes, write_bytes: to and from disks; of ended children, too.
        threads, fds: how many.
    """

    parent: int
    cpu: float
    with_ended: float
    wait: float | None
    rss: int
    vms: int
    read_bytes: int | None
    write_bytes: int | None
    threads: int | None
    fds: int | None


class Reader(Protocol):
    """Reads one process again and again."""

    pid: int

    def read(self) -> Reading:
        """The process now.

        Raises:
            GoneError: it has ended.
            OSError: it cannot be read now.
        """

    def children(self) -> Iterator[int]:
        """Ids of its children, as far as they are told."""

    def close(self) -> None:
        """Let go of it."""


def reader(pid: int) -> Reader:
    """A reader of the process that has this id now.

    Raises:
        GoneError: there is none.
    """
    on_linux = sys.platform == "linux" and os.path.exists(f"{_PROC}/self/stat")  # noqa: PTH110 - asked often
    return ProcReader(pid) if on_linux else PortableReader(pid)


class ProcReader:
    """Reads a process of Linux."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._folder = os.open(f"{_PROC}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise GoneError(pid) from error
        self._waits: dict[str, int] = {}
        self._waited = 0

    def close(self) -> None:
        """Let go of its folder."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def read(self) -> Reading:
        """The process now.

        Raises:
            GoneError: it has ended.
            OSError: it cannot be read now: we have no descriptor left.
        """
        try:
            stat = self._file("stat")
        except (FileNotFoundError, ProcessLookupError) as error:
            raise GoneError(self.pid) from error
        fields = stat[stat.rindex(b")") + 2 :].split()
        if fields[_STATE] in {b"Z", b"X", b"x"}:
            raise GoneError(self.pid)
        tick = 1 / os.sysconf("SC_CLK_TCK")
        cpu = (int(fields[_USER]) + int(fields[_SYSTEM])) * tick
        read_bytes, write_bytes = self._disk()
        return Reading(
            parent=int(fields[_PARENT]),
            cpu=cpu,
            with_ended=cpu + (int(fields[_USER_ENDED]) + int(fields[_SYSTEM_ENDED])) * tick,
            wait=self._wait(),
            rss=int(fields[_RSS]) * os.sysconf("SC_PAGE_SIZE"),
            vms=int(fields[_VMS]),
            read_bytes=read_bytes,
            write_bytes=write_bytes,
            threads=int(fields[_THREADS]),
            fds=self._fds(),
        )

    def children(self) -> Iterator[int]:
        """Ids of its children; none where the kernel does not tell."""
        with contextlib.suppress(OSError):
            for thread in self._names("task"):
                yield from map(int, self._file(f"task/{thread}/children").split())

    def _file(self, name: str) -> bytes:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            return os.read(descriptor, _LONGEST)
        finally:
            os.close(descriptor)

    def _names(self, folder: str) -> list[str]:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 - pathlib lists no descriptor
        finally:
            os.close(descriptor)

    def _wait(self) -> float | None:
        """Of each thread the kernel counts it by itself: /proc/PID/task/TID/schedstat, the second number, in ns."""
        waits: dict[str, int] = {}
        try:
            for thread in self._names("task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    waits[thread] = int(self._file(f"task/{thread}/schedstat").split()[1])
        except (OSError, IndexError, ValueError):
            return None
        if not waits:
            return None
        # a thread that ended took its count along: what is told is what each added since it was last seen
        self._waited += sum(max(0, wait - self._waits.get(thread, 0)) for thread, wait in waits.items())
        self._waits = waits
        return self._waited * _NANOSECOND

    def _disk(self) -> tuple[int | None, int | None]:
        try:
            lines = dict(line.split(b": ") for line in self._file("io").splitlines())
            return int(lines[b"read_bytes"]), int(lines[b"write_bytes"])
        except (OSError, ValueError, KeyError):
            return None, None

    def _fds(self) -> int | None:
        try:
            # the size is their number since Linux 6.2, before that it is 0
            return os.stat("fd", dir_fd=self._folder).st_size or len(self._names("fd"))
        except OSError:
            return None


class PortableReader:
    """Reads a process by psutil, where there is no /proc."""

    def __init__(self, pid: int) -> None:
        import psutil

        self.pid = pid
        try:
            self._process = psutil.Process(pid)
        except psutil.Error as error:
            raise GoneError(pid) from error

    def close(self) -> None:
        """Nothing is held."""

    def read(self) -> Reading:
        """The process now.

        Raises:
            GoneError: it has ended, or is another one.
        """
        import psutil

        process = self._process
        try:
            # another process may have got its number: this compares when they began
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                raise GoneError(self.pid)
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                disk = self._told("io_counters")
                cpu = times.user + times.system
                ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
                return Reading(
                    parent=process.ppid(), cpu=cpu, with_ended=cpu + ended, wait=None, rss=memory.rss, vms=memory.vms,
                    read_bytes=disk.read_bytes if disk else None, write_bytes=disk.write_bytes if disk else None,
                    threads=self._told("num_threads"), fds=self._told("num_fds"),
                )  # fmt: skip
        except psutil.Error as error:
            raise GoneError(self.pid) from error

    def children(self) -> Iterator[int]:
        """Ids of its children."""
        import psutil

        with contextlib.suppress(psutil.Error):
            yield from [child.pid for child in self._process.children()]

    def _told(self, name: str) -> Any:
        """What psutil has on some systems only, or tells only some persons."""
        import psutil

        try:
            return getattr(self._process, name)()
        except (AttributeError, psutil.AccessDenied):
            return None


class Tree:
    """A process with all that descends from it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._readers: dict[int, Reader] = {}
        self._cpu = 0.0

    def close(self) -> None:
        """Let go of all."""
        for each in self._readers.values():
            each.close()
        self._readers.clear()

    def members(self, without: Collection[int] = ()) -> dict[int, Reading]:
        """Each process by its id, parents before their children.

        In this order nothing is counted twice: a child that ends meanwhile is missing once, and found with its parent
        the next time.

        Args:
            without: ids of descendants that are read by somebody else.
        """
        found: dict[int, Reading] = {}
        readers: dict[int, Reader] = {}
        ahead = [self.pid]
        while ahead:
            pid = ahead.pop()
            if pid in found or pid in without:
                continue
            try:
                each = self._readers.pop(pid, None) or reader(pid)
            except (GoneError, OSError):
                continue
            try:
                found[pid] = each.read()
            except (GoneError, OSError):
                each.close()
                continue
            readers[pid] = each
            ahead += each.children()
        self.close()
        self._readers = readers
        return found

    def read(self) -> Reading:
        """All together.

        Raises:
            GoneError: the first of them has ended.
        """
        found = self.members()
        if self.pid not in found:
            raise GoneError(self.pid)
        every = list(found.values())
        # what a child took along before it was waited for comes back with its parent
        self._cpu = max(self._cpu, sum(each.with_ended for each in every))
        return Reading(
            parent=found[self.pid].parent, cpu=self._cpu, with_ended=self._cpu,
            wait=_total([each.wait for each in every]), rss=sum(each.rss for each in every),
            vms=sum(each.vms for each in every), read_bytes=_total([each.read_bytes for each in every]),
            write_bytes=_total([each.write_bytes for each in every]),
            threads=_total([each.threads for each in every]), fds=_total([each.fds for each in every]),
        )  # fmt: skip


def _total(values: list[Any]) -> Any:
    """Their sum; None where nothing is told."""
    told = [value for value in values if value is not None]
    return sum(told) if told else None
