"""A suite on a fleet: its runs become tasks, and what they give is recorded here, one after the other."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from sistasks.combinations import titled
from sistasks.errors import FleetError, HistoryError, SistasksError, UsageError
from sistasks.fleet import fleet as fleets
from sistasks.fleet.arrival import take_in
from sistasks.fleet.records import Returned
from sistasks.fleet.worker import OURS
from sistasks.history import read
from sistasks.suites.showing import say_what

if TYPE_CHECKING:
    import queue
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from distributed import Future

    from sistasks.fleet.fleet import Fleet
    from sistasks.fleet.job import Job
    from sistasks.fleet.progress import RunLines
    from sistasks.fleet.records import Survey
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal

# seconds after which a worker that says nothing is given up, and after which nobody is waited for any more
SILENT: Final = 30.0
# how a task ends that gives nothing; another one that gives nothing was lost with its worker
_FAILED: Final = frozenset({"error", "cancelled"})
# seconds that a template and the start may take beside the nodes
BESIDE: Final = 120.0


@dataclass(slots=True)
class _Task:
    """One run that is under way.

    Attributes:
        number: of this session's, from 1.
        index: of the recipe.
        future: Dask's.
        only: the one worker that may run it, by address; empty: any.
        barred: workers that could not run it, by address.
        where: the worker that has it, as far as is known.
    """

    number: int
    index: int
    future: Future
    only: str
    barred: set[str] = field(default_factory=set)
    where: str = ""


def held(settings: Settings, able: Mapping[str, Survey], index: int) -> int:
    """Good runs that the history has of one recipe, in the environments of these workers."""
    inputs = {survey.inputs[index]: survey.enforces[index] for survey in able.values()}
    return sum(read.good_runs(settings.db, one, targets_met=met) for one, met in inputs.items())


class Session:
    """The runs of one suite on a fleet.

    Args:
        fleet: where they run.
        job: what is run.
        paths: where its files are, by SHA-256.
        made: the job's recipes, as they are here.
        ended: told of each task that ends.

    Attributes:
        came: the runs that are recorded, and the address of the worker that each came from.
        error: why it ended early; None: it did not.
        total: runs that were asked for.
    """

    def __init__(
        self,
        fleet: Fleet,
        job: Job,
        paths: Mapping[str, Path],
        made: list[Recipe],
        ended: queue.SimpleQueue[Future],
    ) -> None:
        self._fleet, self._job, self._paths, self._made, self._ended = fleet, job, paths, made, ended
        self._settings = made[0].settings
        self._label = titled(job.suite.name, self._settings)
        self._able: dict[str, Survey] = {}
        self._tasks: dict[str, _Task] = {}
        # runs on the wall clock that are not submitted yet: (number, index of the recipe, the only worker)
        self._planned: list[tuple[int, int, str]] = []
        self._failure: SistasksError | None = None
        self._alone_since: float | None = None
        self.came: list[tuple[int, str]] = []
        self.error: SistasksError | None = None
        self.total = 0

    @property
    def under_way(self) -> bool:
        """Whether some of its runs have not ended."""
        return bool(self._tasks or self._planned)

    def begin(self, terminal: Terminal) -> None:
        """Submit as many runs as the history lacks, but at least one; on the wall clock they wait for `start`.

        Raises:
            FleetError: no worker can run them, or the scheduler is lost.
        """
        self._enlist(terminal)
        for index in range(len(self._made)):
            for _ in range(max(1, self._settings.runs - held(self._settings, self._able, index))):
                self._add(index, "")
        self._say_begun(terminal)

    def begin_on_each(self, count: int, terminal: Terminal) -> dict[str, Survey]:
        """Submit `count` runs for each worker, for them to be compared.

        Returns:
            The workers, by address.

        Raises:
            FleetError: no worker can run them, no two runs could be compared, or the scheduler is lost.
        """
        self._enlist(terminal)
        if count < 2 and len({survey.inputs for survey in self._able.values()}) == len(self._able):
            raise self._nobody_to_compare()
        for address in self._able:
            for index in range(len(self._made)):
                for _ in range(count):
                    self._add(index, address)
        self._say_begun(terminal)
        return dict(self._able)

    def _enlist(self, terminal: Terminal) -> None:
        self._able = self._fleet.enlist(self._job, self._paths)
        for line in self._left_out():
            terminal.say(line, always=True)
        if not self._able:
            raise self._nobody()

    def _left_out(self) -> list[str]:
        return [
            f"worker {self._fleet.name(address)} is left out: {why}"
            for address, why in self._fleet.untold(self._job)
        ]

    def _say_begun(self, terminal: Terminal) -> None:
        for recipe in self._made:
            say_what(self._job.suite, recipe, terminal)
        who = f"{len(self._able)} worker{'s' * (len(self._able) > 1)}"
        terminal.say(
            f"{self._label}: {self.total} run{'s' * (self.total > 1)} on {who} of {self._fleet.address}; "
            f"{self._fleet.dashboard}"
        )

    def _nobody(self) -> FleetError:
        refused = self._fleet.refused(self._job)
        return FleetError(
            f"no worker of {self._fleet.address} can run the suite {self._job.suite.name}",
            refused[0] if refused else f"start one: dask worker {self._fleet.address}",
        )

    def _nobody_to_compare(self) -> FleetError:
        names = [self.name(address) for address in self._able]
        alone = (
            f"worker {names[0]} is alone"
            if len(names) == 1
            else f"each of the {len(names)} workers is an environment of its own"
        )
        return FleetError(
            f"{alone}, and one run has nothing to be compared with",
            "start another worker on the same kind of machine, or give count=2 to compare each with itself",
        )

    def name(self, address: str, *, short: bool = False) -> str:
        """What a person calls a worker; `short` without its address, where it has a name of its own."""
        return self._fleet.name(address, short=short)

    def _called(self, task: _Task) -> str:
        return f"{self._label} run {task.number}"

    @property
    def _on_wall(self) -> bool:
        return any(survey.clock == "wall" for survey in self._able.values())

    def start(self) -> None:
        """Submit what was put off: nobody sets a worker up for other suites any more while it measures."""
        planned, self._planned = self._planned, []
        for number, index, only in planned:
            self._submit(number, index, only, set())

    def _add(self, index: int, only: str) -> None:
        self.total += 1
        if self._on_wall:
            self._planned.append((self.total, index, only))
        else:
            self._submit(self.total, index, only, set())

    def _submit(self, number: int, index: int, only: str, barred: set[str]) -> None:
        recipe = self._made[index]
        rounds = ceil(recipe.node_count(self._job.suite) / recipe.slots) + 1
        key = f"{OURS}{self._job.suite.name}-{number}-{secrets.token_hex(8)}"
        others = [address for address in self._able if address not in barred] if barred else []
        future = self._fleet.submit(
            self._job, index, limit=recipe.timeout * rounds + BESIDE, resources=self._needs(recipe), key=key,
            workers=[only] if only else others,
        )  # fmt: skip
        self._tasks[key] = _Task(number, index, future, only, barred)
        future.add_done_callback(self._ended.put)

    def _needs(self, recipe: Recipe) -> dict[str, float]:
        """What a run takes of a worker: on the wall clock all of it, for neighbours would be in its figures."""
        if self._on_wall:
            return {"sistasks-host": fleets.WHOLE}
        least = min(survey.memory for survey in self._able.values())
        at_once = min(recipe.node_count(self._job.suite), recipe.slots)
        return {
            # who comes later may have the wall clock, and would run several at once
            fleets.mark(self._job, "virtual"): 1.0,
            "sistasks-host": 1.0,
            "sistasks-cores": 1.0,
            "sistasks-memory": float(min(least, at_once * recipe.machine.memory)),
        }

    def take(self, future: Future, lines: RunLines) -> None:
        """A task has ended, one way or another; of another session's nothing is done.

        Raises:
            SistasksError: the session cannot go on.
        """
        task = self._tasks.get(future.key)
        if task is None:  # another session's, or one that was given up
            return
        given = self._fleet.result(future) if future.status == "finished" else None
        if given is None and future.status not in _FAILED:
            self._again(future.key, task)
            return
        self._fleet.forget(future.key)
        if given is not None:
            address, answer = given
            del self._tasks[future.key]
            if isinstance(answer, Returned):
                lines.ended(self._called(task), self._fleet.name(address, short=True))
                with lines.aside():
                    self._record(task, address, answer, lines.terminal)
            elif isinstance(answer, UsageError):
                raise answer
            else:
                self._elsewhere(task, address, str(answer), lines)
        elif future.status == "error":
            raise FleetError(
                f"{self._called(task)} cannot be had: {future.exception()}", "see the workers' logs"
            )
        else:
            raise self._fleet.gone()

    def _again(self, key: str, task: _Task) -> None:
        """Submit a run anew; what its task gives is not wanted any more."""
        del self._tasks[key]
        self._fleet.forget(key)
        self._fleet.cancel([task.future])
        self._submit(task.number, task.index, task.only, task.barred)

    def _elsewhere(self, task: _Task, address: str, why: str, lines: RunLines) -> None:
        """Start a run again that a worker could not run."""
        name = self._fleet.name(address)
        barred = task.barred | {address}
        if task.only or barred >= self._able.keys():
            self._give_up(task, address, why, lines)
            return
        lines.say(f"{self._called(task)}: not on worker {name}: {why}")
        self._submit(task.number, task.index, "", barred)

    def _give_up(self, task: _Task, address: str, why: str, lines: RunLines) -> None:
        """A run cannot be had: the end of the session, unless the run was for that worker alone; then others go on."""
        error = FleetError(f"{self._called(task)} cannot be had of worker {self.name(address)}: {why}", "")
        if not task.only:
            raise error
        self._failure = self._failure or error
        lines.say(str(error))

    def look(self, there: Mapping[str, Mapping[str, Any]], lines: RunLines) -> None:
        """Enlist who is new.

        Args:
            there: what the scheduler knows of each worker, by address.
            lines: told of those that are left out.

        Raises:
            FleetError: there has been nobody for long.
        """
        before = self._able
        self._able = self._fleet.enlist(self._job, self._paths, there)
        for line in self._left_out():
            lines.say(line)
        # one that was started again at its address tells of itself anew
        new = {address for address, survey in self._able.items() if before.get(address) is not survey}
        if new or before.keys() - self._able.keys():
            self._rouse(new)
        now = time.monotonic()
        if all(self._able.keys() - task.barred for task in self._tasks.values()):
            self._alone_since = None
        elif now - (self._alone_since or now) > SILENT:
            raise self._nobody()
        else:
            self._alone_since = self._alone_since or now
        for key, task in list(self._tasks.items()):
            if task.only and task.only not in self._able:
                del self._tasks[key]
                self._fleet.cancel([task.future])
                self._give_up(task, task.only, "it has gone", lines)

    def _rouse(self, new: Collection[str]) -> None:
        """Submit again what has no worker: Dask looks for one when a worker comes, which is before it is ready.

        And what only some may run, when some have gone: it may be that none of those is left.
        """
        for key, task in list(self._tasks.items()):
            placed = task.where in self._able.keys() - new
            if task.only in new or (
                not task.only and not placed and self._able.keys() - task.barred and (new or task.barred)
            ):
                self._again(key, task)

    def follow(self, key: str, address: str, silent: float, lines: RunLines) -> None:
        """Note where a task is, and start its run elsewhere where nothing is heard of that worker.

        Args:
            key: of the task; of another session's nothing is done.
            address: the worker that has it.
            silent: seconds since that worker was heard of.
            lines: told of it.

        Raises:
            FleetError: there is no other worker.
        """
        task = self._tasks.get(key)
        if task is None:
            return
        if task.where != address:
            name = self._fleet.name(address)
            if task.where:
                lines.say(f"{self._called(task)}: again, on worker {name}")
            task.where = address
        lines.runs(self._called(task), self._fleet.name(address, short=True), self._fleet.begun(key, address))
        if silent > SILENT:
            del self._tasks[key]
            self._fleet.cancel([task.future])
            self._elsewhere(task, address, f"nothing was heard of it for {silent:.0f} s", lines)

    def end(self, error: SistasksError) -> None:
        """Want nothing more of what has not ended."""
        self.error = self.error or error
        self.cancel()

    def cancel(self) -> None:
        """Want nothing more."""
        self._fleet.cancel([task.future for task in self._tasks.values()])
        self._tasks.clear()
        self._planned.clear()

    def conclude(self) -> list[int]:
        """What came of it.

        Returns:
            The numbers of the runs.

        Raises:
            KernelFailure: a test failed (the runs are kept).
            SistasksError: why it ended early.
        """
        error = self.error or self._failure
        if error is not None:
            raise error
        return [number for number, _ in self.came]

    def _record(self, task: _Task, address: str, came: Returned, terminal: Terminal) -> None:
        """Write what came into the history."""
        name = self._fleet.name(address)
        terminal.say(f"{self._called(task)}: from worker {name}")
        try:
            number = take_in(came, self._made[task.index], name, self._fleet.address, terminal)
        except HistoryError:
            raise
        except SistasksError as failure:
            self._failure = self._failure or failure
        else:
            self.came.append((number, address))
