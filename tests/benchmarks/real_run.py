"""A real run, as a worker gives it, and many that differ as runs of other kernels do: a fixture of benchmarks."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sistasks.errors import SistasksError
from sistasks.fleet import cache, crew
from sistasks.fleet.job import Job, pack
from sistasks.history.records import MetricRow, RunRecord, SessionRow, identity
from sistasks.settings import resolve
from sistasks.suites import registry
from sistasks.suites.recipe import Recipe, recipes
from sistasks.suites.recording import metric_rows

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.fleet.records import Returned

# so often a kernel is measured in each environment, so many runs has a session
_OF_A_KERNEL: Final = 2
_OF_A_SESSION: Final = 10
_LIMIT: Final = 600.0


@dataclass(frozen=True)
class Real:
    """What a worker gave.

    Attributes:
        returned: the run as it travels.
        seconds: from the worker's being asked to its answer, with a template.
        job: what was asked.
        made: the job's recipes at home.
        metrics: their definitions.
        paths: the job's files, by SHA-256.
    """

    returned: Returned
    seconds: float
    job: Job
    made: list[Recipe]
    metrics: list[MetricRow]
    paths: dict[str, Path]


def real_run(folder: Path, nodes: int, clock: str) -> Real:
    """Run `performance` as a worker on this machine runs it. It works in `folder`, which becomes the current one."""
    os.chdir(folder)
    (folder / "dodo.py").write_text("from sistasks.tasks import *\n")
    os.environ[cache.VARIABLE] = str(folder / "cache")
    command = [sys.executable, "-m", "doit", "kernel", "guest", "quiet=yes"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    settings = resolve({"nodes": str(nodes), "clock": clock})
    suite = registry.find("performance", settings)
    made = recipes(suite, settings)
    job, paths = pack(suite, settings, made)
    for sha256, path in paths.items():
        cache.keep(sha256, path.read_bytes())
    for _ in range(2):  # the first one freezes the template
        began = time.perf_counter()
        returned = crew.ask("run", job, 0, limit=_LIMIT)
        seconds = time.perf_counter() - began
        if isinstance(returned, SistasksError):
            raise returned
    return Real(returned, seconds, job, made, metric_rows(suite, registry.metrics(settings)), paths)


class Runs:
    """Runs like a real one: other kernels, environments, times and levels, and the same samples in another order.

    Args:
        run: the real one.
        environments: how many; each has as many runs as the others.
        per_day: how far apart they are in time.
    """

    def __init__(self, run: RunRecord, environments: int = 10, per_day: int = 100_000) -> None:
        self._run = run
        self._step = dt.timedelta(days=1) / per_day
        self._dice = np.random.default_rng(20_260_131)
        self._environments = []
        for number in range(environments):
            fields = {
                field.name: getattr(run.environment, field.name)
                for field in dataclasses.fields(run.environment)
            }
            fields |= {"qemu_version": f"9.{number}"}
            del fields["id"]
            self._environments.append(type(run.environment)(id=identity(fields), **fields))

    def session(self, number: int) -> SessionRow:
        """The session of a run."""
        first = number - number % _OF_A_SESSION
        name = f"session-{first:09}"
        return SessionRow(
            id=name, started_at=self._run.started_at + first * self._step, command="doit", host="home"
        )

    def run(self, number: int) -> RunRecord:
        """One of the runs, by its number from 0."""
        run, dice = self._run, self._dice
        kernel = _digest("kernel", number // (_OF_A_KERNEL * len(self._environments)))
        environment = self._environments[number % len(self._environments)]
        level = dice.lognormal(0, 0.02)
        return replace(
            run,
            kernel=replace(run.kernel, id=kernel),
            environment=environment,
            inputs_sha256=_digest(kernel, environment.id),
            started_at=run.started_at + number * self._step,
            finished_at=run.finished_at + number * self._step,
            summaries=tuple(_moved(row, level * dice.lognormal(0, 0.03)) for row in run.summaries),
            samples=tuple(
                replace(one, values=np.roll(np.asarray(one.values), int(dice.integers(len(one.values)))))
                for one in run.samples
            ),
        )


def widened(run: RunRecord, nodes: int) -> RunRecord:
    """The run with so many nodes: those that it has, again and again; what is the cluster's stays as it is."""

    def of_all(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        each: dict[int, list[Any]] = {}
        for row in rows:
            each.setdefault(row.node, []).append(row)
        known = sorted(number for number in each if number)
        if not known:
            return rows
        wide = [
            replace(row, node=n) for n in range(1, nodes + 1) for row in each[known[(n - 1) % len(known)]]
        ]
        return (*each.get(0, ()), *wide)

    return replace(
        run, nodes=nodes, results=of_all(run.results), summaries=of_all(run.summaries),
        # pickle sends the same list once
        samples=tuple(replace(one, values=list(one.values)) for one in of_all(run.samples)),
        resources=of_all(run.resources), artifacts=of_all(run.artifacts),
    )  # fmt: skip


def _moved(row: Any, factor: float) -> Any:
    names = [
        field.name
        for field in dataclasses.fields(row)
        if field.name not in {"node", "metric", "count", "confidence"}
    ]
    return replace(
        row, **{name: value * factor for name in names if (value := getattr(row, name)) is not None}
    )


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
