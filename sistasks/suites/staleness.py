"""Whether a suite must run is asked of the history itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sistasks.combinations import titled
from sistasks.errors import SistasksError, UsageError
from sistasks.history import read
from sistasks.suites import registry
from sistasks.suites.metrics import Metric
from sistasks.suites.recipe import recipes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


def _inputs(suite: Suite, settings: Settings) -> Iterator[tuple[Recipe, str]]:
    for recipe in recipes(suite, settings):
        yield recipe, recipe.inputs_sha256(suite)


def up_to_date(suite_name: str, settings: Settings) -> bool:
    """Whether the history holds `runs` good runs with the same inputs."""
    try:
        return all(
            read.good_runs(settings.db, inputs, targets_met=recipe.enforces_targets) >= settings.runs
            for recipe, inputs in _inputs(registry.find(suite_name, settings), settings)
        )
    except (SistasksError, OSError, ValueError, TypeError, KeyError):
        return False  # whatever is missing or broken will be said by the step that needs it


def show_kept(settings: Settings, terminal: Terminal, session_id: str = "") -> None:
    """Show the latest run of each suite that this session did not run itself."""
    from sistasks.suites.table import results_table

    metrics = dict(registry.metrics(settings))
    for row in read.metrics_of(settings.db):  # and those that programs printed and nobody has described
        metrics.setdefault(row.name, Metric(**asdict(row)))
    for suite in registry.suites(settings).values():
        try:
            made = list(_inputs(suite, settings))
        except UsageError:
            continue  # it cannot be with this kernel, and so was not run
        for recipe, inputs in made:
            run = read.latest_run(settings.db, suite.name, inputs, good=True)
            if run is None or run.session_id == session_id:
                continue
            how = f" ({recipe.machine.boot} boot)" if suite.cold else ""
            when = f"run {run.id} of {run.started_at:%Y-%m-%d %H:%M}"
            title = f"{titled(suite.name, settings)}{how}: {when} holds, nothing has changed"
            terminal.table(results_table(title, run.summaries, terminal.width, metrics))
