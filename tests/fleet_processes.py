"""A scheduler and workers of Dask as processes of a test, on the loopback address; each is ended by its id."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import psutil
from guest_project import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# seconds; longer than anything that is waited for takes
LIMIT = 60.0
# programs on command lines
NODE = "-node-1,"  # not a template, nor what `setup` tries
HAND = "sistasks.fleet.hand"


class Fleet:
    """A scheduler and its workers.

    Attributes:
        address: the scheduler's.
        scheduler: its process.
        workers: theirs, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: dict[str, subprocess.Popen[str]] = {}
        self.scheduler, line = self._start(
            "Scheduler at:", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        self.address = line.split()[-1]

    def work(self, name: str, *options: str, **variables: str) -> None:
        """Start a worker, with these variables in its environment, and wait until the scheduler knows it.

        Args:
            name: its own, and its cache's.
            options: instead of one thread and no nanny.
            variables: of its environment.
        """
        variables = {"SIS_FLEET_CACHE": str(self.folder / name), **variables}
        self.workers[name], _ = self._start(
            "Registered to:", "worker", self.address, "--host", "127.0.0.1", "--name", name,
            *(options or ("--nthreads", "1", "--no-nanny")), "--no-dashboard",
            "--local-directory", str(self.folder / "dask"), **variables,
        )  # fmt: skip

    def children(self, name: str, program: str, count: int = 1) -> list[psutil.Process]:
        """Processes below a worker whose command line tells of this program, as soon as there are so many."""
        top, end = psutil.Process(self.workers[name].pid), time.monotonic() + LIMIT
        found: list[psutil.Process] = []
        while len(found) < count:
            assert time.monotonic() < end, f"worker {name} has no {count} of {program}"
            time.sleep(0.02)  # nothing tells of a process that somebody else starts
            found = [process for process in top.children(recursive=True) if program in _command(process)]
        return found

    def end(self) -> None:
        """End all that is still there."""
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()

    def _start(self, mark: str, *arguments: str, **variables: str) -> tuple[subprocess.Popen[str], str]:
        # elsewhere than where the tests are started, which may be where another sistasks lies
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=environment() | variables, cwd=self.folder,
        )  # fmt: skip
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if mark in line:
                threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
                return process, line
        process.wait()
        raise AssertionError("".join(said))


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether these end, soon."""
    return not psutil.wait_procs(processes, timeout=LIMIT)[1]


def _drain(source: IO[str]) -> None:
    for _ in source:
        pass
    source.close()


@contextmanager
def fleet(folder: Path, *names: str) -> Iterator[Fleet]:
    """A fleet with workers of these names."""
    made = Fleet(folder)
    try:
        for name in names:
            made.work(name)
        yield made
    finally:
        made.end()
