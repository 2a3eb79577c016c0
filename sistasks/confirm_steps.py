"""What the gate does with a suspicion on the wall clock: both kernels are booted again, pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sistasks.errors import SistasksError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.evidence.kernels import KeptKernel
    from sistasks.fleet.pairs import Team
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.suites.trial import Trial
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import RunInfo
    from sistasks.verdicts.records import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Both:
    """Two kernels that can be booted again.

    Attributes:
        recipe: of the candidate, as its run was measured.
        suite: what is measured.
        baseline: the other kernel.
        other: the run that it is known from.
        here: this machine has the environment of the candidate's run.
    """

    recipe: Recipe
    suite: Suite
    baseline: KeptKernel
    other: RunInfo
    here: bool


def confirm(
    run: RunInfo,
    runs: Sequence[RunInfo],
    flagged: Sequence[Verdict],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    settings: Settings,
    terminal: Terminal,
) -> Mapping[tuple[str, str], Verdict]:
    """Verdicts on what the screen has flagged, by fresh boots of both kernels.

    Args:
        run: the candidate.
        runs: its baseline, the newest first.
        flagged: verdicts of the screen, `worse`.
        metrics: definitions by name.
        settings: what was asked.
        terminal: told beforehand what is done.

    Returns:
        (metric, statistic) -> the verdict that stands; `unsure` with the reason where nothing could be measured.
    """
    from sistasks.suites.confirm import measure_pairs
    from sistasks.suites.trial import Trial
    from sistasks.verdicts import wall

    def unsure(why: str) -> Mapping[tuple[str, str], Verdict]:
        return {(one.metric, one.statistic): wall.unconfirmed(one, why) for one in flagged}

    both = _both(run, runs, settings)
    if isinstance(both, str):
        return unsure(both)
    planned = wall.pairs_needed(flagged, metrics)
    settled = partial(_settled, flagged, metrics, settings.seed)
    trial = Trial(planned, settings.confirm, settled, expected=_seconds(run, both))
    terminal.say(f"{run.suite}: {_suspicion(flagged, both.other)}")
    team = _team(run, both, settings, terminal)
    if isinstance(team, str):
        return unsure(team)
    trial.at_once = len(team.workers) if team is not None else 1
    if trial.wants():
        terminal.say(_plan(trial, len(team.workers) if team is not None else 0))
    try:
        if team is not None:
            team.measure(trial, terminal)
        else:
            measure_pairs(both.recipe, both.suite, both.baseline, trial, terminal)
    except SistasksError as error:
        return unsure(error.problem)
    return wall.confirm(flagged, trial.found, metrics, seed=settings.seed, planned=planned, short=trial.short)


def _team(run: RunInfo, both: _Both, settings: Settings, terminal: Terminal) -> Team | str | None:
    """Workers with the run's environment; None: this machine has it; or why nobody has."""
    from sistasks.layout import Layout

    if not settings.cluster:
        return None
    from sistasks.fleet.pairs import team

    found = team(
        settings.cluster, both.suite, both.recipe, baseline=both.baseline,
        folder=Layout(settings.output).kept_kernels(settings.db), environment=run.environment_id,
    )  # fmt: skip
    if isinstance(found, str) and both.here:
        terminal.say(f"{run.suite}: confirmed here, for {found}")
        return None
    return found


def _settled(
    flagged: Sequence[Verdict], metrics: Mapping[str, Mapping[str, Any]], seed: int, pairs: Sequence[Any]
) -> bool:
    from sistasks.verdicts import wall

    return wall.settled(flagged, pairs, metrics, seed=seed)


def _suspicion(flagged: Sequence[Verdict], other: RunInfo) -> str:
    from sistasks.textlines import visible

    names = list(dict.fromkeys(visible(verdict.metric) for verdict in flagged))
    named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{named} flagged against run {other.id} ({visible(other.kernel_name)})"


def _plan(trial: Trial, workers: int) -> str:
    """What is going to be done, and how long it may take."""
    from sistasks.statistics.paired import first_look
    from sistasks.suites.trial import duration

    words = f"confirming with {trial.pairs} pairs of fresh boots of both kernels"
    if workers:
        words += f" on {workers} worker{'s' * (workers > 1)}"
    seconds = trial.expected * math.ceil(trial.pairs / max(1, workers))
    words += f", {duration(seconds)}" if seconds else ""
    look = first_look(trial.pairs)
    words += f"; {look} may be enough" if look else ""
    if not seconds or seconds > trial.budget:
        words += f"; none is begun after {trial.budget:g} s (confirm=)"
    return words


def _seconds(run: RunInfo, both: _Both) -> float:
    """What a pair may take, as the two runs did; 0.0 where they do not tell."""
    from sistasks.suites.confirm import together

    taken = [
        (datetime.fromisoformat(one.finished_at) - datetime.fromisoformat(one.started_at)).total_seconds()
        for one in (run, both.other)
        if one.finished_at
    ]
    if len(taken) < 2:
        return 0.0
    if together(both.suite):
        return sum(taken)
    slots = both.recipe.slots
    return sum(taken) / 2 / math.ceil(run.nodes / slots) * (1 if slots > 1 else 2)


def _both(run: RunInfo, runs: Sequence[RunInfo], settings: Settings) -> _Both | str:
    """Both kernels, or why one of them cannot be booted again."""
    from sistasks.evidence import kernels
    from sistasks.history.records import identity
    from sistasks.layout import Layout
    from sistasks.suites.recipe import recipes_of_each
    from sistasks.suites.registry import suites

    suite = suites(settings).get(run.suite)
    if suite is None:
        return f"this sistasks has no suite {run.suite}"
    try:
        made = [one for one in recipes_of_each(suite, settings) if one.kernel_id == run.kernel_id]
        fitting = [one for one in made if identity(one.environment(suite)) == run.environment_id]
        # what is no environment of this machine's may be one of a worker's
        chosen = fitting or (made if settings.cluster else [])
        for recipe in chosen:
            recipe.verify()
    except (SistasksError, OSError, ValueError) as error:
        return f"the kernel of run {run.id} is not at hand: {error}"
    if not chosen:
        return f"the settings are not those of run {run.id}: give the gate the same variables"
    folder = Layout(settings.output).kept_kernels(settings.db)
    for other in runs:
        kept = kernels.find(folder, other.kernel_id, chosen[0].guest_sha256)
        if kept is not None:
            # as the run was measured, whatever the gate was told
            own = replace(chosen[0].settings, iterations=run.iterations, seed=run.seed)
            recipe = replace(chosen[0], settings=own)
            return _Both(recipe=recipe, suite=suite, baseline=kept, other=other, here=bool(fitting))
    return "no kernel of the baseline is kept, so that none can be booted again"
