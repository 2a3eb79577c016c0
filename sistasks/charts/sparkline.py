"""A line of the size of a word."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import Scale, spread, text, usable

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 96
_HEIGHT: Final = 20
# more points than this cannot be told apart at its size
_POINTS: Final = 60


def sparkline(values: Sequence[float], *, better: str) -> str:
    """Values over time, small enough to stand in a table; a dashed line marks the median.

    Args:
        values: shape (count,), oldest first, in any unit; what is not finite is left out. Only the last 60 are drawn.
        better: `lower` or `higher`; said in the description that is read aloud.

    Returns:
        An inline `<svg>`.
    """
    shown = usable(values)[-_POINTS:]
    if not shown:
        return _svg("no values", "")
    middle = statistics.median(shown)
    across = Scale(0, max(len(shown) - 1, 1), 3, _WIDTH - 3)
    up = Scale(*spread(min(shown), max(shown)), _HEIGHT - 3, 3)
    path = " ".join(f"{across.at(index):.1f},{up.at(value):.1f}" for index, value in enumerate(shown))
    x, y, level = across.at(len(shown) - 1), up.at(shown[-1]), up.at(middle)
    words = (
        f"{len(shown)} value{'s' * (len(shown) > 1)}, last {shown[-1]:.4g}, median {middle:.4g}, "
        f"from {min(shown):.4g} to {max(shown):.4g}; {better} is better"
    )
    return _svg(
        words,
        f'<line class="m" x1="0" x2="{_WIDTH}" y1="{level:.1f}" y2="{level:.1f}"/>'
        f'<polyline points="{path}"/><circle class="d" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>',
    )


def _svg(words: str, inside: str) -> str:
    shown = text(words)
    return (
        f'<svg class="sis-spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{shown}">'
        f"<title>{shown}</title>{inside}</svg>"
    )
