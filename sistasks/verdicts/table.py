"""Verdicts as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.textlines import visible
from sistasks.units import percent, show

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
    "new": ("*", "cyan"),
}


# columns from which on there is room for intervals
_WIDE: Final = 100


def interval(verdict: Verdict) -> str:
    """Between what the effect lies."""
    if verdict.low is None:
        return "-"
    return " … ".join(percent(end, "") for end in (verdict.low, verdict.high))


def verdict_table(run: RunInfo, verdicts: Sequence[Verdict], width: int) -> Table:
    """Metric, baseline, now, effect with interval, verdict, smallest detectable effect.

    Names are shown as they are, whatever markup they hold.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    against = visible(", ".join(sorted({verdict.baseline for verdict in verdicts})), 200)
    title = f"{visible(run.suite)}: run {run.id} ({visible(run.kernel_name)}) against {against}"
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    wide = width >= _WIDE
    # where there is no room, a name is folded before a figure is cut
    table.add_column("metric", overflow="fold")
    table.add_column("baseline", justify="right", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("effect", justify="right", no_wrap=True)
    if wide:
        table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("detectable" if wide else "can see", justify="right", no_wrap=True)
    above = ""
    for verdict in verdicts:
        name = verdict.name if wide or verdict.metric != above else f"  {verdict.statistic}"
        above = verdict.metric
        sign, style = SIGNS[verdict.outcome]
        word = f"{sign} {verdict.outcome}"
        table.add_row(
            Text(visible(name)),
            Text(visible(show(verdict.baseline_value, verdict.unit), 20)),
            Text(visible(show(verdict.value, verdict.unit), 20)),
            percent(verdict.effect, ""),
            *([interval(verdict)] if wide else []),
            Text(word, style),
            "-" if verdict.mde is None else f"{verdict.mde:.2%}",
        )
    return table
