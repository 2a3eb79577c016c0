"""What a run is in the history and in the JSON files: rows made of what was measured."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

from sistasks.combinations import called, label
from sistasks.evidence.usage import resources_json
from sistasks.files import write_atomically
from sistasks.history import exports
from sistasks.history.kin import noted
from sistasks.history.records import EnvironmentRow, KernelRow, MetricRow, RunRecord, SessionRow, identity
from sistasks.layout import Layout
from sistasks.session import SESSION_ID, SESSION_STARTED, now

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from sistasks.settings import Settings
    from sistasks.suites.measured import Measured
    from sistasks.suites.metrics import Metric
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite


def run_record(suite: Suite, recipe: Recipe, measured: Measured, started: dt.datetime) -> RunRecord:
    """The run as the history keeps it.

    Args:
        suite: what was run, with the tests that the kernel turned out to have.
        recipe: what it was made of.
        measured: what it gave.
        started: when it began.
    """
    kernel, settings = recipe.kernel, recipe.settings
    environment = recipe.environment(suite)
    return RunRecord(
        suite=suite.name,
        kernel=KernelRow(
            id=recipe.kernel_id, name=recipe.kernel_name, release=kernel.release, arch=kernel.arch,
            config_sha256=kernel.config_sha256 or None, command_line=recipe.machine.kernel_command_line(),
            size=kernel.size, path=str(kernel.image), git_commit=kernel.git_commit or None,
            git_parent=kernel.git_parent or None, git_dirty=kernel.git_dirty if kernel.git_commit else None,
        ),
        environment=EnvironmentRow(id=identity(environment), **environment),
        inputs_sha256=recipe.inputs_sha256(suite),
        started_at=started,
        finished_at=now(),
        status=measured.status,
        nodes=recipe.node_count(suite),
        iterations=settings.iterations if suite.iterations is None else suite.iterations,
        seed=settings.seed,
        message=measured.message,
        results=measured.results,
        summaries=measured.summaries,
        samples=measured.samples,
    )  # fmt: skip


def this_session(settings: Settings) -> SessionRow:
    """This invocation of doit, and the kernels that it was asked for, if they are several."""
    asked = [called(kernel, settings) for kernel in settings.kernels_asked]
    return SessionRow(
        id=SESSION_ID, started_at=SESSION_STARTED, command=" ".join(["doit", *sys.argv[1:]]), host=socket.gethostname(),
        detail=noted(asked),
    )  # fmt: skip


def metric_rows(suite: Suite, known: Mapping[str, Metric]) -> list[MetricRow]:
    """The definitions of a suite's metrics."""
    names = [name for metrics in suite.tests.values() for name in metrics]
    names = list(dict.fromkeys([*names, *suite.own_metrics]))
    return [
        MetricRow(
            name=metric.name, unit=metric.unit, better=metric.better, target=metric.target,
            target_statistic=metric.target_statistic, industry=metric.industry, minimum_effect=metric.minimum_effect,
            description=metric.description,
        )
        for metric in (known[name] for name in names)
    ]  # fmt: skip


def write_json(suite: Suite, recipe: Recipe, run: RunRecord, metrics: list[MetricRow]) -> None:
    """Write the suite's JSON file where its readers expect it."""
    found = exports.suite_json(run, metrics, suite.title, resources_json(run.resources))
    text = json.dumps(found, indent=2) + "\n"
    parts = (label(recipe.settings), recipe.machine.boot if suite.cold else "")
    name = exports.results_name(suite.name, "-".join(filter(None, parts)))
    for folder in Layout(recipe.settings.output).results:
        write_atomically(folder / name, text)
