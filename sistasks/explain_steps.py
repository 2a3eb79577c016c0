"""Where a regression under the virtual clock comes from: both kernels counted, function by function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import NodeError, SistasksError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.history.differences import PhaseDifference
    from sistasks.history.profiles import ProfileRecord
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import RunInfo

# the node that is counted where a run was not: one is enough, for the others do the same with other seeds
_NODE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What two runs execute differently.

    Attributes:
        base: the run before.
        head: the run that got worse.
        phases: of their tests.
    """

    base: RunInfo
    head: RunInfo
    phases: tuple[PhaseDifference, ...]


def explain(
    head: RunInfo, runs: Sequence[RunInfo], settings: Settings, terminal: Terminal
) -> Explanation | str:
    """Count what a run and the newest of its baseline that can be counted execute.

    A run that has no profile is played again on one node: under the virtual clock the same seed gives the same samples,
    and it is only believed where it does. Its profile is then the run's, and kept with it.

    Args:
        head: the run that got worse.
        runs: its baseline, the newest first.
        settings: as the run was measured.
        terminal: told what happens.

    Returns:
        The differences, or why there are none.
    """
    from sistasks.history.differences import differences
    from sistasks.history.profiles import profiles_of

    # nodes of other seeds do other work
    alike = [run for run in runs if run.seed == head.seed]
    why = f"no run of the baseline has seed={head.seed}"
    try:
        found: list[ProfileRecord] = profiles_of(settings.db, head.id)
        for base in alike:
            before = profiles_of(settings.db, base.id)
            if not (before and found):
                recipes = _recipes((base, head), settings)
                if isinstance(recipes, str):
                    why = recipes
                    continue
                before = before or _count(recipes[0], base, settings, terminal)
                found = found or _count(recipes[1], head, settings, terminal)
            phases = differences(before, found, (base.iterations, head.iterations))
            if not phases:
                return f"runs {base.id} and {head.id} have nothing in common that was counted"
            return Explanation(base=base, head=head, phases=tuple(phases))
    except SistasksError as error:
        return error.problem
    return why


def _recipes(runs: tuple[RunInfo, RunInfo], settings: Settings) -> tuple[Recipe, Recipe] | str:
    """What both runs were made of, or why one of them cannot be made again."""
    from sistasks.evidence import kernels
    from sistasks.history.records import identity
    from sistasks.layout import Layout
    from sistasks.suites.recipe import recipes_of_each
    from sistasks.suites.registry import suites

    head = runs[1]
    suite = suites(settings).get(head.suite)
    if suite is None:
        return f"this sistasks has no suite {head.suite}"
    try:
        fitting = [
            recipe
            for recipe in recipes_of_each(suite, settings)
            if identity(recipe.environment(suite)) == head.environment_id
        ]
    except (OSError, ValueError) as error:
        return f"the kernel of run {head.id} is not at hand: {error}"
    if not fitting:
        return f"the settings are not those of run {head.id}: give the same variables"
    folder = Layout(settings.output).kept_kernels(settings.db)
    made = []
    for run in runs:
        kept = kernels.find(folder, run.kernel_id, fitting[0].guest_sha256)
        if kept is None:
            return f"the kernel of run {run.id} is not kept"
        as_it_was = replace(fitting[0].settings, iterations=run.iterations, seed=run.seed)
        made.append(replace(fitting[0], settings=as_it_was).with_kernel(kept, folder))
    return made[0], made[1]


def _count(recipe: Recipe, run: RunInfo, settings: Settings, terminal: Terminal) -> list[ProfileRecord]:
    """Play a run's first node again with the plugin, and keep what it counted with the run.

    Raises:
        NodeError: it did other things than it did then, or it failed.
        SistasksError: it cannot be counted.
    """
    from sistasks.history.profiles import add
    from sistasks.history.read import samples_of
    from sistasks.suites.profiling import play
    from sistasks.suites.registry import find

    terminal.say(f"{run.suite}: counting what run {run.id} ({run.kernel_name}) executes")
    suite = find(run.suite, settings)
    report, found = play(suite, recipe, _NODE, terminal)
    for metric, values in report.results.samples.items():
        if samples_of(settings.db, run.id, _NODE, metric).tolist() != list(values):
            raise NodeError(
                f"run {run.id}, played again, gave other samples of {metric}: it is not explained",
                "doit selfcheck tells whether this machine repeats",
            )
    add(settings.db, run.id, found)
    return list(found)
