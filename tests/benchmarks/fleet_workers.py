"""What many workers cost Dask's scheduler and the process at home.

    python tests/benchmarks/fleet_workers.py [--workers 10,100,300] [--file 14] [--json FILE]

The scheduler is a process of its own; so many workers of one thread each are in another, on 127.0.0.1, and do without
what watches them (memory, profile, ticks), for they share its processor and a fleet's do not. Asked is what a session
of `cluster=` asks every few seconds (with nothing to do, and with 2,000 tasks), what it asks of each worker once, and
tasks as large as a run's that do nothing. --file is a kernel's size in MB, which goes to each worker once, here to
twenty of them at most: as sessions send it, and to all at once, with the most memory that it takes meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import dask
import psutil

from sistasks.fleet import cache, worker
from sistasks.fleet.fleet import Fleet, connect

sys.path.append(str(Path(__file__).parent.parent))

from fleet_processes import fleet as scheduler  # type: ignore[import-not-found,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[str, Any]
ROUNDS: Final = 9
TASKS: Final = 1000
UNDER_WAY: Final = 2000
FILES: Final = 20
_TOGETHER: Final = 25
_ROOM: Final = "room"
# seconds
_WATCH: Final = 10.0
_AT_WORK: Final = 600.0
_LONGEST: Final = 120.0
# of workers: what each does on its own machine, and here would do many times on one
_QUIET: Final = {
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.tick.interval": "60s",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


def main() -> None:
    """Measure, print, and write the figures."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--workers", default="10,100,300")
    asked.add_argument("--file", type=float, default=14)
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    found = [_measure(int(count), options.file) for count in options.workers.split(",")]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _measure(count: int, megabytes: float) -> Figures:
    with tempfile.TemporaryDirectory() as name, scheduler(Path(name)) as made:
        os.environ[cache.VARIABLE] = name
        context = multiprocessing.get_context("spawn")
        there = context.Event()
        process = context.Process(target=_work, args=(made.address, count, name, there))
        process.start()
        there.wait()
        fleet = connect(made.address)
        found = _ask(fleet, psutil.Process(made.scheduler.pid), megabytes)
        fleet.client.close(timeout=1)
        process.kill()  # tasks are still at work there
        process.join()
    megabyte = {name: value / 1e6 for name, value in found.items() if name.endswith(("_peak", "memory"))}
    print(
        f"{count} workers\n"
        f"  who is there: {found['there_ms']:.1f} ms, {found['there_bytes'] / 1e3:.0f} kB; what they do: "
        f"{found['processing_ms']:.1f} ms, of {UNDER_WAY:,} tasks {found['under_way_ms']:.1f} ms\n"
        f"  a call of each worker: {found['call_ms']:.2f} ms; a task that does nothing: {found['task_ms']:.2f} ms; "
        f"to submit one: {found['submit_ms']:.2f} ms\n"
        f"  the scheduler: {found['idle']:.1%} of a processor with nothing to do, {megabyte['memory']:.0f} MB; with "
        f"{UNDER_WAY:,} tasks {megabyte['under_way_memory']:.0f} MB\n"
        f"  {megabytes:g} MB for each of {found['files']}: {found['file_ms']:.0f} ms each, the scheduler "
        f"{megabyte['scheduler_peak']:.0f} MB more and home {megabyte['home_peak']:.0f} MB; to all at once "
        f"{found['at_once_file_ms']:.0f} ms each, {megabyte['at_once_scheduler_peak']:.0f} and "
        f"{megabyte['at_once_home_peak']:.0f} MB"
    )
    return found


def _ask(fleet: Fleet, process: psutil.Process, megabytes: float) -> Figures:
    from distributed.protocol import dumps

    began, cpu = time.perf_counter(), _cpu(process)
    time.sleep(_WATCH)
    idle = (_cpu(process) - cpu) / (time.perf_counter() - began)
    there = fleet.workers()
    calls = [_seconds(lambda: fleet.client.sync(_of_each, fleet, list(there))) for _ in range(3)]
    found: Figures = {
        "workers": len(there), "idle": idle, "memory": process.memory_info().rss,
        "there_bytes": sum(len(part) for part in dumps(there)),
        "there_ms": _milliseconds(fleet.workers),
        "processing_ms": _milliseconds(fleet.processing),
        "call_ms": 1e3 * statistics.median(calls) / len(there),
    }  # fmt: skip
    job = os.urandom(2600)  # about as much as a run's
    # as of a run: what needs a resource is given to workers at once, else the scheduler keeps most of it
    submit = partial(fleet.client.submit, pure=False, resources={_ROOM: 1.0})
    fleet.client.gather([submit(_nothing, job) for _ in range(10)])
    seconds = _seconds(lambda: fleet.client.gather([submit(_nothing, job) for _ in range(TASKS)]))
    found["task_ms"] = 1e3 * seconds / TASKS
    some, data = list(there)[:FILES], os.urandom(int(megabytes * 1e6))
    found["files"] = len(some)
    for name, at_once in (("", fleet._sending), ("at_once_", asyncio.Semaphore(FILES))):
        with _Peak(process) as peak, _Peak(psutil.Process()) as ours:
            seconds = _seconds(partial(fleet.client.sync, _send, fleet, some, data, at_once))
        found |= {
            f"{name}file_ms": 1e3 * seconds / len(some),
            f"{name}scheduler_peak": peak.most, f"{name}home_peak": ours.most,
        }  # fmt: skip
    began = time.perf_counter()
    waiting = [submit(_wait, job) for _ in range(UNDER_WAY)]
    # what is asked may overtake what was submitted
    while (known := sum(len(keys) for keys in fleet.processing().values())) < len(waiting):
        assert time.perf_counter() - began < _LONGEST, f"only {known} tasks came to the workers"
    found["submit_ms"] = 1e3 * (time.perf_counter() - began) / UNDER_WAY
    found |= {"under_way_ms": _milliseconds(fleet.processing), "under_way_memory": process.memory_info().rss}
    return found


async def _of_each(fleet: Fleet, addresses: list[str]) -> None:
    """What a session asks of workers that are new to it, of all at once."""
    await asyncio.gather(*(fleet._on(address, worker.version) for address in addresses))


async def _send(fleet: Fleet, addresses: list[str], data: bytes, at_once: asyncio.Semaphore) -> None:
    """A file for each worker; each has it read anew, as when a session sends it."""
    sha256 = hashlib.sha256(data).hexdigest()

    async def send(address: str) -> None:
        async with at_once:
            await fleet._on(address, worker.keep, sha256, bytes(bytearray(data)))

    await asyncio.gather(*(send(address) for address in addresses))


class _Peak:
    """The most memory that a process had meanwhile, beyond what it had at first."""

    most = 0

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._stop = process, threading.Event()
        self._first = process.memory_info().rss
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss - self._first)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _work(address: str, count: int, folder: str, there: Any) -> None:
    """So many workers in one process."""
    os.environ[cache.VARIABLE] = folder
    from distributed import Worker

    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def work() -> None:
        workers: list[Any] = []
        while len(workers) < count:
            new = range(len(workers), min(count, len(workers) + _TOGETHER))
            workers += await asyncio.gather(
                *(
                    Worker(address, nthreads=1, name=f"worker-{n}", host="127.0.0.1", dashboard_address=None,
                           local_directory=folder, resources={_ROOM: 1.0})
                    for n in new
                )
            )  # fmt: skip
        there.set()
        await asyncio.Event().wait()

    with dask.config.set(_QUIET):
        asyncio.run(work())


def _nothing(job: bytes) -> int:
    return len(job)


def _wait(job: bytes) -> int:
    """A task that is at work while questions are asked."""
    time.sleep(_AT_WORK)
    return len(job)


def _cpu(process: psutil.Process) -> float:
    taken = process.cpu_times()
    return float(taken.user + taken.system)


def _milliseconds(work: Callable[[], object]) -> float:
    return 1e3 * statistics.median(_seconds(work) for _ in range(ROUNDS))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
