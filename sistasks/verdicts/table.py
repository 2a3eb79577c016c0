"""Verdicts as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sistasks.verdicts.baseline import RunInfo
    from sistasks.verdicts.records import Verdict

# a sign and a word beside the colour: colour is never the only one to tell
SIGNS: Final = {
    "better": ("+", "green"),
    "same": ("=", ""),
    "worse": ("!", "bold red"),
    "unsure": ("?", "yellow"),
}


def percent(value: float | None) -> str:
    """A share as a signed percentage."""
    return "-" if value is None else f"{value:+.2%}" if abs(value) < 0.1 else f"{value:+.1%}"


def verdict_table(run: RunInfo, verdicts: Sequence[Verdict], width: int) -> Table:
    """Metric, baseline, now, effect with interval, verdict, smallest detectable effect."""
    from rich import box
    from rich.table import Table

    against = sorted({verdict.baseline for verdict in verdicts})
    title = f"{run.suite}: run {run.id} ({run.kernel_name}) against {', '.join(against)}"
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("metric", no_wrap=True)
    table.add_column("baseline", justify="right", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("effect", justify="right", no_wrap=True)
    if width >= 100:
        table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("detectable" if width >= 100 else "seen from", justify="right", no_wrap=True)
    for verdict in verdicts:
        sign, style = SIGNS[verdict.outcome]
        word = f"{sign} {verdict.outcome}"
        if verdict.outcome == "worse" and verdict.confirmed is False:
            word += " (not confirmed)"
        interval = "-" if verdict.low is None else f"{percent(verdict.low)} … {percent(verdict.high)}"
        table.add_row(
            verdict.name,
            show(verdict.baseline_value, verdict.unit),
            show(verdict.value, verdict.unit),
            percent(verdict.effect),
            *([interval] if width >= 100 else []),
            f"[{style}]{word}[/]" if style else word,
            "-" if verdict.mde is None else f"{verdict.mde:.2%}",
        )
    return table
