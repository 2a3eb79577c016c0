"""What functions execute, as ranked bars. No call stacks are counted, so there is no flame graph to be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.charts.bars import Bar, ranked_chart
from sistasks.units import amount, percent, portion

if TYPE_CHECKING:
    from sistasks.history.differences import PhaseDifference, PhaseShares

SHOWN: Final = 12
"""Functions of one phase that have a bar of their own."""

_LEAST: Final = 0.001


def changed_chart(difference: PhaseDifference) -> str:
    """The functions whose instructions for each sample changed most; the others are one bar.

    Args:
        difference: one phase in two runs.

    Returns:
        An `<svg>`.
    """
    rows = difference.functions
    # what is a thousandth of the largest change has no bar that could be seen
    shown = sum(abs(row.change) >= _LEAST * abs(rows[0].change) for row in rows[:SHOWN])
    bars = [
        Bar(
            row.function,
            row.change,
            f"{amount(row.change, '+')} ({portion(row.share)})",
            f"{amount(row.base)} → {amount(row.head)} instructions a sample, {portion(row.share)} of the change; "
            f"calls {amount(row.calls_base)} → {amount(row.calls_head)}",
        )
        for row in rows[:shown]
    ]
    if len(rows) > shown:
        rest = rows[shown:]
        change, share = sum(row.change for row in rest), sum(row.share for row in rest)
        words = f"{amount(change, '+')} ({portion(share)})"
        bars.append(Bar(f"{len(rest)} others together", change, words, rest=True))
    whole = difference.head - difference.base
    relative = percent(whole / difference.base if difference.base else None)
    return ranked_chart(
        bars, title=_title(difference), signed=True,
        subtitle=f"{amount(difference.base)} → {amount(difference.head)} instructions a sample ({relative})",
    )  # fmt: skip


def shares_chart(shares: PhaseShares) -> str:
    """The functions that execute most of a phase; the others are one bar.

    Args:
        shares: the phase.

    Returns:
        An `<svg>`.
    """
    rows = shares.functions
    bars = [
        Bar(
            row.function,
            row.share,
            f"{amount(row.instructions)} ({portion(row.share)})",
            f"{amount(row.instructions)} instructions and {amount(row.calls)} calls a sample, "
            f"{portion(row.share)} of all",
        )
        for row in rows[:SHOWN]
    ]
    if len(rows) > SHOWN:
        rest = rows[SHOWN:]
        count, share = sum(row.instructions for row in rest), sum(row.share for row in rest)
        bars.append(
            Bar(f"{len(rest)} others together", share, f"{amount(count)} ({portion(share)})", rest=True)
        )
    return ranked_chart(
        bars, title=_title(shares), subtitle=f"{amount(shares.instructions)} instructions a sample"
    )


def _title(phase: PhaseDifference | PhaseShares) -> str:
    return ", ".join(phase.metrics) or f"{phase.test}, {phase.phase}"
