"""Two kernels, runs or sessions side by side, suite by suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from sistasks.history.findings import FindingVerdict
    from sistasks.settings import Settings
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import History, RunInfo
    from sistasks.verdicts.records import Verdict

_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def compare(settings: Settings, terminal: Terminal) -> None:
    """Show base against head.

    Raises:
        UsageError: a reference names nothing, or the two have no suite in common.
        HistoryError: the history cannot be read.
    """
    from sistasks.textlines import visible
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.finding_table import show_findings
    from sistasks.verdicts.references import before, find
    from sistasks.verdicts.table import verdict_table

    with open_history(settings.db) as history:
        heads = find(history, settings.head or "latest")
        bases = find(history, settings.base) if settings.base else None
        shown = 0
        detailed = False
        for head in heads:
            base = before(history, head) if bases is None else _nearest(bases, head)
            if base is None:
                continue
            shown += 1
            verdicts = compare_runs(history, base, head)
            findings = compare_findings(history, base, head)
            if findings:
                show_findings(head, findings, terminal)
            if not verdicts:
                if not findings:
                    terminal.result(f"runs {base.id} and {head.id} measured nothing")
                continue
            terminal.table(verdict_table(head, verdicts, terminal.width))
            for reason in sorted({verdict.reason for verdict in verdicts if verdict.outcome == "unsure"}):
                terminal.say(f"unsure: {visible(reason, 300)}")
            if settings.profile:
                _show_profiles(settings.db, (base, head), terminal)
            if settings.metric in {verdict.metric for verdict in verdicts}:
                terminal.table(_percentiles(settings.db, history, base, head, settings.metric))
                detailed = True
    if not shown:
        raise UsageError(
            f"base={settings.base or 'the one before'} and head={settings.head or 'latest'} share no suite",
            "doit browse shows what is there",
        )
    if settings.metric and not detailed:
        raise UsageError(f"metric={settings.metric} was not measured there", "the names stand in the table")


def _show_profiles(db: Path, runs: tuple[RunInfo, RunInfo], terminal: Terminal) -> None:
    """Which functions the two runs differ in, where both were profiled."""
    from sistasks.history.differences import LEAST, differences
    from sistasks.history.profiles import profiles_of
    from sistasks.profile.table import show_changed

    found = (profiles_of(db, runs[0].id), profiles_of(db, runs[1].id))
    for run, profiles in zip(runs, found, strict=True):
        if not profiles:
            terminal.say(f"run {run.id} has no profile: doit {run.suite} profile=yes counts", always=True)
    base, head = runs
    phases = differences(found[0], found[1], (base.iterations, head.iterations))
    if all(found) and not show_changed(phases, None, terminal):
        terminal.say(
            f"in no test do runs {base.id} and {head.id} execute {LEAST:.1%} more or less", always=True
        )


def _nearest(bases: Sequence[RunInfo], head: RunInfo) -> RunInfo | None:
    """The first of the other runs of a suite; before it one in the same environment, and one of the same kernel."""
    others = [run for run in bases if run.suite == head.suite and run.id != head.id]
    return max(
        others,
        key=lambda run: (run.environment_id == head.environment_id, run.kernel_name == head.kernel_name),
        default=None,
    )


def compare_runs(history: History, base: RunInfo, head: RunInfo) -> list[Verdict]:
    """Verdicts on `head` against one run; all are unsure where the two were not measured alike."""
    from dataclasses import replace

    from sistasks.verdicts import virtual, wall

    boots = history.boots([base.id, head.id])
    metrics = history.metrics()
    found = (virtual.judge if head.clock == "virtual" else wall.screen)(head, [base], boots, metrics)
    problem = _unlike(base, head)
    return [replace(verdict, outcome="unsure", reason=problem) for verdict in found] if problem else found


def compare_findings(history: History, base: RunInfo, head: RunInfo) -> list[FindingVerdict]:
    """Verdicts on the findings of `head` against one run; what differs is unsure in different environments."""
    from dataclasses import replace

    from sistasks.verdicts import findings

    found = findings.judge(head, [base], history.findings([base.id, head.id]))
    if base.environment_id == head.environment_id:
        return found
    problem = _unlike(base, head)
    return [
        replace(one, outcome="unsure", reason=f"{problem}: {one.reason}" if one.reason else problem)
        if one.outcome in {"better", "worse"}
        else one
        for one in found
    ]


def _unlike(base: RunInfo, head: RunInfo) -> str:
    if base.environment_id != head.environment_id:
        return f"runs {base.id} and {head.id} were measured in different environments"
    if base.iterations != head.iterations:
        return f"run {base.id} has {base.iterations} iterations, run {head.id} {head.iterations}"
    return ""


def _percentiles(db: Path, history: History, base: RunInfo, head: RunInfo, metric: str) -> Table:
    """One metric, percentile by percentile: medians over nodes."""
    import statistics

    import numpy as np
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from sistasks.history.read import samples_of
    from sistasks.textlines import visible
    from sistasks.units import percent, show

    unit = history.metrics()[metric]["unit"]
    boots = history.boots([base.id, head.id]).get((metric, "p50"), {})
    rows: list[list[float]] = []
    for run in (base, head):
        nodes = [node for number, node in boots if number == run.id]
        values = [np.percentile(samples_of(db, run.id, node, metric), _PERCENTILES) for node in nodes]
        if not values:
            raise UsageError(f"run {run.id} has no samples of {metric}", "choose another metric=")
        rows.append(
            [statistics.median(float(value[i]) for value in values) for i in range(len(_PERCENTILES))]
        )
    table = Table(
        title=Text(f"{visible(metric)}, percentile by percentile"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in ("base", "head", "effect"):
        table.add_column(heading, justify="right")
    for percentile, one, two in zip(_PERCENTILES, *rows, strict=True):
        effect = percent(two / one - 1, "") if one else "-"
        table.add_row(f"p{percentile}", show(one, unit), show(two, unit), effect)
    return table
