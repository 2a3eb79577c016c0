"""Differences of profiles as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.textlines import shorten
from sistasks.units import amount, percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from rich.table import Table

    from sistasks.history.differences import PhaseDifference
    from sistasks.terminal import Terminal

SHOWN: Final = 10
"""Functions of one phase that a terminal shows."""
_WIDE: Final = 100


def show_changed(
    phases: Sequence[PhaseDifference], metrics: AbstractSet[str] | None, terminal: Terminal
) -> bool:
    """Show the functions of the phases that execute more or less.

    Args:
        phases: of two runs.
        metrics: only what is measured for one of them; None: all phases.
        terminal: where.

    Returns:
        Whether there was anything to show.
    """
    changed = [
        one for one in phases if one.changed and (metrics is None or not metrics.isdisjoint(one.metrics))
    ]
    for one in changed:
        terminal.table(difference_table(one, terminal.width))
    return bool(changed)


def difference_table(difference: PhaseDifference, width: int, shown: int = SHOWN) -> Table:
    """The functions whose instructions changed most, and what is left of the change in the others."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    change = difference.head - difference.base
    share = change / difference.base if difference.base else None
    what = ", ".join(difference.metrics) or difference.test
    title = (
        f"{what}: {amount(difference.base)} -> {amount(difference.head)} instructions a sample"
        f" ({percent(share, '')}), by function"
    )
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    wide = width >= _WIDE
    table.add_column("function", overflow="fold")
    for name in ("baseline", "now", "change", "share", *(("calls", "calls now") if wide else ())):
        table.add_column(name, justify="right", no_wrap=True)
    rows = difference.functions
    for row in rows[:shown]:
        calls = (amount(row.calls_base), amount(row.calls_head)) if wide else ()
        table.add_row(
            Text(shorten(row.function, 60)), amount(row.base), amount(row.head), amount(row.change, "+"),
            f"{row.share:.1%}", *calls,
        )  # fmt: skip
    if len(rows) > shown:
        others = rows[shown:]
        table.add_row(
            Text(f"{len(others)} others", style="dim"), "", "", amount(sum(row.change for row in others), "+"),
            f"{sum(row.share for row in others):.1%}", *(("", "") if wide else ()),
        )  # fmt: skip
    return table
