"""What one execution of a suite gave, and what becomes of it at home: history, JSON, what a person sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sistasks.evidence import kernels
from sistasks.history import read
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.suites.recording import metric_rows, this_session, write_json
from sistasks.suites.showing import say_notes, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.errors import SistasksError
    from sistasks.evidence.records import Evidence
    from sistasks.history.records import ArtifactRow, RunRecord
    from sistasks.suites.metrics import Metric
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


# of each suite in each environment: as many as a verdict may look back
_BASELINE_RUNS = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One execution that has ended; whole in itself, so that it may come from another machine.

    Attributes:
        suite: what was run, with the tests and metrics that the kernel turned out to have.
        run: for the history; its artifacts are those that a store has kept.
        known: every metric that there is, by name.
        notes: what guests remarked: (node, remark).
        evidence: files that no store has kept yet.
        failure: what made the run fail; None: nothing did.
    """

    suite: Suite
    run: RunRecord
    known: Mapping[str, Metric]
    notes: tuple[tuple[int, str], ...]
    evidence: tuple[Evidence, ...]
    failure: SistasksError | None

    def with_artifacts(self, rows: tuple[ArtifactRow, ...]) -> Executed:
        """The same when a store has kept its evidence."""
        return replace(self, run=replace(self.run, artifacts=rows), evidence=())


def record(done: Executed, recipe: Recipe, terminal: Terminal) -> int:
    """Write a run into the history, show it, and write its JSON file.

    Returns:
        The run's number.

    Raises:
        SistasksError: what made the run fail (it is kept), or the history cannot be written.
    """
    suite, run = done.suite, done.run
    metrics = metric_rows(suite, done.known)
    run_id = write_run(recipe.settings.db, this_session(recipe.settings), run, metrics)
    say_notes(done.notes, terminal)
    show(suite, recipe, run, run_id, known=done.known, terminal=terminal)
    if run.status == "ok":
        _keep_kernel(recipe)
    write_json(suite, recipe, run, metrics)
    if done.failure is not None:
        raise done.failure
    return run_id


def _keep_kernel(recipe: Recipe) -> None:
    """Keep what it takes to boot this kernel again, for as long as a baseline may name it."""
    if recipe.guest is None or recipe.machine.kernel is None:
        return
    folder = Layout(recipe.settings.output).kept_kernels(recipe.settings.db)
    kernel = kernels.KeptKernel(
        id=recipe.kernel_id, image=recipe.kernel.sha256, initramfs=recipe.guest.sha256, guest=recipe.guest.bare_sha256,
        arguments=recipe.machine.arguments, results_line=recipe.machine.results_line,
    )  # fmt: skip
    # what baselines may name is asked of the whole history: not for each run of a kernel that is kept already
    if kernels.keep(folder, kernel, recipe.kernel.image, recipe.guest.initramfs):
        kernels.prune(folder, read.recent_kernels(recipe.settings.db, _BASELINE_RUNS))
