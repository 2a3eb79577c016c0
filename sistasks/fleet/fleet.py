"""A fleet: Dask's scheduler, and those of its workers that can run a job."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import time
import warnings
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import FleetError, SistasksError, ToolMissing
from sistasks.fleet import identity, worker
from sistasks.fleet.records import Survey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed import Client, Future

    from sistasks.fleet.job import Job

# seconds: to be answered by a scheduler, and by a worker that has nothing to do but answer
CONNECT: Final = 3.0
_ANSWER: Final = 30.0
_SURVEY: Final = 180.0
# files that are under way to workers: each is in memory here and at the scheduler meanwhile, and workers may be many
_FILES: Final = 4
# between looks whether what is under way from a worker can still come
_GLANCE: Final = 1.0
# bytes a second that a file comes to a worker with, at least
_SLOWEST: Final = 250e3
# of a worker's host: a run on the wall clock takes it all, one on the virtual clock a single one
WHOLE: Final = 1024.0
# a resource that is only a mark: nobody uses it up
_PLENTY: Final = 1e6
_KEYS: Final = "Dask's configuration names them (docs/scale.md)"
_open: Final[dict[str, Fleet]] = {}


class Fleet:
    """A connection to a scheduler.

    Attributes:
        address: the scheduler's.
        client: Dask's.
    """

    def __init__(self, address: str, client: Client) -> None:
        self.address = address
        self.client = client
        # of each job: worker -> what it made of it, or why it cannot take part
        self._surveys: dict[str, dict[str, Survey | str]] = {}
        self._names: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        # of each of our tasks: the worker that has begun it, and since when; None: it waits
        self._begun: dict[str, tuple[str, float] | None] = {}
        client.subscribe_topic(worker.BEGUN, self._note)
        self._sending = asyncio.Semaphore(_FILES)

    @property
    def dashboard(self) -> str:
        """Where Dask shows what it does."""
        return str(self.client.dashboard_link)

    @property
    def lost(self) -> bool:
        """Whether the scheduler does not answer any more."""
        return bool(self.client.status != "running")

    def workers(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of each worker, by address.

        Raises:
            FleetError: the scheduler is lost.
        """
        try:
            there = dict(self.client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self.gone() from error
        self._names.update({address: str(known["name"]) for address, known in there.items()})
        return there

    def name(self, address: str, *, short: bool = False) -> str:
        """What a person calls a worker, also one that has gone; `short` without its address, if it has a name."""
        name = self._names.get(address, address)
        return name if short or name == address else f"{name} ({address})"

    def gone(self) -> FleetError:
        """The scheduler is lost, as a person is told."""
        return FleetError(
            f"the scheduler {self.address} is lost",
            "runs that had ended are kept; when it is back the same command goes on where it stopped",
        )

    def enlist(
        self, job: Job, paths: Mapping[str, Path], there: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, Survey]:
        """Give every worker that is new to a job its files, and have it set itself up.

        New is also who was started again at the address that it had: it has no mark of the job.

        Args:
            job: what is to be run.
            paths: where its files are, by SHA-256.
            there: what the scheduler knows of each worker, by address; None: it is asked.

        Returns:
            What those that can make of it, by address.

        Raises:
            FleetError: the scheduler is lost.
        """
        known = self._surveys.setdefault(job.digest, {})
        there = self.workers() if there is None else there
        marked = mark(job)
        new = [
            address
            for address, told in there.items()
            if address not in known
            or (isinstance(known[address], Survey) and marked not in told["resources"])
        ]
        if new:
            try:
                known.update(self.client.sync(self._enlist_all, new, job, paths))
            except (OSError, RuntimeError, TimeoutError) as error:
                raise self.gone() from error
        return {
            address: answer
            for address, answer in known.items()
            if address in there and isinstance(answer, Survey)
        }

    def refused(self, job: Job) -> list[str]:
        """Why workers are left out of a job."""
        return [answer for answer in self._surveys.get(job.digest, {}).values() if isinstance(answer, str)]

    def untold(self, job: Job) -> list[tuple[str, str]]:
        """Workers that are left out of a job, by address, and why; each is told once for all jobs."""
        left = [
            (address, answer)
            for address, answer in self._surveys.get(job.digest, {}).items()
            if isinstance(answer, str) and (address, answer) not in self._told
        ]
        self._told.update(left)
        return left

    def processing(self) -> dict[str, tuple[str, ...]]:
        """Which tasks each worker has, by address.

        Raises:
            FleetError: the scheduler is lost.
        """
        try:
            return dict(self.client.processing())
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self.gone() from error

    def first(self, function: Any, *arguments: object) -> Any:
        """What the first worker gives of which a function gives anything; None: nothing was given by any.

        Raises:
            FleetError: the scheduler is lost.
        """
        for address in self.workers():
            with contextlib.suppress(OSError, TimeoutError, ModuleNotFoundError, AttributeError):
                found = self.client.sync(self._on, address, function, *arguments)
                if found is not None:
                    return found
        return None

    def _note(self, event: tuple[float, Mapping[str, str]]) -> None:
        """Dask tells, in a thread of its own, that a worker begins with a task, which may be somebody else's."""
        _, told = event
        if told["key"] in self._begun:
            self._begun[told["key"]] = told["worker"], time.monotonic()

    def begun(self, key: str, address: str) -> float | None:
        """Since when a worker has been at one of our tasks, by time.monotonic(); None: it waits there."""
        known = self._begun.get(key)
        return known[1] if known is not None and known[0] == address else None

    def forget(self, key: str) -> None:
        """A task has ended."""
        self._begun.pop(key, None)

    def result(self, future: Future) -> Any | None:
        """What a task gave that has ended; None: that went with the worker that had it.

        Raises:
            FleetError: the scheduler is lost.
        """
        try:
            found = self.client.sync(self._result, future)
        except (OSError, RuntimeError, CancelledError) as error:
            raise self.gone() from error
        if found is None and self.lost:
            raise self.gone()
        return found

    async def _result(self, future: Future) -> Any | None:
        # Dask itself would wait until it is made again, which may be never
        gathering = asyncio.ensure_future(self.client.gather(future, asynchronous=True))
        while not gathering.done() and future.status == "finished":
            await asyncio.wait([gathering], timeout=_GLANCE)
        if gathering.done() and future.status == "finished":
            return gathering.result()
        gathering.cancel()
        await asyncio.wait([gathering])
        if not gathering.cancelled():
            gathering.exception()  # it is no news
        return None

    def cancel(self, futures: list[Future]) -> None:
        """Want nothing more of these; what a worker has begun it ends."""
        if futures and not self.lost:
            with contextlib.suppress(OSError, RuntimeError, TimeoutError):
                self.client.cancel(futures)

    def submit(
        self,
        job: Job,
        index: int,
        *,
        limit: float,
        resources: Mapping[str, float],
        key: str,
        workers: list[str],
        pair: int | None = None,
    ) -> Future:
        """Have one of a job's recipes run, or a pair of its fresh boots.

        Args:
            job: what is run.
            index: which of its recipes.
            limit: seconds that it may take.
            resources: what it needs of a worker, beside the job's mark.
            key: its name at Dask; of each run another one.
            workers: addresses of those that may run it; empty: any that has what it needs.
            pair: the pair's number; None: a run is wanted.
        """
        self._begun[key] = None
        work = worker.perform if pair is None else partial(worker.confirm, number=pair)
        return self.client.submit(
            work, job, index, limit, key=key, pure=False, workers=workers or None,
            resources={mark(job): 1.0, **resources},
        )  # fmt: skip

    async def _enlist_all(
        self, addresses: list[str], job: Job, paths: Mapping[str, Path]
    ) -> dict[str, Survey | str]:
        answers = await asyncio.gather(*(self._enlist(address, job, paths) for address in addresses))
        return dict(zip(addresses, answers, strict=True))

    async def _enlist(self, address: str, job: Job, paths: Mapping[str, Path]) -> Survey | str:
        """One worker: what it makes of the job, or why it cannot take part."""
        mine = identity.version()
        try:
            theirs = await self._on(address, worker.version)
            if theirs != mine:
                return f"it has sistasks {theirs}, and here is {mine}"
            for sha256 in await self._on(address, worker.missing, list(paths)):
                async with self._sending:
                    data = paths[sha256].read_bytes()
                    await self._on(address, worker.keep, sha256, data, limit=_ANSWER + len(data) / _SLOWEST)
            answer = await self._on(address, worker.survey, job, _SURVEY, limit=_SURVEY + _ANSWER)
            if isinstance(answer, SistasksError):
                raise answer
            await self._on(address, worker.advertise, advertised(job, answer))
        except (ModuleNotFoundError, AttributeError):
            return f"it has no sistasks, or not {mine}"
        except TimeoutError:
            return "it does not answer"
        except KeyError:  # of Dask's scheduler, which looks names up and then does not know them
            return "Dask does not know it by its address; give dask worker one without a name"
        except (
            SistasksError,
            OSError,
            RuntimeError,
        ) as failure:  # what goes wrong there does not concern others
            return str(failure)
        found: Survey = answer
        return found

    async def _on(self, address: str, function: Any, *arguments: object, limit: float = _ANSWER) -> Any:
        """What a function gives on a worker."""
        async with asyncio.timeout(limit):
            found = await self.client.run(function, *arguments, workers=[address])
        return found[address]


def mark(job: Job, clock: str = "") -> str:
    """The resource of workers that are ready for a job; with a clock, of those whose runs have that clock."""
    return f"sistasks-job-{job.digest[:16]}" + (f"-{clock}" if clock else "")


def advertised(job: Job, survey: Survey) -> dict[str, float]:
    """The resources of a worker: what is used up (host, cores, memory), and marks of what it is."""
    arch = job.settings.arch
    return {
        "sistasks-host": WHOLE,
        "sistasks-cores": float(survey.host_cores),
        "sistasks-memory": float(survey.memory),
        f"sistasks-{arch}-{survey.accelerator}": _PLENTY,
        f"sistasks-qemu-{survey.qemu_version}": _PLENTY,
        mark(job): _PLENTY,
        mark(job, survey.clock): _PLENTY,
    }


def connect(address: str) -> Fleet:
    """The connection to a scheduler; one for all suites of this invocation.

    Raises:
        ToolMissing: `distributed` is not installed.
        FleetError: the scheduler cannot be reached.
    """
    known = _open.get(address)
    if known is not None and not known.lost:
        return known
    try:
        from distributed import Client, Security
    except ImportError as error:
        raise ToolMissing(
            "cluster= needs distributed, which is not installed", "pip install 'sistasks[dask]'"
        ) from error
    try:  # a client without its keys would be half a client, and say so with a trace
        keys = Security().get_connection_args("client").get("ssl_context")
    except OSError as error:
        raise FleetError(f"the keys for {address} cannot be read: {error}", _KEYS) from error
    if address.startswith("tls://") and keys is None:
        raise FleetError(f"no keys are configured for {address}", _KEYS)
    # what it has to say of lost connections is said here, once; each of its loggers has a level of its own
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise FleetError(
            f"no scheduler answers at {address}", "start one (`dask scheduler`), or leave cluster= out"
        ) from error
    atexit.register(_close, client)
    _open[address] = Fleet(address, client)
    return _open[address]


def _close(client: Client) -> None:
    with contextlib.suppress(OSError, RuntimeError, TimeoutError):
        client.close(timeout=1)
