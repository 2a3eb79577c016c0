"""The gate: judges the latest run of each suite, confirms what it flags, writes verdicts, and says no where it must."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError, KernelFailure, NodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.history.findings import FindingVerdict
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import History, RunInfo
    from sistasks.verdicts.changes import Changes
    from sistasks.verdicts.records import Verdict

# findings and metrics that are named in the sentence; the tables have them all
_NAMED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One run, the verdicts on it, and since when its metrics are what they are.

    Attributes:
        baseline: the runs that it is judged against, the newest first.
        findings: verdicts on what its rules came to.
        failing_since: rule -> the run since which it fails, of those that got worse.
        accepted: a person took this very run as the new normal.
    """

    run: RunInfo
    baseline: Sequence[RunInfo]
    verdicts: Sequence[Verdict]
    findings: Sequence[FindingVerdict]
    failing_since: Mapping[str, int]
    changes: Mapping[tuple[str, str], Changes]
    accepted: bool


def gate(settings: Settings, terminal: Terminal) -> None:
    """Judge the latest run of each suite.

    Raises:
        KernelFailure: a regression is confirmed, a finding got worse, or the run itself failed.
        SistasksError: the run ended in an error of ours, or the history cannot be used.
    """
    from sistasks.history.connection import prepare
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.changes import find_changes
    from sistasks.verdicts.store import write_changes, write_finding_verdicts, write_verdicts

    with open_history(settings.db) as history:
        if not history.latest():
            raise HistoryError(f"{settings.db} has no runs yet", "measure first: doit test")
    prepare(
        settings.db
    )  # an older history has no place for verdicts, and one that cannot be written has none either
    judged: list[_Judged] = []
    broken: list[RunInfo] = []
    with open_history(settings.db) as history:
        latest = history.latest()
        for run, shown in zip(latest, _shown(latest), strict=True):
            if run.status != "ok":
                broken.append(shown)
                continue
            findings = judge_findings(history, run)
            judged.append(
                _Judged(
                    run=shown,
                    baseline=history.baseline_runs(run),
                    verdicts=judge(history, run, settings, terminal),
                    findings=findings,
                    failing_since={
                        one.rule: history.failing_since(run, one.rule) for one in findings if one.regressed
                    },
                    changes=find_changes(history, run, history.metrics(), seed=settings.seed),
                    accepted=history.accepted(run) == run.id,
                )
            )
    for one in judged:
        if one.verdicts:
            write_verdicts(settings.db, one.run.id, one.verdicts)
        if one.findings:
            write_finding_verdicts(settings.db, one.run.id, one.findings)
        if one.changes:
            write_changes(settings.db, one.run.environment_id, one.changes)
        _show(one, terminal)
        _explain(one, settings, terminal)
    _export(settings, terminal)
    _conclude(judged, broken, settings, terminal)


def _shown(runs: Sequence[RunInfo]) -> list[RunInfo]:
    """The runs as a person is told of them: kernels with their architecture where there are several."""
    if len({run.arch for run in runs}) < 2:
        return list(runs)
    return [replace(run, kernel_name=f"{run.kernel_name} {run.arch}") for run in runs]


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
    """
    from sistasks.confirm_steps import confirm
    from sistasks.verdicts import virtual, wall

    runs = history.baseline_runs(run, same_kernel=same_kernel)
    if not runs:
        return []
    metrics = history.metrics()
    numbers = [run.id, *(other.id for other in runs)]
    if run.clock == "virtual":
        return virtual.judge(run, runs, history.boots(numbers), metrics)
    others = history.other_levels(run, runs)
    boots = history.boots([*numbers, *(other.id for level in others for other in level)])
    screened = wall.screen(run, runs, boots, metrics, others)
    flagged = [verdict for verdict in screened if verdict.outcome == "worse"]
    if not flagged:
        return screened
    confirmed = confirm(run, runs, flagged, metrics, settings=settings, terminal=terminal)
    return [confirmed.get((verdict.metric, verdict.statistic), verdict) for verdict in screened]


def judge_findings(history: History, run: RunInfo) -> list[FindingVerdict]:
    """Verdicts on the findings of one good run; none if the history has no baseline for them."""
    from sistasks.verdicts import findings

    runs = history.baseline_runs(run)
    return findings.judge(run, runs, history.findings([run.id, *(other.id for other in runs)]))


def _show(judged: _Judged, terminal: Terminal) -> None:
    """The gate's tables for one run, and the reasons below them."""
    from sistasks.textlines import visible
    from sistasks.verdicts.finding_table import show_findings

    run = judged.run
    if not judged.verdicts and not judged.findings:
        why = (
            "was accepted as the new normal"
            if judged.accepted
            else "has no baseline yet: nothing to judge it by"
        )
        terminal.result(f"{visible(run.suite)}: run {run.id} ({visible(run.kernel_name)}) {why}")
        return
    if judged.verdicts:
        _show_verdicts(judged, terminal)
    if judged.findings:
        show_findings(run, judged.findings, terminal)


def _explain(judged: _Judged, settings: Settings, terminal: Terminal) -> None:
    """Say which functions a regression is in, where it can be counted."""
    from sistasks.explain_steps import explain
    from sistasks.profile.table import show_changed
    from sistasks.suites.profiling import is_marked
    from sistasks.suites.registry import suites

    worse = {verdict.metric for verdict in judged.verdicts if verdict.regressed}
    unwanted = "profile" in settings.given and not settings.profile
    if not worse or unwanted or judged.run.clock != "virtual" or judged.accepted:
        return
    suite = suites(settings).get(judged.run.suite)
    if suite is not None and not is_marked(suite):
        return
    found = explain(judged.run, judged.baseline, settings, terminal)
    if isinstance(found, str):
        terminal.say(f"{judged.run.suite}: no functions are named: {found}")
    else:
        show_changed(found.phases, worse, terminal)


def _show_verdicts(judged: _Judged, terminal: Terminal) -> None:
    from sistasks.textlines import visible
    from sistasks.units import percent
    from sistasks.verdicts.table import interval, verdict_table

    run = judged.run
    terminal.table(verdict_table(run, judged.verdicts, terminal.width))
    reasons: dict[str, list[str]] = {}
    for verdict in judged.verdicts:
        if verdict.outcome == "unsure":
            reasons.setdefault(verdict.reason, []).append(visible(verdict.name))
        elif verdict.outcome == "worse" or verdict.reason:
            words = [interval(verdict)] if verdict.low is not None and verdict.low != verdict.high else []
            words += [verdict.reason] if verdict.reason else []
            name = visible(verdict.name)
            terminal.say(f"{verdict.outcome}: {name}: {'; '.join([percent(verdict.effect, ''), *words])}")
    for reason, names in reasons.items():
        terminal.say(f"unsure: {', '.join(names)}: {visible(reason, 300)}", always=True)


def _export(settings: Settings, terminal: Terminal) -> None:
    """JUnit for the CI system, and Markdown for its page. What a person accepted is no failure there."""
    from sistasks.files import write_atomically
    from sistasks.report import collect, junit, markdown_summary

    runs = [
        replace(run, verdicts=(), finding_verdicts=()) if run.accepted else run
        for run in collect(settings.db)
    ]
    write_atomically(settings.output / "junit.xml", junit(runs, {run.run.id: run.verdicts for run in runs}))
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if not page:
        return
    try:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown_summary(runs))
    except OSError as error:
        terminal.say(f"GITHUB_STEP_SUMMARY={page} cannot be written: {error.strerror}", always=True)


def _conclude(
    judged: Sequence[_Judged], broken: Sequence[RunInfo], settings: Settings, terminal: Terminal
) -> None:
    from sistasks.textlines import visible
    from sistasks.verdicts.finding_table import regression

    # errors of ours last: exit code 2 is for when nothing was found out about the kernel
    for run in broken:
        terminal.say(_ended(run), always=True)
    worse = [
        (one, [verdict for verdict in one.verdicts if verdict.regressed and verdict.metric == metric])
        for one in judged
        for metric in dict.fromkeys(verdict.metric for verdict in one.verdicts if verdict.regressed)
    ]
    found = [(one, verdict) for one in judged for verdict in one.findings if verdict.regressed]
    if worse or found:
        words = [regression(one.run, verdict, one.failing_since.get(verdict.rule)) for one, verdict in found]
        words += [_regression(one, verdicts) for one, verdicts in worse]
        words[_NAMED:] = [f"{len(words) - _NAMED} more"] if len(words) > _NAMED else []
        numbers = sorted({one.run.id for one, _ in (*worse, *found)})
        remedy = " && ".join(f"doit accept run={number} note='why'" for number in numbers)
        raise KernelFailure(f"worse: {', '.join(words)}", f"if that is meant: {remedy}")
    for run in broken:
        if run.status == "failed":
            raise KernelFailure(_ended(run), "mend the kernel, and measure again")
    for run in broken:
        raise NodeError(_ended(run), "measure again: doit " + visible(run.suite))
    outcomes = [verdict.outcome for one in judged for verdict in one.verdicts]
    outcomes += [verdict.outcome for one in judged for verdict in one.findings]
    unsure = outcomes.count("unsure")
    verdicts = f"{unsure} {'verdict is' if unsure == 1 else 'verdicts are'} unsure"
    if unsure and settings.strict:
        raise KernelFailure(f"{verdicts}, and strict=yes", "measure more boots, or see the reasons")
    terminal.result(f"gate: passed{f', but {verdicts}' if unsure else ''}")


def _ended(run: RunInfo) -> str:
    from sistasks.textlines import visible

    how = "failed" if run.status == "failed" else "ended in an error"
    what = f"{visible(run.suite)}, {visible(run.kernel_name)}"
    return f"run {run.id} ({what}) has nothing to judge, it {how}: {visible(run.message, 300)}"


def _regression(judged: _Judged, verdicts: Sequence[Verdict]) -> str:
    """One metric in words: `a.latency +12.0% (p95 +12.5%, run 14, since run 8)`."""
    from sistasks.textlines import visible
    from sistasks.units import percent

    first, *others = verdicts
    words = [f"{verdict.statistic} {percent(verdict.effect, '')}" for verdict in others]
    words.append(f"run {judged.run.id}")
    known = judged.changes.get((first.metric, first.statistic))
    since = known.worse_since if known is not None else None
    if since is not None and since != judged.run.id:
        words.append(f"since run {since}")
    return f"{visible(first.name)} {percent(first.effect, '')} ({', '.join(words)})"


def accept(settings: Settings, terminal: Terminal) -> None:
    """Take a run as the new normal.

    Raises:
        UsageError: no run was named, or the history has no such run, or it is not a good one.
        HistoryError: there is no history, or it cannot be written.
    """
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.store import accept as write

    if "run" not in settings.given:
        raise UsageError("accept needs the run that is the new normal", "doit accept run=12 note='why'")
    with open_history(settings.db) as history:
        run = history.run(settings.run)
    write(settings.db, run, settings.note)
    terminal.result(f"run {settings.run} is the new normal: baselines begin with it")
