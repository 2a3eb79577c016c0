"""Pairs of fresh boots on workers: what the gate confirms a suspicion by, where a run's own environment is."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import queue
import secrets
import time
from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError, SistasksError
from sistasks.fleet import fleet as fleets
from sistasks.fleet.job import Job, pack, why_not
from sistasks.fleet.session import BESIDE, SILENT
from sistasks.fleet.worker import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed import Future

    from sistasks.evidence.kernels import KeptKernel
    from sistasks.fleet.fleet import Fleet
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.suites.trial import Pair, Trial
    from sistasks.terminal import Terminal

# seconds between looks at who is there
_LOOK: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairJob(Job):
    """A job of two kernels.

    Attributes:
        baseline: what the job's own kernel is measured against; its files are a worker's by their SHA-256.
    """

    baseline: KeptKernel

    @property
    def digest(self) -> str:
        """The same for the same work on the same files."""
        own = super(PairJob, self).digest
        return hashlib.sha256(f"{own} {self.baseline}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Task:
    """A pair that is under way.

    Attributes:
        future: Dask's.
        workers: those that may measure it, by address.
        end: when nobody waits for it any more, by time.monotonic().
    """

    future: Future
    workers: frozenset[str]
    end: float


class Team:
    """Workers whose runs can be compared with a run.

    Args:
        fleet: of which they are.
        job: what is measured.
        paths: where its files are, by SHA-256.
        recipe: of the candidate.
        environment: identity of the run's environment.

    Attributes:
        workers: which of the job's recipes has that environment, by address of the worker.
    """

    def __init__(
        self, fleet: Fleet, job: PairJob, paths: Mapping[str, Path], recipe: Recipe, environment: str
    ) -> None:
        self._fleet, self._job, self._paths, self._recipe = fleet, job, paths, recipe
        self._environment = environment
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._tasks: dict[str, _Task] = {}
        self._alone_since: float | None = None
        self.workers: dict[str, int] = {}
        self._look()

    def measure(self, trial: Trial, terminal: Terminal) -> list[Pair]:
        """Measure pairs for as long as a trial wants some, as many at once as there are workers.

        Raises:
            SistasksError: too many failed, or nobody is there any more.
        """
        number = itertools.count()
        try:
            while not trial.over:
                trial.at_once = max(1, len(self.workers))
                while len(self._tasks) < len(self.workers) and trial.wants(len(self._tasks)):
                    self._submit(next(number))
                if not self._tasks and not trial.wants():
                    break
                with contextlib.suppress(queue.Empty):
                    self._take(self._ended.get(timeout=_LOOK), trial, terminal)
                self._look()
                self._give_up(trial)
        finally:
            self._fleet.cancel([task.future for task in self._tasks.values()])
            self._tasks.clear()
        return trial.found

    def _submit(self, number: int) -> None:
        rounds = ceil(self._recipe.settings.nodes / self._recipe.slots) + 1
        limit = 2 * rounds * self._recipe.timeout + BESIDE
        key = f"{OURS}pair-{number}-{secrets.token_hex(8)}"
        index = next(iter(self.workers.values()))
        workers = [address for address, own in self.workers.items() if own == index]
        future = self._fleet.submit(
            self._job, index, limit=limit, resources={"sistasks-host": fleets.WHOLE}, key=key, workers=workers,
            pair=number,
        )  # fmt: skip
        self._tasks[key] = _Task(future, frozenset(workers), time.monotonic() + limit + BESIDE)
        future.add_done_callback(self._ended.put)

    def _take(self, future: Future, trial: Trial, terminal: Terminal) -> None:
        """A pair has ended, one way or another."""
        self._fleet.forget(future.key)
        if self._tasks.pop(future.key, None) is None:  # one that was given up
            return
        given = self._fleet.result(future) if future.status == "finished" else None
        if future.status == "error":
            raise FleetError(f"a pair cannot be had: {future.exception()}", "see the workers' logs")
        if future.status == "cancelled":
            raise self._fleet.gone()
        if given is None:  # it went with its worker: another one is measured
            self._fleet.cancel([future])
            return
        address, answer, seconds = given
        name = self._fleet.name(address)
        if isinstance(answer, SistasksError):
            terminal.say(f"a pair failed on worker {name}: {answer}", always=True)
            trial.fail(answer, seconds)
        else:
            trial.take(answer, seconds)
            terminal.say(f"pair {len(trial.found)} of {trial.pairs}: from worker {name}, {seconds:.0f} s")

    def _look(self) -> None:
        """See who is there: a worker that is new may fit, too.

        Raises:
            FleetError: the scheduler is lost, or there has been nobody for long.
        """
        if self._fleet.lost:
            raise self._fleet.gone()
        self.workers = {
            address: survey.environments.index(self._environment)
            for address, survey in self._fleet.enlist(self._job, self._paths).items()
            if self._environment in survey.environments
        }
        now = time.monotonic()
        self._alone_since = None if self.workers else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > SILENT:
            raise FleetError(f"no worker of {self._fleet.address} that fits is there any more", "")

    def _give_up(self, trial: Trial) -> None:
        """Wait no longer for workers that have gone, or one that says nothing."""
        for key, task in list(self._tasks.items()):
            late = time.monotonic() > task.end
            if late or (self.workers and not task.workers & self.workers.keys()):
                del self._tasks[key]
                self._fleet.forget(key)
                self._fleet.cancel([task.future])
            if late:
                trial.fail(FleetError("a worker did not answer"), BESIDE)


def team(
    address: str, suite: Suite, recipe: Recipe, *, baseline: KeptKernel, folder: Path, environment: str
) -> Team | str:
    """The workers of a scheduler that can measure pairs, or why there are none.

    Args:
        address: the scheduler's.
        suite: what is measured.
        recipe: of the candidate.
        baseline: the other kernel.
        folder: where its files are kept.
        environment: identity of the environment that pairs must have.
    """
    if why := why_not(suite):
        return why
    try:
        fleet = fleets.connect(address)
        job, paths = pack(suite, recipe.settings, [recipe])
        paths |= {name: folder / name for name in (baseline.image, baseline.initramfs)}
        made = PairJob(**{item.name: getattr(job, item.name) for item in fields(job)}, baseline=baseline)
        found = Team(fleet, made, paths, recipe, environment)
    except (SistasksError, OSError) as failure:
        return str(failure)
    if not found.workers:
        left = fleet.refused(made)
        return f"no worker of {address} has that run's environment{f' ({left[0]})' if left else ''}"
    return found
