"""The gate: judges the latest run of each suite, confirms what it flags, writes verdicts, and says no where it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure, NodeError, SistasksError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.settings import Settings
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import History, RunInfo
    from sistasks.verdicts.records import Verdict


def gate(settings: Settings, terminal: Terminal) -> None:
    """Judge the latest run of each suite.

    Raises:
        KernelFailure: a regression is confirmed, or the run itself failed.
        SistasksError: the run ended in an error of ours, or the history cannot be used.
    """
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.store import write_verdicts

    judged: list[tuple[RunInfo, list[Verdict]]] = []
    broken: list[SistasksError] = []
    with open_history(settings.db) as history:
        for run in history.latest():
            if run.status != "ok":
                kind = KernelFailure if run.status == "failed" else NodeError
                broken.append(kind(f"run {run.id} ({run.suite}) has nothing to judge, it {_ended(run)}"))
                continue
            verdicts = judge(history, run, settings, terminal)
            judged.append((run, verdicts))
    for run, verdicts in judged:
        if verdicts:
            write_verdicts(settings.db, run.id, verdicts)
        show(run, verdicts, terminal)
    _conclude(judged, broken, settings, terminal)


def _ended(run: RunInfo) -> str:
    return f"{'failed' if run.status == 'failed' else 'ended in an error'}: {run.message}"


def judge(
    history: History, run: RunInfo, settings: Settings, terminal: Terminal, *, same_kernel: bool = False
) -> list[Verdict]:
    """Verdicts on one good run; none if the history has no baseline for it.

    Args:
        history: where baselines come from.
        run: the candidate.
        settings: for booting both kernels again.
        terminal: told what happens.
        same_kernel: judge the run against its own kernel: every alarm is then a false one.

    Raises:
        SistasksError: the boots that a confirmation needs failed.
    """
    from sistasks.verdicts import virtual, wall

    runs = history.baseline_runs(run, same_kernel=same_kernel)
    if not runs:
        return []
    metrics = history.metrics()
    if run.clock == "virtual":
        reference = virtual.reference_run(run, runs)
        if reference is None:
            terminal.say(f"{run.suite}: no earlier run has seed={run.seed}, so that nodes cannot be compared")
            return []
        return virtual.judge(run, reference, history.boots([run.id, reference.id]), metrics)
    screened = wall.screen(run, runs, history.boots([run.id, *(other.id for other in runs)]), metrics)
    flagged = [verdict for verdict in screened if verdict.outcome == "worse"]
    if not flagged:
        return screened
    pairs = _confirm(run, runs, wall.pairs_needed(flagged), settings, terminal)
    if isinstance(pairs, str):
        return [wall.unconfirmed(verdict, pairs) if verdict in flagged else verdict for verdict in screened]
    confirmed = wall.confirm(flagged, pairs, seed=settings.seed)
    return [confirmed.get((verdict.metric, verdict.statistic), verdict) for verdict in screened]


def _confirm(
    run: RunInfo, runs: Sequence[RunInfo], pairs: int, settings: Settings, terminal: Terminal
) -> list[tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]] | str:
    """Values of fresh boots of both kernels, or why there are none."""
    from sistasks.evidence import kernels
    from sistasks.history.records import identity
    from sistasks.layout import Layout
    from sistasks.suites.confirm import measure_pairs
    from sistasks.suites.recipe import recipes
    from sistasks.suites.suite import SUITES

    suite = SUITES.get(run.suite)
    if suite is None:
        return f"this sistasks has no suite {run.suite}"
    try:
        fitting = [
            recipe
            for recipe in recipes(suite, settings)
            if recipe.kernel_id == run.kernel_id
            and identity(recipe.environment(cloned=settings.clone and not suite.cold)) == run.environment_id
        ]
    except (SistasksError, OSError, ValueError) as error:
        return f"the kernel of run {run.id} is not built here: {error}"
    if not fitting:
        return f"the settings are not those of run {run.id}: give the gate the same variables"
    folder = Layout(settings.output).kept_kernels
    for other in runs:
        kept = kernels.find(folder, other.kernel_id)
        if kept is not None and kept.guest == fitting[0].guest.bare_sha256:
            terminal.say(f"{run.suite}: flagged against run {other.id} ({other.kernel_name})")
            return measure_pairs(fitting[0], suite, kept, pairs, terminal)
    return "no kernel of the baseline is kept, so that none can be booted again"


def show(run: RunInfo, verdicts: Sequence[Verdict], terminal: Terminal) -> None:
    """The gate's table for one run."""
    from sistasks.verdicts.table import verdict_table

    if not verdicts:
        terminal.result(
            f"{run.suite}: run {run.id} ({run.kernel_name}) has no baseline yet: nothing to judge it by"
        )
        return
    terminal.table(verdict_table(run, verdicts, terminal.width))
    for verdict in verdicts:
        if verdict.outcome == "unsure":
            terminal.say(f"unsure: {verdict.name}: {verdict.reason}")


def _conclude(
    judged: Sequence[tuple[RunInfo, Sequence[Verdict]]],
    broken: Sequence[SistasksError],
    settings: Settings,
    terminal: Terminal,
) -> None:
    worse = [(run, verdict) for run, verdicts in judged for verdict in verdicts if verdict.regressed]
    unsure = sum(verdict.outcome == "unsure" for _, verdicts in judged for verdict in verdicts)
    if worse:
        words = ", ".join(
            f"{verdict.name} {verdict.effect or 0:+.1%} (run {run.id})" for run, verdict in worse
        )
        raise KernelFailure(f"worse: {words}", f"if that is meant: doit accept run={worse[0][0].id} note='why'")
    for error in broken:
        raise error
    if unsure and settings.strict:
        raise KernelFailure(
            f"{unsure} verdicts are unsure, and strict=yes", "measure more boots, or see the reasons"
        )
    terminal.result(f"gate: passed{f', {unsure} verdicts unsure' if unsure else ''}")


def accept(settings: Settings, terminal: Terminal) -> None:
    """Take a run as the new normal.

    Raises:
        UsageError: no run was named, or the history has no such run.
    """
    from sistasks.verdicts.store import accept as write

    if "run" not in settings.given:
        raise UsageError("accept needs the run that is the new normal", "doit accept run=12 note='why'")
    write(settings.db, settings.run, settings.note)
    terminal.result(f"run {settings.run} is the new normal: baselines begin with it")
