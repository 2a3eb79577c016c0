"""A suite on a fleet: its runs become tasks, and what they give is recorded here, one after the other."""

from __future__ import annotations

import contextlib
import queue
import secrets
import tempfile
import time
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError, HistoryError, SistasksError, UsageError
from sistasks.evidence.records import Evidence
from sistasks.fleet import fleet as fleets
from sistasks.fleet.job import pack, why_not
from sistasks.fleet.progress import RunLines
from sistasks.fleet.records import Returned
from sistasks.history import read
from sistasks.history.connection import prepare
from sistasks.suites import registry, staleness
from sistasks.suites.executed import record
from sistasks.suites.kept import keep
from sistasks.suites.recipe import recipes
from sistasks.suites.showing import say_what

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Future

    from sistasks.fleet.fleet import Fleet
    from sistasks.fleet.job import Job
    from sistasks.fleet.records import Survey
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal

# seconds between looks at who is there
_LOOK: Final = 2.0
# seconds after which a worker that says nothing is given up, and after which nobody is waited for any more
_SILENT: Final = 30.0
# seconds that a template and the start may take beside the nodes
_BESIDE: Final = 120.0


@dataclass(slots=True)
class _Task:
    """One run that is under way.

    Attributes:
        number: of this session's, from 1.
        index: of the recipe.
        future: Dask's.
        barred: workers that could not run it, by address.
        where: the worker that has it, as far as is known.
    """

    number: int
    index: int
    future: Future
    barred: set[str] = field(default_factory=set)
    where: str = ""


def up_to_date(suite_name: str, settings: Settings) -> bool:
    """Whether the history holds as many good runs as were asked for, of all environments that the fleet has."""
    try:
        suite = registry.find(suite_name, settings)
        made = recipes(suite, settings)
        if why_not(suite, made):
            return staleness.up_to_date(suite_name, settings)
        job, paths = pack(suite, settings, made)
        able = fleets.connect(settings.cluster).enlist(job, paths)
        return bool(able) and all(_held(settings, able, index) >= settings.runs for index in range(len(made)))
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False  # whatever is missing or broken will be said by the step that needs it


def _held(settings: Settings, able: Mapping[str, Survey], index: int) -> int:
    """Good runs that the history has of one recipe, in the environments of these workers."""
    inputs = {survey.inputs[index]: survey.enforces[index] for survey in able.values()}
    return sum(read.good_runs(settings.db, one, targets_met=met) for one, met in inputs.items())


def run_suite(suite_name: str, settings: Settings, terminal: Terminal) -> list[int] | None:
    """Run a suite on the fleet until the history has as many good runs as were asked for, but at least once.

    Returns:
        The numbers of the runs; None where the suite can only be run here, which is said.

    Raises:
        KernelFailure: a test failed (the runs are kept).
        SistasksError: the fleet, a worker or the history failed (runs that had ended are kept).
    """
    suite = registry.find(suite_name, settings)
    fleet = fleets.connect(settings.cluster)
    prepare(settings.db)
    made = recipes(suite, settings)
    for recipe in made:
        recipe.verify()
    if why := why_not(suite, made):
        terminal.say(f"{suite.name}: runs here, for {why}")
        return None
    job, paths = pack(suite, settings, made)
    return _Session(fleet, job, paths, made, terminal).run()


class _Session:
    """The runs of one suite on a fleet."""

    def __init__(
        self, fleet: Fleet, job: Job, paths: Mapping[str, Path], made: list[Recipe], terminal: Terminal
    ) -> None:
        self._fleet, self._job, self._paths, self._made = fleet, job, paths, made
        self._terminal = terminal
        self._settings = made[0].settings
        self._able: dict[str, Survey] = {}
        self._tasks: dict[str, _Task] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._numbers: list[int] = []
        self._failure: SistasksError | None = None
        # worker -> when it was last heard of by the scheduler's clock, and by ours
        self._heard: dict[str, tuple[float, float]] = {}
        self._alone_since: float | None = None
        self._lines = RunLines(terminal, 0)

    def run(self) -> list[int]:
        """Submit all runs and record each when it ends."""
        self._enlist()
        if not self._able:
            raise self._nobody()
        number = 0
        for index, recipe in enumerate(self._made):
            say_what(self._job.suite, recipe, self._terminal)
            for _ in range(max(1, self._settings.runs - _held(self._settings, self._able, index))):
                number += 1
                self._submit(number, index, set())
        who = f"{len(self._able)} worker{'s' * (len(self._able) > 1)}"
        self._terminal.say(
            f"{self._job.suite.name}: {number} run{'s' * (number > 1)} on {who} of {self._fleet.address}; "
            f"{self._fleet.dashboard}"
        )
        self._lines = RunLines(self._terminal, number)
        try:
            with self._lines:
                self._wait()
        finally:
            self._fleet.cancel([task.future for task in self._tasks.values()])
        if self._failure is not None:
            raise self._failure
        return self._numbers

    def _wait(self) -> None:
        """Until every run has ended."""
        look = time.monotonic()
        while self._tasks:
            with contextlib.suppress(queue.Empty):
                self._take(self._ended.get(timeout=max(0.0, look - time.monotonic())))
            if time.monotonic() >= look:
                self._look()
                look = time.monotonic() + _LOOK

    def _say(self, text: str) -> None:
        with self._lines.aside():
            self._terminal.say(text, always=True)

    def _enlist(self) -> None:
        self._able = self._fleet.enlist(self._job, self._paths)
        for address, why in self._fleet.untold(self._job):
            self._say(f"worker {self._fleet.name(address)} is left out: {why}")

    def _nobody(self) -> FleetError:
        refused = self._fleet.refused(self._job)
        return FleetError(
            f"no worker of {self._fleet.address} can run the suite {self._job.suite.name}",
            refused[0] if refused else f"start one: dask worker {self._fleet.address}",
        )

    def _submit(self, number: int, index: int, barred: set[str]) -> None:
        recipe = self._made[index]
        rounds = ceil(recipe.node_count(self._job.suite) / recipe.slots) + 1
        key = f"sistasks-{self._job.suite.name}-{number}-{secrets.token_hex(8)}"
        future = self._fleet.submit(
            self._job, index, limit=recipe.timeout * rounds + _BESIDE, resources=self._needs(recipe), key=key,
            workers=[address for address in self._able if address not in barred] if barred else [],
        )  # fmt: skip
        self._tasks[key] = _Task(number, index, future, barred)
        future.add_done_callback(self._ended.put)

    def _needs(self, recipe: Recipe) -> dict[str, float]:
        """What a run takes of a worker: on the wall clock all of it, for neighbours would be in its figures."""
        if any(survey.clock == "wall" for survey in self._able.values()):
            return {"sistasks-host": fleets.WHOLE}
        least = min(survey.memory for survey in self._able.values())
        at_once = min(recipe.node_count(self._job.suite), recipe.slots)
        return {
            "sistasks-host": 1.0,
            "sistasks-cores": 1.0,
            "sistasks-memory": float(min(least, at_once * recipe.machine.memory)),
        }

    def _take(self, future: Future) -> None:
        """A task has ended, one way or another."""
        task = self._tasks.get(future.key)
        if task is None:  # it was given up
            return
        if future.status == "finished":
            address, answer = future.result()
            del self._tasks[future.key]
            if isinstance(answer, Returned):
                self._lines.ended(task.number, self._fleet.name(address))
                with self._lines.aside():
                    self._record(task, address, answer)
            elif isinstance(answer, UsageError):
                raise answer
            else:
                self._elsewhere(task, address, str(answer))
        elif future.status == "error":
            raise FleetError(
                f"run {task.number} cannot be had: {future.exception()}", "see the workers' logs"
            )
        else:
            raise self._fleet.gone()

    def _elsewhere(self, task: _Task, address: str, why: str) -> None:
        """Start a run again that a worker could not run."""
        name = self._fleet.name(address)
        barred = task.barred | {address}
        if barred >= self._able.keys():
            raise FleetError(f"run {task.number} cannot be had of worker {name}: {why}", "")
        self._say(f"run {task.number}: not on worker {name}: {why}")
        self._submit(task.number, task.index, barred)

    def _look(self) -> None:
        """See who is there: who is new is enlisted, who says nothing is given up."""
        if self._fleet.lost:
            raise self._fleet.gone()
        self._enlist()
        now = time.monotonic()
        if self._able:
            self._alone_since = None
        elif now - (self._alone_since or now) > _SILENT:
            raise self._nobody()
        else:
            self._alone_since = self._alone_since or now
        for address, known in self._fleet.workers().items():
            seen = float(known["last_seen"])
            if self._heard.get(address, (0.0, 0.0))[0] != seen:
                self._heard[address] = seen, now
        for address, keys in self._fleet.processing().items():
            for key in keys:
                task = self._tasks.get(key)
                if task is not None:
                    self._follow(key, task, address, now - self._heard.get(address, (0.0, now))[1])

    def _follow(self, key: str, task: _Task, address: str, silent: float) -> None:
        """Note where a run is, and start it elsewhere where nothing is heard of that worker."""
        if task.where != address:
            name = self._fleet.name(address)
            if task.where:
                self._say(f"run {task.number}: again, on worker {name}")
            self._lines.runs(task.number, name)
            task.where = address
        if silent > _SILENT:
            del self._tasks[key]
            self._fleet.cancel([task.future])
            self._elsewhere(task, address, f"nothing was heard of it for {silent:.0f} s")

    def _record(self, task: _Task, address: str, came: Returned) -> None:
        """Write what came into the history, as if it had been run here."""
        import zstandard

        recipe, run = self._made[task.index], came.done.run
        there = run.environment
        recipe = replace(recipe, machine=replace(recipe.machine, accel=there.accel, clock=there.clock))
        self._terminal.log(came.said)
        self._terminal.say(f"run {task.number}: from worker {self._fleet.name(address)}")
        with tempfile.TemporaryDirectory(prefix="sistasks-") as name:
            evidence = []
            for number, parcel in enumerate(came.parcels):
                path = Path(name) / str(number)
                path.write_bytes(zstandard.decompress(parcel.data))
                evidence.append(Evidence(node=parcel.node, kind=parcel.kind, path=path, name=parcel.name))
            rows = (*keep(evidence, self._settings, Path(name), self._terminal), *came.staying)
        if came.staying:
            size = sum(row.size for row in came.staying) / 1e6
            self._terminal.say(
                f"{len(came.staying)} files of {size:.1f} MB stay on that worker until `doit artifacts` asks for them: "
                f"run={{its number}} cluster={self._fleet.address}"
            )
        run = replace(run, kernel=replace(run.kernel, path=str(recipe.kernel.image)))
        try:
            self._numbers.append(
                record(replace(came.done, run=run).with_artifacts(rows), recipe, self._terminal)
            )
        except HistoryError:
            raise
        except SistasksError as failure:
            self._failure = self._failure or failure
