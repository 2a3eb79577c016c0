"""Verdicts on findings for the terminal: a table of what differs, and the gate's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.history.findings import verdict_words, worth_a_look
from sistasks.textlines import visible
from sistasks.verdicts.table import SIGNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sistasks.history.findings import FindingVerdict
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import RunInfo

_EVIDENCE: Final = 120


def finding_verdict_table(title: str, verdicts: Sequence[FindingVerdict]) -> Table:
    """Rule, severity, outcome then and now, verdict, what was seen.

    Names and evidence are shown as they are, whatever markup they hold.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("finding", overflow="fold")
    for heading in ("severity", "baseline", "now", "verdict"):
        table.add_column(heading, no_wrap=True)
    table.add_column("seen", overflow="fold")
    for verdict in verdicts:
        sign, style = SIGNS[verdict.outcome]
        table.add_row(
            Text(visible(verdict.rule)),
            verdict.severity,
            verdict.was or "-",
            verdict.now or "-",
            Text(f"{sign} {verdict.outcome}", style),
            Text(visible(verdict.reason, _EVIDENCE)),
        )
    return table


def show_findings(run: RunInfo, verdicts: Sequence[FindingVerdict], terminal: Terminal) -> None:
    """A table of what differs, and how many rules came out how."""
    baselines = visible(", ".join(sorted({verdict.baseline for verdict in verdicts})), 200)
    title = f"{visible(run.suite)}: findings of run {run.id} ({visible(run.kernel_name)}) against {baselines}"
    differing = worth_a_look(verdicts)
    if differing:
        terminal.table(finding_verdict_table(title, differing))
    terminal.result(f"{'findings' if differing else title}: {verdict_words(verdicts)}")


def regression(run: RunInfo, verdict: FindingVerdict, since: int | None = None) -> str:
    """One finding in words: `runtime.smep fails (high, on 3 of 4 nodes: cr4 lacks it; run 14, since run 8)`.

    Args:
        run: that was judged.
        verdict: on one of its findings.
        since: the run since which the rule has failed.
    """
    seen = visible(verdict.reason, _EVIDENCE)
    words = ", ".join(part for part in (verdict.severity, seen) if part)
    when = f"run {run.id}" if since in {None, run.id} else f"run {run.id}, since run {since}"
    return f"{visible(verdict.rule)} fails ({words}; {when})"
